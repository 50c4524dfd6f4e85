/** Buckets per power of two: a reading is at most 1/16 off. */
const STEPS = 16;
/** Powers of two from 1/64 ms to about 4.6 hours. */
const POWERS = 30;
const LOWEST = 1 / 64;

/**
 * Durations in a fixed number of integer cells, with buckets that grow with the value: sixteen equal steps in each power
 * of two, so every quantile is read within about 6 % whatever the range (the idea of HdrHistogram, G. Tene 2012).
 */
export class LatencyHistogram {
  count = 0;
  private readonly cells = new Uint32Array(STEPS * POWERS);

  /** Adds one duration in milliseconds. */
  record(ms: number): void {
    this.count++;
    this.cells[index(ms)]!++;
  }

  /** Takes over the readings of another. */
  add(other: LatencyHistogram): void {
    this.count += other.count;
    for (let i = 0; i < this.cells.length; i++) this.cells[i]! += other.cells[i]!;
  }

  /** Forgets every reading. */
  clear(): void {
    if (this.count === 0) return;
    this.count = 0;
    this.cells.fill(0);
  }

  /** The duration in milliseconds that the share `q` of all readings does not exceed; 0 without readings. */
  quantile(q: number): number {
    let left = Math.ceil(q * this.count);
    if (left <= 0) return 0;
    for (let i = 0; i < this.cells.length; i++) {
      left -= this.cells[i]!;
      if (left <= 0) return value(i);
    }
    return value(this.cells.length - 1);
  }
}

function index(ms: number): number {
  const scaled = ms / LOWEST;
  if (!(scaled >= 1)) return 0;
  const power = Math.min(POWERS - 1, Math.floor(Math.log2(scaled)));
  const step = Math.floor((scaled / 2 ** power - 1) * STEPS);
  return power * STEPS + Math.min(STEPS - 1, Math.max(0, step));
}

/** The middle of a bucket. */
function value(i: number): number {
  return LOWEST * 2 ** Math.floor(i / STEPS) * (1 + ((i % STEPS) + 0.5) / STEPS);
}

/** Milliseconds for which one of the two histograms is filled. */
const PERIOD_MS = 10_000;

/**
 * Durations of the last ten to twenty seconds. Time is cut into periods of ten seconds; one histogram takes the readings
 * of this period, another keeps those of the period before, and a third period overwrites the first. A reading costs what
 * it costs a single histogram, and nothing is ever allocated but for who reads.
 */
export class RollingLatency {
  private current = new LatencyHistogram();
  private previous = new LatencyHistogram();
  private period: number;

  /** `now` in monotonic milliseconds. */
  constructor(now: number) {
    this.period = Math.floor(now / PERIOD_MS);
  }

  /** Adds one duration in milliseconds. */
  record(ms: number): void {
    this.current.record(ms);
  }

  /** Tells the time, in monotonic milliseconds: before a reading that comes a second after the last telling, or later. */
  turn(now: number): void {
    const period = Math.floor(now / PERIOD_MS);
    // A coarse reading may be a little older than the last exact one.
    if (period <= this.period) return;
    const passed = period - this.period;
    this.period = period;
    [this.current, this.previous] = [this.previous, this.current];
    this.current.clear();
    if (passed > 1) this.previous.clear();
  }

  /** All readings of the last ten to twenty seconds before `now`. */
  at(now: number): LatencyHistogram {
    this.turn(now);
    const all = new LatencyHistogram();
    all.add(this.previous);
    all.add(this.current);
    return all;
  }
}
