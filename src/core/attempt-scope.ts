import type { Clock } from '../ports/clock.ts';
import type { OutcomeName } from '../telemetry/events.ts';
import type { SpanEnd } from '../telemetry/observer.ts';
import type { Call } from './call.ts';
import { Attempt, endedAs, spanEnd, type Watch } from './execution.ts';
import { judge } from './judge.ts';
import type { Judgement } from './outcome.ts';
import { type DropReason, Stage } from './policy.ts';

/** Opens and closes an attempt: just inside the innermost stage that repeats, so that a call turned away inside it has one too. */
export class AttemptScope extends Stage {
  override readonly frame = true;
  /** Its number, and what is known of it where somebody watches: several that a middleware runs at a time keep theirs apart. */
  override readonly slots = 2;
  private readonly clock: Clock;

  constructor(clock: Clock) {
    super();
    this.clock = clock;
  }

  /** From 1. */
  numberOf(call: Call): number {
    return call.memo[this.slot] as number;
  }

  /** What is known of the attempt that `call` is in; nothing unless somebody watches. */
  of(call: Call): Attempt | undefined {
    return call.memo[this.slot + 1] as Attempt | undefined;
  }

  override enter(call: Call): void {
    const execution = this.scope.of(call);
    call.memo[this.slot] = ++execution.counted;
    execution.rescued = false;
    const { watch } = execution;
    if (watch !== null && watch.interest !== 0) this.watch(call, watch);
    if (call.at !== this.index) return;
    call.at = this.innerIndex;
    this.inner.enter(call);
  }

  private watch(call: Call, watch: Watch): void {
    const attempt = new Attempt(watch, watch.now(call, this.clock), call.invoked);
    call.memo[this.slot + 1] = attempt;
    attempt.tokens = this.scope.pipeline.observers.start('attempt', attempt, watch.tokens);
  }

  override succeed(call: Call, value: unknown): void {
    const attempt = this.of(call);
    if (attempt !== undefined) this.report(call, attempt, value);
    if (call.at !== this.index) return call.discard(value);
    call.at = this.outerIndex;
    this.outer.succeed(call, value);
  }

  private report(call: Call, attempt: Attempt, value: unknown): void {
    const judged = judge(this, call, undefined, true, value);
    const outcome = endedAs(attempt.watch.execution, judged);
    this.close(call, attempt, outcome, undefined, judged, outcome === 'failure' ? { value } : undefined);
  }

  override fail(call: Call, error: unknown): void {
    const attempt = this.of(call);
    if (attempt !== undefined) {
      const judged = judge(this, call, undefined, false, error);
      this.close(call, attempt, judged.verdict, error, judged);
    }
    if (call.at !== this.index) return;
    call.at = this.outerIndex;
    this.outer.fail(call, error);
  }

  override drop(call: Call, why: DropReason, reason: unknown): void {
    const attempt = this.of(call);
    if (attempt === undefined) return;
    const failed = why === 'timed_out';
    this.close(call, attempt, failed ? 'failure' : 'cancelled', failed ? reason : undefined, undefined);
  }

  private close(
    call: Call,
    attempt: Attempt,
    outcome: OutcomeName,
    error: unknown,
    judged: Judgement | undefined,
    failing?: Pick<SpanEnd, 'value'>,
  ): void {
    const durationMs = attempt.watch.now(call, this.clock) - attempt.startedAt;
    this.scope.pipeline.observers.end(
      'attempt',
      attempt.tokens,
      spanEnd(outcome, error, judged, durationMs, attempt.attempt, call.invoked > attempt.invoked, failing),
      attempt,
    );
  }
}
