import {
  AggregationTemporality,
  InMemoryMetricExporter,
  type MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import { circuitBreaker, pipeline, timeout } from 'seaworthy';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { listenToDiag, prometheusSdk, unregister } from './sdk.ts';

/*
 * Names and keys that an application takes from its callers: whatever they send, a backend sees a bounded number of
 * series, an operator is told once, and the process does not grow.
 */

/** How often each attack comes. */
const attacks = 1_000_000;
/** Pipelines are made once in a program; one per request is the mistake this is about. */
const pipelines = 10_000;

let sdk: Awaited<ReturnType<typeof prometheusSdk>>;
let exporter: InMemoryMetricExporter;
let diag: string[];
/** Each test has its own books, and with them its own limits. */
let given: { readonly telemetry: { readonly meterProvider: MeterProvider } };

beforeEach(async () => {
  diag = listenToDiag();
  exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  sdk = await prometheusSdk(new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 1e7 }));
  given = { telemetry: { meterProvider: sdk.provider } };
});

afterEach(async () => {
  await sdk.close();
  unregister();
});

/** What a scrape has: series by metric, histograms by their counts, and its text. */
async function scrape(): Promise<{ text: string; series: Map<string, Set<string>> }> {
  const text = await sdk.scrape();
  const series = new Map<string, Set<string>>();
  for (const [, name = '', labels = ''] of text.matchAll(/^(seaworthy_\w+)(?:\{(.*)\})? \S+$/gm)) {
    if (/_(?:bucket|sum)$/.test(name)) continue;
    const labelled = series.get(name) ?? new Set();
    series.set(name, labelled.add(labels));
  }
  return { text, series };
}

/** The values of a label over everything that was scraped. */
function values(text: string, label: string): Set<string> {
  return new Set([...text.matchAll(new RegExp(`${label}="([^"]*)"`, 'g'))].map(([, value]) => value as string));
}

/** The most streams that one instrument has in another reader of the same SDK. */
async function mostStreams(): Promise<number> {
  exporter.reset();
  await sdk.provider.forceFlush();
  const metrics = exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics));
  return Math.max(...metrics.map(({ dataPoints }) => dataPoints.length));
}

async function heap(): Promise<number> {
  for (let round = 0; round < 3; round++) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    (globalThis as unknown as { gc(): void }).gc();
  }
  return process.memoryUsage().heapUsed;
}

const MB = 2 ** 20;

test('a million keys are no series, and leave no memory behind', async () => {
  const p = pipeline('keyed', [circuitBreaker({ consecutiveFailures: 5 })], given);
  const call = async (from: number, to: number) => {
    for (let i = from; i < to; i++) await p.execute(() => 1, { key: `secret-${i}` });
  };
  await call(0, attacks / 10);
  const before = await scrape();
  const used = await heap();
  await call(attacks / 10, attacks);
  expect((await heap()) - used).toBeLessThan(5 * MB);
  const { text, series } = await scrape();
  expect(text).not.toContain('secret');
  expect(series).toEqual(before.series);
  expect(diag).toEqual([]);
}, 120_000);

test('a million error names are 24 and _OTHER, on every metric, with one warning', async () => {
  const p = pipeline('named', [timeout(1_000)], given);
  const call = async (from: number, to: number) => {
    for (let i = from; i < to; i++) {
      const error = i % 2 === 0 ? { name: `Attack${i}` } : { code: `E_ATTACK_${i}` };
      await p.tryExecute(() => Promise.reject(error));
    }
  };
  await call(0, attacks / 10);
  const used = await heap();
  await call(attacks / 10, attacks);
  expect((await heap()) - used).toBeLessThan(5 * MB);
  const { text, series } = await scrape();
  const types = values(text, 'error_type');
  expect(types.size).toBe(25);
  expect(types).toContain('_OTHER');
  expect(series.get('seaworthy_pipeline_duration_count')?.size).toBe(25);
  expect(await mostStreams()).toBe(25);
  expect(text).toMatch(new RegExp(`_count\\{[^}]*error_type="_OTHER"[^}]*\\} ${attacks - 24}$`, 'm'));
  expect(diag).toEqual([expect.stringContaining('"named" has more than 24 error types')]);
}, 120_000);

test(`${pipelines} pipelines with a policy each are 100 and 200 names and _OTHER, with one warning each, and are let go`, async () => {
  const make = async (from: number, to: number) => {
    for (let i = from; i < to; i++) {
      const policies = [timeout({ ms: 1_000, name: `limit-${i}` }), circuitBreaker({ name: `breaker-${i}` })] as const;
      await pipeline(`tenant-${i}`, policies, given).execute(() => 1);
      // Whoever makes one per request also comes back to the event loop, where what is collected is heard of.
      if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  };
  await make(0, pipelines / 4);
  await scrape();
  const used = await heap();
  await make(pipelines / 4, pipelines);
  await heap();
  await scrape();
  expect((await heap()) - used).toBeLessThan(5 * MB);
  const { text, series } = await scrape();
  const names = values(text, 'seaworthy_pipeline_name');
  expect([names.size, names.has('_OTHER')]).toEqual([101, true]);
  const policies = values(text, 'seaworthy_policy_name');
  const own = [...policies].filter((name) => !name.startsWith('tenant-'));
  expect([own.length, policies.size, policies.has('_OTHER')]).toEqual([201, 301, true]);
  for (const [metric, { size }] of series) expect(size, metric).toBeLessThanOrEqual(1501);
  expect(await mostStreams()).toBeLessThanOrEqual(1501);
  const executions = [...text.matchAll(/^seaworthy_circuit_breaker_executions_total\{.*result="success".*\} (\d+)$/gm)];
  expect(executions.reduce((sum, [, count]) => sum + Number(count), 0)).toBe(pipelines);
  expect(diag).toEqual([
    expect.stringContaining('more than 100 pipeline names'),
    expect.stringContaining('more than 200 policy names'),
  ]);
}, 120_000);
