import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import * as cockatiel from 'cockatiel';
import { circuitBreaker, pipeline, retry, timeout } from 'seaworthy';
import { describe, expect, it, vi } from 'vitest';
import { deaf, deferred, likeFetch, stand, stateOf, turn, watch } from '../policies/stand.ts';
import { boom, down, gone, onFakeHost, ours, touchy } from './cockatiel-fixture.ts';
import { mended, onFakeTime } from './scene.ts';

const { CircuitState, ConstantBackoff, handleAll, TimeoutStrategy } = cockatiel;
const { Aggressive, Cooperative } = TimeoutStrategy;

describe('cancellation', () => {
  it('C-1: an abort during a backoff ends the wait at once, with its own reason', async () => {
    await onFakeTime(async (pass) => {
      const caller = new AbortController();
      const fn = vi.fn(down);
      const policy = cockatiel.retry(handleAll, { maxAttempts: 3, backoff: new ConstantBackoff(400) });
      const call = watch(policy.execute(fn, caller.signal));
      await pass(50);
      caller.abort(gone);
      await pass(349);
      expect(call.state, mended).toBe('pending');
      await pass(1);
      expect(call.error, mended).toBe(boom);
      expect(fn, mended).toHaveBeenCalledTimes(2);
    });

    const { pipe, clock } = stand([retry({ maxRetries: 3, backoff: 400 })]);
    const caller = new AbortController();
    const fn = vi.fn(down);
    const call = watch(pipe.execute(fn, caller.signal));
    await clock.advance(50);
    caller.abort(gone);
    await turn();
    expect(call.error).toBe(gone);
    expect(clock.pending).toBe(0);
    await clock.advance(1_000);
    expect(fn).toHaveBeenCalledTimes(1);
  });

  it('C-2: a call whose signal has aborted already does not call the function, and counts as nothing', async () => {
    for (const policy of [
      cockatiel.retry(handleAll, { maxAttempts: 3 }),
      cockatiel.timeout(1_000, Cooperative),
      touchy(),
    ]) {
      const fn = vi.fn(() => 'done');
      expect(await policy.execute(fn, AbortSignal.abort(gone)), mended).toBe('done');
      expect(fn, mended).toHaveBeenCalledTimes(1);
    }

    for (const policy of [retry(), timeout(1_000), timeout({ ms: 1_000, mode: 'cooperative' }), circuitBreaker()]) {
      const { pipe, events } = stand([policy]);
      const fn = vi.fn(() => 'done');
      expect((await pipe.tryExecute(fn, AbortSignal.abort(gone))).error).toBe(gone);
      expect(fn).not.toHaveBeenCalled();
      expect(pipe.snapshot()).toMatchObject({ attempts: 0, outcomes: { cancelled: 1, success: 0, failure: 0 } });
      expect(events).toMatchObject([{ type: 'execution_end', outcome: 'cancelled' }]);
    }
    const { pipe } = stand([circuitBreaker()]);
    await pipe.tryExecute(() => 'done', AbortSignal.abort(gone));
    expect(stateOf(pipe).executions).toEqual({ success: 0, failure: 0, ignored: 0, rejected: 0 });
  });

  it("C-3: the caller's abort is not reported as a timeout", async () => {
    await onFakeTime(async (pass) => {
      const caller = new AbortController();
      const policy = cockatiel.timeout(1_000, Aggressive);
      const onTimeout = vi.fn();
      policy.onTimeout(onTimeout);
      const call = watch(policy.execute(deaf, caller.signal));
      await pass(20);
      caller.abort(gone);
      await pass(0);
      expect(onTimeout, mended).toHaveBeenCalledTimes(1);
      expect(call.error, mended).toBeInstanceOf(cockatiel.TaskCancelledError);
      expect(call.error.message, mended).toBe('Operation timed out after 1000ms');
      expect(call.error.cause, mended).toBeUndefined();
    });

    const { pipe, clock, told } = stand([timeout(1_000)]);
    const caller = new AbortController();
    const call = watch(pipe.execute(deaf, caller.signal));
    await clock.advance(20);
    caller.abort(gone);
    await turn();
    expect(call.error).toBe(gone);
    expect(told('timeout')).toEqual([]);
    expect(stateOf(pipe)).toMatchObject({ timeouts: 0 });
  });
});

describe('time', () => {
  it('C-4: a function that answers its signal does not win against the TimeoutError', async () => {
    await onFakeTime(async (pass) => {
      let signal!: AbortSignal;
      const policy = cockatiel.timeout(20, Aggressive);
      const call = watch(policy.execute((context) => likeFetch({ signal: (signal = context.signal) })));
      await pass(20);
      expect(call.error, mended).toBeInstanceOf(DOMException);
      expect(call.error.name, mended).toBe('AbortError');
      expect(signal.reason.name, mended).toBe('AbortError');
    });

    const { pipe, clock } = stand([timeout(20)]);
    let signal!: AbortSignal;
    const call = watch(pipe.execute((context) => likeFetch({ signal: (signal = context.signal) })));
    await clock.advance(20);
    expect(call.error).toMatchObject({ name: 'TimeoutError', code: 'timeout', timeoutMs: 20 });
    expect(signal.reason).toBe(call.error);
    expect(call.error.cause).toMatchObject({ name: 'AbortError' });
  });

  it('C-5: a function that ignores its signal is given up in time, and its late answer is never the result', async () => {
    await onFakeTime(async (pass) => {
      const policy = cockatiel.timeout(20, Cooperative);
      const onTimeout = vi.fn();
      policy.onTimeout(onTimeout);
      const work = deferred<string>();
      const hung = watch(policy.execute(deaf));
      const late = watch(policy.execute(() => work.promise));
      await pass(60);
      expect(onTimeout, mended).toHaveBeenCalledTimes(2);
      work.resolve('late value');
      await pass(3_600_000);
      expect(late.value, mended).toBe('late value');
      expect(hung.state, mended).toBe('pending');
    });

    const { pipe, clock, told } = stand([timeout(20)]);
    const work = deferred<string>();
    const onDiscard = vi.fn();
    const call = watch(pipe.execute(() => work.promise, { onDiscard }));
    await clock.advance(20);
    expect(call.error).toMatchObject({ code: 'timeout', timeoutMs: 20 });
    expect(told('late')).toEqual([]);
    await clock.advance(40);
    work.resolve('late value');
    await turn();
    expect(told('late')).toMatchObject([{ policy: 'shop/timeout', value: 'late value' }]);
    expect(onDiscard.mock.calls).toEqual([['late value']]);
    expect(stateOf(pipe)).toMatchObject({ timeouts: 1, late: 1 });
    expect(pipe.snapshot().outcomes).toMatchObject({ success: 0, failure: 1 });
  });

  it('C-5: where the function is waited for after its time, the late answer is not the result either', async () => {
    const { pipe, clock } = stand([timeout({ ms: 20, mode: 'cooperative' })]);
    const work = deferred<string>();
    const call = watch(pipe.execute(() => work.promise));
    await clock.advance(60);
    expect(call.state).toBe('pending');
    work.resolve('late value');
    await turn();
    expect(call.error).toMatchObject({ code: 'timeout' });
  });

  it('C-6: a timeout that no platform timer holds does not fire at once', async () => {
    for (const ms of [Infinity, 2 ** 31]) {
      await onFakeTime(async (pass) => {
        const call = watch(cockatiel.timeout(ms, Aggressive).execute(deaf));
        await pass(1);
        expect(call.error, mended).toBeInstanceOf(cockatiel.TaskCancelledError);
      });
    }
    for (const ms of [Number.NaN, -1]) expect(() => cockatiel.timeout(ms, Aggressive), mended).not.toThrow();

    await onFakeHost(async (pass) => {
      const never = pipeline('never', [timeout(Infinity)], { telemetry: false });
      const month = pipeline('month', [timeout(2 ** 31)], { telemetry: false });
      const calls = [watch(never.execute(deaf)), watch(month.execute(deaf))];
      expect(vi.getTimerCount()).toBe(1);
      await pass(2 ** 31 - 1);
      expect(calls.map(({ state }) => state)).toEqual(['pending', 'pending']);
      await pass(1);
      expect(calls.map(({ state }) => state)).toEqual(['pending', 'error']);
      expect(calls[1]!.error).toMatchObject({ code: 'timeout', timeoutMs: 2 ** 31 });
    });
    for (const ms of [Number.NaN, -1, 0]) expect(() => timeout(ms)).toThrow(RangeError);
  });

  it('C-7: a body can still be read after the call that fetched it has succeeded', async () => {
    const open: ServerResponse[] = [];
    const server = createServer((_, response) => {
      open.push(response);
      response.writeHead(200).write('first half, ');
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const finish = () => open.shift()!.end('second half');
    try {
      const policy = cockatiel.timeout(10_000, Aggressive);
      const cut = await policy.execute(({ signal }) => fetch(url, { signal }));
      finish();
      await expect(cut.text(), mended).rejects.toMatchObject({ name: 'AbortError' });

      const { pipe } = stand([timeout(10_000)]);
      let signal!: AbortSignal;
      const whole = await pipe.execute((context) => fetch(url, { signal: (signal = context.signal) }));
      await turn();
      finish();
      expect(await whole.text()).toBe('first half, second half');
      expect(signal.aborted).toBe(false);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  it.each([-3_600_000, 3_600_000])('C-11: a wall clock that jumps by %d ms changes no break', async (jump) => {
    await onFakeTime(async (pass) => {
      const policy = touchy();
      await policy.execute(down).catch(() => {});
      vi.setSystemTime(Date.now() + jump);
      // Set back it stays open for an hour more, set forward the break is over at once.
      await pass(jump < 0 ? 3_600_000 : 0);
      const call = watch(policy.execute(() => 'ok'));
      await pass(0);
      expect(call.state, mended).toBe(jump < 0 ? 'error' : 'value');
    });

    await onFakeHost(async (pass) => {
      const breaker = ours();
      const pipe = pipeline('wall', [breaker], { telemetry: false });
      await pipe.tryExecute(down);
      vi.setSystemTime(Date.now() + jump);
      await pass(99);
      expect(await pipe.tryExecute(() => 'ok')).toMatchObject({ error: { code: 'circuit_open', retryAfterMs: 1 } });
      await pass(1);
      expect(await pipe.execute(() => 'ok')).toBe('ok');
      expect(breaker.state).toBe('closed');
    });
  });

  it('C-11: a wall clock that is set back keeps no old failures alive', async () => {
    await onFakeTime(async (pass) => {
      const breaker = new cockatiel.SamplingBreaker({ threshold: 0.5, duration: 5_000, minimumRps: 1 });
      const policy = cockatiel.circuitBreaker(handleAll, { halfOpenAfter: 100, breaker });
      for (let n = 0; n < 4; n++) await policy.execute(down).catch(() => {});
      vi.setSystemTime(Date.now() - 3_600_000);
      for (let n = 0; n < 10; n++) await pass(60_000);
      await policy.execute(down).catch(() => {});
      expect(policy.state, mended).toBe(CircuitState.Open);
    });

    await onFakeHost(async (pass) => {
      const breaker = circuitBreaker({ failureRatio: 0.5, minimumCalls: 5, windowMs: 5_000 });
      const pipe = pipeline('wall', [breaker], { telemetry: false });
      for (let n = 0; n < 4; n++) await pipe.tryExecute(down);
      vi.setSystemTime(Date.now() - 3_600_000);
      await pass(6_000);
      await pipe.tryExecute(down);
      expect(breaker.state).toBe('closed');
    });
  });

  it('C-11: a snapshot holds no dates that another clock would read otherwise', async () => {
    await onFakeTime(async (pass) => {
      const policy = touchy();
      await policy.execute(down).catch(() => {});
      const kept = policy.toJSON() as any;
      vi.setSystemTime(Date.now() - 3_600_000);
      const options = { halfOpenAfter: 100, breaker: new cockatiel.ConsecutiveBreaker(1), initialState: kept };
      const restored = cockatiel.circuitBreaker(handleAll, options);
      await pass(3_500_000);
      await expect(
        restored.execute(() => 'ok'),
        mended,
      ).rejects.toThrow(cockatiel.BrokenCircuitError);
    });

    const breaker = ours();
    const { pipe, clock } = stand([breaker]);
    await clock.advance(3_600_000);
    await pipe.tryExecute(down);
    await clock.advance(40);
    const initialState = JSON.parse(JSON.stringify(breaker));
    expect(initialState).toMatchObject({ state: 'open', openForMs: 40, remainingMs: 60 });
    // Its clock begins at 0: an hour less.
    const restored = circuitBreaker({ consecutiveFailures: 1, breakMs: 100, halfOpenCalls: 1, initialState });
    const again = stand([restored]);
    await again.clock.advance(59);
    expect(restored.state).toBe('open');
    await again.clock.advance(1);
    expect(await again.pipe.execute(() => 'ok')).toBe('ok');
    expect(restored.state).toBe('closed');
  });
});
