import { getEventListeners } from 'node:events';
import { bulkhead, circuitBreaker, fallback, pipeline, policy, retry, type Stackable, timeout } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { type VirtualClock, virtualClock } from '../../src/testing/virtual-clock.ts';
import { gate, microtasks, orders, turn, watch } from './spy.ts';

const hang = () => new Promise<never>(() => {});
const boom = new Error('boom');

describe('the caller gives up', () => {
  /** Where a call can be when its caller gives up: the policies, the function, and how to get there. */
  const places: Record<
    string,
    (clock: VirtualClock) => {
      policies: Stackable[];
      fn?: () => unknown;
      before?: (run: (fn: () => unknown) => Promise<unknown>) => Promise<unknown> | undefined;
      on?: () => Promise<void>;
    }
  > = {
    'during an attempt': () => ({
      policies: [retry(), circuitBreaker(), bulkhead({ limit: 1, holdUntilSettled: false }), timeout(1_000)],
    }),
    'in a queue': () => ({
      policies: [bulkhead({ limit: 1, queue: 1, holdUntilSettled: false })],
      before: (run) => {
        void run(hang);
        return undefined;
      },
    }),
    'in a backoff': (clock) => ({
      policies: [retry({ backoff: 500 })],
      fn: () => Promise.reject(boom),
      on: () => clock.advance(100),
    }),
    'while half-open': (clock) => ({
      policies: [circuitBreaker({ consecutiveFailures: 1, breakMs: 10 })],
      before: async (run) => {
        await run(() => Promise.reject(boom)).catch(() => {});
        await clock.advance(10);
      },
    }),
    'inside a fallback': () => ({ policies: [fallback(hang)], fn: () => Promise.reject(boom), on: turn }),
    'inside a fallback with a limit': () => ({
      policies: [fallback({ to: hang, timeoutMs: 1_000 })],
      fn: () => Promise.reject(boom),
      on: turn,
    }),
    'in an around before next()': () => ({ policies: [policy({ kind: 'slow', around: hang })] }),
    'inside an around': () => ({
      policies: [policy({ kind: 'passes', around: (_call, next) => next() }), timeout(1_000)],
    }),
    'in a nested pipeline': (clock) => ({
      policies: [retry(), pipeline('inner', [retry(), timeout(1_000)], { clock })],
    }),
    'in a cooperative timeout that is over': (clock) => ({
      policies: [timeout({ ms: 10, mode: 'cooperative' })],
      on: () => clock.advance(10),
    }),
  };

  for (const [where, make] of Object.entries(places))
    it(`${where}: rejects in the same macrotask with the same reason, starts nothing more and leaves nothing`, async () => {
      const clock = virtualClock();
      const { policies, fn = hang, before, on } = make(clock);
      const p = pipeline('p', policies, { clock });
      let calls = 0;
      await before?.((fn) => p.execute(fn));
      const pending = clock.pending;
      const active = p.snapshot().active;
      const caller = new AbortController();
      const reason = { why: where };
      const seen = watch(
        p.execute(() => {
          calls++;
          return fn();
        }, caller.signal),
      );
      await (on ?? microtasks)();
      expect(seen.state).toBe('pending');
      const before_ = calls;
      let macrotask = false;
      setImmediate(() => {
        macrotask = true;
      });
      caller.abort(reason);
      await microtasks();
      expect(macrotask).toBe(false);
      expect(seen).toEqual({ state: 'error', result: reason, times: 1 });
      expect(seen.result).toBe(reason);
      await turn();
      await turn();
      expect(clock.pending).toBeLessThanOrEqual(pending);
      await clock.advance(100_000);
      expect(calls).toBe(before_);
      expect(p.snapshot()).toMatchObject({ active, outcomes: { cancelled: 1 } });
      expect(clock.pending).toBe(0);
      expect(getEventListeners(caller.signal, 'abort')).toEqual([]);
    });

  it('is ignored by every count', async () => {
    const breaker = circuitBreaker({ consecutiveFailures: 1 });
    const again = retry({ budget: { capacity: 3, ratio: 0, minPerSecond: 0 } });
    const spare = fallback(() => 'spare');
    const slots = bulkhead({ limit: 1, holdUntilSettled: false });
    const p = pipeline('p', [spare, again, breaker, slots]);
    for (let i = 0; i < 5; i++) {
      const caller = new AbortController();
      const seen = watch(p.execute(hang, caller.signal));
      caller.abort('enough');
      await microtasks();
      expect(seen.result).toBe('enough');
    }
    expect(breaker.state).toBe('closed');
    expect(slots.active).toBe(0);
    expect(again.snapshot!()).toMatchObject({ attempts: 0, budget: { remaining: 3 }, executions: { cancelled: 5 } });
    expect(spare.snapshot!()).toMatchObject({ executions: { success: 0, failure: 0 } });
    expect(breaker.snapshot!()).toMatchObject({ executions: { failure: 0, ignored: 5 } });
  });

  it('with no reason of his own: an AbortError that is the signal’s reason', async () => {
    const caller = new AbortController();
    const p = pipeline('p', [timeout(1_000)]);
    const seen = watch(p.execute(hang, caller.signal));
    caller.abort();
    await microtasks();
    expect(seen.result).toBe(caller.signal.reason);
  });

  it('with undefined or null as the reason of a polyfilled signal: just that', async () => {
    const caller = new AbortController();
    const p = pipeline('p', []);
    const seen = watch(p.execute(hang, caller.signal));
    caller.abort(null);
    await microtasks();
    expect(seen).toEqual({ state: 'error', result: null, times: 1 });
  });

  it('an aborted signal is heard before a bad pipeline state, in every policy, without a call of fn', async () => {
    const reason = new Error('gone');
    const policies = [fallback(() => 'spare'), retry(), circuitBreaker(), bulkhead({ limit: 1 }), timeout(10)];
    const p = pipeline('p', policies);
    let calls = 0;
    const seen = watch(p.execute(() => ++calls, { signal: AbortSignal.abort(reason), timeoutMs: 0 }));
    await microtasks();
    expect(seen.result).toBe(reason);
    expect(calls).toBe(0);
  });

  it('after the call has settled changes nothing, and a value that was there is returned', async () => {
    const caller = new AbortController();
    const p = pipeline('p', [timeout(1_000)]);
    const promise = p.execute(() => 'value', caller.signal);
    caller.abort('late');
    await expect(promise).resolves.toBe('value');
    const work = gate();
    const second = new AbortController();
    const seen = watch(p.execute(() => work.promise, second.signal));
    work.open('there');
    await microtasks();
    second.abort('late');
    await microtasks();
    expect(seen).toEqual({ state: 'value', result: 'there', times: 1 });
  });

  it("aborts the function's signal with his reason, the same object, read early or late", async () => {
    const p = pipeline('p', [retry(), timeout(1_000)]);
    for (const early of [true, false]) {
      const caller = new AbortController();
      const reason = {};
      let context!: { signal: AbortSignal };
      let heard = 0;
      const seen = watch(
        p.execute((call) => {
          context = call;
          if (early) call.signal.addEventListener('abort', () => heard++);
          return hang();
        }, caller.signal),
      );
      caller.abort(reason);
      await microtasks();
      expect(seen.result).toBe(reason);
      expect(context.signal.aborted).toBe(true);
      expect(context.signal.reason).toBe(reason);
      expect(heard).toBe(early ? 1 : 0);
    }
  });

  it('never aborts the signal after a success: a stream goes on', async () => {
    const clock = virtualClock();
    const p = pipeline('p', [retry(), timeout(10)], { clock });
    const caller = new AbortController();
    const signal = await p.execute(async ({ signal }) => ({ signal }), { signal: caller.signal, timeoutMs: 20 });
    await clock.advance(1_000);
    caller.abort('later');
    expect(signal.signal.aborted).toBe(false);
  });

  it('a million calls behind one signal cost one listener, and none a turn after the last', async () => {
    const caller = new AbortController();
    const p = pipeline('p', []);
    const works = Array.from({ length: 1_000 }, () => gate());
    const all = works.map((work) => p.execute(() => work.promise, caller.signal));
    expect(getEventListeners(caller.signal, 'abort')).toHaveLength(1);
    for (const work of works.slice(0, 999)) work.open(1);
    await Promise.all(all.slice(0, 999));
    await turn();
    await turn();
    expect(getEventListeners(caller.signal, 'abort')).toHaveLength(1);
    works[999]!.open(1);
    await all[999];
    await turn();
    await turn();
    expect(getEventListeners(caller.signal, 'abort')).toHaveLength(0);
    // And a later one listens again.
    const seen = watch(p.execute(hang, caller.signal));
    caller.abort('enough');
    await microtasks();
    expect(seen.result).toBe('enough');
  });

  it('a call that has ended has left the signal: an abort reaches only those that run', async () => {
    const caller = new AbortController();
    const p = pipeline('p', []);
    const works = [gate(), gate(), gate()];
    const seen = works.map((work) => watch(p.execute(() => work.promise, caller.signal)));
    works[1]!.open('done');
    await microtasks();
    caller.abort('enough');
    await microtasks();
    expect(seen.map(({ result, times }) => [result, times])).toEqual([
      ['enough', 1],
      ['done', 1],
      ['enough', 1],
    ]);
    expect(p.snapshot()).toMatchObject({ calls: 3, active: 0, outcomes: { success: 1, cancelled: 2 } });
  });

  it('a call that comes before a signal without calls was let go is behind it like any other', async () => {
    const caller = new AbortController();
    const p = pipeline('p', []);
    await p.execute(async () => 'done', caller.signal);
    const seen = watch(p.execute(hang, caller.signal));
    await turn();
    await turn();
    expect(getEventListeners(caller.signal, 'abort')).toHaveLength(1);
    caller.abort('enough');
    await microtasks();
    expect(seen.result).toBe('enough');
  });

  it('calls that leave in any order leave the others behind the signal', async () => {
    const p = pipeline('p', []);
    for (const order of orders) {
      const caller = new AbortController();
      const works = [gate(), gate(), gate()];
      const seen = works.map((work) => watch(p.execute(() => work.promise, caller.signal)));
      const [first, second, last] = order as [number, number, number];
      works[first]!.open('done');
      await microtasks();
      works[second]!.open('done');
      await microtasks();
      caller.abort('enough');
      await microtasks();
      expect([seen[first]!.result, seen[second]!.result, seen[last]!.result]).toEqual(['done', 'done', 'enough']);
    }
    expect(p.snapshot()).toMatchObject({ active: 0, outcomes: { success: 12, cancelled: 6 } });
  });

  it('a signal per call is let go of as soon as the next one comes, so that a thousand leave nothing to the end of the turn', async () => {
    const p = pipeline('p', []);
    const listeners: number[] = [];
    let before: AbortSignal | undefined;
    for (let n = 0; n < 1_000; n++) {
      const { signal } = new AbortController();
      await p.execute(async () => {
        if (before !== undefined) listeners.push(getEventListeners(before, 'abort').length);
        return 'done';
      }, signal);
      before = signal;
    }
    expect(listeners).toEqual(Array(999).fill(0));
    await turn();
    await turn();
    expect(getEventListeners(before!, 'abort')).toEqual([]);
  });

  it('calls behind signals that come in turn are each behind their own, with one listener', async () => {
    const callers = [new AbortController(), new AbortController(), new AbortController()];
    const p = pipeline('p', []);
    const seen = callers.map(() => [] as ReturnType<typeof watch>[]);
    for (let round = 0; round < 3; round++)
      for (const [n, { signal }] of callers.entries()) {
        await p.execute(async () => 'done', signal);
        seen[n]!.push(watch(p.execute(hang, { signal })), watch(p.execute(hang, signal)));
      }
    await turn();
    await turn();
    for (const { signal } of callers) expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    for (const [n, caller] of callers.entries()) {
      caller.abort(n);
      await microtasks();
      expect(seen.map((calls) => calls.map(({ state, result }) => (state === 'error' ? result : null)))).toEqual(
        callers.map((_, m) => Array(6).fill(m <= n ? m : null)),
      );
    }
  });

  it('a signal alone and one among other options are not taken for each other', async () => {
    const { signal } = new AbortController();
    const p = pipeline('p', []);
    const keys: unknown[] = [];
    for (const options of [signal, { signal, key: 'k' }, signal, { signal }])
      keys.push(await p.execute(({ key }) => key, options));
    expect(keys).toEqual([undefined, 'k', undefined, undefined]);
  });

  it('a signal that throws when the next one comes is reported, and ends no call', async () => {
    const { signal } = new AbortController();
    Object.assign(signal, {
      removeEventListener: () => {
        throw boom;
      },
    });
    const p = pipeline('p', []);
    await p.execute(async () => 'done', signal);
    await expect(p.execute(async () => 'next', new AbortController().signal)).resolves.toBe('next');
  });

  it('a signal that threw when it was let go is listened to anew', async () => {
    const caller = new AbortController();
    const { signal } = caller;
    const remove = signal.removeEventListener.bind(signal);
    Object.assign(signal, {
      removeEventListener: (type: string, listener: () => void) => {
        remove(type, listener);
        throw boom;
      },
    });
    const p = pipeline('p', []);
    await p.execute(async () => 'done', signal);
    await turn();
    await turn();
    expect(getEventListeners(signal, 'abort')).toEqual([]);
    const seen = watch(p.execute(hang, signal));
    caller.abort('enough');
    await microtasks();
    expect(seen.result).toBe('enough');
  });

  it('calls started while the signal is aborting end with its reason', async () => {
    const caller = new AbortController();
    const p = pipeline('p', []);
    let second: Promise<unknown> | undefined;
    let calls = 0;
    watch(
      p.execute(({ signal }) => {
        signal.addEventListener('abort', () => {
          second = p.execute(() => ++calls, caller.signal);
        });
        return hang();
      }, caller.signal),
    );
    caller.abort('enough');
    await expect(second).rejects.toBe('enough');
    expect(calls).toBe(0);
  });
});
