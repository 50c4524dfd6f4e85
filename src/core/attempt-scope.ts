import type { Clock } from '../ports/clock.ts';
import type { OutcomeName } from '../telemetry/events.ts';
import type { Call } from './call.ts';
import { type Execution, spanEnd } from './execution.ts';
import { judge } from './judge.ts';
import type { Judgement } from './outcome.ts';
import { type DropReason, Stage } from './policy.ts';

/** Opens and closes an attempt: just inside the innermost stage that repeats, so that a call turned away inside it has one too. */
export class AttemptScope extends Stage {
  override readonly frame = true;
  /** When it began, and what the observers made of it: two that a middleware runs at a time keep theirs apart. */
  override readonly slots = 2;
  private readonly clock: Clock;

  constructor(clock: Clock) {
    super();
    this.clock = clock;
  }

  override enter(call: Call): void {
    const execution = this.scope.of(call);
    execution.attempt++;
    execution.rescued = false;
    if (execution.interest !== 0) {
      call.memo[this.slot] = this.clock.now();
      execution.attemptCalled = false;
      execution.attemptTokens = this.scope.pipeline.observers.start('attempt', execution, execution.tokens);
      call.memo[this.slot + 1] = execution.attemptTokens;
    }
    if (call.at !== this.index) return;
    call.at = this.innerIndex;
    call.heard = false;
    this.inner.enter(call);
  }

  override succeed(call: Call, value: unknown): void {
    const execution = this.scope.of(call);
    if (execution.interest !== 0) {
      const judged = judge(this, call, undefined, true, value);
      this.close(call, execution, execution.endedAs(judged), undefined, judged);
    }
    if (call.at !== this.index) return;
    call.at--;
    call.heard = true;
    this.outer.succeed(call, value);
  }

  override fail(call: Call, error: unknown): void {
    const execution = this.scope.of(call);
    if (execution.interest !== 0) {
      const judged = judge(this, call, undefined, false, error);
      this.close(call, execution, judged.verdict, error, judged);
    }
    this.raise(call, error);
  }

  override drop(call: Call, why: DropReason, reason: unknown): void {
    const execution = this.scope.of(call);
    if (execution.interest === 0) return;
    const failed = why === 'timed_out';
    this.close(call, execution, failed ? 'failure' : 'cancelled', failed ? reason : undefined, undefined);
  }

  private close(
    call: Call,
    execution: Execution,
    outcome: OutcomeName,
    error: unknown,
    judged: Judgement | undefined,
  ): void {
    const durationMs = this.clock.now() - (call.memo[this.slot] as number);
    const tokens = call.memo[this.slot + 1] as unknown[] | undefined;
    if (execution.attemptTokens === tokens) execution.attemptTokens = undefined;
    this.scope.pipeline.observers.end(
      'attempt',
      tokens,
      spanEnd(execution, outcome, error, judged, durationMs, execution.attemptCalled),
      execution,
    );
  }
}
