import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import * as otel from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus';
import {
  AggregationTemporality,
  DataPointType,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import CircuitBreaker from 'opossum';
import { bulkhead, circuitBreaker, fallback, pipeline, retry, timeout } from 'seaworthy';
import { afterEach, describe, expect, test } from 'vitest';
import { contract, spellings } from '../../scripts/observability-docs.ts';
import { logsSdk, metricsSdk, register, tracesSdk, unregister, valueOf } from '../adapters/otel/sdk.ts';
import { startReceiver } from './receiver.ts';
import * as snippets from './snippets.ts';

const answer = { body: 'fine' };
const fail = () => Promise.reject(new TypeError('no'));

afterEach(() => unregister());

describe('the code of docs/observability.md', () => {
  test('providers that were passed get what the global ones do not', async () => {
    const [mine, others, metrics, logs] = [tracesSdk(), tracesSdk(), metricsSdk(), logsSdk()];
    register({ tracerProvider: others.provider });
    const orders = snippets.injected(mine.provider, metrics.provider, logs.provider);
    expect(await orders.execute(() => answer)).toBe(answer);
    expect(mine.spans().map(({ name }) => name)).toEqual(['attempt orders', 'execute orders']);
    expect(valueOf(await metrics.collect(), 'seaworthy.pipeline.duration')).toBe(1);
    expect(others.spans()).toEqual([]);
  });

  test('telemetry, traces and attempts are switched off', async () => {
    const [traces, metrics] = [tracesSdk(), metricsSdk()];
    register({ tracerProvider: traces.provider, meterProvider: metrics.provider });
    for (const each of snippets.off()) await each.execute(() => answer);
    expect(traces.spans().map(({ name }) => name)).toEqual(['execute brief']);
    const names = (await metrics.collect()).map(({ attributes }) => attributes['seaworthy.pipeline.name']);
    expect(new Set(names.filter((name) => name !== undefined))).toEqual(new Set(['measured', 'brief']));
  });

  test('the span of a repeated fetch stands below its attempt, with its resend count, and arrives by OTLP', async () => {
    const receiver = await startReceiver();
    const server = createServer((_, response) => void response.end());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    process.env.OTEL_EXPORTER_OTLP_ENDPOINT = receiver.endpoint;
    otel.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    const { tracerProvider, instrumentations } = snippets.besideHttp();
    try {
      const shop = pipeline('shop', [retry({ backoff: 0 })]);
      const fields = await shop.execute(async ({ attempt }) => {
        await (await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)).text();
        if (attempt === 1) throw new TypeError('no');
        return snippets.logFields();
      });
      expect(fields).toEqual({ name: 'shop', attempt: 2 });
      expect(snippets.logFields()).toEqual({ name: undefined, attempt: undefined });
      await tracerProvider.shutdown();
      const clients = receiver.spans.filter(({ kind }) => kind === 'CLIENT');
      expect(clients.map(({ attributes }) => attributes['http.request.resend_count'])).toEqual([undefined, 1]);
      const attempts = receiver.spans.filter(({ name }) => name === 'attempt shop');
      expect(clients.map(({ parentSpanId }) => parentSpanId)).toEqual(attempts.map(({ spanId }) => spanId));
      expect(receiver.faults).toEqual([]);
    } finally {
      delete process.env.OTEL_EXPORTER_OTLP_ENDPOINT;
      for (const each of instrumentations) each.disable();
      server.close();
      await receiver.close();
    }
  });

  test('the boundaries are those of the pipeline', async () => {
    const metrics = metricsSdk();
    await snippets.buckets(metrics.provider).execute(() => answer);
    const [histogram] = (await metrics.collect()).filter(({ name }) => name === 'seaworthy.pipeline.duration');
    expect(histogram?.boundaries).toEqual([0.05, 0.1, 0.2, 0.3, 0.5, 1, 3]);
  });

  test('views make the durations exponential and drop a metric', async () => {
    const { metrics } = await exported(async (reader) => {
      const meterProvider = snippets.exponential(reader);
      const all = pipeline('all', [retry(), timeout(1_000)], { telemetry: { meterProvider } });
      await all.execute(() => answer);
      return [meterProvider, all];
    });
    const types = new Map(metrics.map(({ descriptor, dataPointType }) => [descriptor.name, dataPointType]));
    expect(types.get('seaworthy.pipeline.duration')).toBe(DataPointType.EXPONENTIAL_HISTOGRAM);
    expect(types.get('seaworthy.attempt.duration')).toBe(DataPointType.EXPONENTIAL_HISTOGRAM);
    expect(types.has('seaworthy.timeouts')).toBe(true);
    expect(types.has('seaworthy.late')).toBe(false);
  });
});

describe('what docs/observability.md says of others', () => {
  test('the JS exporter spells every metric as in the table', async () => {
    const exporter = new PrometheusExporter({ host: '127.0.0.1', port: 0, preventServerStart: true });
    const meterProvider = new MeterProvider({ readers: [exporter] });
    await exporter.startServer();
    try {
      const policies = [
        fallback(() => 'b'),
        retry({ maxRetries: 1, backoff: 0 }),
        circuitBreaker({ minimumCalls: 2, failureRatio: 1 }),
      ];
      const slot = bulkhead({ limit: 1, queue: 1 });
      const all = pipeline('all', [...policies, slot, timeout(1_000)], { telemetry: { meterProvider } });
      await all.execute(() => answer);
      await all.execute(fail);
      const waited = pipeline('waited', [bulkhead({ limit: 1, queue: 1 })], { telemetry: { meterProvider } });
      await Promise.all([waited.execute(() => setImmediate()), waited.execute(() => answer)]);
      const { port } = (exporter as unknown as { _server: { address(): AddressInfo } })._server.address();
      const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
      const types = [...text.matchAll(/^# TYPE (seaworthy_\w+) (\w+)$/gm)].map(([, name, type]) => `${name} ${type}`);
      const table = spellings(contract()).map(({ plain, kind }) => `${plain} ${kind === 'up_down' ? 'gauge' : kind}`);
      expect(types.toSorted()).toEqual(table.toSorted());
      expect(text).toMatch(/otel_scope_name="seaworthy",otel_scope_version="/);
    } finally {
      await meterProvider.shutdown();
    }
  });

  test('a view that takes an attribute away makes an observable metric keep the last value, not the sum', async () => {
    const { metrics } = await exported(async (reader) => {
      const keep = { process: () => ({}) };
      const views = [{ instrumentName: 'seaworthy.circuit_breaker.status', attributesProcessors: [keep] }];
      const meterProvider = new MeterProvider({ readers: [reader], views });
      const all = pipeline('all', [circuitBreaker()], { telemetry: { meterProvider } });
      await all.execute(() => answer);
      return [meterProvider, all];
    });
    const status = metrics.find(({ descriptor }) => descriptor.name === 'seaworthy.circuit_breaker.status');
    // One state of five is 1, so the sum is 1; the last one observed is `disabled`.
    expect(status?.dataPoints.map(({ value }) => value)).toEqual([0]);
  });

  test('opossum counts a timeout and a locked semaphore as failures too, and nobody hears of half_open', async () => {
    const counts: Record<string, number> = {};
    const work = (ms: number, error?: Error) =>
      new Promise((resolve, reject) => setTimeout(() => (error ? reject(error) : resolve(ms)), ms));
    const breaker = new CircuitBreaker(work, {
      timeout: 20,
      capacity: 1,
      volumeThreshold: 100,
      errorFilter: isFiltered,
    });
    // As opossum-prometheus does it.
    const heard = breaker.eventNames() as string[];
    for (const event of heard)
      breaker.on(event as 'success', () => {
        counts[event] = (counts[event] ?? 0) + 1;
      });
    await breaker.fire(100).catch(() => {});
    await Promise.allSettled([breaker.fire(5), breaker.fire(5)]);
    await breaker.fire(0, new Error('filtered')).catch(() => {});
    breaker.shutdown();
    expect(counts).toEqual({ fire: 4, timeout: 1, failure: 2, semaphoreLocked: 1, success: 2 });
    expect(heard).toEqual(expect.arrayContaining(['open', 'close', 'reject', 'fallback', 'cacheHit']));
    expect(heard).not.toContain('halfOpen');
  });
});

const isFiltered = (error: unknown) => (error as Error).message === 'filtered';

/** What arrives at an exporter from what `run` makes; the pipeline it answers is kept until then. */
async function exported(run: (reader: PeriodicExportingMetricReader) => Promise<readonly [MeterProvider, unknown]>) {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const made = await run(new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 1e7 }));
  await made[0].forceFlush();
  return { metrics: exporter.getMetrics().flatMap((all) => all.scopeMetrics.flatMap(({ metrics }) => metrics)), made };
}
