import { createRequire } from 'node:module';
import * as otel from '@opentelemetry/api';
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-http';
import {
  AggregationTemporality,
  DataPointType,
  type DataPoint,
  type Histogram,
  InMemoryMetricExporter,
  InstrumentType,
  MeterProvider,
  type MetricProducer,
  type MetricReader,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import fc from 'fast-check';
import { bulkhead, fallback, pipeline, retry, timeout } from 'seaworthy';
import { metricProducer } from 'seaworthy/otel';
import { virtualClock } from 'seaworthy/testing';
import { describe, expect, test } from 'vitest';
import type * as sdk2 from '../../sdk2/node_modules/@opentelemetry/sdk-metrics/build/src/index.js';
import { startReceiver } from '../../observability/receiver.ts';
import { ended, fakePipeline } from './fake.ts';
import { prometheusWith, withoutComplaints } from './sdk.ts';

withoutComplaints();

/** The same traffic is sent to a provider that records in its own histograms, and to one with a producer. */
async function both<T>(run: (producers: MetricProducer[], bind: (provider: MeterProvider) => void) => Promise<T>) {
  const recorded = await run([], () => {});
  let provider: MeterProvider | undefined;
  const kept = await run([metricProducer({ meterProvider: () => provider! })], (made) => {
    provider = made;
  });
  return { recorded, kept };
}

/** Every outcome, attempts, waits: by a clock that makes all durations the same each time. */
async function traffic(meterProvider: otel.MeterProvider): Promise<unknown> {
  const clock = virtualClock();
  const given = { telemetry: { meterProvider }, clock, random: () => 0.5 };
  const shop = pipeline(
    'shop',
    [fallback({ to: () => 'b' }), retry({ maxRetries: 2, backoff: 20 }), timeout(90)],
    given,
  );
  const plain = pipeline('plain', [bulkhead({ limit: 1, queue: 5 })], given);
  const twin = pipeline('plain', [timeout(1_000)], {
    ...given,
    telemetry: { meterProvider, durationBuckets: [0.3, 3] },
  });
  const sleep = (ms: number) => () => new Promise<number>((resolve) => void clock.after(ms, () => resolve(ms)));
  const fail = (ms: number, code: string) => () => sleep(ms)().then(() => Promise.reject({ code }));
  const calls: Promise<unknown>[] = [];
  for (const ms of [0, 0.4, 1, 2.5, 7, 60, 100]) {
    calls.push(shop.tryExecute(sleep(ms)), plain.tryExecute(sleep(ms)), twin.tryExecute(sleep(ms * 100)));
    calls.push(shop.tryExecute(fail(ms, `E_${ms > 5}`)), plain.tryExecute(fail(ms, 'E_PLAIN')));
    await clock.advance(3);
  }
  await clock.advance(60_000);
  await Promise.all(calls);
  return [shop, plain, twin];
}

type Metric = Awaited<
  ReturnType<MetricReader['collect']>
>['resourceMetrics']['scopeMetrics'][number]['metrics'][number];

/** All metrics of ours in the order of their names, with the scope they came in, and without times. */
async function collected(reader: MetricReader) {
  const { resourceMetrics, errors } = await reader.collect();
  expect(errors).toEqual([]);
  return resourceMetrics.scopeMetrics
    .filter(({ scope }) => scope.name === 'seaworthy')
    .flatMap(({ scope, metrics }) =>
      metrics.map((metric) => ({ scope: [scope.name, scope.version], ...timeless(metric) })),
    )
    .toSorted((a, b) => (a.descriptor.name < b.descriptor.name ? -1 : 1));
}

function timeless(metric: Metric) {
  const dataPoints = metric.dataPoints.map(({ attributes, value }) => ({ attributes, value }));
  return { ...metric, dataPoints: dataPoints.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)) };
}

function readerWith(metricProducers: MetricProducer[], temporality = AggregationTemporality.CUMULATIVE) {
  const exporter = new InMemoryMetricExporter(temporality);
  return new PeriodicExportingMetricReader({ exporter, metricProducers, exportIntervalMillis: 1e7 });
}

describe('what a metric producer hands over is what the SDK would have recorded', () => {
  test('to a reader: names, units, descriptions, scope, temporality, attributes, boundaries, counts, sums, extremes', async () => {
    const { recorded, kept } = await both(async (producers, bind) => {
      const reader = readerWith(producers);
      const provider = new MeterProvider({ readers: [reader] });
      bind(provider);
      const alive = await traffic(provider);
      return { metrics: await collected(reader), alive };
    });
    expect(kept.metrics).toEqual(recorded.metrics);
    const histograms = kept.metrics.filter(({ dataPointType }) => dataPointType === DataPointType.HISTOGRAM);
    expect(histograms.map(({ descriptor, dataPoints }) => [descriptor.name, dataPoints.length])).toEqual([
      ['seaworthy.attempt.duration', 5],
      ['seaworthy.concurrency.queue.duration', 1],
      ['seaworthy.pipeline.duration', 5],
    ]);
  });

  test('to a scrape of Prometheus, line by line', async () => {
    const { recorded, kept } = await both(async (producers, bind) => {
      const sdk = await prometheusWith(producers);
      bind(sdk.provider);
      const alive = await traffic(sdk.provider);
      const lines = (await sdk.scrape()).split('\n').filter((line) => line.includes('seaworthy'));
      await sdk.close();
      return { lines: lines.toSorted(), alive };
    });
    expect(recorded.lines.filter((line) => line.includes('_duration_bucket{')).length).toBeGreaterThan(100);
    expect(kept.lines).toEqual(recorded.lines);
  });

  test('to a receiver of OTLP', async () => {
    const { recorded, kept } = await both(async (producers, bind) => {
      const receiver = await startReceiver();
      const exporter = new OTLPMetricExporter({ url: `${receiver.endpoint}/v1/metrics` });
      const reader = new PeriodicExportingMetricReader({
        exporter,
        metricProducers: producers,
        exportIntervalMillis: 1e7,
      });
      const provider = new MeterProvider({ readers: [reader] });
      bind(provider);
      const alive = await traffic(provider);
      await provider.shutdown();
      await receiver.close();
      expect(receiver.faults).toEqual([]);
      const points = receiver.exports.flat().filter(({ scope }) => scope.startsWith('seaworthy@'));
      return { points: points.map((point) => JSON.stringify(point)).toSorted(), alive };
    });
    expect(kept.points).toEqual(recorded.points);
    expect(kept.points.filter((point) => point.includes('"histogram"')).length).toBe(11);
  });

  test('for any durations, outcomes and boundaries, over several collections', async () => {
    const duration = fc.oneof(
      fc.constantFrom(0, 1, 2.5, 5, 100, 30_000, Number.MIN_VALUE),
      fc.double({ min: 0, max: 40_000, noNaN: true }),
      fc.nat(12_000).map((tenths) => tenths / 10),
    );
    const end = fc.record({ ms: duration, outcome: fc.constantFrom('success', 'fallback', 'cancelled') });
    const buckets = fc.option(fc.uniqueArray(fc.constantFrom(0.001, 0.1, 0.25, 1, 20, 1e-9), { minLength: 1 }), {
      nil: undefined,
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(end, { maxLength: 20 }), { maxLength: 4 }),
        buckets,
        async (rounds, durationBuckets) => {
          const { recorded, kept } = await both(async (producers, bind) => {
            const reader = readerWith(producers);
            const provider = new MeterProvider({ readers: [reader] });
            bind(provider);
            const p = fakePipeline({
              name: 'any',
              telemetry: { meterProvider: provider, traces: false, durationBuckets },
            });
            const all = [];
            for (const round of rounds) {
              for (const { ms, outcome } of round) {
                p.observer.interest();
                p.observer.end('execution', undefined, ended(outcome, { durationMs: ms }), p.call());
              }
              all.push((await collected(reader)).filter(({ descriptor }) => descriptor.name.endsWith('.duration')));
            }
            return all;
          });
          expect(kept.flat().map(withoutSums)).toEqual(recorded.flat().map(withoutSums));
          // An SDK adds up what came between two collections first.
          const [ours, theirs] = [kept, recorded].map((all) => all.flat().flatMap(sums));
          expect(ours?.length).toBe(theirs?.length);
          for (const [i, sum] of ours?.entries() ?? []) expect(sum).toBeCloseTo(theirs![i]!, 6);
        },
      ),
      { numRuns: 200 },
    );
  });
});

type Timeless = ReturnType<typeof timeless>;

function sums({ dataPoints }: Timeless): number[] {
  return dataPoints.map(({ value }) => (value as Histogram).sum!);
}

function withoutSums(metric: Timeless) {
  const dataPoints = metric.dataPoints.map(({ attributes, value }) => ({
    attributes,
    value: { ...(value as Histogram), sum: 0 },
  }));
  return { ...metric, dataPoints };
}

test('a data point begins when its first value came and ends when it is collected', async () => {
  let provider: MeterProvider | undefined;
  const reader = readerWith([metricProducer({ meterProvider: () => provider! })]);
  provider = new MeterProvider({ readers: [reader] });
  const p = pipeline('timed', [timeout(1_000)], { telemetry: { meterProvider: provider } });
  const milliseconds = ([s, ns]: otel.HrTime) => s * 1_000 + ns / 1e6;
  const look = async () => {
    const { resourceMetrics } = await reader.collect();
    const metrics = resourceMetrics.scopeMetrics.flatMap((scope) => scope.metrics);
    const found = metrics.find(({ descriptor }) => descriptor.name === 'seaworthy.pipeline.duration');
    const [{ startTime, endTime }] = found!.dataPoints as [DataPoint<Histogram>];
    return [milliseconds(startTime), milliseconds(endTime)] as const;
  };
  const before = Date.now();
  await p.execute(() => 1);
  const [start, end] = await look();
  await p.execute(() => 1);
  expect(start).toBeGreaterThanOrEqual(before);
  expect(end).toBeGreaterThanOrEqual(start);
  expect(end).toBeLessThanOrEqual(Date.now());
  expect((await look())[0]).toBe(start);
});

test('the numbers that stand for kinds are those of SDK 2 and of SDK 3, and the types fit both', async () => {
  const two: typeof sdk2 = createRequire(new URL('../../sdk2/package.json', import.meta.url))(
    '@opentelemetry/sdk-metrics',
  );
  let provider: MeterProvider | undefined;
  const producer = metricProducer({ meterProvider: () => provider! });
  const [three, older]: [MetricProducer, sdk2.MetricProducer] = [producer, producer];
  expect(older).toBe(three);
  provider = new MeterProvider({ readers: [readerWith([three])] });
  await pipeline('kinds', [], { telemetry: { meterProvider: provider } }).execute(() => 1);
  const { resourceMetrics } = await producer.collect();
  const [histogram] = resourceMetrics.scopeMetrics[0]!.metrics;
  for (const sdk of [{ AggregationTemporality, DataPointType, InstrumentType }, two]) {
    expect(histogram?.dataPointType).toBe(sdk.DataPointType.HISTOGRAM);
    expect(histogram?.aggregationTemporality).toBe(sdk.AggregationTemporality.CUMULATIVE);
    expect(histogram?.descriptor.type).toBe(sdk.InstrumentType.HISTOGRAM);
  }
  expect(histogram?.descriptor.valueType).toBe(otel.ValueType.DOUBLE);
});
