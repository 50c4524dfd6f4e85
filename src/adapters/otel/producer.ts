import * as otel from '@opentelemetry/api';
import { callable, check, type Rule } from '../../core/options.ts';
import { wallClock } from '../../ports/wall-clock.ts';
import { hasBegun } from './collector.ts';
import { addKeeper, type Boundaries, type Durations } from './durations.ts';
import { reportFault } from './fault.ts';
import { Histogram, type HistogramValue } from './histogram.ts';
import { HISTOGRAMS, type HistogramId, SCOPE } from './names.ts';
import type { Stream } from './series.ts';
import { VERSION } from './version.ts';

/** Options of {@link metricProducer}. */
export interface MetricProducerOptions {
  /**
   * Answers the meter provider whose reader gets the producer, for pipelines that were given that one. A function, since
   * the provider is made after its reader, and that after the producer.
   * @default the global one, whichever that is
   */
  readonly meterProvider?: (() => otel.MeterProvider) | undefined;
}

/** Fits the `metricProducers` of any metric reader of SDK 2 and 3. */
export interface MetricProducer {
  /** Copies what the histograms hold. Never rejects. */
  collect(): Promise<CollectionResult>;
}

/** What a reader adds to the metrics of its own provider; the resource is that provider's. */
export interface CollectionResult {
  resourceMetrics: { resource: Resource; scopeMetrics: ScopeMetrics[] };
  errors: unknown[];
}

/** The histograms, under the name and version of this library. Empty until the first call has ended. */
export interface ScopeMetrics {
  scope: { readonly name: string; readonly version: string };
  metrics: HistogramMetric[];
}

/** One histogram. Counts since the first call, whatever temporality the exporter prefers. */
export interface HistogramMetric {
  readonly descriptor: {
    readonly name: string;
    readonly description: string;
    readonly unit: string;
    readonly type: 'HISTOGRAM';
    readonly valueType: otel.ValueType;
    readonly advice: { explicitBucketBoundaries: number[] };
  };
  /** Cumulative. */
  readonly aggregationTemporality: typeof CUMULATIVE;
  /** A histogram. */
  readonly dataPointType: typeof HISTOGRAM;
  readonly dataPoints: {
    readonly startTime: [seconds: number, nanoseconds: number];
    readonly endTime: [seconds: number, nanoseconds: number];
    readonly attributes: Record<string, string>;
    readonly value: HistogramValue;
  }[];
}

/** An empty resource, in the form of the SDK's. */
export interface Resource {
  readonly attributes: Record<string, string>;
  merge(other: Resource | null): Resource;
  getRawAttributes(): [];
}

// Values of the SDK's enums: it is no dependency, and a test holds them against those of SDK 2 and 3.
const CUMULATIVE = 1;
const HISTOGRAM = 0;

/** Collections of everything else after which nobody seems to collect the histograms. */
const patience = 10;

/** Durations in histograms of our own: no attributes are hashed, and a record is a few additions. */
class KeptDurations implements Durations {
  private readonly boundaries: Boundaries;
  /** By attributes: two ledgers of one provider may have equal ones. */
  private readonly streams: Readonly<Record<HistogramId, Map<string, Histogram>>> = {
    pipeline: new Map(),
    attempt: new Map(),
    queue: new Map(),
  };
  private unread = 0;

  constructor(boundaries: Boundaries) {
    this.boundaries = boundaries;
  }

  record(id: HistogramId, seconds: number, stream: Stream): void {
    // An SDK takes none either: a clock of the user's may run backwards.
    if (!(seconds >= 0)) return;
    const { kept } = stream;
    (kept !== undefined && kept.home === this ? kept : this.keep(id, stream)).add(seconds);
  }

  private keep(id: HistogramId, stream: Stream): Histogram {
    const { attributes } = stream;
    const streams = this.streams[id];
    const key = JSON.stringify(attributes);
    let histogram = streams.get(key);
    if (histogram === undefined)
      streams.set(key, (histogram = new Histogram(this, attributes, wallClock(), this.boundaries[id])));
    return (stream.kept = histogram);
  }

  collecting(): void {
    if (++this.unread !== patience) return;
    otel.diag.warn(
      `seaworthy: nobody has collected the durations in ${patience} collections: every metric reader needs metricProducer() among its metricProducers.`,
    );
  }

  read(): HistogramMetric[] {
    this.unread = 0;
    const endTime = hrTime(wallClock());
    return (Object.keys(HISTOGRAMS) as HistogramId[])
      .filter((id) => this.streams[id].size > 0)
      .map((id) => ({
        descriptor: {
          ...HISTOGRAMS[id],
          type: 'HISTOGRAM',
          valueType: otel.ValueType.DOUBLE,
          advice: { explicitBucketBoundaries: [...this.boundaries[id]] },
        },
        aggregationTemporality: CUMULATIVE,
        dataPointType: HISTOGRAM,
        dataPoints: [...this.streams[id].values()].map((histogram) => ({
          attributes: histogram.attributes,
          startTime: hrTime(histogram.startedAt),
          endTime,
          value: histogram.value(),
        })),
      }));
  }
}

let kept: WeakMap<otel.MeterProvider, KeptDurations> | undefined;

function keep(provider: otel.MeterProvider, boundaries: Boundaries): KeptDurations {
  const durations = new KeptDurations(boundaries);
  (kept ??= new WeakMap()).set(provider, durations);
  return durations;
}

/**
 * Keeps the durations of calls, attempts and waits itself and hands them to a metric reader, which costs a fraction of
 * recording them through the SDK. Make it first, and give it to every reader of the provider:
 *
 *     const reader = new PeriodicExportingMetricReader({ exporter, metricProducers: [metricProducer()] });
 *     metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
 *
 * From then on the pipelines record there, and not also in histograms of the meter; all other metrics stay where they
 * are. Views do not apply to what a producer hands over, and it is cumulative whatever the exporter prefers. Throws a
 * `TypeError` for bad options.
 */
export function metricProducer(options: MetricProducerOptions = {}): MetricProducer {
  check('create metricProducer', options, rules);
  const { meterProvider = globalProvider } = options;
  addKeeper((provider, boundaries) => (answer(meterProvider) === provider ? keep(provider, boundaries) : undefined));
  let warned = false;

  function read(): ScopeMetrics[] {
    const provider = meterProvider();
    const durations = kept?.get(provider);
    if (durations !== undefined) return [{ scope: { name: SCOPE, version: VERSION }, metrics: durations.read() }];
    if (!warned && hasBegun(provider)) {
      warned = true;
      otel.diag.warn(
        'seaworthy: metricProducer() came after the first call, whose meter goes on with its own histograms.',
      );
    }
    return [];
  }

  return {
    async collect() {
      try {
        return { resourceMetrics: { resource: nothing, scopeMetrics: read() }, errors: [] };
      } catch (error) {
        return { resourceMetrics: { resource: nothing, scopeMetrics: [] }, errors: [error] };
      }
    },
  };
}

function globalProvider(): otel.MeterProvider {
  return otel.metrics.getMeterProvider();
}

/** What a user's function answers; before the provider is there it may throw. */
function answer(meterProvider: () => otel.MeterProvider): otel.MeterProvider | undefined {
  try {
    return meterProvider();
  } catch (error) {
    reportFault('the meterProvider of metricProducer()', error);
    return undefined;
  }
}

const rules = { meterProvider: callable } satisfies Readonly<Record<keyof MetricProducerOptions, Rule>>;

const nothing: Resource = { attributes: {}, merge: (other) => other ?? nothing, getRawAttributes: () => [] };

function hrTime(milliseconds: number): [seconds: number, nanoseconds: number] {
  return [Math.trunc(milliseconds / 1000), (milliseconds % 1000) * 1_000_000];
}
