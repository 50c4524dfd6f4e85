import { type Backoff, type Delay, type Delays, delays, exponentialFullJitter } from '../algorithms/backoff.ts';
import { count } from '../algorithms/counts.ts';
import type { RetryBudgetRules } from '../algorithms/retry-budget.ts';
import { RetryTally, retryAfterOf, successAfter, Trial, wish } from '../algorithms/retry-decision.ts';
import type { Call } from '../core/call.ts';
import { dueBefore } from '../core/deadline.ts';
import { isRejectedError } from '../core/errors.ts';
import { judge } from '../core/judge.ts';
import { callable, check, either, flag, milliseconds, number, policyName } from '../core/options.ts';
import { type Judgement, matcher, type Outcome, outcomeOf, resultOf, type When } from '../core/outcome.ts';
import { type DropReason, type Host, type Policy, Stage } from '../core/policy.ts';
import { cockatielBackoff, judging } from '../core/policy-rules.ts';
import { mayRepeat, type RetryInfo, retryInfo } from '../core/retry-info.ts';
import { type Budget, budgeting, budgetOf, type SharedRetryBudget } from '../core/shared-budget.ts';
import { sleep } from '../core/sleep.ts';
import type { RetryResult } from '../telemetry/events.ts';

/** Options of {@link retry}. */
export interface RetryOptions<R = any> {
  /** Calls at most once more than this. @default 2 */
  readonly maxRetries?: number | undefined;
  /** Milliseconds, a cockatiel backoff, or a function that may answer `'stop'`. @default exponential, base 100 ms, cap 10 s, full jitter */
  readonly backoff?: Backoff<RetryInfo> | undefined;
  /** What all retries of this policy may cost together. @default { ratio: 0.1, minPerSecond: 1, capacity: 100 } */
  readonly budget?: Partial<RetryBudgetRules> | SharedRetryBudget | false | undefined;
  /** Milliseconds the other side may ask us to wait; beyond it we give up rather than come back early. @default 30_000 */
  readonly maxRetryAfterMs?: number | undefined;
  /** Retry our own rejections that say when to come back. @default false */
  readonly retryRejected?: boolean | undefined;
  /** Which outcomes are retried. @default by `classify` */
  readonly when?: When<R> | undefined;
  /** @default `pipeline/retry` */
  readonly name?: string | undefined;
}

const rules = {
  maxRetries: /* @__PURE__ */ number(0, undefined, { whole: true, infinite: true }),
  backoff: /* @__PURE__ */ either(milliseconds, callable, cockatielBackoff),
  budget: budgeting,
  maxRetryAfterMs: /* @__PURE__ */ number(0, undefined, { infinite: true }),
  retryRejected: flag,
  when: judging,
  name: policyName,
};

/**
 * Runs what is inside it again after a failure, at most `maxRetries` times, with a pause in between and within a budget.
 * Exhausted, it rejects with the last error as it was, or resolves with the last result. Throws a `RangeError` or
 * `TypeError` for bad options.
 */
export function retry<R = any>(options: RetryOptions<R> = {}): Policy {
  check('create retry', options, rules);
  const { maxRetries = 2, maxRetryAfterMs = 30_000, retryRejected = false, backoff, when, name } = options;
  const budget = budgetOf(options.budget ?? {});
  const tally = new RetryTally();
  const state: State = { maxRetries, maxRetryAfterMs, retryRejected, when: matcher(when), backoff, budget, tally };
  return {
    kind: 'retry',
    name,
    stage(host) {
      budget?.home.adopt(host);
      return new RetryStage(state, host);
    },
    snapshot: () => ({
      kind: 'retry',
      executions: { ...tally.executions },
      attempts: tally.attempts,
      budget: budget === undefined ? null : { limit: budget.tokens.capacity, remaining: budget.remaining },
    }),
  };
}

interface State {
  readonly maxRetries: number;
  readonly maxRetryAfterMs: number;
  readonly retryRejected: boolean;
  readonly when: ReturnType<typeof matcher>;
  readonly backoff: Backoff<RetryInfo> | undefined;
  readonly budget: Budget | undefined;
  readonly tally: RetryTally;
}

class RetryStage extends Stage {
  override readonly repeats = true;
  private readonly state: State;
  private readonly host: Host;
  private readonly delays: Delays<RetryInfo>;

  constructor(state: State, host: Host) {
    super();
    this.state = state;
    this.host = host;
    this.delays = delays(state.backoff ?? exponentialFullJitter({}, host.random));
  }

  /** What a call that has failed once keeps here. */
  private trial(call: Call): Trial<RetryInfo> | undefined {
    return call.memo[this.slot] as Trial<RetryInfo> | undefined;
  }

  override succeed(call: Call, value: unknown): void {
    const { when, budget } = this.state;
    if (when !== undefined || !call.plain) return this.weigh(call, true, value);
    budget?.tokens.success();
    this.close(call, successAfter(this.trial(call)));
    if (call.at !== this.index) return call.discard(value);
    call.at = this.outerIndex;
    this.outer.succeed(call, value);
  }

  override fail(call: Call, error: unknown): void {
    this.weigh(call, false, error);
  }

  private weigh(call: Call, ok: boolean, result: unknown): void {
    const judged = judge(this, call, this.state.when, ok, result);
    const outcome = outcomeOf(ok, result);
    if (judged.verdict === 'failure') return this.consider(call, outcome, judged);
    if (!ok) return this.giveUp(call, outcome, 'not_retryable');
    if (judged.verdict === 'success') this.state.budget?.tokens.success();
    this.giveUp(call, outcome, successAfter(this.trial(call)));
  }

  /** Goes again after a pause, or says why not. The pause is asked for first, and its token taken, before any waiting. */
  private consider(call: Call, outcome: Outcome, judged: Judgement): void {
    if (call.at !== this.index) return this.leave(call, outcome);
    const { maxRetries, maxRetryAfterMs: maxWishMs, budget } = this.state;
    if (call.stopping) return this.giveUp(call, outcome, 'deadline');
    const trial = (call.memo[this.slot] ??= new Trial()) as Trial<RetryInfo>;
    const wishMs = wish(judged.retryAfterMs ?? retryAfterOf(outcome.error));
    if (!this.allowed(call, outcome, wishMs)) return this.giveUp(call, outcome, 'not_retryable');
    const backoff = call.at === this.index && trial.retries < maxRetries ? this.pause(call, trial, outcome) : 'stop';
    // A predicate or the backoff may have ended the call just now.
    if (call.at !== this.index) return this.leave(call, outcome);
    const now = this.host.clock.now();
    const due = dueBefore(call, this.index);
    const answer = trial.decide({ backoff, wishMs, maxWishMs, now, due, budget: budget?.tokens });
    if (typeof answer === 'string') return this.giveUp(call, outcome, answer);
    call.lose(outcome);
    if (this.heardBy(call)) {
      const { retries: retry } = trial;
      this.tell(call, { type: 'retry', policy: this.label, retry, delayMs: answer, ...resultOf(outcome) });
    }
    // A listener may have ended the call just now, and a stage that has heard its end is not told of another.
    if (call.at !== this.index) return this.drop(call, 'cancelled');
    sleep(call, this, answer);
  }

  private allowed(call: Call, outcome: Outcome, wishMs: number): boolean {
    if (isRejectedError(outcome.error)) return this.state.retryRejected && wishMs > Number.NEGATIVE_INFINITY;
    return mayRepeat(this, call, outcome);
  }

  private pause(call: Call, trial: Trial<RetryInfo>, outcome: Outcome): Delay {
    try {
      return this.delays.constant ?? trial.delay(this.delays, retryInfo(this, call, trial.retries + 1, outcome));
    } catch (error) {
      this.fault(call, 'backoff', error);
      return 'stop';
    }
  }

  override resume(call: Call): void {
    const trial = this.trial(call)!;
    trial.begin();
    this.state.tally.attempts++;
    this.execution(call).watch?.repeats('retry', trial.delayMs);
    this.again(call);
  }

  private giveUp(call: Call, outcome: Outcome, result: RetryResult): void {
    if (call.at !== this.index) return this.leave(call, outcome);
    this.close(call, result);
    if (outcome.status === 'value') this.pass(call, outcome.value);
    else this.raise(call, outcome.error);
  }

  /** User code ended the call in the middle of it. */
  private leave(call: Call, outcome: Outcome): void {
    this.close(call, 'cancelled');
    call.lose(outcome);
  }

  override drop(call: Call, why: DropReason): void {
    this.trial(call)?.callOff();
    this.close(call, why === 'timed_out' ? 'deadline' : 'cancelled');
  }

  private close(call: Call, result: RetryResult): void {
    count(this.state.tally.executions, result);
    if (this.heardBy(call)) this.report(call, result);
  }

  private report(call: Call, result: RetryResult): void {
    this.tell(call, { type: 'retry_result', policy: this.label, result, retries: this.trial(call)?.retries ?? 0 });
  }
}
