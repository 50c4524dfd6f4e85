import { getEventListeners } from 'node:events';
import { bulkhead, type CallContext, type Clock, circuitBreaker, fallback, pipeline, retry, timeout } from 'seaworthy';
import { virtualClock } from 'seaworthy/testing';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/ports/clock.ts';
import { deaf, stand, turn, watch } from '../policies/stand.ts';

const quiet = { telemetry: false } as const;
const minutes = 60_000;

describe('timeouts of any length', () => {
  it('of 10 ms and of 10 minutes in one pipeline both come at their time, and neither moves the other', async () => {
    const { clock, pipe } = stand([
      timeout({ ms: 10 * minutes, name: 'long' }),
      fallback((_, { signal }) => hang(signal)),
      timeout({ ms: 10, name: 'short' }),
    ]);
    const began = clock.now();
    const aborted: [number, unknown][] = [];
    const hang = (signal: AbortSignal) => {
      signal.addEventListener('abort', () => aborted.push([clock.now() - began, signal.reason.policy]));
      return deaf();
    };
    const seen = watch(pipe.execute(({ signal }) => hang(signal)));
    await clock.advance(9);
    expect(aborted).toEqual([]);
    await clock.advance(1);
    expect(aborted).toEqual([[10, 'short']]);
    await clock.advance(10 * minutes - 11);
    expect(seen.state).toBe('pending');
    await clock.advance(1);
    expect(seen.error).toMatchObject({ code: 'timeout', policy: 'long', timeoutMs: 10 * minutes });
    expect(aborted[1]).toEqual([10 * minutes, 'long']);
    expect(clock.pending).toBe(0);
  });

  it('of 10 ms is not early and does not wait for another pipeline’s of 10 minutes, on the clock of the system', async () => {
    const long = pipeline('long', [timeout(10 * minutes)], quiet);
    const short = pipeline('short', [timeout(10)], quiet);
    const caller = new AbortController();
    const waits = watch(long.execute(deaf, caller.signal));
    for (let round = 0; round < 5; round++) {
      const began = performance.now();
      await expect(short.execute(deaf)).rejects.toMatchObject({ timeoutMs: 10 });
      expect(performance.now() - began).toBeGreaterThanOrEqual(10);
    }
    expect(waits.state).toBe('pending');
    caller.abort('enough');
    await turn();
    expect(waits.error).toBe('enough');
  });

  it('does not end a function that never lets go of the event loop: its answer counts, and no timer is left', async () => {
    let blockedFor = 0;
    const loop = virtualClock();
    const clock: Clock = { now: () => loop.now() + blockedFor, after: (ms, fn) => loop.after(ms, fn) };
    const { pipe, told } = stand([timeout(10)], { clock });
    const blocked = ({ remainingMs }: CallContext) => {
      expect(remainingMs).toBe(10);
      blockedFor = 1_000;
      return 'answer';
    };
    await expect(pipe.execute(blocked)).resolves.toBe('answer');
    await loop.advance(1_000);
    expect(told('timeout', 'late')).toEqual([]);
    expect(loop.pending).toBe(0);
  });
});

describe('a coarse reading of the clock that is stale', () => {
  /** Time goes on, and the coarse reading stands still as it does in a stall. */
  const stale = () => {
    const clock = virtualClock(1_000);
    const reads = { coarse: 0 };
    return Object.assign(clock, { reads, coarse: () => (reads.coarse++, 1_000) });
  };

  it('moves no timeout, deadline, pause or wait for a slot', async () => {
    const clock = stale();
    const on = (...policies: Parameters<typeof pipeline>[1]) => pipeline('stale', policies, { clock, ...quiet });
    await clock.advance(500);
    const full = on(bulkhead({ limit: 1, queue: 1, maxWaitMs: 100 }));
    void full.execute(deaf);
    const again = on(retry({ maxRetries: 1, backoff: 100 }));
    const calls = [
      on(timeout(100)).execute(deaf),
      on(timeout(() => 100)).execute(deaf),
      on().execute(deaf, { timeoutMs: 100 }),
      full.execute(deaf),
      again.execute(({ attempt }) => (attempt === 1 ? Promise.reject(new Error('no')) : 'again')),
    ].map(watch);
    const left: number[] = [];
    for (const policy of [timeout(100), timeout(() => 100)])
      void on(policy).tryExecute((call) => {
        left.push(call.remainingMs);
        return deaf();
      });
    await clock.advance(99);
    expect(calls.map(({ state }) => state)).toEqual(calls.map(() => 'pending'));
    await clock.advance(1);
    expect(calls.map(({ state, error, value }) => (state === 'value' ? value : error.code))).toEqual([
      'timeout',
      'timeout',
      'timeout',
      'queue_timeout',
      'again',
    ]);
    expect(left).toEqual([100, 100]);
    // It was asked, so this clock is one that would have been believed.
    expect(clock.reads.coarse).toBeGreaterThan(0);
  });
});

describe('timers that a test runner has replaced', () => {
  afterEach(() => vi.useRealTimers());

  it('before a pipeline waits drive its timeouts, though it was made before them', async () => {
    const pipe = pipeline('before', [timeout(10 * minutes)], quiet);
    vi.useFakeTimers();
    const seen = watch(pipe.execute(deaf));
    await vi.advanceTimersByTimeAsync(10 * minutes - 1);
    expect(seen.state).toBe('pending');
    await vi.advanceTimersByTimeAsync(1);
    expect(seen.error).toMatchObject({ code: 'timeout' });
    await vi.runAllTimersAsync();
  });

  it('do not drive what waits on virtualClock(), which moves alone', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] });
    const { clock, pipe } = stand([timeout(10 * minutes)]);
    const seen = watch(pipe.execute(deaf));
    await vi.advanceTimersByTimeAsync(60 * minutes);
    expect([seen.state, clock.pending, vi.getTimerCount()]).toEqual(['pending', 1, 0]);
    await clock.advance(10 * minutes);
    expect(seen.error).toMatchObject({ code: 'timeout' });
  });

  it('never make a timeout early: one of the system’s clock goes by that clock', async () => {
    // As node:test does: the timers, but not the clock.
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const pipe = pipeline('clock', [timeout(10 * minutes)], quiet);
    const caller = new AbortController();
    const began = systemClock.now();
    const seen = watch(pipe.execute(deaf, caller.signal));
    await vi.advanceTimersByTimeAsync(11 * minutes);
    expect(seen.state).toBe('pending');
    caller.abort('enough');
    await turn();
    expect(seen.error).toBe('enough');
    expect(systemClock.now()).toBeLessThan(began + minutes);
  });

  it('that come while a call waits drive it and those after it, each at its time', async () => {
    const pipe = pipeline('late', [timeout(5_000)], quiet);
    const calls = [watch(pipe.execute(deaf))];
    vi.useFakeTimers();
    calls.push(watch(pipe.execute(deaf)));
    await vi.advanceTimersByTimeAsync(1_000);
    calls.push(watch(pipe.execute(deaf)));
    const codes = () => calls.map(({ error }) => error?.code);
    await vi.advanceTimersByTimeAsync(3_990);
    expect(codes()).toEqual([undefined, undefined, undefined]);
    await vi.advanceTimersByTimeAsync(10);
    expect(codes()).toEqual(['timeout', 'timeout', undefined]);
    await vi.advanceTimersByTimeAsync(999);
    expect(codes()).toEqual(['timeout', 'timeout', undefined]);
    await vi.advanceTimersByTimeAsync(1);
    expect(codes()).toEqual(['timeout', 'timeout', 'timeout']);
  });

  it('and taken away leave no timeout of the same pipeline behind that never comes', async () => {
    const pipe = pipeline('gone', [timeout(20)], quiet);
    for (let round = 0; round < 2; round++) {
      vi.useFakeTimers();
      await pipe.execute(async () => 1);
      vi.useRealTimers();
      await expect(pipe.execute(deaf)).rejects.toMatchObject({ code: 'timeout' });
    }
  });

  it('and taken away keep nothing of any pipeline from being let go', async () => {
    const other = pipeline('other', [timeout(60 * minutes)], quiet);
    for (const used of [pipeline('own', [timeout(20)], quiet), stand([timeout(20)]).pipe])
      for (const again of [used, other]) {
        const { signal } = new AbortController();
        vi.useFakeTimers();
        for (let call = 0; call < 3; call++) await used.execute(async () => 1, again === used ? signal : undefined);
        vi.useRealTimers();
        await again.execute(async () => 1, signal);
        await again.execute(async () => 1, signal);
        expect(getEventListeners(signal, 'abort')).toHaveLength(1);
        await turn();
        await turn();
        expect(getEventListeners(signal, 'abort')).toEqual([]);
      }
  });

  it('let time go on: a circuit that has opened before them closes when they say so, and no reading is below another', async () => {
    const breaker = circuitBreaker({ consecutiveFailures: 1, breakMs: 10 * minutes });
    const pipe = pipeline('circuit', [breaker], quiet);
    await pipe.tryExecute(() => Promise.reject(new Error('down')));
    const readings = [systemClock.now()];
    vi.useFakeTimers();
    readings.push(systemClock.now());
    expect(readings[1]).toBeLessThan(readings[0]! + minutes);
    await vi.advanceTimersByTimeAsync(9 * minutes);
    expect((await pipe.tryExecute(() => 1)).error).toMatchObject({ code: 'circuit_open' });
    await vi.advanceTimersByTimeAsync(minutes);
    expect((await pipe.tryExecute(() => 1)).value).toBe(1);
    readings.push(systemClock.now());
    vi.useRealTimers();
    readings.push(systemClock.now());
    expect(readings).toEqual(readings.toSorted((a, b) => a - b));
  });

  it('are no part of what was asked for before them: that is cleared where it came from', () => {
    const waiting = () => process.getActiveResourcesInfo().filter((each) => each === 'Timeout').length;
    const before = waiting();
    const timer = systemClock.after(60 * minutes, () => {});
    expect(waiting()).toBe(before + 1);
    vi.useFakeTimers({ shouldClearNativeTimers: false });
    timer.cancel();
    const fake = systemClock.after(60 * minutes, () => {});
    expect([waiting(), vi.getTimerCount()]).toEqual([before, 1]);
    vi.useRealTimers();
    fake.cancel();
    expect(waiting()).toBe(before);
  });
});
