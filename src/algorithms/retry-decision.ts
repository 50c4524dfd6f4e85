import type { Delay, Delays, DelayStep } from './backoff.ts';
import type { RetryBudget } from './retry-budget.ts';

/** What is known when a call has failed and might run again; times in milliseconds. */
export interface RetryQuestion {
  /** What the backoff says; `'stop'` also when there have been enough retries. */
  readonly backoff: Delay;
  /** What the other side asked for, minus infinity when it did not, and the most we wait for it. */
  readonly wishMs: number;
  readonly maxWishMs: number;
  readonly now: number;
  /** When the nearest deadline around the call is due. */
  readonly due: number;
  readonly budget: RetryBudget | undefined;
}

/** Go again after so many milliseconds, or why not. */
export type RetryAnswer = number | 'exhausted' | 'not_retryable' | 'deadline' | 'budget_exhausted';

/**
 * One call's retries: whether it runs again, and when. The pause is at least what the other side asked for; where that is
 * more than we wait, or more time than is left, we give up now instead of coming back early or for nothing. The budget is
 * asked last, because a yes has already taken its token: a pause holds its share (Finagle's `RetryBudget`, gRPC's retry
 * throttling).
 */
export class Trial<Info> {
  retries = 0;
  /** The pause before the retry that runs or is next. */
  delayMs = 0;
  /** The budget a pause holds a token of. */
  private held: RetryBudget | undefined = undefined;
  private step: DelayStep<Info> | undefined = undefined;

  /** The next delay of its backoff; throws what an author's backoff throws. */
  delay(delays: Delays<Info>, info: Info): Delay {
    this.step = this.step === undefined ? delays.first(info) : this.step.next(info);
    return this.step.delay;
  }

  /** Whether to go again; a yes counts as a retry and holds its token until it begins or is called off. */
  decide({ backoff, wishMs, maxWishMs, now, due, budget }: RetryQuestion): RetryAnswer {
    if (backoff === 'stop') return 'exhausted';
    if (wishMs > maxWishMs) return 'not_retryable';
    const delayMs = Math.max(backoff, wishMs);
    if (now + delayMs >= due) return 'deadline';
    if (budget?.take(now) === false) return 'budget_exhausted';
    this.held = budget;
    this.retries++;
    this.delayMs = delayMs;
    return delayMs;
  }

  /** The pause is over. */
  begin(): void {
    this.held = undefined;
  }

  /** The call has ended; a retry that has not begun costs nothing. */
  callOff(): void {
    this.held?.giveBack();
    this.held = undefined;
  }
}

/** What became of a call that went well, with the retries it took. */
export function successAfter(trial: Trial<any> | undefined): 'success' | 'success_after_retry' {
  return trial === undefined ? 'success' : 'success_after_retry';
}

/** What an error says of itself as `retryAfterMs`; one that throws when it is read says nothing. */
export function retryAfterOf(error: unknown): unknown {
  try {
    return (error as { readonly retryAfterMs?: unknown } | null | undefined)?.retryAfterMs;
  } catch {
    return undefined;
  }
}

/** Milliseconds as another side's wish to be left alone so long; minus infinity for what is no such number. */
export function wish(ms: unknown): number {
  return typeof ms === 'number' && ms >= 0 ? ms : Number.NEGATIVE_INFINITY;
}

/** What became of all calls of one retry policy. */
export class RetryTally {
  /** Retries begun. */
  attempts = 0;
  readonly executions = {
    success: 0,
    success_after_retry: 0,
    not_retryable: 0,
    exhausted: 0,
    budget_exhausted: 0,
    deadline: 0,
    cancelled: 0,
  };
}
