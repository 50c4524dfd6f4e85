import * as cockatiel from 'cockatiel';
import { circuitBreaker } from 'seaworthy';
import { describe, expect, it, vi } from 'vitest';
import { deaf, likeFetch, stand, turn, watch } from '../policies/stand.ts';
import { down, gone, HttpError, ours, touchy, works } from './cockatiel-fixture.ts';
import { mended, onFakeTime } from './scene.ts';

const { CircuitState, ConsecutiveBreaker, handleAll } = cockatiel;

describe('half-open', () => {
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

  it('C-9: what recovers gets a few calls and not the whole crowd', async () => {
    /** One call after the break and a thousand more while it runs; answers how many were let through at once. */
    async function crowd(execute: (fn: () => Promise<string>) => Promise<unknown>) {
      const [probe, work] = works(2);
      const fn = vi.fn(() => work!.promise);
      const first = watch(execute(() => probe!.promise));
      const calls = Array.from({ length: 1_000 }, () => watch(execute(fn)));
      await turn();
      probe!.resolve('ok');
      await turn();
      expect(first.value).toBe('ok');
      const atOnce = fn.mock.calls.length;
      work!.resolve('ok');
      await turn();
      return { atOnce, turnedAway: calls.filter(({ error }) => error?.code === 'circuit_open').length };
    }

    await onFakeTime(async (pass) => {
      const policy = touchy();
      await policy.execute(down).catch(() => {});
      await pass(100);
      expect(await crowd((fn) => policy.execute(fn)), mended).toEqual({ atOnce: 1_000, turnedAway: 0 });
    });

    const breaker = circuitBreaker({ consecutiveFailures: 1, breakMs: 100 });
    const { pipe, clock } = stand([breaker]);
    await pipe.tryExecute(down);
    await clock.advance(100);
    // Three places by default, one of which the first call has.
    expect(await crowd((fn) => pipe.execute(fn))).toEqual({ atOnce: 2, turnedAway: 998 });
    expect(breaker.state).toBe('closed');
  });

  it('C-10: a half-open circuit decides as soon as the rest can change nothing', async () => {
    await onFakeTime(async (pass) => {
      const policy = cockatiel.circuitBreaker(handleAll, {
        halfOpenAfter: 100,
        halfOpenSampling: { calls: 3, threshold: 0.5 },
        breaker: new ConsecutiveBreaker(1),
      });
      await policy.execute(down).catch(() => {});
      await pass(100);
      watch(policy.execute(deaf));
      for (let n = 0; n < 2; n++) await policy.execute(() => 'ok');
      const fourth = watch(policy.execute(() => 'ok'));
      await pass(3_600_000);
      expect(fourth.state, mended).toBe('pending');
      expect(policy.state, mended).toBe(CircuitState.HalfOpen);
    });

    const breaker = sampling();
    const { pipe, clock } = stand([breaker]);
    await pipe.tryExecute(down);
    await clock.advance(100);
    watch(pipe.execute(deaf));
    await pipe.execute(() => 'ok');
    expect(breaker.state).toBe('half_open');
    await pipe.execute(() => 'ok');
    expect(breaker.state).toBe('closed');
  });

  it('C-10: probes that hang end the half-open period, which does not last for ever', async () => {
    const breaker = sampling();
    const { pipe, clock } = stand([breaker]);
    await pipe.tryExecute(down);
    await clock.advance(100);
    for (let n = 0; n < 2; n++) watch(pipe.execute(deaf));
    await pipe.execute(() => 'ok');
    expect(await pipe.tryExecute(() => 'ok')).toMatchObject({ error: { code: 'circuit_open', retryAfterMs: 1_000 } });
    await clock.advance(999);
    expect(breaker.state).toBe('half_open');
    await clock.advance(1);
    expect(breaker.state).toBe('open');
    await clock.advance(100);
    expect(await pipe.execute(() => 'ok')).toBe('ok');
  });

  /** Three probes, of which one may fail. */
  const sampling = () =>
    circuitBreaker({ failureRatio: 0.5, minimumCalls: 1, breakMs: 100, halfOpenCalls: 3, halfOpenMs: 1_000 });

  it('C-17: a cancelled probe decides nothing and gives its place to another', async () => {
    const fail = () => Promise.reject(new HttpError(503));
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
});
