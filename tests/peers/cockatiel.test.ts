import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import * as cockatiel from 'cockatiel';
import { bulkhead, circuitBreaker, retry, timeout } from 'seaworthy';
import { describe, expect, it, vi } from 'vitest';
import { deaf, deferred, likeFetch, stand, stateOf, turn, watch } from '../policies/stand.ts';
import { mended, onFakeTime } from './scene.ts';

const { CircuitState, ConsecutiveBreaker, ConstantBackoff, handleAll, TimeoutStrategy } = cockatiel;
const { Aggressive } = TimeoutStrategy;

const boom = new Error('boom');
const gone = new Error('the user is gone');
const down = () => Promise.reject(boom);

class HttpError extends Error {}

/** cockatiel's breaker that opens at once and breaks for 100 ms. */
const touchy = (failures = 1) =>
  cockatiel.circuitBreaker(handleAll, { halfOpenAfter: 100, breaker: new ConsecutiveBreaker(failures) });

/** Ours, with the same numbers. */
const ours = (failures = 1) =>
  circuitBreaker({ consecutiveFailures: failures, breakMs: 100, halfOpenCalls: 1, halfOpenMs: 1_000 });

/** Works that end when told. */
const works = (n: number) => Array.from({ length: n }, () => deferred<string>());

describe('cancellation and time', () => {
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

  it('C-8: a hung probe holds up nobody, and its lease ends', async () => {
    await onFakeTime(async (pass) => {
      const policy = touchy();
      const caller = new AbortController();
      await policy.execute(down).catch(() => {});
      await pass(100);
      watch(policy.execute(deaf));
      const calls = Array.from({ length: 1_000 }, () => watch(policy.execute(() => 'ok', caller.signal)));
      await pass(50);
      caller.abort(gone);
      await pass(3_600_000);
      expect(
        calls.every(({ state }) => state === 'pending'),
        mended,
      ).toBe(true);
      expect(policy.state, mended).toBe(CircuitState.HalfOpen);
    });

    const breaker = ours();
    const { pipe, clock } = stand([breaker]);
    await pipe.tryExecute(down);
    await clock.advance(100);
    watch(pipe.execute(deaf));
    const { signal } = new AbortController();
    const calls = Array.from({ length: 1_000 }, () => watch(pipe.execute(() => 'ok', signal)));
    await turn();
    expect(calls.every(({ error }) => error?.code === 'circuit_open')).toBe(true);
    expect(breaker.state).toBe('half_open');
    await clock.advance(1_000);
    expect(breaker.state).toBe('open');
    await clock.advance(100);
    expect(breaker.state).toBe('half_open');
    expect(await pipe.execute(() => 'ok')).toBe('ok');
    expect(breaker.state).toBe('closed');
  });
});

describe('the state machine', () => {
  it('C-12a: a failure from before the break does not decide the half-open period', async () => {
    const [old, probe] = works(2);
    await onFakeTime(async (pass) => {
      const policy = touchy();
      const states: string[] = [];
      policy.onStateChange((state) => states.push(CircuitState[state]));
      watch(policy.execute(() => old!.promise));
      await policy.execute(down).catch(() => {});
      await pass(100);
      watch(policy.execute(() => probe!.promise));
      old!.reject(boom);
      await pass(0);
      probe!.resolve('ok');
      await pass(0);
      expect(states, mended).toEqual(['Open', 'HalfOpen', 'Open']);
    });

    const breaker = ours();
    const { pipe, clock, told } = stand([breaker]);
    const [late, judge] = works(2);
    watch(pipe.execute(() => late!.promise));
    await pipe.tryExecute(down);
    await clock.advance(100);
    watch(pipe.execute(() => judge!.promise));
    late!.reject(boom);
    await turn();
    expect(breaker.state).toBe('half_open');
    judge!.resolve('ok');
    await turn();
    expect(breaker.state).toBe('closed');
    expect(told('circuit_state').map((event) => 'state' in event && event.state)).toEqual([
      'open',
      'half_open',
      'closed',
    ]);
  });

  it('C-12b: failures from before the outage do not open a circuit that has recovered', async () => {
    await onFakeTime(async (pass) => {
      const policy = touchy(2);
      const late = works(2);
      for (const work of late) watch(policy.execute(() => work.promise));
      for (let n = 0; n < 2; n++) await policy.execute(down).catch(() => {});
      await pass(100);
      await policy.execute(() => 'ok');
      expect(policy.state).toBe(CircuitState.Closed);
      for (const work of late) work.reject(boom);
      await pass(0);
      expect(policy.state, mended).toBe(CircuitState.Open);
    });

    const breaker = ours(2);
    const { pipe, clock } = stand([breaker]);
    const late = works(2);
    for (const work of late) watch(pipe.execute(() => work.promise));
    for (let n = 0; n < 2; n++) await pipe.tryExecute(down);
    expect(breaker.state).toBe('open');
    await clock.advance(100);
    await pipe.execute(() => 'ok');
    for (const work of late) work.reject(boom);
    await turn();
    expect(breaker.state).toBe('closed');
  });

  it('C-14: a queued call that is aborted leaves at once, and its place is free', async () => {
    const caller = new AbortController();
    const policy = cockatiel.bulkhead(1, 1);
    watch(policy.execute(deaf));
    const queued = watch(policy.execute(() => 'queued', caller.signal));
    caller.abort(gone);
    await turn();
    expect(queued.state, mended).toBe('pending');
    await expect(
      policy.execute(() => 'next'),
      mended,
    ).rejects.toThrow(cockatiel.BulkheadRejectedError);

    const again = new AbortController();
    const slots = bulkhead({ limit: 1, queue: 1 });
    const { pipe } = stand([slots]);
    const first = deferred<string>();
    watch(pipe.execute(() => first.promise));
    const waiting = watch(pipe.execute(() => 'queued', again.signal));
    again.abort(gone);
    await turn();
    expect(waiting.error).toBe(gone);
    expect(slots.queued).toBe(0);
    const next = watch(pipe.execute(() => 'next'));
    expect(slots.queued).toBe(1);
    first.resolve('done');
    await turn();
    expect(next.value).toBe('next');
  });

  it('C-15: a newcomer neither overtakes the queue nor pushes out a call that was accepted', async () => {
    /** A runs, B waits; C and D arrive in the burst of microtasks in which A ends. */
    async function burst(execute: (fn: () => unknown) => Promise<unknown>) {
      const started: string[] = [];
      const work = deferred<string>();
      const hold = deferred<string>();
      const run = (name: string, answer: () => unknown) => watch(execute(() => (started.push(name), answer())));
      const calls: Record<string, ReturnType<typeof watch>> = {};
      calls.A = run('A', () => work.promise);
      calls.B = run('B', () => hold.promise);
      void work.promise.then(() => {
        calls.C = run('C', () => hold.promise);
        calls.D = run('D', () => hold.promise);
      });
      work.resolve('done');
      await turn();
      const rejected = Object.keys(calls).filter((name) => calls[name]!.state === 'error');
      hold.resolve('done');
      await turn();
      return { started, rejected };
    }

    const policy = cockatiel.bulkhead(1, 1);
    expect(await burst((fn) => policy.execute(fn)), mended).toEqual({ started: ['A', 'C', 'D'], rejected: ['B'] });

    const { pipe } = stand([bulkhead({ limit: 1, queue: 1 })]);
    expect(await burst((fn) => pipe.execute(fn))).toEqual({ started: ['A', 'B', 'C'], rejected: ['D'] });
  });

  it('C-16: a queued call runs in the async context of the one who queued it', async () => {
    const who = new AsyncLocalStorage<string>();
    async function seen(execute: (fn: () => unknown) => Promise<unknown>) {
      const contexts: unknown[] = [];
      const held = works(3);
      for (const n of [0, 1, 2])
        who.run(`req${n + 1}`, () => watch(execute(() => (contexts.push(who.getStore()), held[n]!.promise))));
      for (const work of held) {
        work.resolve('done');
        await turn();
      }
      return contexts;
    }

    const policy = cockatiel.bulkhead(1, 5);
    expect(await seen((fn) => policy.execute(fn)), mended).toEqual(['req1', 'req1', 'req1']);

    const { pipe } = stand([bulkhead({ limit: 1, queue: 5 })]);
    expect(await seen((fn) => pipe.execute(fn))).toEqual(['req1', 'req2', 'req3']);
  });

  it('C-17: three cancellations are not three failures', async () => {
    async function cancelThree(execute: (signal: AbortSignal) => Promise<unknown>) {
      for (let n = 0; n < 3; n++) {
        const caller = new AbortController();
        const call = watch(execute(caller.signal));
        caller.abort(gone);
        await turn();
        expect(call.state).toBe('error');
      }
    }

    const policy = touchy(3);
    await cancelThree((signal) => policy.execute(likeFetch, signal));
    expect(policy.state, mended).toBe(CircuitState.Open);

    const breaker = ours(3);
    const { pipe } = stand([breaker]);
    await cancelThree((signal) => pipe.execute(likeFetch, signal));
    expect(breaker.state).toBe('closed');
    expect(stateOf(pipe).executions).toMatchObject({ ignored: 3, failure: 0 });
  });

  it('C-17: a cancelled probe decides nothing and gives its place to another', async () => {
    const fail = () => Promise.reject(new HttpError('503'));
    await onFakeTime(async (pass) => {
      const policy = cockatiel.circuitBreaker(cockatiel.handleType(HttpError), {
        halfOpenAfter: 100,
        breaker: new ConsecutiveBreaker(1),
      });
      await policy.execute(fail).catch(() => {});
      await pass(100);
      const caller = new AbortController();
      watch(policy.execute(likeFetch, caller.signal));
      expect(policy.state).toBe(CircuitState.HalfOpen);
      caller.abort(gone);
      await pass(0);
      expect(policy.state, mended).toBe(CircuitState.Closed);
    });

    const breaker = circuitBreaker({
      consecutiveFailures: 1,
      breakMs: 100,
      halfOpenCalls: 1,
      when: (error) => error instanceof HttpError,
    });
    const { pipe, clock } = stand([breaker]);
    await pipe.tryExecute(fail);
    await clock.advance(100);
    const caller = new AbortController();
    watch(pipe.execute(likeFetch, caller.signal));
    caller.abort(gone);
    await turn();
    expect(breaker.state).toBe('half_open');
    expect(await pipe.execute(() => 'ok')).toBe('ok');
    expect(breaker.state).toBe('closed');
  });

  it('C-19: failures from an hour ago are forgotten, however quiet it was since', async () => {
    await onFakeTime(async (pass) => {
      const breaker = new cockatiel.SamplingBreaker({ threshold: 0.5, duration: 5_000, minimumRps: 1 });
      const policy = cockatiel.circuitBreaker(handleAll, { halfOpenAfter: 100, breaker });
      for (let n = 0; n < 4; n++) await policy.execute(down).catch(() => {});
      await pass(3_600_000);
      expect(policy.state).toBe(CircuitState.Closed);
      await policy.execute(down).catch(() => {});
      expect(policy.state, mended).toBe(CircuitState.Open);
    });

    const breaker = circuitBreaker({ failureRatio: 0.5, minimumCalls: 5, windowMs: 5_000 });
    const { pipe, clock } = stand([breaker]);
    for (let n = 0; n < 4; n++) await pipe.tryExecute(down);
    await clock.advance(3_600_000);
    await pipe.tryExecute(down);
    expect(breaker.state).toBe('closed');
    for (let n = 0; n < 4; n++) await pipe.tryExecute(down);
    expect(breaker.state).toBe('open');
  });
});

describe('robustness', () => {
  it('C-25: a listener that throws repeats no work and changes no answer', async () => {
    const rude = () => {
      throw new Error('rude listener');
    };
    await onFakeTime(async (pass) => {
      const policy = cockatiel.retry(handleAll, { maxAttempts: 2, backoff: new ConstantBackoff(0) });
      const onFailure = vi.fn();
      policy.onSuccess(rude);
      policy.onFailure(onFailure);
      const fn = vi.fn(() => 'done');
      const call = watch(policy.execute(fn));
      await pass(10);
      expect(fn, mended).toHaveBeenCalledTimes(3);
      expect(call.error?.message, mended).toBe('rude listener');
      expect(onFailure, mended).toHaveBeenCalledTimes(3);
    });

    const told = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    try {
      const { pipe, events } = stand([retry({ maxRetries: 2, backoff: 0 })]);
      pipe.subscribe(rude);
      pipe.onSuccess(rude);
      const fn = vi.fn(() => 'done');
      expect(await pipe.execute(fn)).toBe('done');
      expect(fn).toHaveBeenCalledTimes(1);
      expect(events.at(-1)).toMatchObject({ type: 'execution_end', outcome: 'success' });
      expect(told).toHaveBeenCalledTimes(1);
      expect(told.mock.calls[0]![0]).toMatchObject({ cause: { message: 'rude listener' } });
    } finally {
      told.mockRestore();
    }
  });

  it('C-25: a listener that throws when the circuit opens does not hide the error that opened it', async () => {
    const rude = () => {
      throw new Error('rude listener');
    };
    const policy = touchy();
    policy.onBreak(rude);
    await expect(policy.execute(down), mended).rejects.toThrow('rude listener');

    const told = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    try {
      const breaker = ours();
      const { pipe } = stand([breaker]);
      pipe.subscribe(rude);
      expect(await pipe.tryExecute(down)).toMatchObject({ error: boom });
      expect(breaker.state).toBe('open');
    } finally {
      told.mockRestore();
    }
  });
});
