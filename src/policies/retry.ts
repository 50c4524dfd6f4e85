import type { IBackoffFactory } from 'cockatiel';
import { type Backoff, type Delays, type DelayStep, delays, exponentialFullJitter } from '../algorithms/backoff.ts';
import { RetryBudget, type RetryBudgetRules } from '../algorithms/retry-budget.ts';
import { decideRetry } from '../algorithms/retry-decision.ts';
import type { Call } from '../core/call.ts';
import { isRejectedError } from '../core/errors.ts';
import { judge } from '../core/judge.ts';
import { callable, check, either, flag, isPlain, milliseconds, number, policyName, shape } from '../core/options.ts';
import { isWhen, type Judgement, type Matcher, matcher, type Outcome, type When } from '../core/outcome.ts';
import { oneClock } from '../core/one-clock.ts';
import { type DropReason, type Host, type Policy, Stage } from '../core/policy.ts';
import { sleep } from '../core/sleep.ts';
import { type CallContext, Work } from '../core/work.ts';
import { systemClock } from '../ports/clock.ts';
import type { RetryResult } from '../telemetry/events.ts';

/** What a backoff gets to know of the retry it is asked about; cockatiel's backoffs read the last three. */
export interface RetryInfo {
  /** Which retry it would be, from 1. */
  readonly retry: number;
  readonly outcome: Outcome;
  readonly call: CallContext;
  readonly attempt: number;
  readonly signal: AbortSignal;
  readonly result: { readonly error: unknown } | { readonly value: unknown };
}

/** Options of {@link retry}. */
export interface RetryOptions<R = any> {
  /** Calls at most once more than this. @default 2 */
  readonly maxRetries?: number | undefined;
  /** Milliseconds, a cockatiel backoff, or a function that may answer `'stop'`. @default exponential, base 100 ms, cap 10 s, full jitter */
  readonly backoff?: number | IBackoffFactory<any> | ((info: RetryInfo) => number | 'stop') | undefined;
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

/** A retry budget for several retry policies. */
export interface SharedRetryBudget {
  /** Tokens there are now; a retry needs a whole one. */
  readonly remaining: number;
}

class Budget implements SharedRetryBudget {
  readonly tokens: RetryBudget;
  readonly home = oneClock('a retry budget', systemClock);

  constructor(rules: Partial<RetryBudgetRules>) {
    check('retry budget', rules, { ratio: number(0, 1), minPerSecond: number(0), capacity: number(0) });
    const { ratio = 0.1, minPerSecond = 1, capacity = 100 } = rules;
    this.tokens = new RetryBudget({ ratio, minPerSecond, capacity });
  }

  get remaining(): number {
    return this.tokens.remaining(this.home.clock.now());
  }
}

/**
 * A budget to give to several retry policies: a token per retry, `ratio` back per success and `minPerSecond` by the
 * clock, so that an outage adds at most that share of load. Throws a `RangeError` or `TypeError` for bad options.
 */
export function retryBudget(rules: Partial<RetryBudgetRules> = {}): SharedRetryBudget {
  return new Budget(rules);
}

const rules = {
  maxRetries: number(0, undefined, { whole: true, infinite: true }),
  backoff: either(milliseconds, callable, shape('a cockatiel backoff', (value) => typeof value?.next === 'function')),
  budget: shape('{ ratio, minPerSecond, capacity }, retryBudget(...) or false', (value) => value === false || value instanceof Budget || isPlain(value)),
  maxRetryAfterMs: number(0, undefined, { infinite: true }),
  retryRejected: flag,
  when: shape('a predicate, { error, result } or a cockatiel handler', isWhen),
  name: policyName,
};

/**
 * Runs what is inside it again after a failure, at most `maxRetries` times, with a pause in between and within a budget.
 * Exhausted, it rejects with the last error as it was, or resolves with the last result. Throws a `RangeError` or
 * `TypeError` for bad options.
 */
export function retry<R = any>(options: RetryOptions<R> = {}): Policy {
  check('retry', options, rules);
  const { maxRetries = 2, backoff, budget: given, maxRetryAfterMs = 30_000, retryRejected = false, when, name } = options;
  const budget = given === false ? undefined : given instanceof Budget ? given : new Budget((given ?? {}) as Partial<RetryBudgetRules>);
  const executions: Record<RetryResult, number> = {
    success: 0, success_after_retry: 0, not_retryable: 0, exhausted: 0, budget_exhausted: 0, deadline: 0, cancelled: 0,
  };
  const state: State = { maxRetries, maxRetryAfterMs, retryRejected, when: matcher(when), backoff, budget, executions, attempts: 0 };
  return {
    kind: 'retry',
    name,
    stage(host) {
      budget?.home.adopt(host);
      return new RetryStage(state, host);
    },
    snapshot: () => ({
      kind: 'retry',
      executions: { ...executions },
      attempts: state.attempts,
      budget: budget === undefined ? null : { limit: budget.tokens.capacity, remaining: budget.remaining },
    }),
  };
}

interface State {
  readonly maxRetries: number;
  readonly maxRetryAfterMs: number;
  readonly retryRejected: boolean;
  readonly when: Matcher | undefined;
  readonly backoff: Backoff<any> | undefined;
  readonly budget: Budget | undefined;
  readonly executions: Record<RetryResult, number>;
  attempts: number;
}

/** What a call that has failed once keeps here. */
interface Trial {
  retries: number;
  step: DelayStep<RetryInfo> | undefined;
  delayMs: number;
  /** Holds a token for a retry that has not begun. */
  waiting: boolean;
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

  override succeed(call: Call, value: unknown): void {
    const judged = judge(this, call, this.state.when, true, value);
    if (judged.verdict === 'failure') return this.consider(call, { status: 'value', value }, judged);
    const trial = call.memo[this.slot] as Trial | undefined;
    this.state.budget?.tokens.success();
    this.close(call, trial === undefined ? 'success' : 'success_after_retry');
    this.pass(call, value);
  }

  override fail(call: Call, error: unknown): void {
    const judged = judge(this, call, this.state.when, false, error);
    if (judged.verdict === 'failure') return this.consider(call, { status: 'failure', error }, judged);
    this.giveUp(call, { status: 'failure', error }, 'not_retryable');
  }

  /** Goes again after a pause, or says why not. The pause is asked for first, and its token taken, before any waiting. */
  private consider(call: Call, outcome: Outcome, judged: Judgement): void {
    const { state } = this;
    const trial = (call.memo[this.slot] ??= { retries: 0, step: undefined, delayMs: 0, waiting: false }) as Trial;
    const wishMs = afterMs(outcome, judged);
    if (!this.allowed(call, outcome, wishMs)) return this.giveUp(call, outcome, 'not_retryable');
    const answer = decideRetry({
      retries: trial.retries,
      maxRetries: state.maxRetries,
      backoff: trial.retries < state.maxRetries ? this.pause(call, trial, outcome) : 'stop',
      wishMs,
      maxWishMs: state.maxRetryAfterMs,
      now: this.host.clock.now(),
      due: call.due(this.index),
      budget: state.budget?.tokens,
    });
    if (typeof answer === 'string') return this.giveUp(call, outcome, answer);
    trial.waiting = true;
    trial.delayMs = answer;
    trial.retries++;
    if (outcome.status === 'value') call.discard(outcome.value);
    if (this.heardBy(call))
      this.tell(call, { type: 'retry', policy: this.label, retry: trial.retries, delayMs: answer, ...reasonOf(outcome) });
    sleep(call, this, answer);
  }

  private allowed(call: Call, outcome: Outcome, wish: number): boolean {
    if (outcome.status === 'failure' && isRejectedError(outcome.error)) return this.state.retryRejected && wish > Number.NEGATIVE_INFINITY;
    const { idempotent, retryable } = call.options;
    if (idempotent !== false || !this.execution(call).called) return true;
    try {
      return retryable?.(outcome) === true;
    } catch (error) {
      this.fault(call, 'retryable', error);
      return false;
    }
  }

  private pause(call: Call, trial: Trial, outcome: Outcome): number | 'stop' {
    const work = new Work(call, this, this.execution(call).attempt || 1);
    const retry = trial.retries + 1;
    const info: RetryInfo = {
      retry,
      outcome,
      call: work,
      attempt: retry,
      get signal() {
        return work.signal;
      },
      result: reasonOf(outcome),
    };
    try {
      trial.step = trial.step === undefined ? this.delays.first(info) : trial.step.next(info);
      return trial.step.delay;
    } catch (error) {
      this.fault(call, 'backoff', error);
      return 'stop';
    }
  }

  override resume(call: Call): void {
    const trial = call.memo[this.slot] as Trial;
    trial.waiting = false;
    this.state.attempts++;
    const execution = this.execution(call);
    execution.attemptKind = 'retry';
    execution.retryDelayMs = trial.delayMs;
    this.again(call);
  }

  private giveUp(call: Call, outcome: Outcome, result: RetryResult): void {
    this.close(call, result);
    if (outcome.status === 'value') this.pass(call, outcome.value);
    else this.raise(call, outcome.error);
  }

  override drop(call: Call, why: DropReason): void {
    const trial = call.memo[this.slot] as Trial | undefined;
    if (trial?.waiting === true) {
      trial.waiting = false;
      this.state.budget?.tokens.giveBack();
    }
    this.close(call, why === 'timed_out' ? 'deadline' : 'cancelled');
  }

  private close(call: Call, result: RetryResult): void {
    this.state.executions[result]++;
    if (!this.heardBy(call)) return;
    const retries = (call.memo[this.slot] as Trial | undefined)?.retries ?? 0;
    this.tell(call, { type: 'retry_result', policy: this.label, result, retries });
  }
}

function reasonOf(outcome: Outcome): { readonly error: unknown } | { readonly value: unknown } {
  return outcome.status === 'value' ? { value: outcome.value } : { error: outcome.error };
}

/** How long the other side asked us to wait, in milliseconds; minus infinity when it did not say. */
function afterMs(outcome: Outcome, judged: Judgement): number {
  const said = judged.retryAfterMs ?? (outcome.error as { retryAfterMs?: unknown } | null | undefined)?.retryAfterMs;
  return typeof said === 'number' && said >= 0 ? said : Number.NEGATIVE_INFINITY;
}
