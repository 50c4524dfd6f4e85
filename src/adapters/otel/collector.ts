import * as otel from '@opentelemetry/api';
import { Totals } from './cells.ts';
import { type Durations, keptFor, MeterDurations } from './durations.ts';
import { reportFault } from './fault.ts';
import { Ledger } from './ledger.ts';
import { BUCKETS, METRICS, type MetricId, type ObservableMetric, OTHER, SCOPE } from './names.ts';
import { mostStreams } from './series.ts';
import { VERSION } from './version.ts';

/** Pipelines that follow the global meter provider, whichever that is. */
let shared: Ledger | undefined;
/** Pipelines that were given a meter provider. */
let given: WeakMap<otel.MeterProvider, Ledger> | undefined;
let collectors: WeakMap<otel.MeterProvider, Collector> | undefined;

/** The books of the pipelines that were given `provider`, or of those that were given none. */
export function ledgerOf(provider: otel.MeterProvider | undefined): Ledger {
  if (provider === undefined) return (shared ??= new Ledger());
  given ??= new WeakMap();
  let ledger = given.get(provider);
  if (ledger === undefined) given.set(provider, (ledger = new Ledger()));
  return ledger;
}

/** The instruments of a provider, made when the first pipeline meets it; `undefined` for the API's own no-op. */
export function collectorOf(provider: otel.MeterProvider): Collector | undefined {
  collectors ??= new WeakMap();
  let collector = collectors.get(provider);
  if (collector === undefined) {
    const meter = provider.getMeter(SCOPE, VERSION);
    if (meter === otel.createNoopMeter()) return undefined;
    collectors.set(provider, (collector = new Collector(provider, meter)));
  }
  return collector;
}

/** Whether durations of `provider` have been recorded. */
export function hasBegun(provider: otel.MeterProvider): boolean {
  return collectors?.get(provider)?.begun === true;
}

/**
 * All instruments of one meter. One callback observes everything, for the whole library: two that observe the same
 * attributes would silently overwrite each other.
 */
export class Collector {
  private readonly provider: otel.MeterProvider;
  private readonly meter: otel.Meter;
  private readonly observables: ReadonlyMap<MetricId, otel.Observable>;
  /** Attribute objects by metric and cell, made once; also the streams that were let in. */
  private readonly streams = new Map<MetricId, Map<string, otel.Attributes>>();
  /** Metrics with more than fit; what is reported for the rest of them goes on, or a state would stay as it was. */
  private readonly overflowing = new Set<MetricId>();
  /** What is not observed again is shown at 0 once, or an SDK would export its last value for ever. */
  private previous = new Totals();
  private boundaries: readonly number[] | undefined;
  private recording: Durations | undefined;
  private warned = false;

  constructor(provider: otel.MeterProvider, meter: otel.Meter) {
    this.provider = provider;
    this.meter = meter;
    const observables = new Map<MetricId, otel.Observable>();
    for (const id of Object.keys(METRICS) as MetricId[]) observables.set(id, create(meter, METRICS[id]));
    this.observables = observables;
    meter.addBatchObservableCallback((result) => this.collect(result), [...observables.values()]);
  }

  /** Made at the first record, when most pipelines have said which buckets they need. */
  get durations(): Durations {
    return this.recording ?? this.begin();
  }

  get begun(): boolean {
    return this.recording !== undefined;
  }

  private begin(): Durations {
    const asked = new Set(this.ledgers().flatMap((ledger) => [...ledger.buckets]));
    const boundaries = asked.size === 0 ? BUCKETS : [...asked].sort((a, b) => a - b);
    const all = { pipeline: boundaries, attempt: boundaries, queue: BUCKETS };
    this.boundaries = boundaries;
    return (this.recording = keptFor(this.provider, all) ?? new MeterDurations(this.meter, all));
  }

  /** A pipeline that comes after the histograms were made cannot have buckets of its own any more. */
  checkBuckets(pipeline: string, buckets: readonly number[] | undefined): void {
    const { boundaries } = this;
    if (boundaries === undefined || buckets === undefined || buckets.every((boundary) => boundaries.includes(boundary)))
      return;
    otel.diag.warn(
      `seaworthy: "durationBuckets" of pipeline "${pipeline}" came too late: a meter has one histogram for all pipelines, made with the first call.`,
    );
  }

  private ledgers(): Ledger[] {
    const following = this.provider === otel.metrics.getMeterProvider() ? shared : undefined;
    return [given?.get(this.provider), following].filter((ledger) => ledger !== undefined);
  }

  private collect(result: otel.BatchObservableResult): void {
    try {
      const now = new Totals();
      for (const ledger of this.ledgers()) ledger.read(now);
      for (const [id, observable] of this.observables) this.observe(result, id, observable, now);
      this.previous = now;
      this.recording?.collecting();
    } catch (error) {
      reportFault('the collection of metrics', error);
    }
  }

  private observe(result: otel.BatchObservableResult, id: MetricId, observable: otel.Observable, now: Totals): void {
    const cells = now.of(id);
    let rest = 0;
    for (const [key, cell] of cells) {
      const attributes = this.stream(id, key, cell.name, cell.detail);
      if (attributes !== undefined) {
        result.observe(observable, cell.value, attributes);
        continue;
      }
      rest += cell.value;
      this.overflowing.add(id);
    }
    if (this.overflowing.has(id)) result.observe(observable, rest, Object.freeze({ [METRICS[id].owner]: OTHER }));
    if (METRICS[id].kind === 'counter') return;
    for (const [key, cell] of this.previous.of(id)) {
      if (cells.has(key)) continue;
      const attributes = this.stream(id, key, cell.name, cell.detail);
      if (attributes !== undefined) result.observe(observable, 0, attributes);
    }
  }

  private stream(id: MetricId, key: string, name: string, detail: string | undefined): otel.Attributes | undefined {
    let streams = this.streams.get(id);
    if (streams === undefined) this.streams.set(id, (streams = new Map()));
    let attributes = streams.get(key);
    if (attributes !== undefined) return attributes;
    const metric: ObservableMetric = METRICS[id];
    if (streams.size >= mostStreams) {
      if (!this.warned)
        otel.diag.warn(
          `seaworthy: ${metric.name} has ${mostStreams} streams; further ones are reported under ${OTHER}.`,
        );
      this.warned = true;
      return undefined;
    }
    attributes = Object.freeze({
      [metric.owner]: name,
      ...(metric.detail !== undefined && { [metric.detail]: detail }),
    });
    streams.set(key, attributes);
    return attributes;
  }
}

function create(meter: otel.Meter, { name, kind, unit, description }: ObservableMetric): otel.Observable {
  const options = { unit, description };
  if (kind === 'counter') return meter.createObservableCounter(name, options);
  if (kind === 'up_down') return meter.createObservableUpDownCounter(name, options);
  return meter.createObservableGauge(name, options);
}
