/**
 * How many retries a dependency can bear: a bucket of tokens, one per retry, filled by successes and by a trickle from
 * the clock. When everything fails the bucket runs dry and retries stop multiplying the load, which is what keeps an
 * outage from outliving its cause. After Finagle's RetryBudget (deposits by ratio, a minimum per second) and gRPC's
 * retry throttling; the bucket starts full so that the first fault after a start can be retried.
 */

/** The numbers of a {@link RetryBudget}. */
export interface RetryBudgetRules {
  /** Tokens deposited per success: 0.1 allows one retry per ten successes. */
  readonly ratio: number;
  /** Tokens deposited per second whatever happens, so that a quiet service can retry too. */
  readonly minPerSecond: number;
  /** The most tokens it holds, and holds at the start: the size of one burst of retries. */
  readonly capacity: number;
}

/** Ten deposits of 0.1 add up to a hair less than 1 in floating point, and they are a token all the same. */
const wholeToken = 0.999_999_999;

/** A bucket of retry tokens; `0 <= tokens <= capacity` always. */
export class RetryBudget {
  /** The most tokens it holds. */
  readonly capacity: number;
  private readonly ratio: number;
  private readonly perMs: number;
  private tokens: number;
  private filledAt: number;

  constructor({ ratio, minPerSecond, capacity }: RetryBudgetRules) {
    this.capacity = capacity;
    this.ratio = ratio;
    this.perMs = minPerSecond / 1000;
    this.tokens = capacity;
    this.filledAt = -Infinity;
  }

  /** Takes the token of one retry, before its wait; `false` when none is left. `now` in monotonic milliseconds. */
  take(now: number): boolean {
    this.fill(now);
    if (this.tokens < wholeToken) return false;
    this.tokens = this.tokens > 1 ? this.tokens - 1 : 0;
    return true;
  }

  /** Returns the token of a retry that never came to be. */
  giveBack(): void {
    this.deposit(1);
  }

  /** Deposits what one success is worth. */
  success(): void {
    this.deposit(this.ratio);
  }

  /** Tokens at `now` (milliseconds), fractions included; a retry needs a whole one. */
  remaining(now: number): number {
    this.fill(now);
    return this.tokens;
  }

  private fill(now: number): void {
    // A reading behind the last one would deposit the same span twice later on.
    if (!(now > this.filledAt)) return;
    const elapsed = now - this.filledAt;
    this.filledAt = now;
    if (this.perMs > 0) this.deposit(elapsed * this.perMs);
  }

  private deposit(tokens: number): void {
    const sum = this.tokens + tokens;
    this.tokens = sum < this.capacity ? sum : this.capacity;
  }
}
