import CircuitBreaker from 'opossum';
import { bulkhead, circuitBreaker, pipeline, retry, timeout } from 'seaworthy';
import { virtualClock } from 'seaworthy/testing';
import { describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/ports/clock.ts';
import { metricsSdk, type Point, valueOf } from '../adapters/otel/sdk.ts';
import { deaf, stand, stateOf, turn, watch } from '../policies/stand.ts';
import { boom, down, opossum, run } from './opossum-fixture.ts';
import { mended, onFakeTime } from './scene.ts';

describe('what is counted', () => {
  it('O-14: a call that times out is one sample', async () => {
    await onFakeTime(async (pass) => {
      const peer = opossum(deaf, { timeout: 20, volumeThreshold: 100 });
      for (let n = 0; n < 3; n++) watch(peer.fire());
      await pass(20);
      expect(peer.stats.latencyTimes, mended).toHaveLength(6);
    });

    const sdk = metricsSdk();
    const { pipe, clock } = stand([timeout(20)], { telemetry: { meterProvider: sdk.provider } });
    for (let n = 0; n < 3; n++) watch(pipe.execute(deaf));
    await clock.advance(20);
    expect(valueOf(await sdk.collect(), 'seaworthy.pipeline.duration')).toBe(3);
    expect(pipe.snapshot()).toMatchObject({ calls: 3, outcomes: { failure: 3 } });
    expect(stateOf(pipe).timeouts).toBe(3);
  });

  it('O-20: what is counted goes to OpenTelemetry, and what measures a state goes with its pipeline', async () => {
    // opossum counts for itself; its exporter for Prometheus is another package, and keeps what it was ever given.
    const sdk = metricsSdk();
    const policies = [circuitBreaker({ consecutiveFailures: 1 }), bulkhead({ limit: 5 })];
    const { pipe } = stand(policies, { telemetry: { meterProvider: sdk.provider } });
    await pipe.tryExecute(down);
    const ofShop = (points: Point[], metric: string) =>
      points.filter(({ name, value }) => name === `seaworthy.${metric}` && value !== 0);
    const living = await sdk.collect();
    expect(ofShop(living, 'circuit_breaker.status')).toMatchObject([{ value: 1 }]);
    expect(ofShop(living, 'circuit_breaker.transitions')).toMatchObject([{ value: 1 }]);
    expect(ofShop(living, 'concurrency.limit')).toMatchObject([{ value: 5 }]);
    pipe.dispose();
    const left = await sdk.collect();
    expect(ofShop(left, 'circuit_breaker.status')).toEqual([]);
    expect(ofShop(left, 'concurrency.limit')).toEqual([]);
    expect(ofShop(left, 'circuit_breaker.transitions')).toMatchObject([{ value: 1 }]);
  });
});

describe('what it costs', () => {
  it('O-15: a failure costs the same however many have come before it in the window', async () => {
    const sort = vi.spyOn(Array.prototype, 'sort');
    try {
      const peer = opossum(down, { volumeThreshold: 1_000 });
      for (let n = 0; n < 100; n++) await peer.fire().catch(() => {});
      const latencies = sort.mock.contexts.filter((sorted) => typeof (sorted as unknown[])[0] === 'number');
      // Each failure sorts the latencies of all before it.
      expect(
        latencies.map((sorted) => (sorted as unknown[]).length),
        mended,
      ).toEqual(Array.from({ length: 100 }, (_, n) => n + 1));
    } finally {
      sort.mockRestore();
    }

    const { pipe } = stand([circuitBreaker({ minimumCalls: 1_000_000 })]);
    /** The quickest of ten times a thousand failures: what the machine did meanwhile is in the others. */
    const quickest = async () => {
      const times: number[] = [];
      for (let round = 0; round < 10; round++) {
        const start = performance.now();
        for (let n = 0; n < 1_000; n++) await pipe.tryExecute(down);
        times.push(performance.now() - start);
      }
      return Math.min(...times);
    };
    const first = await quickest();
    await quickest();
    expect(await quickest()).toBeLessThan(first * 3);
    expect(stateOf(pipe).executions.failure).toBe(30_000);
  });

  it('O-15: no pipeline has a timer while nobody calls it', async () => {
    await onFakeTime(async () => {
      for (let n = 0; n < 10; n++) opossum(run, {});
      expect(vi.getTimerCount(), mended).toBe(20);
    });

    const clock = virtualClock();
    const made = Array.from({ length: 100 }, (_, n) =>
      pipeline(
        `host-${n}`,
        [retry(), circuitBreaker({ consecutiveFailures: 1 }), bulkhead({ limit: 1 }), timeout(10)],
        {
          telemetry: false,
          clock,
        },
      ),
    );
    for (const pipe of made) watch(pipe.execute(deaf));
    await clock.advance(70_000);
    expect(made.map((pipe) => stateOf(pipe, 1).state)).toEqual(Array(100).fill('half_open'));
    expect(clock.pending).toBe(0);
  });

  it('O-15: what nobody holds any more is collected, open circuits included, without being disposed of', async () => {
    await onFakeTime(async () => {
      const open = async () => {
        const peer = new CircuitBreaker(down, {});
        await peer.fire().catch(() => {});
        return new WeakRef(peer);
      };
      const held = await open();
      await collect();
      expect(held.deref(), mended).toBeDefined();
      held.deref()!.shutdown();
    });

    const use = async () => {
      const breaker = circuitBreaker({ consecutiveFailures: 1 });
      const { pipe } = stand([retry({ maxRetries: 1, backoff: 0 }), breaker], { clock: systemClock });
      await pipe.tryExecute(() => Promise.reject(boom));
      return [new WeakRef(pipe), new WeakRef(breaker)];
    };
    const gone: WeakRef<object>[] = [];
    for (let n = 0; n < 10; n++) gone.push(...(await use()));
    // A compiler at work in another thread may hold what it looks at for a while.
    for (let i = 0; i < 50 && gone.some((ref) => ref.deref() !== undefined); i++) await collect();
    expect(gone.filter((ref) => ref.deref() !== undefined)).toEqual([]);
  });
});

describe('what can be changed', () => {
  it('O-20: limits can be changed while calls run', async () => {
    const peer = opossum(deaf, { capacity: 1, timeout: false });
    watch(peer.fire());
    peer.options.capacity = 2;
    const theirs = watch(peer.fire());
    await turn();
    expect(theirs.error, mended).toMatchObject({ code: 'ESEMLOCKED' });

    let timeoutMs = 1_000;
    const slots = bulkhead({ limit: 1 });
    const { pipe, clock } = stand([slots, timeout(() => timeoutMs)]);
    watch(pipe.execute(deaf));
    slots.resize(2);
    timeoutMs = 20;
    const call = watch(pipe.execute(deaf));
    await clock.advance(20);
    expect(call.error).toMatchObject({ code: 'timeout', timeoutMs: 20 });
    expect(slots.active).toBe(2);
  });
});

/** Lets the collector run. */
async function collect(): Promise<void> {
  for (let round = 0; round < 3; round++) {
    await turn();
    (globalThis as unknown as { gc(): void }).gc();
  }
}
