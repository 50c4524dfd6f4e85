/**
 * What the numbers a user gives for a breaker mean together: which of the ways to open they choose, and what excludes
 * what. Failures in a row alone replace the share of failures, because a breaker told to open at the third failure should
 * not open earlier by a rule nobody asked for; with an explicit share either opens.
 */
import type { IBackoff, IBackoffFactory, IBreaker } from 'cockatiel';
import { breakerTrip, type CircuitRules, consecutiveTrip, ratioTrip, type Trip } from './circuit.ts';
import { countWindow, timeWindow } from './rolling-window.ts';

/** The numbers of one circuit; milliseconds throughout. */
export interface CircuitOptions {
  /** Opens when this share of the calls in the window has failed. @default 0.5 */
  readonly failureRatio?: number | undefined;
  /** Judges no share before this many calls have completed in the window. @default 10 */
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
  /** A cockatiel breaker decides when to open; excludes all of the above. */
  readonly breaker?: IBreaker | undefined;
  /** How long it stays open; a cockatiel backoff lets it grow. @default 5_000 */
  readonly breakMs?: number | IBackoffFactory<any> | undefined;
  /** Probes let in per half-open period. @default 3 */
  readonly halfOpenCalls?: number | undefined;
  /** A probe that takes longer has failed. @default 10_000 */
  readonly halfOpenMs?: number | undefined;
}

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
export function isBreaker(value: unknown): boolean {
  const { success, failure } = (value ?? {}) as Partial<IBreaker>;
  return typeof success === 'function' && typeof failure === 'function';
}

/** Says which of the given options exclude or need each other, if any do. */
export function conflict(options: CircuitOptions): string | undefined {
  const replaced = countings.filter((name) => options[name] !== undefined);
  if (options.breaker !== undefined && replaced.length > 0) return `"breaker" excludes "${replaced.join('", "')}"`;
  if (options.windowMs !== undefined && options.windowCalls !== undefined) return '"windowMs" excludes "windowCalls"';
  if (options.slowRatio !== undefined && options.slowMs === undefined) return '"slowRatio" needs "slowMs"';
  return undefined;
}

/** The rules of one circuit: its own counting, and its own growing breaks. */
export function circuitRules(options: CircuitOptions): CircuitRules {
  const { halfOpenCalls = 3, halfOpenMs = 10_000, breakMs = 5_000, failureRatio = 0.5 } = options;
  const byRun =
    options.breaker !== undefined || (options.consecutiveFailures !== undefined && options.failureRatio === undefined);
  return {
    trip: trip(options),
    breakMs: typeof breakMs === 'number' ? () => breakMs : growing(breakMs),
    halfOpenCalls,
    halfOpenMs,
    reopenRatio: byRun ? 0 : failureRatio,
    slowFails: options.slowMs !== undefined,
  };
}

function trip({
  breaker,
  consecutiveFailures,
  failureRatio,
  minimumCalls = 10,
  windowMs = 30_000,
  windowCalls,
  slowMs,
  slowRatio,
}: CircuitOptions): Trip {
  if (breaker !== undefined) return breakerTrip(breaker);
  if (consecutiveFailures !== undefined && failureRatio === undefined && slowMs === undefined)
    return consecutiveTrip(consecutiveFailures);
  const window = windowCalls === undefined ? timeWindow(windowMs) : countWindow(windowCalls);
  // Failures in a row alone replace the ratio; slowness still needs the window.
  const share =
    consecutiveFailures !== undefined && failureRatio === undefined ? Number.POSITIVE_INFINITY : (failureRatio ?? 0.5);
  return ratioTrip({
    failureRatio: share,
    minimumCalls,
    window,
    slowRatio: slowMs === undefined ? undefined : (slowRatio ?? 1),
    consecutiveFailures,
  });
}

/** A backoff as break lengths: a step further for each opening in a row. */
function growing(backoff: IBackoffFactory<any>): (openings: number) => number {
  let step: IBackoff<any> | undefined;
  return (openings) => {
    step =
      openings === 1 || step === undefined ? backoff.next({ attempt: openings }) : step.next({ attempt: openings });
    return step.duration;
  };
}
