import type * as otel from '@opentelemetry/api';
import { HISTOGRAMS, type HistogramId } from './names.ts';
import type { Stream } from './series.ts';

/** Bucket boundaries of each histogram, in seconds. */
export type Boundaries = Readonly<Record<HistogramId, readonly number[]>>;

/** Where the durations of one meter provider are recorded. */
export interface Durations {
  record(id: HistogramId, seconds: number, stream: Stream): void;
  /** The provider's other metrics are being collected. */
  collecting(): void;
}

/** In histograms of the provider, which hashes the attributes for each record. */
export class MeterDurations implements Durations {
  private readonly meter: otel.Meter;
  private readonly boundaries: Boundaries;
  private readonly made: Partial<Record<HistogramId, otel.Histogram>> = {};

  constructor(meter: otel.Meter, boundaries: Boundaries) {
    this.meter = meter;
    this.boundaries = boundaries;
  }

  record(id: HistogramId, seconds: number, stream: Stream): void {
    (this.made[id] ??= this.make(id)).record(seconds, stream.attributes);
  }

  collecting(): void {}

  private make(id: HistogramId): otel.Histogram {
    const { name, unit, description } = HISTOGRAMS[id];
    const advice = { explicitBucketBoundaries: [...this.boundaries[id]] };
    return this.meter.createHistogram(name, { unit, description, advice });
  }
}

/** Answers what keeps the durations of `provider` in the place of its own histograms, if this is its concern. */
export type Keeper = (provider: otel.MeterProvider, boundaries: Boundaries) => Durations | undefined;

let keepers: Set<Keeper> | undefined;

/** For providers whose first duration is still to come: whoever has begun with one kind of histogram stays with it. */
export function addKeeper(keeper: Keeper): void {
  (keepers ??= new Set()).add(keeper);
}

/** See {@link Keeper}. */
export function keptFor(provider: otel.MeterProvider, boundaries: Boundaries): Durations | undefined {
  for (const keeper of keepers ?? []) {
    const durations = keeper(provider, boundaries);
    if (durations !== undefined) return durations;
  }
  return undefined;
}
