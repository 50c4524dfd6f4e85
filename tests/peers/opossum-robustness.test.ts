import { bulkhead, circuitBreaker, fallback, pipeline, retry, timeout } from 'seaworthy';
import { describe, expect, it, vi } from 'vitest';
import { metricsSdk, tracesSdk } from '../adapters/otel/sdk.ts';
import { deaf, stand, stateOf, turn, watch } from '../policies/stand.ts';
import { boom, down, opossum, quietly, rude, unhandledDuring } from './opossum-fixture.ts';
import { mended, onFakeTime } from './scene.ts';

describe('options', () => {
  it('O-1: what is made from one object shares no state, and the object is not changed', async () => {
    const shared = { cache: true };
    const a = opossum(async () => 'A', shared);
    const b = opossum(async () => 'B', shared);
    await a.fire();
    expect(await b.fire(), mended).toBe('A');
    expect(Object.keys(shared).length, mended).toBeGreaterThan(10);

    const breaking = Object.freeze({ consecutiveFailures: 1, keys: Object.freeze({ max: 10 }) });
    const retrying = Object.freeze({
      maxRetries: 1,
      backoff: 0,
      budget: Object.freeze({ capacity: 1, minPerSecond: 0 }),
    });
    const limiting = Object.freeze({ limit: 1, holdUntilSettled: Object.freeze({ maxMs: 10 }) });
    const make = () => [retry(retrying), circuitBreaker(breaking), bulkhead(limiting)] as const;
    const [used, fresh] = [make(), make()];
    const { pipe } = stand(used);
    await pipe.tryExecute(down);
    await pipe.tryExecute(down);
    used[1].reset();
    watch(pipe.execute(deaf));
    await pipe.tryExecute(down);
    expect(used[2].active).toBe(1);
    const other = stand(fresh).pipe;
    expect(fresh[1].state).toBe('closed');
    expect(stateOf(other).budget.remaining).toBe(1);
    expect(await other.execute(() => 'ok')).toBe('ok');
  });

  it('O-1: an options object is read while something is made from it, and never again', async () => {
    const peer = opossum(deaf, { timeout: 10_000 });
    await onFakeTime(async (pass) => {
      peer.options.timeout = 20;
      const call = watch(peer.fire());
      await pass(20);
      expect(call.state, mended).toBe('error');
    });

    let made = false;
    const touched: string[] = [];
    /** An options object that says when it is read too late, or changed. */
    const guarded = <T extends object>(options: T, path: string): T =>
      new Proxy(options, {
        get(target, key, receiver) {
          const where = `${path}.${String(key)}`;
          if (made) touched.push(`read ${where}`);
          const value = Reflect.get(target, key, receiver);
          const plain = value?.constructor === Object || Array.isArray(value);
          return plain ? guarded(value, where) : value;
        },
        defineProperty: (_, key) => touched.push(`changed ${path}.${String(key)}`) < 0,
      });

    const when = { error: () => true, result: () => false };
    const initialState = circuitBreaker().toJSON();
    const policies = [
      fallback(guarded({ to: { value: 'spare' }, when }, 'fallback')),
      retry(guarded({ maxRetries: 1, backoff: 0, budget: { ratio: 1, capacity: 5 }, when }, 'retry')),
      circuitBreaker(guarded({ minimumCalls: 5, keys: { max: 2 }, when, initialState }, 'circuitBreaker')),
      bulkhead(guarded({ limit: 2, queue: 1, holdUntilSettled: { maxMs: 10 } }, 'bulkhead')),
      timeout(guarded({ ms: 20 }, 'timeout')),
    ];
    made = true;
    const { pipe, clock } = stand(policies);
    for (const key of [undefined, 'a', 'b', 'c']) {
      expect(await pipe.execute(() => 'ok', { key })).toBe('ok');
      expect(await pipe.execute(down, { key })).toBe('spare');
    }
    const hung = watch(pipe.execute(deaf));
    await clock.advance(100);
    expect(hung.value).toBe('spare');
    expect(stateOf(pipe, 2).circuits).toBe(3);

    made = false;
    const sdk = metricsSdk();
    const traces = tracesSdk();
    const telemetry = {
      meterProvider: sdk.provider,
      tracerProvider: traces.provider,
      attemptSpans: 'always' as const,
      durationBuckets: [1, 2],
    };
    using watched = pipeline(
      'watched',
      [retry({ maxRetries: 1, backoff: 0 })],
      guarded(
        { attributes: { team: 'shop' }, observers: [], classify: () => 'failure' as const, telemetry },
        'pipeline',
      ),
    );
    made = true;
    await watched.tryExecute(down, { attributes: { call: 1 } });
    expect(traces.spans().at(-1)!.attributes).toMatchObject({ team: 'shop', call: 1 });
    await sdk.collect();
    expect(touched).toEqual([]);
  });
});

describe('code that throws', () => {
  it('O-12: what throws after a success changes no answer, is counted once and frees no slot twice', async () => {
    const peer = opossum(async () => 'ok', {
      capacity: 1,
      cache: true,
      cacheTransport: { get: () => undefined, set: rude, flush() {} },
    });
    expect(await peer.fire()).toBe('ok');
    await turn();
    expect(peer.stats, mended).toMatchObject({ successes: 1, failures: 1 });
    expect(peer.opened, mended).toBe(true);
    expect(peer.semaphore.count, mended).toBe(2);

    const breaker = circuitBreaker({ breaker: { state: undefined, success: rude, failure: () => true } });
    const slots = bulkhead({ limit: 1 });
    const { pipe, told } = stand([retry({ when: { result: rude } }), breaker, slots]);
    await quietly(async () => {
      pipe.subscribe(rude);
      expect(await pipe.execute(async () => 'ok', { onDiscard: rude })).toBe('ok');
    });
    expect(told('fault')).toMatchObject([{ where: 'breaker' }, { where: 'when' }]);
    expect(breaker.state).toBe('closed');
    expect(stateOf(pipe, 1).executions).toMatchObject({ success: 1, failure: 0 });
    expect(pipe.snapshot()).toMatchObject({ attempts: 1, outcomes: { success: 1, failure: 0 } });
    expect(slots.active).toBe(0);
    watch(pipe.execute(deaf));
    expect(await pipe.tryExecute(() => 'ok')).toMatchObject({ error: { code: 'bulkhead_full' } });
  });

  it('O-13: a success listener that throws makes no failure of a success', async () => {
    const peer = opossum(() => Promise.resolve('ok'), { timeout: 10 });
    peer.on('success', rude);
    await expect(peer.fire(), mended).rejects.toThrow('rude');
    expect(peer.opened, mended).toBe(true);

    const breaker = circuitBreaker({ consecutiveFailures: 1 });
    const { pipe } = stand([breaker]);
    await quietly(async () => {
      pipe.subscribe(rude);
      pipe.onSuccess(rude);
      expect(await pipe.execute(() => Promise.resolve('ok'))).toBe('ok');
    });
    expect(breaker.state).toBe('closed');
    expect(stateOf(pipe).executions).toMatchObject({ success: 1, failure: 0 });
  });

  it('O-13: a predicate that throws leaves no call hanging', async () => {
    const unhandled = await unhandledDuring(async () => {
      const peer = opossum(down, { timeout: false, errorFilter: rude });
      const call = watch(peer.fire());
      await turn();
      await turn();
      expect(call.state, mended).toBe('pending');
    });
    expect(unhandled, mended).toEqual([expect.objectContaining({ message: 'rude' })]);

    const breaker = circuitBreaker({ consecutiveFailures: 1, when: rude });
    const { pipe, told } = stand([breaker]);
    const ours = await unhandledDuring(() =>
      quietly(async () => {
        const call = watch(pipe.execute(down));
        await turn();
        expect(call.error).toBe(boom);
      }),
    );
    expect(ours).toEqual([]);
    expect(breaker.state).toBe('closed');
    expect(told('fault')).toMatchObject([{ where: 'when', error: { message: 'rude' } }]);
  });

  it('O-13: a timeout listener that throws leaves no call hanging and reaches no timer', async () => {
    await onFakeTime(async () => {
      const peer = opossum(deaf, { timeout: 20 });
      peer.on('timeout', rude);
      const call = watch(peer.fire());
      // In a real timer this is an uncaught exception, which ends the process.
      expect(() => vi.advanceTimersByTime(20), mended).toThrow('rude');
      await turn();
      expect(call.state, mended).toBe('pending');
    });

    const { pipe, clock } = stand([timeout(20)]);
    await quietly(async () => {
      pipe.subscribe(rude);
      const call = watch(pipe.execute(deaf));
      await clock.advance(20);
      expect(call.error).toMatchObject({ code: 'timeout' });
    });
  });
});

describe('disposal', () => {
  it('O-16: what is disposed of stays so, and leaves no timer once its last call has ended', async () => {
    await onFakeTime(async (pass) => {
      const action = vi.fn(async () => 'unprotected');
      const peer = opossum(action, {});
      let healthy = true;
      peer.healthCheck(() => (healthy ? Promise.resolve() : Promise.reject(boom)), 100);
      peer.shutdown();
      expect(peer.isShutdown).toBe(true);
      healthy = false;
      await pass(100);
      expect(peer.isShutdown, mended).toBe(false);
      expect(peer.opened, mended).toBe(true);
      expect(await peer.fire(), mended).toBe('unprotected');
    });

    const breaker = circuitBreaker({ consecutiveFailures: 1, breakMs: 10 });
    const { pipe, clock } = stand([
      retry({ maxRetries: 3, backoff: 50 }),
      breaker,
      bulkhead({ limit: 4 }),
      timeout(20),
    ]);
    const last = watch(pipe.execute(deaf));
    {
      using _ending = pipe;
    }
    await clock.advance(70_000);
    expect(last.error).toMatchObject({ code: 'timeout' });
    expect(clock.pending).toBe(0);
    const fn = vi.fn();
    for (const stir of [() => breaker.reset(), () => breaker.isolate(), () => breaker.disable(), () => {}]) {
      stir();
      expect(await pipe.tryExecute(fn)).toMatchObject({ error: { code: 'draining' } });
    }
    expect(fn).not.toHaveBeenCalled();
    expect(clock.pending).toBe(0);
  });
});
