/**
 * What the numbers a user gives for a breaker mean together: which of the ways to open they choose, and what excludes
 * what. Failures in a row alone replace the share of failures, because a breaker told to open at the third failure should
 * not open earlier by a rule nobody asked for; with an explicit share either opens.
 */
import type { FailureReason, IBackoff, IBackoffFactory, IBreaker, IHalfOpenAfterBackoffContext } from 'cockatiel';
import { breakerTrip, type CircuitRules, consecutiveTrip, ratioTrip, type Trip } from './circuit.ts';
import type { QuietRules } from './quiet.ts';
import { countWindow, timeWindow, usualSteps } from './rolling-window.ts';
import { unawaited } from './unawaited.ts';

/** The numbers of one circuit; milliseconds throughout. */
export interface CircuitOptions {
  /** Opens when this share of the calls in the window has failed. @default 0.5 */
  readonly failureRatio?: number | undefined;
  /** Judges no share before this many calls have completed in the window. @default 10, or `windowCalls` if that is less */
  readonly minimumCalls?: number | undefined;
  /** Length of the window. @default 30_000 */
  readonly windowMs?: number | undefined;
  /** A window of the last calls instead of one in time. */
  readonly windowCalls?: number | undefined;
  /** Opens after so many failures in a row; alone it replaces the ratio. */
  readonly consecutiveFailures?: number | undefined;
  /** Calls slower than this count as slow, from the start of the function. */
  readonly slowMs?: number | undefined;
  /** Opens when this share of the calls was slow. @default 1 where `slowMs` is given */
  readonly slowRatio?: number | undefined;
  /**
   * A cockatiel breaker decides when to open; excludes all of the above. It counts for one circuit, so with a breaker of
   * its own a policy has one circuit whatever the keys; give a function that makes one to have a circuit per key.
   */
  readonly breaker?: IBreaker | (() => IBreaker) | undefined;
  /** How long it stays open; a cockatiel backoff lets it grow, and counts as the default when it fails. @default 5_000 */
  readonly breakMs?: number | IBackoffFactory<any> | undefined;
  /** Probes let in per half-open period. @default 3 */
  readonly halfOpenCalls?: number | undefined;
  /** A probe that takes longer has failed. @default 10_000 */
  readonly halfOpenMs?: number | undefined;
}

/** User code that has failed; the circuit goes on without it. */
export interface Fault {
  readonly where: 'breaker' | 'breakMs';
  readonly error: unknown;
}

const defaultBreakMs = 5_000;
const defaultWindowMs = 30_000;

const countings = [
  'failureRatio',
  'minimumCalls',
  'windowMs',
  'windowCalls',
  'consecutiveFailures',
  'slowMs',
  'slowRatio',
] as const;

/** True for what cockatiel calls a breaker. */
export function isBreaker(value: unknown): value is IBreaker {
  const { success, failure } = (value ?? {}) as Partial<IBreaker>;
  return typeof success === 'function' && typeof failure === 'function';
}

/** Says which of the given options exclude or need each other, if any do. */
export function conflict(options: CircuitOptions): string | undefined {
  const replaced = countings.filter((name) => options[name] !== undefined);
  if (options.breaker !== undefined && replaced.length > 0) return `"breaker" excludes "${replaced.join('", "')}"`;
  const { minimumCalls, windowMs, windowCalls } = options;
  if (windowMs !== undefined && windowCalls !== undefined) return '"windowMs" excludes "windowCalls"';
  if (options.slowRatio !== undefined && options.slowMs === undefined) return '"slowRatio" needs "slowMs"';
  if (minimumCalls !== undefined && windowCalls !== undefined && minimumCalls > windowCalls)
    return `"minimumCalls" must be at most "windowCalls", received ${minimumCalls} and ${windowCalls}: it would never open`;
  if (!byRunAlone(options)) return undefined;
  const idle = (['minimumCalls', 'windowMs', 'windowCalls'] as const).filter((name) => options[name] !== undefined);
  if (idle.length === 0) return undefined;
  return `"${idle.join('", "')}" beside "consecutiveFailures" needs "failureRatio" or "slowMs"`;
}

/** Failures in a row and nothing else open it: no window counts. */
function byRunAlone(options: CircuitOptions): boolean {
  return byRun(options) && options.slowMs === undefined;
}

/** Failures in a row replace the share of failures. */
function byRun({ consecutiveFailures, failureRatio }: CircuitOptions): boolean {
  return consecutiveFailures !== undefined && failureRatio === undefined;
}

/**
 * The rules of one circuit: its own counting, and its own growing breaks. They never throw: `fault` hears of user code that
 * does. `reason` is what is opening the circuit just now.
 */
export function circuitRules(
  options: CircuitOptions,
  fault: (fault: Fault) => void,
  reason: () => FailureReason<unknown> = () => nobody,
): CircuitRules {
  const { halfOpenCalls = 3, halfOpenMs = 10_000, breakMs = defaultBreakMs, failureRatio = 0.5 } = options;
  return {
    trip: options.breaker === undefined ? trip(options) : breakerTrip(guarded(made(options.breaker, fault), fault)),
    breakMs: typeof breakMs === 'number' ? () => breakMs : growing(breakMs, fault, reason),
    halfOpenCalls,
    halfOpenMs,
    reopenRatio: options.breaker !== undefined || byRun(options) ? 0 : failureRatio,
    slowFails: options.slowMs !== undefined,
  };
}

/** How the successes of a circuit count before anything else; `undefined` where a breaker of the user's hears of every one. */
export function quietRules(options: CircuitOptions): QuietRules | undefined {
  if (options.breaker !== undefined) return undefined;
  if (byRunAlone(options)) return { stepMs: Infinity, minimumCalls: Infinity };
  const { windowMs = defaultWindowMs, windowCalls } = options;
  const stepMs = windowCalls === undefined ? windowMs / usualSteps : Infinity;
  return { stepMs, minimumCalls: minimum(options) };
}

/** A window that never holds the minimum would never open. */
function minimum({ windowCalls, minimumCalls = Math.min(10, windowCalls ?? 10) }: CircuitOptions): number {
  return minimumCalls;
}

function trip(options: CircuitOptions): Trip {
  const { consecutiveFailures, failureRatio = 0.5, windowMs = defaultWindowMs, windowCalls } = options;
  const { slowMs, slowRatio } = options;
  if (byRunAlone(options)) return consecutiveTrip(consecutiveFailures!);
  const window = windowCalls === undefined ? timeWindow(windowMs) : countWindow(windowCalls);
  // Failures in a row alone replace the ratio; slowness still needs the window.
  const share = byRun(options) ? Number.POSITIVE_INFINITY : failureRatio;
  return ratioTrip({
    failureRatio: share,
    minimumCalls: minimum(options),
    window,
    slowRatio: slowMs === undefined ? undefined : (slowRatio ?? 1),
    consecutiveFailures,
  });
}

/** The breaker of one circuit; one that cannot be made is one that never opens. */
function made(breaker: IBreaker | (() => IBreaker), fault: (fault: Fault) => void): IBreaker {
  if (isBreaker(breaker)) return breaker;
  try {
    const own: unknown = breaker();
    if (isBreaker(own)) return own;
    unawaited(own);
    fault({ where: 'breaker', error: new TypeError('breaker must answer a cockatiel breaker') });
  } catch (error) {
    fault({ where: 'breaker', error });
  }
  return { state: undefined, success() {}, failure: () => false };
}

/** A breaker that says no where the user's throws: it stands between a call and its result, and must not take its place. */
function guarded(breaker: IBreaker, fault: (fault: Fault) => void): IBreaker {
  return {
    state: undefined,
    success(state) {
      try {
        unawaited(breaker.success(state), (error) => fault({ where: 'breaker', error }));
      } catch (error) {
        fault({ where: 'breaker', error });
      }
    },
    failure(state) {
      try {
        const answer: unknown = breaker.failure(state);
        if (typeof answer === 'boolean') return answer;
        unawaited(answer);
        throw new TypeError(`breaker must answer a failure with true or false, received ${typeof answer}`);
      } catch (error) {
        fault({ where: 'breaker', error });
        return false;
      }
    },
  };
}

/** How many steps of a backoff a restored circuit goes through to be where it was; by then it has long stopped growing. */
const mostSteps = 100;

/** A backoff as break lengths: a step further for each opening in a row; the default where it fails, so that it opens all the same. */
function growing(
  backoff: IBackoffFactory<IHalfOpenAfterBackoffContext>,
  fault: (fault: Fault) => void,
  reason: () => FailureReason<unknown>,
): (openings: number) => number {
  let step: IBackoff<IHalfOpenAfterBackoffContext> | undefined;
  const ask = (attempt: number, result: FailureReason<unknown>): unknown => {
    step = (step ?? backoff).next(about(attempt, result));
    unawaited(step);
    return step.duration;
  };
  return (openings) => {
    try {
      if (openings === 1) step = undefined;
      // The first time after a restart, the steps of the earlier life come first.
      const missed = step === undefined ? Math.min(openings, mostSteps) - 1 : 0;
      for (let left = missed; left > 0; left--) ask(openings - left, nobody);
      const duration = ask(openings, reason());
      if (typeof duration === 'number' && duration >= 0) return duration;
      throw new TypeError(`breakMs must answer milliseconds from 0 up, received ${String(duration)}`);
    } catch (error) {
      fault({ where: 'breakMs', error });
      return defaultBreakMs;
    }
  };
}

/** Nothing that a call came to: a probe that never answered, or an earlier life. */
export const nobody: FailureReason<unknown> = { error: undefined };

/** What cockatiel tells a backoff of a break; a break is no caller's own, so its signal never aborts. */
function about(attempt: number, result: FailureReason<unknown>): IHalfOpenAfterBackoffContext {
  return {
    attempt,
    result,
    get signal() {
      return new AbortController().signal;
    },
  };
}
