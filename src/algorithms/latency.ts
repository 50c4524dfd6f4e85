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
