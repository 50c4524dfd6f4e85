/**
 * Is it time to open? The part of a circuit breaker that counts, apart from the part that moves (circuit.ts), so that a
 * share of failures in a window, a run of failures and cockatiel's breakers are answers to one question. A trip hears
 * of completed calls of the closed state, and then of what came of the probes; late and ignored calls never reach it. The
 * share is judged on a success too: it may be the one that completes `minimumCalls`. After resilience4j's CircuitBreakerMetrics and failsafe-go.
 */
import type { CircuitState as CockatielState, IBreaker } from 'cockatiel';
import type { RollingWindow } from './rolling-window.ts';

/** Counts the completed calls of a closed circuit; `now` in monotonic milliseconds, `true` means open it. */
export interface Trip {
  /** A call succeeded; a slow one can be the one too many. */
  success(now: number, slow: boolean): boolean;
  /** A call failed. */
  failure(now: number, slow: boolean): boolean;
  /** An ignored call (cancelled, a lost hedge) had already been running for too long: slow, and neither of the others. */
  lingered(now: number): boolean;
  /** The probes have failed: the circuit opens again. */
  relapsed?(): void;
  /** Of a new one: so many calls went well before, all in one step of the window, which ends at `until`. */
  resume?(calls: number, until: number): void;
  /** Forgets everything: the circuit closes anew. */
  reset(): void;
  /** The share of failures from 0 to 1, `undefined` below the minimum number of calls or where none is counted. */
  failureRatio(now: number): number | undefined;
}

/** The numbers of a {@link ratioTrip}. */
export interface RatioTripRules {
  /** The share of failed calls that opens, above 0 up to 1. */
  readonly failureRatio: number;
  /** Completed calls in the window before any share is judged. */
  readonly minimumCalls: number;
  /** Where the calls are counted; one of its own for each trip. */
  readonly window: RollingWindow;
  /** The share of slow calls that opens; without it slowness opens nothing. */
  readonly slowRatio?: number | undefined;
  /** A run of this many failures opens as well, whatever the share. */
  readonly consecutiveFailures?: number | undefined;
}

/** Opens when the window holds enough calls and the share of failed (or slow) ones is reached. */
export function ratioTrip(rules: RatioTripRules): Trip {
  return new RatioTrip(rules);
}

/** Opens at the `n`th failure in a row. */
export function consecutiveTrip(n: number): Trip {
  return new ConsecutiveTrip(n);
}

/** Opens when a cockatiel breaker (`SamplingBreaker`, `CountBreaker`, ...) says so; it keeps its own clock and counts. */
export function breakerTrip(breaker: IBreaker): Trip {
  return new BreakerTrip(breaker);
}

class RatioTrip implements Trip {
  private readonly share: number;
  private readonly slowShare: number;
  private readonly minimumCalls: number;
  private readonly window: RollingWindow;
  private readonly runLimit: number;
  private run: number;

  constructor({ failureRatio, minimumCalls, window, slowRatio, consecutiveFailures }: RatioTripRules) {
    this.share = failureRatio;
    this.slowShare = slowRatio ?? Infinity;
    this.minimumCalls = minimumCalls;
    this.window = window;
    this.runLimit = consecutiveFailures ?? Infinity;
    this.run = 0;
  }

  success(now: number, slow: boolean): boolean {
    this.run = 0;
    this.window.record(now, false, slow);
    return this.reached(now);
  }

  failure(now: number, slow: boolean): boolean {
    this.run++;
    this.window.record(now, true, slow);
    return this.run >= this.runLimit || this.reached(now);
  }

  lingered(now: number): boolean {
    if (this.slowShare === Infinity) return false;
    this.window.record(now, false, true);
    return this.reached(now);
  }

  resume(calls: number, until: number): void {
    this.window.resume(calls, until);
  }

  reset(): void {
    this.run = 0;
    this.window.clear();
  }

  failureRatio(now: number): number | undefined {
    const calls = this.window.calls(now);
    return calls === 0 || calls < this.minimumCalls ? undefined : this.window.failures(now) / calls;
  }

  private reached(now: number): boolean {
    const failures = this.window.failures(now);
    // Nearly every call that goes well has no more to ask.
    return (failures !== 0 || this.slowShare !== Infinity) && this.exceeded(now, failures);
  }

  private exceeded(now: number, failures: number): boolean {
    const calls = this.window.calls(now);
    if (calls < this.minimumCalls) return false;
    // A circuit of which nothing failed stays closed even where the share that opens is 0.
    if (failures > 0 && failures / calls >= this.share) return true;
    return this.slowShare !== Infinity && this.window.slow(now) / calls >= this.slowShare && this.window.slow(now) > 0;
  }
}

class ConsecutiveTrip implements Trip {
  private readonly runLimit: number;
  private run: number;

  constructor(runLimit: number) {
    this.runLimit = runLimit;
    this.run = 0;
  }

  success(): boolean {
    this.run = 0;
    return false;
  }

  failure(): boolean {
    return ++this.run >= this.runLimit;
  }

  lingered(): boolean {
    return false;
  }

  reset(): void {
    this.run = 0;
  }

  failureRatio(): undefined {
    return undefined;
  }
}

/** cockatiel's own numbers: importing its enum would load its circuit breaker with it. */
const cockatielClosed: CockatielState.Closed = 0;
const cockatielHalfOpen: CockatielState.HalfOpen = 2;

class BreakerTrip implements Trip {
  private readonly breaker: IBreaker;

  constructor(breaker: IBreaker) {
    this.breaker = breaker;
  }

  success(): boolean {
    this.breaker.success(cockatielClosed);
    return false;
  }

  failure(): boolean {
    return this.breaker.failure(cockatielClosed) === true;
  }

  lingered(): boolean {
    return false;
  }

  /** It opens again whatever the breaker says to that, as in cockatiel. */
  relapsed(): void {
    this.breaker.failure(cockatielHalfOpen);
  }

  /** A success while half-open is how cockatiel tells its breakers that the circuit closes, and they start afresh. */
  reset(): void {
    this.breaker.success(cockatielHalfOpen);
  }

  failureRatio(): undefined {
    return undefined;
  }
}
