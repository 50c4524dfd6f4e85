import { bulkhead, circuitBreaker, fallback, isTimeoutError, pipeline, retry, timeout } from 'seaworthy';
import { recorder } from 'seaworthy/testing';
import { describe, expect, it, vi } from 'vitest';
import { deaf, deferred, stand, stateOf, turn, watch } from '../policies/stand.ts';
import { boom, down, opossum } from './opossum-fixture.ts';
import { mended, onFakeTime } from './scene.ts';

describe('the function', () => {
  it('O-2: a function may answer anything, at once or later, and nothing is thrown synchronously', async () => {
    const peer = opossum(() => undefined, {});
    await expect(peer.fire(), mended).rejects.toThrow(TypeError);
    expect(peer.stats.failures, mended).toBe(1);
    expect(() => opossum(() => undefined, { enabled: false }).fire(), mended).toThrow(TypeError);
    expect(() => opossum((n: bigint) => n, { cache: true }).fire(1n), mended).toThrow(TypeError);

    const answers: [() => unknown, unknown][] = [
      [() => {}, undefined],
      [() => null, null],
      [() => 1n, 1n],
      [async () => 'later', 'later'],
      [() => ({ then: (resolve: (value: string) => void) => resolve('thenable') }), 'thenable'],
    ];
    const breaker = circuitBreaker({ consecutiveFailures: 1 });
    const { pipe } = stand([breaker]);
    for (const [fn, answer] of answers) expect(await pipe.execute(fn)).toBe(answer);
    {
      using _off = breaker.disable();
      using _past = pipe.bypass('circuit_breaker');
      for (const [fn, answer] of answers) expect(await pipe.execute(fn)).toBe(answer);
    }
    expect(await pipe.wrap((n: bigint) => n)(1n)).toBe(1n);
    expect(stateOf(pipe).executions.failure).toBe(0);

    const fail = () => {
      throw boom;
    };
    const thenFails = () => Object.defineProperty({}, 'then', { get: fail });
    const other = stand([]).pipe;
    for (const make of [
      () => other.execute(fail),
      () => other.execute(thenFails),
      () => other.wrap(fail)(),
      () => other.wrap(() => 1, fail)(),
    ])
      expect(watch(make())).toMatchObject({ state: 'pending' });
    for (const make of [() => other.execute(fail), () => other.execute(thenFails), () => other.wrap(() => 1, fail)()])
      await expect(make()).rejects.toBe(boom);
    await expect(other.execute(undefined as any)).rejects.toThrow(TypeError);
  });

  it('O-19: a function is called with the this of its own caller, and with none of ours', async () => {
    const action = function (this: unknown) {
      return Promise.resolve({ self: this });
    };
    expect(await opossum(action, {}).fire(), mended).toEqual({ self: action });

    const { pipe } = stand([retry(), timeout(1_000)]);
    const shop = { name: 'shop', find: pipe.wrap(action) };
    expect((await shop.find()).self).toBe(shop);
    expect((await pipe.execute(action)).self).toBeUndefined();
  });

  it('O-11: no answer and no rejection is kept for the next call of the same key', async () => {
    await onFakeTime(async (pass) => {
      const action = vi.fn(async () => 'first');
      const peer = opossum(action, { coalesce: true, timeout: false });
      await peer.fire();
      await pass(3_600_000);
      expect(await peer.fire(), mended).toBe('first');
      expect(action, mended).toHaveBeenCalledTimes(1);

      const busy = deferred();
      const full = opossum((key: string) => (key === 'busy' ? busy.promise : key), { coalesce: true, capacity: 1 });
      watch(full.fire('busy'));
      await full.fire('k').catch(() => {});
      busy.resolve('done');
      await pass(0);
      expect(full.semaphore.count).toBe(1);
      await expect(full.fire('k'), mended).rejects.toMatchObject({ code: 'ESEMLOCKED' });
    });

    const { pipe } = stand([circuitBreaker(), bulkhead({ limit: 1 })]);
    let runs = 0;
    const find = pipe.wrap(
      async (key: string) => `${key} ${++runs}`,
      (key) => ({ key }),
    );
    expect([await find('k'), await find('k')]).toEqual(['k 1', 'k 2']);
    const busy = deferred();
    watch(pipe.execute(() => busy.promise, { key: 'busy' }));
    await expect(find('k')).rejects.toMatchObject({ code: 'bulkhead_full' });
    busy.resolve('done');
    await turn();
    expect(await find('k')).toBe('k 3');
  });
});

describe('time and cancellation', () => {
  it('O-5: a timed-out call keeps its slot until its work has really ended', async () => {
    /** Counts the most that ran at once. */
    function meter(work: () => Promise<unknown>) {
      const at = { now: 0, most: 0 };
      const fn = async () => {
        at.most = Math.max(at.most, ++at.now);
        await work();
        at.now--;
      };
      return { at, fn };
    }

    await onFakeTime(async (pass) => {
      const { at, fn } = meter(() => new Promise((resolve) => setTimeout(resolve, 300)));
      const peer = opossum(fn, { capacity: 1, timeout: 20, volumeThreshold: 100 });
      for (let n = 0; n < 5; n++) {
        watch(peer.fire());
        await pass(20);
      }
      expect(at.most, mended).toBe(5);
      await pass(300);
    });

    const slots = bulkhead({ limit: 1 });
    const { pipe, clock } = stand([slots, timeout(20)]);
    const { at, fn } = meter(() => new Promise<void>((resolve) => void clock.after(300, resolve)));
    const calls = [];
    for (let n = 0; n < 5; n++) {
      calls.push(watch(pipe.execute(fn)));
      await clock.advance(20);
    }
    expect(at.most).toBe(1);
    expect(slots).toMatchObject({ active: 1, held: 1 });
    expect(calls.map(({ error }) => error?.code)).toEqual(['timeout', ...Array(4).fill('bulkhead_full')]);
    await clock.advance(200);
    expect(slots).toMatchObject({ active: 0, held: 0 });
    watch(pipe.execute(fn));
    expect(at).toEqual({ now: 1, most: 1 });
  });

  it('O-9: a call that times out aborts its own signal and nobody else', async () => {
    await onFakeTime(async (pass) => {
      const seen: (AbortSignal | undefined)[] = [];
      const peer = opossum(
        (fn: () => unknown) => {
          seen.push(peer.getSignal());
          return fn();
        },
        { timeout: 20, volumeThreshold: 100, abortController: new AbortController(), autoRenewAbortController: true },
      );
      watch(peer.fire(deaf));
      await pass(10);
      watch(peer.fire(deaf));
      await pass(10);
      await peer.fire(() => 'ok');
      expect(peer.closed).toBe(true);
      // The second had ten milliseconds left, the third had just begun.
      expect(
        seen.map((signal) => signal!.aborted),
        mended,
      ).toEqual([true, true, true]);
    });

    const { pipe, clock } = stand([retry({ maxRetries: 1, backoff: 0 }), timeout(20)]);
    const seen: AbortSignal[] = [];
    watch(pipe.execute(({ signal }) => (seen.push(signal), deaf())));
    await clock.advance(10);
    watch(pipe.execute(({ signal }) => (seen.push(signal), deaf())));
    await clock.advance(10);
    await pipe.execute(({ signal }) => (seen.push(signal), 'ok'));
    // The first, the second, the first once more, and the one that has just succeeded.
    expect(seen.map(({ aborted }) => aborted)).toEqual([true, false, false, false]);
    expect(new Set(seen).size).toBe(4);
  });

  it("O-20: the caller's own signal ends the call", async () => {
    const controller = new AbortController();
    const peer = opossum(deaf, { abortController: controller, timeout: false });
    const theirs = watch(peer.fire());
    controller.abort(boom);
    await turn();
    expect(theirs.state, mended).toBe('pending');

    const { pipe } = stand([circuitBreaker()]);
    const caller = new AbortController();
    const call = watch(pipe.execute(deaf, caller.signal));
    caller.abort(boom);
    await turn();
    expect(call.error).toBe(boom);
  });

  it('O-20: a timeout is told from a timeout of the socket', async () => {
    const socket = Object.assign(new Error('connect ETIMEDOUT'), { code: 'ETIMEDOUT' });
    await onFakeTime(async (pass) => {
      const call = watch(opossum(deaf, { timeout: 20 }).fire());
      await pass(20);
      expect(call.error, mended).toMatchObject({ name: socket.name, code: socket.code });
    });

    const { pipe, clock } = stand([timeout(20)]);
    const call = watch(pipe.execute(deaf));
    await clock.advance(20);
    expect(call.error).toMatchObject({ name: 'TimeoutError', code: 'timeout', policy: 'shop/timeout' });
    expect(isTimeoutError(call.error)).toBe(true);
    expect(isTimeoutError(socket)).toBe(false);
  });

  it('O-20: a step of the wall clock makes no call longer', async () => {
    const hour = 3_600_000;
    vi.useFakeTimers({ toFake: ['Date'] });
    try {
      const latencies: number[] = [];
      const theirs = deferred();
      const peer = opossum(() => theirs.promise, { timeout: false });
      peer.on('success', (_, latency) => latencies.push(latency));
      const call = peer.fire();
      vi.setSystemTime(Date.now() + hour);
      theirs.resolve('ok');
      await call;
      expect(latencies, mended).toEqual([hour]);

      const heard = recorder();
      using pipe = pipeline('shop', [circuitBreaker({ slowMs: hour / 2 })], { telemetry: false, observers: [heard] });
      const work = deferred();
      const own = pipe.execute(() => work.promise);
      vi.setSystemTime(Date.now() + hour);
      work.resolve('ok');
      await own;
      expect(heard.ends('execution')[0]!.durationMs).toBeLessThan(hour / 2);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('answers in place of a failure', () => {
  it('O-19: a fallback that fails does not hide what it was to stand in for', async () => {
    const late = () => Promise.reject(new Error('the cache is down'));
    const peer = opossum(down, {});
    peer.fallback(late);
    const theirs = await peer.fire().catch((error) => error);
    expect(theirs.message).toBe('the cache is down');
    expect(theirs.cause, mended).toBeUndefined();

    const { pipe, told } = stand([fallback(late)]);
    const { error }: any = await pipe.tryExecute(down);
    expect(error).toMatchObject({ message: 'the cache is down', cause: boom });
    expect(told('fallback')).toMatchObject([{ result: 'failure', error: boom, cause: error }]);
  });

  it('O-19: a fallback is reported once it has answered', async () => {
    const spare = deferred<string>();
    const payloads: unknown[] = [];
    const peer = opossum(down, {});
    peer.fallback(() => spare.promise);
    peer.on('fallback', (payload) => payloads.push(payload));
    const theirs = watch(peer.fire());
    await turn();
    expect(theirs.state).toBe('pending');
    expect(payloads, mended).toEqual([spare.promise]);

    const { pipe, told } = stand([fallback(() => spare.promise)]);
    const call = watch(pipe.execute(down));
    await turn();
    expect(told('fallback')).toEqual([]);
    spare.resolve('spare');
    await turn();
    expect(call.value).toBe('spare');
    expect(told('fallback')).toMatchObject([{ result: 'success', error: boom }]);
  });
});
