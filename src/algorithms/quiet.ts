/**
 * The successes of a circuit that has seen nothing else, as two numbers: most keys of a thousand never fail, and a window
 * with all that stands around it is four fifths of what they would cost. Counts as the window does while all successes
 * stand in one step of it; the first in a second step is for the window, which then begins with those before.
 */
import { usualSteps } from './rolling-window.ts';

/** What is kept of one circuit. */
export interface QuietCount {
  quiet: number;
  /** When the step ends in which they stand, in monotonic milliseconds; `NaN` before the first. */
  until: number;
}

/** The numbers of a {@link Quiet}. */
export interface QuietRules {
  /** Length of a step; `Infinity` where calls are not forgotten by time. */
  readonly stepMs: number;
  /** Calls before a share of failures is judged; `Infinity` where none is. */
  readonly minimumCalls: number;
}

/** Counts for all circuits with the same rules. */
export class Quiet {
  private readonly rules: QuietRules;

  constructor(rules: QuietRules) {
    this.rules = rules;
  }

  /** Counts a success; `false` when it would stand in a second step, and was not counted. */
  success(of: QuietCount, now: number): boolean {
    if (!(now < of.until)) {
      if (Number.isNaN(of.until)) of.until = now;
      const passed = this.passed(of, now);
      if (of.quiet > 0 && passed < usualSteps) return false;
      of.until += passed * this.rules.stepMs;
      of.quiet = 0;
    }
    of.quiet++;
    return true;
  }

  /** The share of failures, as a window with these calls would tell it. */
  failureRatio(of: QuietCount, now: number): 0 | undefined {
    const stale = now >= of.until && this.passed(of, now) >= usualSteps;
    return stale || of.quiet < this.rules.minimumCalls ? undefined : 0;
  }

  /** Steps that have ended. */
  private passed({ until }: QuietCount, now: number): number {
    return Math.floor((now - until) / this.rules.stepMs) + 1;
  }
}
