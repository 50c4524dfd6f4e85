import { IterableBackoff } from 'cockatiel';
import { bulkhead, circuitBreaker } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { deaf, deferred, likeFetch, stand, stateOf, turn, watch } from '../policies/stand.ts';
import { boom, down, opossum, run } from './opossum-fixture.ts';
import { mended, onFakeTime } from './scene.ts';

describe('when it opens', () => {
  it('O-3: one failure opens nothing: by default it takes ten calls, half of them failed', async () => {
    const peer = opossum(down, {});
    await peer.fire().catch(() => {});
    expect(peer.opened, mended).toBe(true);

    for (const successes of [0, 5]) {
      const breaker = circuitBreaker();
      const { pipe } = stand([breaker]);
      for (let n = 0; n < successes; n++) await pipe.execute(() => 'ok');
      for (let n = successes; n < 9; n++) await pipe.tryExecute(down);
      expect(breaker.state).toBe('closed');
      await pipe.tryExecute(down);
      expect(breaker.state).toBe('open');
    }
  });

  it('O-4: calls turned away by our own limit do not open the circuit', async () => {
    const healthy = deferred<string>();
    const peer = opossum(() => healthy.promise, { capacity: 1, volumeThreshold: 4, timeout: false });
    const calls = Array.from({ length: 4 }, () => watch(peer.fire()));
    await turn();
    expect(calls.filter(({ error }) => error?.code === 'ESEMLOCKED')).toHaveLength(3);
    expect(peer.opened, mended).toBe(true);
    healthy.resolve('ok');

    const breaker = circuitBreaker({ consecutiveFailures: 1, failureRatio: 0.5, minimumCalls: 3 });
    const { pipe } = stand([breaker, bulkhead({ limit: 1 })]);
    const work = deferred<string>();
    const own = Array.from({ length: 4 }, () => watch(pipe.execute(() => work.promise)));
    await turn();
    expect(own.filter(({ error }) => error?.code === 'bulkhead_full')).toHaveLength(3);
    expect(breaker.state).toBe('closed');
    work.resolve('ok');
    await turn();
    expect(stateOf(pipe).executions).toMatchObject({ success: 1, ignored: 3, failure: 0 });
  });

  it('O-8: only calls that have ended are counted: not those in flight, turned away or cancelled', async () => {
    const peer = opossum((n: number) => (n === 0 ? 'ok' : Promise.reject(boom)), { cache: true, volumeThreshold: 10 });
    for (let n = 0; n < 21; n++) await peer.fire(0);
    for (let n = 1; n <= 10; n++) await peer.fire(n).catch(() => {});
    // Ten of eleven calls have failed; twenty more were answered by the cache.
    expect(peer.stats, mended).toMatchObject({ failures: 10, fires: 31 });
    expect(peer.closed, mended).toBe(true);

    const breaker = circuitBreaker({ failureRatio: 1, minimumCalls: 10 });
    const { pipe } = stand([breaker, bulkhead({ limit: 40 })]);
    const caller = new AbortController();
    for (let n = 0; n < 20; n++) watch(pipe.execute(likeFetch, caller.signal));
    for (let n = 0; n < 20; n++) watch(pipe.execute(deaf));
    for (let n = 0; n < 20; n++) await pipe.tryExecute(deaf);
    caller.abort();
    await turn();
    for (let n = 0; n < 9; n++) await pipe.tryExecute(down);
    expect(breaker.state).toBe('closed');
    await pipe.tryExecute(down);
    expect(breaker.state).toBe('open');
    expect(stateOf(pipe).executions).toMatchObject({ success: 0, failure: 10, ignored: 40 });
  });

  it('O-8: calls that take longer than the window are counted when they end', async () => {
    await onFakeTime(async (pass) => {
      const works = Array.from({ length: 40 }, () => deferred());
      const peer = opossum(run, { timeout: false, rollingCountTimeout: 1_000, volumeThreshold: 5 });
      for (const { promise } of works) watch(peer.fire(() => promise));
      await pass(2_000);
      for (const { reject } of works) reject(boom);
      await pass(0);
      expect(peer.stats, mended).toMatchObject({ failures: 40, fires: 0 });
      expect(peer.closed, mended).toBe(true);
    });

    const breaker = circuitBreaker({ windowMs: 1_000, minimumCalls: 5 });
    const { pipe, clock } = stand([breaker]);
    const works = Array.from({ length: 5 }, () => deferred());
    for (const { promise } of works) watch(pipe.execute(() => promise));
    await clock.advance(2_000);
    for (const { reject } of works) reject(boom);
    await turn();
    expect(breaker.state).toBe('open');
  });

  it('O-18: an error that is told to be no failure is no success either', async () => {
    const successes: unknown[] = [];
    const peer = opossum(down, { errorFilter: () => true });
    peer.on('success', (value) => successes.push(value));
    await expect(peer.fire()).rejects.toBe(boom);
    expect(successes, mended).toEqual([boom]);
    expect(peer.stats, mended).toMatchObject({ successes: 1, failures: 0 });

    const told: unknown[] = [];
    const { pipe } = stand([circuitBreaker({ consecutiveFailures: 1 })], { classify: () => 'ignored' });
    pipe.onSuccess((event) => told.push(event));
    pipe.onFailure(({ handled, reason }) => told.push({ handled, reason }));
    expect(await pipe.tryExecute(down)).toEqual({ status: 'failure', error: boom });
    expect(told).toEqual([{ handled: false, reason: { error: boom } }]);
    expect(pipe.snapshot().outcomes).toMatchObject({ success: 0, failure: 0, ignored: 1 });
    expect(stateOf(pipe)).toMatchObject({ state: 'closed', executions: { success: 0, failure: 0, ignored: 1 } });
  });
});

describe('when it closes again', () => {
  it('O-4: a probe turned away by our own limit does not open it again', async () => {
    const busy = deferred<string>();
    await onFakeTime(async (pass) => {
      const peer = opossum(run, { capacity: 1, timeout: false, resetTimeout: 100, errorThresholdPercentage: 40 });
      watch(peer.fire(() => busy.promise));
      // Turned away as well, and that opens it.
      await peer.fire(down).catch(() => {});
      expect(peer.opened).toBe(true);
      await pass(100);
      expect(peer.halfOpen).toBe(true);
      await peer.fire(() => 'ok').catch(() => {});
      expect(peer.opened, mended).toBe(true);
      busy.resolve('ok');
    });

    const breaker = circuitBreaker({ consecutiveFailures: 1, breakMs: 100, halfOpenCalls: 1 });
    const slots = bulkhead({ limit: 2 });
    const { pipe, clock } = stand([breaker, slots]);
    const work = deferred<string>();
    watch(pipe.execute(() => work.promise));
    await pipe.tryExecute(down);
    slots.resize(1);
    await clock.advance(100);
    expect(await pipe.tryExecute(() => 'ok')).toMatchObject({ error: { code: 'bulkhead_full' } });
    expect(breaker.state).toBe('half_open');
    work.resolve('ok');
    await turn();
    expect(await pipe.execute(() => 'ok')).toBe('ok');
    expect(breaker.state).toBe('closed');
  });

  it('O-6: a success that was started before the outage does not close the circuit', async () => {
    await onFakeTime(async (pass) => {
      const early = deferred<string>();
      const peer = opossum(run, { timeout: false, resetTimeout: 100, errorThresholdPercentage: 40 });
      watch(peer.fire(() => early.promise));
      await peer.fire(down).catch(() => {});
      expect(peer.opened).toBe(true);
      await pass(100);
      expect(peer.halfOpen).toBe(true);
      early.resolve('ok');
      await pass(0);
      expect(peer.closed, mended).toBe(true);
    });

    const breaker = circuitBreaker({ consecutiveFailures: 1, breakMs: 100, halfOpenCalls: 1 });
    const { pipe, clock } = stand([breaker]);
    const early = deferred<string>();
    const call = watch(pipe.execute(() => early.promise));
    await pipe.tryExecute(down);
    await clock.advance(100);
    early.resolve('ok');
    await turn();
    expect(call.value).toBe('ok');
    expect(breaker.state).toBe('half_open');
    await pipe.tryExecute(down);
    expect(breaker.state).toBe('open');
  });

  it('O-7: closing starts a fresh window', async () => {
    await onFakeTime(async (pass) => {
      const peer = opossum(run, { timeout: false, resetTimeout: 100, volumeThreshold: 20 });
      for (let n = 0; n < 20; n++) await peer.fire(down).catch(() => {});
      expect(peer.opened).toBe(true);
      await pass(100);
      for (let n = 0; n < 6; n++) await peer.fire(() => 'ok');
      expect(peer.closed).toBe(true);
      await peer.fire(down).catch(() => {});
      expect(peer.opened, mended).toBe(true);
      expect(peer.stats, mended).toMatchObject({ failures: 21, fires: 27 });
    });

    const breaker = circuitBreaker({ failureRatio: 0.5, minimumCalls: 5, breakMs: 100, halfOpenCalls: 1 });
    const { pipe, clock } = stand([breaker]);
    for (let n = 0; n < 20; n++) await pipe.tryExecute(down);
    expect(breaker.state).toBe('open');
    await clock.advance(100);
    for (let n = 0; n < 6; n++) await pipe.execute(() => 'ok');
    await pipe.tryExecute(down);
    expect(breaker.state).toBe('closed');
    expect(stateOf(pipe).failureRatio).toBeCloseTo(1 / 6);
  });

  it('O-10: a snapshot says since when it is open and for how long yet, and a restart shortens no break', async () => {
    await onFakeTime(async (pass) => {
      const made = Date.now();
      const peer = opossum(down, { resetTimeout: 200 });
      await pass(150);
      await peer.fire().catch(() => {});
      expect(peer.opened).toBe(true);
      const { state } = peer.toJSON();
      expect(state.lastTimerAt, mended).toBe(made);
      await pass(80);
      const restored = opossum(down, { resetTimeout: 200, state });
      expect(restored.halfOpen, mended).toBe(true);
    });

    const options = { consecutiveFailures: 1, breakMs: 200 };
    const breaker = circuitBreaker(options);
    const { pipe, clock } = stand([breaker]);
    await clock.advance(150);
    await pipe.tryExecute(down);
    await clock.advance(80);
    const initialState = JSON.parse(JSON.stringify(breaker.toJSON()));
    expect(initialState).toMatchObject({ state: 'open', openForMs: 80, remainingMs: 120 });
    const restored = circuitBreaker({ ...options, initialState });
    const later = stand([restored]);
    await later.clock.advance(119);
    expect(await later.pipe.tryExecute(() => 'ok')).toMatchObject({ error: { code: 'circuit_open', retryAfterMs: 1 } });
    await later.clock.advance(1);
    expect(restored.state).toBe('half_open');
  });

  it('O-10: a restored circuit counts in the window it is given now', async () => {
    const { status } = opossum(down, {}).toJSON();
    const peer = opossum(down, { rollingCountBuckets: 2, status });
    expect(peer.status.window, mended).toHaveLength(10);

    const { pipe } = stand([
      circuitBreaker({ windowCalls: 2, failureRatio: 1, initialState: circuitBreaker().toJSON() }),
    ]);
    await pipe.execute(() => 'ok');
    await pipe.tryExecute(down);
    expect(stateOf(pipe).state).toBe('closed');
    await pipe.tryExecute(down);
    expect(stateOf(pipe).state).toBe('open');
  });

  it('O-17: a probe that hangs is given up, and another one closes the circuit', async () => {
    await onFakeTime(async (pass) => {
      const peer = opossum(run, { timeout: false, resetTimeout: 100 });
      await peer.fire(down).catch(() => {});
      await pass(100);
      watch(peer.fire(deaf));
      await pass(3_600_000);
      expect(peer.halfOpen, mended).toBe(true);
      await expect(
        peer.fire(() => 'ok'),
        mended,
      ).rejects.toMatchObject({ code: 'EOPENBREAKER' });
    });

    const breaker = circuitBreaker({ consecutiveFailures: 1, breakMs: 100, halfOpenCalls: 1, halfOpenMs: 1_000 });
    const { pipe, clock } = stand([breaker]);
    await pipe.tryExecute(down);
    await clock.advance(100);
    watch(pipe.execute(deaf));
    await clock.advance(999);
    expect(breaker.state).toBe('half_open');
    await clock.advance(1);
    expect(breaker.state).toBe('open');
    await clock.advance(100);
    expect(await pipe.execute(() => 'ok')).toBe('ok');
    expect(breaker.state).toBe('closed');
  });

  it('O-20: one good answer among bad ones closes nothing where several probes decide', async () => {
    await onFakeTime(async (pass) => {
      const peer = opossum(run, { resetTimeout: 100, volumeThreshold: 10 });
      for (let n = 0; n < 10; n++) await peer.fire(down).catch(() => {});
      await pass(100);
      await peer.fire(() => 'ok');
      expect(peer.closed, mended).toBe(true);
    });

    const breaker = circuitBreaker({ failureRatio: 0.5, breakMs: 100, halfOpenCalls: 3 });
    const { pipe, clock } = stand([breaker]);
    for (let n = 0; n < 10; n++) await pipe.tryExecute(down);
    await clock.advance(100);
    await pipe.execute(() => 'ok');
    expect(breaker.state).toBe('half_open');
    await pipe.tryExecute(down);
    await pipe.tryExecute(down);
    expect(breaker.state).toBe('open');
  });

  it('O-20: breaks may grow with each failed recovery', async () => {
    await onFakeTime(async (pass) => {
      const peer = opossum(down, { resetTimeout: 100 });
      for (let n = 0; n < 3; n++) {
        await peer.fire().catch(() => {});
        await pass(99);
        expect(peer.opened).toBe(true);
        await pass(1);
        expect(peer.halfOpen, mended).toBe(true);
      }
    });

    const breaker = circuitBreaker({ consecutiveFailures: 1, breakMs: new IterableBackoff([100, 200, 400]) });
    const { pipe, clock } = stand([breaker]);
    for (const breakMs of [100, 200, 400]) {
      await pipe.tryExecute(down);
      await clock.advance(breakMs - 1);
      expect(breaker.state).toBe('open');
      await clock.advance(1);
      expect(breaker.state).toBe('half_open');
    }
  });
});
