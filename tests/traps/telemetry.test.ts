import type { Meter, MeterProvider } from '@opentelemetry/api';
import { bulkhead, circuitBreaker, pipeline, retry, timeout } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { metricsSdk, type Point } from '../adapters/otel/sdk.ts';
import { deaf, turn } from '../policies/stand.ts';

const down = new Error('down');
const collect = (globalThis as { gc?: () => void }).gc!;

/** All streams of one metric, added up. */
const total = (points: readonly Point[], name: string) =>
  points.filter((point) => point.name === name).reduce((sum, { value }) => sum + value, 0);

/** A pipeline as a service makes it again for each configuration: one good call, one retried, one timed out. */
async function serve(meterProvider: MeterProvider) {
  const pipe = pipeline(
    'users',
    [retry({ maxRetries: 1, backoff: 0 }), circuitBreaker(), bulkhead({ limit: 10 }), timeout(5)],
    { telemetry: { meterProvider, traces: false, logs: false } },
  );
  await pipe.execute(async () => 'good');
  await pipe.execute(({ attempt }) => (attempt === 1 ? Promise.reject(down) : 'second'));
  await pipe.tryExecute(deaf);
  return pipe;
}

describe('cumulative counts', () => {
  it('go on where a pipeline of the same name is made anew, disposed of or collected, and never go back', async () => {
    const sdk = metricsSdk();
    const names = ['seaworthy.timeouts', 'seaworthy.retry.executions', 'seaworthy.circuit_breaker.executions'];
    let before: number[] = [];
    for (let life = 1; life <= 4; life++) {
      const pipe: { dispose(): void } | undefined = await serve(sdk.provider);
      // Every other one is left to the garbage collector.
      if (life % 2 === 0) pipe.dispose();
      await turn();
      collect();
      const points = await sdk.collect();
      expect(total(points, 'seaworthy.timeouts')).toBe(2 * life);
      const now = names.map((name) => total(points, name));
      for (const [i, value] of now.entries()) expect(value).toBeGreaterThanOrEqual(before[i] ?? 0);
      before = now;
    }
  });
});

describe('callbacks for the collection', () => {
  it('are one for all pipelines of a provider, however many come and go, and it keeps none that has gone', async () => {
    let callbacks = 0;
    const sdk = metricsSdk();
    const provider: MeterProvider = {
      getMeter(...args) {
        const meter: Meter = sdk.provider.getMeter(...args);
        const add = meter.addBatchObservableCallback.bind(meter);
        meter.addBatchObservableCallback = (...given) => {
          callbacks++;
          add(...given);
        };
        return meter;
      },
    };
    const gone: WeakRef<object>[] = [];
    await (async () => {
      for (let n = 0; n < 50; n++) {
        const pipe = pipeline(`p${n % 5}`, [retry(), timeout(1_000)], { telemetry: { meterProvider: provider } });
        await pipe.execute(async () => n);
        if (n % 2 === 0) pipe.dispose();
        gone.push(new WeakRef(pipe));
      }
    })();
    expect(callbacks).toBe(1);
    for (let round = 0; round < 5; round++) {
      await turn();
      collect();
    }
    await sdk.collect();
    for (let round = 0; round < 5; round++) {
      await turn();
      collect();
    }
    // The last may still be in the hands of whoever ran them.
    expect(gone.filter((ref) => ref.deref() !== undefined).length).toBeLessThanOrEqual(2);
    expect(callbacks).toBe(1);
  });
});
