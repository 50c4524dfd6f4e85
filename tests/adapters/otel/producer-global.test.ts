import * as otel from '@opentelemetry/api';
import { metricProducer } from 'seaworthy/otel';
import { afterEach, expect, test } from 'vitest';
import { ended, fakePipeline } from './fake.ts';
import { metricsSdk, register, unregister, valueOf } from './sdk.ts';

// One producer stands for all that follow the global provider, so these tests have a process of their own.

const duration = 'seaworthy.pipeline.duration';

afterEach(() => unregister());

function call(p: ReturnType<typeof fakePipeline>): void {
  if (p.observer.interest() === 0) return;
  p.observer.end('execution', undefined, ended('success'), p.call());
}

test('pipelines follow the global provider and its producer, whenever that is registered, goes and comes again', async () => {
  const p = fakePipeline();
  const of = { 'seaworthy.pipeline.name': p.name };
  call(p);
  const producer = metricProducer();
  // Without an SDK nobody would collect, so a call costs what it costs without a producer.
  expect(p.observer.interest()).toBe(0);
  expect((await producer.collect()).resourceMetrics.scopeMetrics).toEqual([]);
  for (let round = 1; round <= 2; round++) {
    const sdk = metricsSdk([producer]);
    register({ meterProvider: sdk.provider });
    for (let i = 0; i < round; i++) call(p);
    const points = await sdk.collect();
    // A new provider's histograms begin anew, its own as well as these.
    expect(valueOf(points, duration, of)).toBe(round);
    expect(valueOf(points, 'seaworthy.execution.active', of)).toBe(0);
    unregister();
    expect(p.observer.interest()).toBe(0);
  }
});

test('a pipeline that was given the global provider is counted in the same histograms, once', async () => {
  const sdk = metricsSdk([metricProducer()]);
  register({ meterProvider: sdk.provider });
  const [follows, given] = [undefined, { meterProvider: sdk.provider, traces: false }].map((telemetry) =>
    fakePipeline({ name: 'both', ...(telemetry && { telemetry }) }),
  );
  call(follows!);
  call(given!);
  expect(valueOf(await sdk.collect(), duration, { 'seaworthy.pipeline.name': 'both' })).toBe(2);
});

test('a pipeline with a provider of its own goes on recording there', async () => {
  const [global, mine] = [metricsSdk([metricProducer()]), metricsSdk()];
  register({ meterProvider: global.provider });
  call(fakePipeline({ telemetry: { meterProvider: mine.provider, traces: false } }));
  expect(valueOf(await mine.collect(), duration)).toBe(1);
  expect((await global.collect()).filter(({ name }) => name === duration)).toEqual([]);
  expect(otel.metrics.getMeterProvider()).toBe(global.provider);
});
