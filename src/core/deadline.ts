import type { Timer } from '../ports/clock.ts';
import type { Call } from './call.ts';
import { Deadline, deadlineIn } from './deadlines.ts';
import { DeadlineExceededError, TimeoutError, withoutStack } from './errors.ts';
import { interrupt } from './interrupt.ts';
import { type DropReason, Stage } from './policy.ts';

/** The caller's own `timeoutMs`, as a timeout just inside the leading fallbacks, which may still answer when it has passed. */
export class DeadlineStage extends Stage {
  override enter(call: Call): void {
    const ms = call.options.timeoutMs;
    if (ms === undefined || ms === Number.POSITIVE_INFINITY) {
      if (call.at !== this.index) return;
      call.at++;
      call.heard = false;
      this.inner.enter(call);
      return;
    }
    const { clock } = this.scope;
    if (ms <= 0) return this.raise(call, deadlineExceeded(this, call, ms));
    call.capture();
    call.memo[this.slot] = deadlineIn(clock, ms, new Deadline(() => this.expire(call, ms), call, ms, null));
    this.proceed(call);
  }

  private expire(call: Call, ms: number): void {
    call.run(() => {
      const { pipeline } = this.scope;
      const error = withoutStack(pipeline.stackTraces, () => new TimeoutError(ms, { ...this.origin(call), policy: 'deadline' }));
      pipeline.cells.deadlines++;
      if (this.heardBy(call)) this.tell(call, { type: 'timeout', policy: this.label, timeoutMs: ms });
      interrupt(call, this.index, 'timed_out', error, this);
      this.raise(call, error);
    });
  }

  private disarm(call: Call): void {
    (call.memo[this.slot] as Timer | undefined)?.cancel();
  }

  override succeed(call: Call, value: unknown): void {
    if (call.memo[this.slot] !== undefined) this.disarm(call);
    if (call.at !== this.index) return;
    call.at--;
    call.heard = true;
    this.outer.succeed(call, value);
  }

  override fail(call: Call, error: unknown): void {
    this.disarm(call);
    this.raise(call, error);
  }

  override drop(call: Call, _why: DropReason): void {
    this.disarm(call);
  }

  override late(): void {
    this.scope.pipeline.cells.late++;
  }
}

/** The rejection of a start for which too little time is left; counted, and told. */
export function deadlineExceeded(stage: Stage, call: Call, remainingMs: number): DeadlineExceededError {
  const { pipeline } = stage.scope;
  pipeline.cells.deadlineExceeded++;
  if (stage.heardBy(call)) stage.tell(call, { type: 'rejected', policy: `${pipeline.name}/deadline`, reason: 'deadline_exceeded' });
  return withoutStack(pipeline.stackTraces, () => new DeadlineExceededError(remainingMs, { ...stage.origin(call), policy: 'deadline' }));
}
