import CircuitBreaker from 'opossum';
import { bulkhead, circuitBreaker, retry, timeout } from 'seaworthy';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { deaf, deferred, stand, stateOf, turn, watch } from '../policies/stand.ts';
import { mended, onFakeTime } from './scene.ts';

const boom = new Error('boom');
const down = () => Promise.reject(boom);

const made: { shutdown(): void }[] = [];

/** An opossum breaker that is shut down after the test: it keeps two intervals otherwise. */
function opossum<A extends unknown[], R>(
  action: (...args: A) => R | PromiseLike<R>,
  options: CircuitBreaker.Options,
): CircuitBreaker<A, R> {
  const breaker = new CircuitBreaker(action, options);
  made.push(breaker);
  return breaker;
}

afterEach(() => {
  for (const breaker of made.splice(0)) breaker.shutdown();
});

/** Calls what it is given: the action of a breaker whose calls differ. */
const run = (fn: () => unknown) => fn();

describe('the state machine', () => {
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
});

describe('robustness', () => {
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

  it('O-13: a success listener that throws makes no failure of a success', async () => {
    const rude = () => {
      throw new Error('rude listener');
    };
    const peer = opossum(() => Promise.resolve('ok'), { timeout: 10 });
    peer.on('success', rude);
    await expect(peer.fire(), mended).rejects.toThrow('rude listener');
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
    const rude = () => {
      throw new Error('rude predicate');
    };
    const unhandled = await unhandledDuring(async () => {
      const peer = opossum(down, { timeout: false, errorFilter: rude });
      const call = watch(peer.fire());
      await turn();
      await turn();
      expect(call.state, mended).toBe('pending');
    });
    expect(unhandled, mended).toEqual([expect.objectContaining({ message: 'rude predicate' })]);

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
    expect(told('fault')).toMatchObject([{ where: 'when', error: { message: 'rude predicate' } }]);
  });

  it('O-13: a timeout listener that throws leaves no call hanging and reaches no timer', async () => {
    const rude = () => {
      throw new Error('rude listener');
    };
    await onFakeTime(async () => {
      const peer = opossum(deaf, { timeout: 20 });
      peer.on('timeout', rude);
      const call = watch(peer.fire());
      // In a real timer this is an uncaught exception, which ends the process.
      expect(() => vi.advanceTimersByTime(20), mended).toThrow('rude listener');
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

/** Keeps the warning about rude code out of the test's output. */
async function quietly(scene: () => Promise<void>): Promise<void> {
  const told = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  try {
    await scene();
  } finally {
    told.mockRestore();
  }
}

/** The rejections nobody handled during a scene; they would fail the run otherwise. */
async function unhandledDuring(scene: () => Promise<void>): Promise<unknown[]> {
  const others = process.listeners('unhandledRejection');
  const seen: unknown[] = [];
  process.removeAllListeners('unhandledRejection');
  process.on('unhandledRejection', (reason) => seen.push(reason));
  try {
    await scene();
    await turn();
  } finally {
    process.removeAllListeners('unhandledRejection');
    for (const other of others) process.on('unhandledRejection', other);
  }
  return seen;
}
