import type * as otel from '@opentelemetry/api';
import {
  AggregationTemporality,
  AggregationType,
  InMemoryMetricExporter,
  MeterProvider,
  type MetricProducer,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import { pipeline, timeout } from 'seaworthy';
import { metricProducer } from 'seaworthy/otel';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ended, fakePipeline } from './fake.ts';
import { listenToDiag, metricsSdk, prometheusWith, unregister, valueOf } from './sdk.ts';

const duration = 'seaworthy.pipeline.duration';
let diag: string[];

beforeEach(() => {
  diag = listenToDiag();
});

afterEach(() => unregister());

/** An SDK with a producer of its own, for pipelines that are given it. */
function own() {
  let provider: otel.MeterProvider | undefined;
  const producer = metricProducer({ meterProvider: () => provider! });
  const sdk = metricsSdk([producer]);
  provider = sdk.provider;
  return { ...sdk, producer, telemetry: { meterProvider: provider, traces: false } };
}

const call = (p: ReturnType<typeof fakePipeline>, durationMs = 12, more = {}) => {
  p.observer.interest();
  p.observer.end('execution', undefined, ended('success', { durationMs, ...more }), p.call());
};

describe('a metric producer of one provider', () => {
  test('takes the durations of the pipelines that were given it, of no others, and leaves every other metric', async () => {
    const [mine, other] = [own(), metricsSdk()];
    const a = pipeline('a', [timeout(1_000)], { telemetry: mine.telemetry });
    const b = pipeline('b', [timeout(1_000)], { telemetry: { meterProvider: other.provider } });
    await Promise.all([a.execute(() => 1), b.execute(() => 1)]);
    const here = await mine.collect();
    expect(valueOf(here, duration, { 'seaworthy.pipeline.name': 'a' })).toBe(1);
    expect(valueOf(here, 'seaworthy.execution.active', { 'seaworthy.pipeline.name': 'a' })).toBe(0);
    expect(valueOf(here, duration, { 'seaworthy.pipeline.name': 'b' })).toBeUndefined();
    expect(valueOf(await other.collect(), duration)).toBe(1);
    expect(diag).toEqual([]);
  });

  test('is empty until the first call has ended, and knows nothing a reader could not ask for', async () => {
    const { producer, telemetry } = own();
    const nothing = { resource: expect.objectContaining({ attributes: {} }), scopeMetrics: [] };
    expect(await producer.collect()).toEqual({ resourceMetrics: nothing, errors: [] });
    const p = fakePipeline({ telemetry });
    expect(await producer.collect()).toEqual({ resourceMetrics: nothing, errors: [] });
    call(p);
    const { resourceMetrics } = await producer.collect();
    expect(resourceMetrics.scopeMetrics).toHaveLength(1);
    const { resource } = resourceMetrics;
    expect([resource.merge(null), resource.merge(resource), resource.getRawAttributes()]).toEqual([
      resource,
      resource,
      [],
    ]);
    expect(diag).toEqual([]);
  });

  test('what it has handed over does not change any more', async () => {
    const { producer, telemetry } = own();
    const p = fakePipeline({ telemetry });
    call(p);
    const first = await producer.collect();
    const copy = structuredClone(first.resourceMetrics.scopeMetrics);
    call(p, 9_000);
    expect(first.resourceMetrics.scopeMetrics).toEqual(copy);
    expect((await producer.collect()).resourceMetrics.scopeMetrics).not.toEqual(copy);
  });

  test('a duration below 0, or none, makes no stream', async () => {
    const { collect, telemetry } = own();
    const p = fakePipeline({ telemetry });
    call(p, -3);
    call(p, Number.NaN);
    expect(valueOf(await collect(), duration)).toBeUndefined();
    call(p, 3);
    expect(valueOf(await collect(), duration)).toBe(1);
  });

  test('two of them hand over the same', async () => {
    let provider: otel.MeterProvider | undefined;
    const both = [0, 1].map(() => metricProducer({ meterProvider: () => provider! }));
    provider = metricsSdk().provider;
    call(fakePipeline({ telemetry: { meterProvider: provider, traces: false } }));
    const [one, two] = await Promise.all(both.map((producer) => producer.collect()));
    expect(one?.resourceMetrics.scopeMetrics[0]?.metrics[0]?.dataPoints).toHaveLength(1);
    expect(two?.resourceMetrics.scopeMetrics[0]?.metrics).toHaveLength(1);
  });

  test('one that comes after the first call hands over nothing and says so once: no call is counted twice', async () => {
    const sdk = metricsSdk();
    const p = fakePipeline({ telemetry: { meterProvider: sdk.provider, traces: false } });
    call(p);
    const late = metricProducer({ meterProvider: () => sdk.provider });
    call(p);
    for (let i = 0; i < 2; i++) expect((await late.collect()).resourceMetrics.scopeMetrics).toEqual([]);
    expect(valueOf(await sdk.collect(), duration)).toBe(2);
    expect(diag).toEqual([expect.stringContaining('metricProducer() came after the first call')]);
  });

  test('whose function throws or answers nothing yet takes nothing, and its readers hear why', async () => {
    const broken = new Error('not yet');
    const producer = metricProducer({
      meterProvider: () => {
        throw broken;
      },
    });
    const unset = metricProducer({ meterProvider: () => undefined as never });
    const sdk = metricsSdk([unset]);
    call(fakePipeline({ telemetry: { meterProvider: sdk.provider, traces: false } }));
    expect(valueOf(await sdk.collect(), duration)).toBe(1);
    expect(await producer.collect()).toMatchObject({ resourceMetrics: { scopeMetrics: [] }, errors: [broken] });
  });

  test.each([
    [{ meterProvider: metricsSdk().provider }, '"meterProvider" must be a function'],
    [{ provider: () => {} }, 'unknown'],
    [7, 'must'],
  ])('options that cannot work are refused: %#', (options, message) => {
    expect(() => metricProducer(options as never)).toThrow(TypeError);
    expect(() => metricProducer(options as never)).toThrow(message);
  });
});

describe('readers', () => {
  const temporality = AggregationTemporality;
  const names = (exporter: InMemoryMetricExporter) =>
    exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics));

  function two(first: AggregationTemporality, views: ConstructorParameters<typeof MeterProvider>[0] = {}) {
    let provider: MeterProvider | undefined;
    const producer: MetricProducer = metricProducer({ meterProvider: () => provider! });
    const exporters = [new InMemoryMetricExporter(first), new InMemoryMetricExporter(temporality.CUMULATIVE)] as const;
    const readers = exporters.map(
      (exporter, i) =>
        new PeriodicExportingMetricReader({
          exporter,
          exportIntervalMillis: 1e7,
          metricProducers: i === 0 ? [producer] : [],
        }),
    );
    provider = new MeterProvider({ readers, ...views });
    return { provider, exporters, telemetry: { meterProvider: provider, traces: false } };
  }

  test('one without the producer has no durations, one with it has them, and both have the rest', async () => {
    const { provider, exporters, telemetry } = two(temporality.CUMULATIVE);
    const p = fakePipeline({ telemetry });
    call(p);
    await provider.forceFlush();
    const [with_, without] = exporters.map((exporter) => names(exporter).map(({ descriptor }) => descriptor.name));
    expect(with_?.filter((name) => !without?.includes(name))).toEqual([duration]);
    expect(without?.filter((name) => !with_?.includes(name))).toEqual([]);
    expect(without).toContain('seaworthy.execution.active');
  });

  test('one that asks for deltas gets the durations cumulative, and two collections the same', async () => {
    const { provider, exporters, telemetry } = two(temporality.DELTA);
    const p = fakePipeline({ telemetry });
    call(p);
    await provider.forceFlush();
    await provider.forceFlush();
    const histograms = names(exporters[0]).filter(({ descriptor }) => descriptor.name === duration);
    expect(histograms.map(({ aggregationTemporality }) => aggregationTemporality)).toEqual([1, 1]);
    expect(histograms.map(({ dataPoints }) => (dataPoints[0]?.value as { count: number }).count)).toEqual([1, 1]);
  });

  test('views do not reach the durations', async () => {
    const views = [{ instrumentName: 'seaworthy.*', aggregation: { type: AggregationType.DROP } as const }];
    const { provider, exporters, telemetry } = two(temporality.CUMULATIVE, { views });
    const p = fakePipeline({ telemetry });
    call(p);
    await provider.forceFlush();
    expect(names(exporters[0]).map(({ descriptor }) => descriptor.name)).toEqual([duration]);
  });

  test('when none has the producer, an operator is told once', async () => {
    let provider: otel.MeterProvider | undefined;
    metricProducer({ meterProvider: () => provider! });
    const sdk = metricsSdk();
    provider = sdk.provider;
    const p = fakePipeline({ telemetry: { meterProvider: provider, traces: false } });
    call(p);
    for (let i = 0; i < 25; i++) await sdk.collect();
    expect(diag).toEqual([expect.stringContaining('every metric reader needs metricProducer()')]);
  });

  test('one that collects more rarely than another is no reason to warn', async () => {
    const { collect, producer, telemetry } = own();
    const p = fakePipeline({ telemetry });
    call(p);
    for (let i = 0; i < 25; i++) await collect();
    await producer.collect();
    expect(diag).toEqual([]);
  });
});

test('the buckets are those that pipelines asked for before the first call; later ones are warned', async () => {
  const { collect, telemetry } = own();
  const first = fakePipeline({ telemetry: { ...telemetry, durationBuckets: [0.2, 3] } });
  const second = fakePipeline({ telemetry: { ...telemetry, durationBuckets: [1] } });
  call(first);
  const late = fakePipeline({ telemetry: { ...telemetry, durationBuckets: [7] } });
  for (const p of [second, late]) call(p, 2_000);
  const histograms = (await collect()).filter(({ name }) => name === duration);
  expect(histograms.map(({ boundaries }) => boundaries)).toEqual([1, 2, 3].map(() => [0.2, 1, 3]));
  expect(diag).toEqual([expect.stringContaining(`"durationBuckets" of pipeline "${late.name}" came too late`)]);
});

test('whatever callers send, a producer has as many streams as the SDK would, and one warning each', async () => {
  let provider: otel.MeterProvider | undefined;
  const sdk = await prometheusWith([metricProducer({ meterProvider: () => provider! })]);
  provider = sdk.provider;
  const telemetry = { meterProvider: provider, traces: false };
  let calls = 0;
  const alive = [];
  for (let pipelines = 0; pipelines < 150; pipelines++) {
    const p = fakePipeline({ name: `tenant-${pipelines}`, repeats: true, telemetry });
    alive.push(p);
    p.observer.interest();
    for (let error = 0; error < 30; error++) {
      const end = ended('failure', { error: { name: `Attack${pipelines}x${error}` } });
      p.observer.end('attempt', undefined, end, p.call());
      p.observer.end('execution', undefined, end, p.call());
      calls++;
    }
  }
  const text = await sdk.scrape();
  for (const metric of ['pipeline', 'attempt']) {
    const counts = [...text.matchAll(new RegExp(`^seaworthy_${metric}_duration_count\\{(.*)\\} (\\d+)$`, 'gm'))];
    // 1,500 of named pipelines, and what did not fit under the name that stands for the rest.
    expect(counts.length).toBeGreaterThan(1_400);
    expect(counts.length).toBeLessThanOrEqual(1_526);
    expect(new Set(counts.map(([, labels]) => labels)).size).toBe(counts.length);
    expect(counts.filter(([, labels]) => !labels?.includes('seaworthy_pipeline_name="'))).toEqual([]);
    expect(counts.some(([, labels]) => labels?.includes('seaworthy_pipeline_name="_OTHER"'))).toBe(true);
    expect(counts.reduce((sum, [, , count]) => sum + Number(count), 0)).toBe(calls);
  }
  expect(diag.filter((said) => said.includes('pipeline names'))).toHaveLength(1);
  expect(diag.filter((said) => said.includes('pipeline.duration has 1500 streams'))).toHaveLength(1);
  await sdk.close();
});
