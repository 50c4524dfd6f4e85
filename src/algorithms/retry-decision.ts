import type { RetryBudget } from './retry-budget.ts';

/** What is known when a call has failed and might run again; times in milliseconds. */
export interface RetryQuestion {
  /** Retries so far, and the most there may be. */
  readonly retries: number;
  readonly maxRetries: number;
  /** What the backoff says. */
  readonly backoff: number | 'stop';
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
 * Whether a call runs again, and when. The pause is at least what the other side asked for; where that is more than we
 * wait, or more time than is left, we give up now instead of coming back early or for nothing. The budget is asked last,
 * because a yes has already taken its token: a pause holds its share (Finagle's `RetryBudget`, gRPC's retry throttling).
 */
export function decideRetry({ retries, maxRetries, backoff, wishMs, maxWishMs, now, due, budget }: RetryQuestion): RetryAnswer {
  if (retries >= maxRetries || backoff === 'stop') return 'exhausted';
  if (wishMs > maxWishMs) return 'not_retryable';
  const delayMs = Math.max(backoff, wishMs);
  if (now + delayMs >= due) return 'deadline';
  return budget?.take(now) === false ? 'budget_exhausted' : delayMs;
}
