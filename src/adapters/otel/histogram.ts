/** What a stream of durations holds, in the form in which an SDK hands it to its exporters. */
export interface HistogramValue {
  /** `counts[i]` are values above `boundaries[i - 1]`, up to and including `boundaries[i]`; one more than boundaries. */
  readonly buckets: { boundaries: number[]; counts: number[] };
  readonly count: number;
  readonly sum: number;
  readonly min: number;
  readonly max: number;
}

/** One stream in numbers: the buckets, the sum and the extremes that an SDK would keep for it. Made for its first value. */
export class Histogram {
  /** Whose it is: a stream outlives the provider it is recorded for. */
  readonly home: object;
  readonly attributes: Readonly<Record<string, string>>;
  /** Milliseconds since 1970 at which the first value came. */
  readonly startedAt: number;
  private readonly boundaries: Float64Array;
  private readonly counts: Float64Array;
  /** Bucket of the last value: durations of one stream are alike, so the next one is rarely far. */
  private last: number;
  private count: number;
  private sum: number;
  private min: number;
  private max: number;

  constructor(
    home: object,
    attributes: Readonly<Record<string, string>>,
    startedAt: number,
    boundaries: readonly number[],
  ) {
    this.home = home;
    this.attributes = attributes;
    this.startedAt = startedAt;
    this.boundaries = Float64Array.from(boundaries);
    this.counts = new Float64Array(boundaries.length + 1);
    this.last = 0;
    this.count = 0;
    this.sum = 0;
    this.min = Infinity;
    this.max = -Infinity;
  }

  /** `value` from 0 up. */
  add(value: number): void {
    this.count++;
    this.sum += value;
    if (value < this.min) this.min = value;
    if (value > this.max) this.max = value;
    const { boundaries } = this;
    let bucket = this.last;
    while (bucket > 0 && value <= boundaries[bucket - 1]!) bucket--;
    while (bucket < boundaries.length && value > boundaries[bucket]!) bucket++;
    this.last = bucket;
    this.counts[bucket]!++;
  }

  /** A copy of what there is by now. */
  value(): HistogramValue {
    const { count, sum, min, max } = this;
    return { min, max, sum, buckets: { boundaries: [...this.boundaries], counts: [...this.counts] }, count };
  }
}
