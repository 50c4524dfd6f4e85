/**
 * The probes of one half-open period: how many places are left, and what the results say. At most `halfOpenCalls`
 * results count, so the answer is known as soon as the failures are enough or can no longer become enough; nobody waits
 * for the rest (failsafe-go decides so, resilience4j waits for all). A probe is a lease: one that never reports would
 * keep the circuit half-open for ever (Hystrix #1723, cockatiel C-8, C-10), so its end counts as a failure.
 */

/** The part of a circuit's rules that probes need. */
export interface ProbeRules {
  /** Probes per half-open period, and the most of them in flight. */
  readonly halfOpenCalls: number;
  /** How long a probe may take before it is a failure, in milliseconds. */
  readonly halfOpenMs: number;
  /** The share of failed probes that opens the circuit again; 0 for any. */
  readonly reopenRatio: number;
}

/** What the probes say so far. */
export type Verdict = 'undecided' | 'passed' | 'failed';

/** One half-open period's probes, each known by its permit number; `now` in monotonic milliseconds. */
export class Probes {
  private readonly rules: ProbeRules;
  /** In flight, oldest first, and when their leases end, which is in the same order. */
  private readonly permits: number[];
  private readonly leases: number[];
  private passed: number;
  private failed: number;

  constructor(rules: ProbeRules) {
    this.rules = rules;
    this.permits = [];
    this.leases = [];
    this.passed = 0;
    this.failed = 0;
  }

  /** Whether another probe may start. */
  get hasPlace(): boolean {
    return this.passed + this.failed + this.permits.length < this.rules.halfOpenCalls;
  }

  /** The share of failures among the settled probes, from 0 to 1; `undefined` before the first. */
  get failureRatio(): number | undefined {
    const settled = this.passed + this.failed;
    return settled === 0 ? undefined : this.failed / settled;
  }

  /** Starts a probe; ask {@link hasPlace} first. */
  start(permit: number, now: number): void {
    this.permits.push(permit);
    this.leases.push(Math.max(now + this.rules.halfOpenMs, this.leases.at(-1) ?? -Infinity));
  }

  /** Whether this probe is in flight still. */
  has(permit: number): boolean {
    return this.permits.includes(permit);
  }

  /** Takes the result of a probe in flight; an ignored one only gives its place to another. */
  settle(permit: number, result: 'success' | 'failure' | 'ignored'): Verdict {
    const index = this.permits.indexOf(permit);
    this.permits.splice(index, 1);
    this.leases.splice(index, 1);
    if (result === 'failure') this.failed++;
    else if (result === 'success') this.passed++;
    return this.verdict();
  }

  /** The oldest probe has reached the end of its lease: a failure. */
  expireOldest(): Verdict {
    this.permits.shift();
    this.leases.shift();
    this.failed++;
    return this.verdict();
  }

  /** When the oldest lease ends, or `Infinity` without one. */
  oldestLease(): number {
    return this.leases[0] ?? Infinity;
  }

  /** When the first lease ends that has not ended by `now`, or `Infinity`. */
  nextLease(now: number): number {
    return this.leases.find((lease) => lease > now) ?? Infinity;
  }

  /** When the ends of leases alone, if no probe reports, will have failed the period, or `Infinity`. */
  lapse(): number {
    return this.leases[this.enough() - this.failed - 1] ?? Infinity;
  }

  private verdict(): Verdict {
    if (this.failed >= this.enough()) return 'failed';
    // Even if all the rest failed, they would be too few.
    return this.rules.halfOpenCalls - this.passed < this.enough() ? 'passed' : 'undecided';
  }

  /** How many failures fail the period; the subtraction keeps 0.1 * 3 / 0.3 from being a hair more than 1. */
  private enough(): number {
    return Math.max(1, Math.ceil(this.rules.reopenRatio * this.rules.halfOpenCalls - 1e-9));
  }
}
