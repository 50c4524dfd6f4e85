/**
 * What happened lately, as three running sums over a ring of integers: recording and reading are O(1) and allocate
 * nothing. A time window is a ring of buckets that begins with the first record; whoever looks first after a bucket's time
 * drops every stale bucket at once, also after an idle hour (cockatiel rotates one per call, so its window is
 * unbounded under low traffic). A count window is a ring of outcomes. After resilience4j's two sliding windows.
 */

/** How many calls completed lately, and how many of them failed or were slow. */
export interface Tally {
  /** Completed calls, without the ignored ones. */
  readonly calls: number;
  /** Those that failed. */
  readonly failures: number;
  /** Those that were slow, failed or not. */
  readonly slow: number;
}

/** The last seconds or the last calls; `now` is in monotonic milliseconds, and going backwards counts as standing still. */
export interface RollingWindow {
  /** Counts one completed call. */
  record(now: number, failed: boolean, slow: boolean): void;
  /** Completed calls in the window. */
  calls(now: number): number;
  /** Failed calls in the window. */
  failures(now: number): number;
  /** Slow calls in the window. */
  slow(now: number): number;
  /** Of a new one: begins with so many calls that went well, in a step that ends at `until`. */
  resume(calls: number, until: number): void;
  /** Forgets everything. */
  clear(): void;
}

/** The three sums of a window at one moment (`now` in milliseconds), for a snapshot. */
export function tally(window: RollingWindow, now: number): Tally {
  return { calls: window.calls(now), failures: window.failures(now), slow: window.slow(now) };
}

/** Into how many steps a window in time is cut. */
export const usualSteps = 10;

/**
 * A window of the last `windowMs` milliseconds in `buckets` steps: a call is forgotten at most `windowMs` after it was
 * recorded, and at the earliest one step before that.
 */
export function timeWindow(windowMs: number, buckets = usualSteps): RollingWindow {
  return new TimeWindow(windowMs / buckets, buckets);
}

/** A window of the last `size` calls, however long ago they were. */
export function countWindow(size: number): RollingWindow {
  return new CountWindow(size);
}

class TimeWindow implements RollingWindow {
  private readonly bucketMs: number;
  private readonly buckets: number;
  /** Calls, failures and slow calls side by side; made when the first bucket is full, since most keys of a thousand are silent. */
  private rows: Uint32Array | undefined;
  /** The bucket being filled, and when its time ends. */
  private newest: number;
  private ends: number;
  private allCalls: number;
  private allFailures: number;
  private allSlow: number;
  /** The sums as they were when the newest bucket began: what is above them is its own. */
  private oldCalls: number;
  private oldFailures: number;
  private oldSlow: number;

  constructor(bucketMs: number, buckets: number) {
    this.bucketMs = bucketMs;
    this.buckets = buckets;
    this.rows = undefined;
    this.newest = 0;
    this.ends = Number.NaN;
    this.allCalls = 0;
    this.allFailures = 0;
    this.allSlow = 0;
    this.oldCalls = 0;
    this.oldFailures = 0;
    this.oldSlow = 0;
  }

  record(now: number, failed: boolean, slow: boolean): void {
    // Also where it has not begun.
    if (!(now < this.ends)) this.turn(now);
    this.allCalls++;
    if (failed) this.allFailures++;
    if (slow) this.allSlow++;
  }

  calls(now: number): number {
    if (now >= this.ends) this.turn(now);
    return this.allCalls;
  }

  failures(now: number): number {
    if (now >= this.ends) this.turn(now);
    return this.allFailures;
  }

  slow(now: number): number {
    if (now >= this.ends) this.turn(now);
    return this.allSlow;
  }

  resume(calls: number, until: number): void {
    this.ends = until;
    this.allCalls = calls;
  }

  clear(): void {
    this.rows?.fill(0);
    this.allCalls = this.allFailures = this.allSlow = 0;
    this.oldCalls = this.oldFailures = this.oldSlow = 0;
  }

  /** The newest bucket's time is over: notes what it holds, and drops every stale one. */
  private turn(now: number): void {
    if (Number.isNaN(this.ends)) this.ends = now;
    const passed = Math.floor((now - this.ends) / this.bucketMs) + 1;
    this.ends += passed * this.bucketMs;
    // Nothing was counted, so no bucket holds anything.
    if (this.allCalls === 0) return;
    const rows = (this.rows ??= new Uint32Array(this.buckets * 3));
    rows.set(
      [this.allCalls - this.oldCalls, this.allFailures - this.oldFailures, this.allSlow - this.oldSlow],
      this.newest * 3,
    );
    for (let stale = Math.min(passed, this.buckets); stale > 0; stale--) {
      this.newest = this.newest + 1 === this.buckets ? 0 : this.newest + 1;
      const row = this.newest * 3;
      this.allCalls -= rows[row]!;
      this.allFailures -= rows[row + 1]!;
      this.allSlow -= rows[row + 2]!;
      rows.fill(0, row, row + 3);
    }
    this.oldCalls = this.allCalls;
    this.oldFailures = this.allFailures;
    this.oldSlow = this.allSlow;
  }
}

const failedBit = 1;
const slowBit = 2;

class CountWindow implements RollingWindow {
  private readonly size: number;
  private ring: Uint8Array | undefined;
  private next: number;
  private allCalls: number;
  private allFailures: number;
  private allSlow: number;

  constructor(size: number) {
    this.size = size;
    this.ring = undefined;
    this.next = 0;
    this.allCalls = 0;
    this.allFailures = 0;
    this.allSlow = 0;
  }

  record(_now: number, failed: boolean, slow: boolean): void {
    const ring = (this.ring ??= new Uint8Array(this.size));
    if (this.allCalls < this.size) {
      this.allCalls++;
    } else {
      const oldest = ring[this.next]!;
      if (oldest & failedBit) this.allFailures--;
      if (oldest & slowBit) this.allSlow--;
    }
    if (failed) this.allFailures++;
    if (slow) this.allSlow++;
    ring[this.next] = (failed ? failedBit : 0) | (slow ? slowBit : 0);
    this.next = this.next + 1 === this.size ? 0 : this.next + 1;
  }

  calls(): number {
    return this.allCalls;
  }

  failures(): number {
    return this.allFailures;
  }

  slow(): number {
    return this.allSlow;
  }

  resume(calls: number): void {
    // Where in the ring they stand is all the same: a place nobody wrote to is a call that went well.
    this.allCalls = Math.min(calls, this.size);
  }

  clear(): void {
    this.next = 0;
    this.allCalls = 0;
    this.allFailures = 0;
    this.allSlow = 0;
  }
}
