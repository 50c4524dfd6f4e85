import type { Call } from '../core/call.ts';
import { Deadline, deadlineIn, DeadlineList } from '../core/deadlines.ts';
import { DeadlineExceededError, TimeoutError, withoutStack } from '../core/errors.ts';
import { interrupt } from '../core/interrupt.ts';
import { callable, check, either, limitMs, needed, policyName, shape, show } from '../core/options.ts';
import { type DropReason, type Host, type Policy, Stage } from '../core/policy.ts';
import { afterWork } from '../core/sleep.ts';
import { type CallContext, Work } from '../core/work.ts';

/** Options of {@link timeout}. */
export interface TimeoutOptions {
  /** Milliseconds above 0, or a function of the call; `Infinity` or `undefined` from it is none, 0 and less is out of time at once. */
  readonly ms: number | ((call: CallContext) => number | undefined);
  /** Settle when time is up whatever the function does, or abort it and wait until it has ended. @default 'abandon' */
  readonly mode?: 'abandon' | 'cooperative' | undefined;
  /** Milliseconds to take when the function of `ms` throws or answers nonsense. @default none */
  readonly fallbackMs?: number | undefined;
  /** @default `pipeline/timeout` */
  readonly name?: string | undefined;
}

const rules = {
  ms: needed(either(limitMs, callable)),
  mode: shape('"abandon" or "cooperative"', (value) => value === 'abandon' || value === 'cooperative'),
  fallbackMs: limitMs,
  name: policyName,
};

/**
 * Ends what is inside it after `ms` milliseconds with a {@link TimeoutError}, which is also the reason of the function's
 * signal. Inside a retry it limits one attempt, outside it everything, waits included. Throws a `RangeError` or
 * `TypeError` for bad options.
 */
export function timeout(options: TimeoutOptions['ms'] | TimeoutOptions): Policy {
  const given = typeof options === 'object' ? options : { ms: options };
  check('timeout', given, rules);
  const { ms, mode = 'abandon', fallbackMs = Number.POSITIVE_INFINITY, name } = given;
  const counts = { timeouts: 0, late: 0, exceeded: 0 };
  return {
    kind: 'timeout',
    name,
    stage: (host) => new TimeoutStage(ms, fallbackMs, mode === 'cooperative', counts, host),
    snapshot: () => ({
      kind: 'timeout',
      timeouts: counts.timeouts,
      late: counts.late,
      rejections: { deadline_exceeded: counts.exceeded },
    }),
  };
}

class TimeoutStage extends Stage {
  private readonly ms: TimeoutOptions['ms'];
  private readonly fallbackMs: number;
  private readonly cooperative: boolean;
  private readonly counts: { timeouts: number; late: number; exceeded: number };
  private readonly host: Host;
  /** All calls of one fixed length share a timer. */
  private readonly list: DeadlineList | undefined;
  private readonly fire = (deadline: Deadline): void => this.expire(deadline);

  constructor(
    ms: TimeoutOptions['ms'],
    fallbackMs: number,
    cooperative: boolean,
    counts: TimeoutStage['counts'],
    host: Host,
  ) {
    super();
    this.ms = ms;
    this.fallbackMs = fallbackMs;
    this.cooperative = cooperative;
    this.counts = counts;
    this.host = host;
    this.list = typeof ms === 'number' ? new DeadlineList(host.clock, ms) : undefined;
  }

  override enter(call: Call): void {
    const { list } = this;
    if (list === undefined) return this.ask(call);
    if (this.ms !== Number.POSITIVE_INFINITY) {
      // The shared timer fires in somebody else's async context.
      call.capture();
      const deadline = new Deadline(this.fire, call, this.ms as number);
      call.memo[this.slot] = deadline;
      list.add(deadline);
    }
    if (call.at !== this.index) return;
    call.at = this.innerIndex;
    call.heard = false;
    this.inner.enter(call);
  }

  /** The length is a function of the call. */
  private ask(call: Call): void {
    let ms = this.fallbackMs;
    try {
      const answer: unknown = (this.ms as (call: CallContext) => unknown)(
        new Work(call, this, this.execution(call).attempt || 1),
      );
      if (answer === undefined) ms = Number.POSITIVE_INFINITY;
      else if (typeof answer === 'number' && !Number.isNaN(answer)) ms = answer;
      else throw new TypeError(`ms must answer milliseconds or undefined, received ${show(answer)}`);
    } catch (error) {
      this.fault(call, 'ms', error);
    }
    // It may have ended the call just now, and nobody would disarm it.
    if (call.at !== this.index) return;
    if (ms === Number.POSITIVE_INFINITY) return this.proceed(call);
    if (ms <= 0) return this.refuse(call, ms);
    call.capture();
    const deadline = new Deadline(this.fire, call, ms);
    deadline.timer = deadlineIn(this.host.clock, deadline);
    call.memo[this.slot] = deadline;
    this.proceed(call);
  }

  private refuse(call: Call, remainingMs: number): void {
    this.counts.exceeded++;
    if (this.heardBy(call)) this.tell(call, { type: 'rejected', policy: this.label, reason: 'deadline_exceeded' });
    this.raise(
      call,
      withoutStack(this.host.stackTraces, () => new DeadlineExceededError(remainingMs, this.origin(call))),
    );
  }

  private expire(deadline: Deadline): void {
    const call = deadline.subject as Call;
    call.run(() => {
      const timeoutMs = deadline.ms;
      const error = withoutStack(this.host.stackTraces, () => new TimeoutError(timeoutMs, this.origin(call)));
      this.counts.timeouts++;
      if (this.heardBy(call)) this.tell(call, { type: 'timeout', policy: this.label, timeoutMs });
      interrupt(call, this.index, 'timed_out', error, this);
      if (!this.cooperative) return this.raise(call, error);
      const { turn } = call;
      // Nothing of the call runs but what is being waited for; the caller can still give up.
      afterWork(call, 0, () => call.turn === turn && this.raise(call, error));
    });
  }

  private disarm(call: Call): void {
    const deadline = call.memo[this.slot] as Deadline | undefined;
    if (deadline === undefined) return;
    if (deadline.timer !== null) deadline.timer.cancel();
    else this.list?.remove(deadline);
  }

  override succeed(call: Call, value: unknown): void {
    this.disarm(call);
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
    if (!this.cooperative) this.counts.late++;
  }

  override due(call: Call): number {
    return (call.memo[this.slot] as Deadline | undefined)?.due ?? Number.POSITIVE_INFINITY;
  }
}
