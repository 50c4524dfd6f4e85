import { isBulkheadRejectedError } from 'cockatiel';
import { bulkhead, type BulkheadOptions, BulkheadFullError, pipeline, retry, timeout } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { script } from '../../src/testing/script.ts';
import { seededRandom } from '../../src/testing/seeded-random.ts';
import { deaf, deferred, stand, stateOf, thrownBy, turn, watch } from './stand.ts';

/** A bulkhead in a pipeline of its own, and a function whose calls end by hand, in the order of their coming. */
function full(options: BulkheadOptions) {
  const slots = bulkhead(options);
  const at = stand([slots]);
  const running: ReturnType<typeof deferred>[] = [];
  const order: unknown[] = [];
  const enter = (name: unknown = running.length, options?: any) =>
    watch(
      at.pipe.execute(() => {
        order.push(name);
        const work = deferred();
        running.push(work);
        return work.promise;
      }, options),
    );
  return { ...at, slots, running, order, enter };
}

describe('bulkhead', () => {
  it('admits never more than limit, lets never more than queue wait, and turns the rest away at once', async () => {
    const { enter, slots, running, pipe, told } = full({ limit: 2, queue: 3 });
    const calls = Array.from({ length: 7 }, () => enter());
    await turn();
    expect(running).toHaveLength(2);
    expect([slots.active, slots.queued]).toEqual([2, 3]);
    expect(calls.map(({ state }) => state)).toEqual([
      'pending',
      'pending',
      'pending',
      'pending',
      'pending',
      'error',
      'error',
    ]);
    expect(calls[6]!.error).toBeInstanceOf(BulkheadFullError);
    expect(calls[6]!.error).toMatchObject({
      name: 'BulkheadFullError',
      code: 'bulkhead_full',
      limit: 2,
      queue: 3,
      policy: 'shop/bulkhead',
    });
    expect(isBulkheadRejectedError(calls[6]!.error)).toBe(true);
    expect(told('rejected')).toEqual([
      expect.objectContaining({ reason: 'bulkhead_full' }),
      expect.objectContaining({ reason: 'bulkhead_full' }),
    ]);
    expect(stateOf(pipe)).toMatchObject({
      active: 2,
      limit: 2,
      queued: 3,
      queueLimit: 3,
      rejections: { bulkhead_full: 2, queue_timeout: 0 },
    });
  });

  it('has no queue by default', async () => {
    const { enter } = full({ limit: 1 });
    enter();
    const second = enter();
    await turn();
    expect(second.error).toMatchObject({ code: 'bulkhead_full', queue: 0 });
  });

  it('never admits more than limit, whatever ends when (random)', async () => {
    const { pipe, clock, slots } = full({ limit: 3, queue: 5, maxWaitMs: 40 });
    const random = seededRandom(3);
    let now = 0;
    let most = 0;
    for (let n = 0; n < 400; n++) {
      const caller = new AbortController();
      watch(
        pipe.execute(async () => {
          most = Math.max(most, ++now);
          await new Promise<void>((resolve) => clock.after(random() * 30, resolve));
          now--;
          if (random() < 0.3) throw new Error('down');
        }, caller.signal),
      );
      if (random() < 0.2) clock.after(random() * 30, () => caller.abort());
      expect(slots.queued).toBeLessThanOrEqual(5);
      if (n % 5 === 0) await clock.advance(random() * 20);
    }
    await clock.advance(1_000);
    expect(most).toBe(3);
    expect([slots.active, slots.queued, slots.held, clock.pending]).toEqual([0, 0, 0, 0]);
  });

  it('is first come, first served', async () => {
    const { enter, running, order } = full({ limit: 1, queue: 10 });
    for (let n = 0; n < 6; n++) enter(n);
    for (let n = 0; n < 6; n++) {
      running[n]!.resolve('done');
      await turn();
    }
    expect(order).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it.each([0, 1, 2, 3])(
    'hands a released slot to the head of the queue in the same turn: a newcomer %i microtasks later cannot overtake, nobody accepted is rejected',
    async (later) => {
      const { enter, running, order, slots } = full({ limit: 1, queue: 1 });
      enter('a');
      const b = enter('b');
      running[0]!.resolve('done');
      for (let i = 0; i < later; i++) await null;
      expect(slots.active).toBe(1);
      enter('c');
      enter('d');
      await turn();
      expect(order).toEqual(['a', 'b']);
      expect(b.state).toBe('pending');
      expect(slots.active).toBe(1);
    },
  );

  it('an aborted waiter leaves at once with its reason, and its place is free', async () => {
    const { enter, slots, order, running } = full({ limit: 1, queue: 1 });
    enter('a');
    const caller = new AbortController();
    const b = enter('b', caller.signal);
    caller.abort(new Error('gone'));
    expect(slots.queued).toBe(0);
    const c = enter('c');
    await turn();
    expect(b.error).toBe(caller.signal.reason);
    expect(c.state).toBe('pending');
    running[0]!.resolve('done');
    await turn();
    expect(order).toEqual(['a', 'c']);
  });

  it('an aborted waiter in the middle of the queue leaves the others in order', async () => {
    const { enter, order, running } = full({ limit: 1, queue: 5 });
    enter(0);
    const caller = new AbortController();
    for (const n of [1, 2, 3]) enter(n, n === 2 ? caller.signal : undefined);
    caller.abort();
    for (let n = 0; n < 3; n++) {
      running[n]!.resolve('done');
      await turn();
    }
    expect(order).toEqual([0, 1, 3]);
  });

  it('an expired waiter leaves after maxWaitMs, one second by default, and its place is free', async () => {
    for (const maxWaitMs of [undefined, 50]) {
      const { enter, slots, clock, told, pipe } = full({ limit: 1, queue: 1, maxWaitMs });
      enter();
      const waiter = enter();
      await clock.advance((maxWaitMs ?? 1_000) - 1);
      expect(waiter.state).toBe('pending');
      await clock.advance(1);
      expect(waiter.error).toMatchObject({ name: 'BulkheadFullError', code: 'queue_timeout' });
      expect(slots.queued).toBe(0);
      expect(told('rejected')).toEqual([expect.objectContaining({ reason: 'queue_timeout' })]);
      expect(stateOf(pipe).rejections.queue_timeout).toBe(1);
    }
  });

  it('with maxWaitMs: Infinity a waiter stays', async () => {
    const { enter, clock } = full({ limit: 1, queue: 1, maxWaitMs: Number.POSITIVE_INFINITY });
    enter();
    const waiter = enter();
    expect(clock.pending).toBe(0);
    await clock.advance(1e8);
    expect(waiter.state).toBe('pending');
  });

  it('a waiter that was admitted is not expired afterwards', async () => {
    const { enter, clock, running } = full({ limit: 1, queue: 1, maxWaitMs: 50 });
    enter();
    const waiter = enter();
    await clock.advance(49);
    running[0]!.resolve('done');
    await clock.advance(1_000);
    expect(waiter.state).toBe('pending');
    running[1]!.resolve('done too');
    await turn();
    expect(waiter.value).toBe('done too');
  });

  it('a queue place is not taken when the deadline has passed already', async () => {
    const slots = bulkhead({ limit: 1, queue: 1 });
    const { pipe, clock } = stand([slots]);
    watch(pipe.execute(deaf));
    const call = watch(pipe.execute(deaf, { timeoutMs: 20 }));
    await clock.advance(20);
    expect(call.error).toMatchObject({ code: 'timeout', policy: 'deadline' });
    expect(slots.queued).toBe(0);
  });

  it('tells how long each waiter has waited', async () => {
    const { enter, clock, running, told } = full({ limit: 1, queue: 1 });
    enter();
    enter();
    await clock.advance(30);
    running[0]!.resolve('done');
    await turn();
    expect(told('dequeued')).toEqual([expect.objectContaining({ policy: 'shop/bulkhead', waitedMs: 30 })]);
  });

  describe('releases exactly once', () => {
    it.each([
      ['a value', () => 1],
      ['a promise', async () => 1],
      ['a rejection', () => Promise.reject(new Error('down'))],
      [
        'a synchronous throw',
        () => {
          throw new Error('down');
        },
      ],
      ['a thenable that answers twice', () => ({ then: (yes: (v: unknown) => void) => (yes(1), yes(2)) })],
    ] as [string, () => unknown][])('after %s', async (_, fn) => {
      const { pipe, slots } = full({ limit: 1 });
      for (let n = 0; n < 3; n++) await pipe.tryExecute(fn);
      await turn();
      expect(slots.active).toBe(0);
      await pipe.tryExecute(() => expect(slots.active).toBe(1));
    });

    it('when a listener aborts the caller at any event', async () => {
      for (const type of ['dequeued', 'rejected', 'execution_end', 'attempt_end'] as const) {
        const { pipe, slots, running, enter, clock } = full({ limit: 1, queue: 1, maxWaitMs: 10 });
        const callers: AbortController[] = [];
        pipe.subscribe((event) => {
          if (event.type === type) for (const caller of callers) caller.abort('by a listener');
        });
        for (let n = 0; n < 3; n++) {
          callers.push(new AbortController());
          enter(n, callers[n]!.signal);
        }
        await turn();
        running[0]?.resolve('done');
        await clock.advance(20);
        for (const work of running) work.resolve('done');
        await turn();
        expect([type, slots.active, slots.queued, slots.held]).toEqual([type, 0, 0, 0]);
      }
    });

    it('when the caller aborts between the hand-over and the start: the slot goes to the next', async () => {
      const { enter, slots, order } = full({ limit: 1, queue: 2 });
      const caller = new AbortController();
      enter('a');
      const b = enter('b', caller.signal);
      enter('c');
      slots.resize(2);
      expect(slots.queued).toBe(1);
      caller.abort('too late');
      expect([slots.active, slots.queued]).toEqual([2, 0]);
      await turn();
      expect(b.error).toBe('too late');
      expect(order).toEqual(['a', 'c']);
    });
  });

  describe('holdUntilSettled', () => {
    const abandoned = (options: Partial<BulkheadOptions>) => {
      const slots = bulkhead({ limit: 1, ...options });
      const at = stand([timeout(100), slots]);
      const work = deferred();
      const call = watch(at.pipe.execute(() => work.promise));
      return { ...at, slots, work, call };
    };

    it('an abandoned call keeps its slot until its work ends', async () => {
      const { clock, slots, work, call, pipe } = abandoned({});
      await clock.advance(100);
      expect(call.error).toMatchObject({ code: 'timeout' });
      expect([slots.active, slots.held]).toEqual([1, 1]);
      expect((await pipe.tryExecute(() => 1)).error).toMatchObject({ code: 'bulkhead_full' });
      work.resolve('late');
      await turn();
      expect([slots.active, slots.held]).toEqual([0, 0]);
      expect(await pipe.execute(() => 1)).toBe(1);
    });

    it('or 60 s after it was abandoned, by default, which is an event and counted as leaked', async () => {
      const { clock, slots, work, pipe, told } = abandoned({});
      await clock.advance(100 + 59_999);
      expect(slots.held).toBe(1);
      await clock.advance(1);
      expect([slots.active, slots.held]).toEqual([0, 0]);
      expect(told('leaked')).toEqual([expect.objectContaining({ policy: 'shop/bulkhead' })]);
      expect(stateOf(pipe, 1)).toMatchObject({ leaked: 1, held: 0 });
      work.resolve('much too late');
      await turn();
      expect(slots.active).toBe(0);
    });

    it('{ maxMs } says how long', async () => {
      const { clock, slots } = abandoned({ holdUntilSettled: { maxMs: 30 } });
      await clock.advance(129);
      expect(slots.active).toBe(1);
      await clock.advance(1);
      expect(slots.active).toBe(0);
    });

    it('true is for ever', async () => {
      const { clock, slots } = abandoned({ holdUntilSettled: true });
      await clock.advance(1e9);
      expect(slots.active).toBe(1);
      expect(clock.pending).toBe(0);
    });

    it('false lets go at once', async () => {
      const { clock, slots } = abandoned({ holdUntilSettled: false });
      await clock.advance(100);
      expect([slots.active, slots.held]).toEqual([0, 0]);
    });

    it('holds for the caller who gave up, too', async () => {
      const { enter, slots, running } = full({ limit: 1 });
      const caller = new AbortController();
      enter('a', caller.signal);
      caller.abort();
      await turn();
      expect([slots.active, slots.held]).toEqual([1, 1]);
      running[0]!.reject(new Error('late'));
      await turn();
      expect([slots.active, slots.held]).toEqual([0, 0]);
    });

    it('outside a retry a slot is held until the last of its works has ended', async () => {
      const slots = bulkhead({ limit: 1 });
      const { pipe, clock } = stand([slots, retry({ backoff: 1 }), timeout(100)]);
      const works = [deferred(), deferred(), deferred()];
      let n = 0;
      const call = watch(pipe.execute(() => works[n++]!.promise));
      await clock.advance(102);
      works[1]!.resolve('second');
      await turn();
      expect(call.value).toBe('second');
      expect([slots.active, slots.held]).toEqual([1, 1]);
      works[0]!.resolve('late');
      await turn();
      expect([slots.active, slots.held]).toEqual([0, 0]);
    });

    it('inside a retry each attempt has its own slot', async () => {
      const slots = bulkhead({ limit: 2 });
      const { pipe, clock } = stand([retry({ backoff: 1, maxRetries: 1 }), slots, timeout(100)]);
      const work = deferred();
      watch(pipe.execute(() => work.promise));
      await clock.advance(300);
      expect([slots.active, slots.held]).toEqual([2, 2]);
      work.resolve('late');
      await turn();
      expect([slots.active, slots.held]).toEqual([0, 0]);
    });
  });

  describe('resize()', () => {
    it('upwards starts waiters at once', async () => {
      const { enter, slots, order, pipe } = full({ limit: 1, queue: 5 });
      for (let n = 0; n < 4; n++) enter(n);
      slots.resize(3);
      expect(slots.active).toBe(3);
      await turn();
      expect(order).toEqual([0, 1, 2]);
      expect(stateOf(pipe).limit).toBe(3);
    });

    it('downwards takes effect as calls end', async () => {
      const { enter, slots, running, order } = full({ limit: 3, queue: 5 });
      for (let n = 0; n < 5; n++) enter(n);
      slots.resize(1);
      expect(slots.active).toBe(3);
      for (const n of [0, 1]) {
        running[n]!.resolve('done');
        await turn();
      }
      expect([slots.active, order.length]).toEqual([1, 3]);
      running[2]!.resolve('done');
      await turn();
      expect([slots.active, order.length]).toEqual([1, 4]);
    });

    it('refuses what no limit can be', () => {
      const { slots, pipe } = full({ limit: 1 });
      expect(thrownBy(() => slots.resize(0))).toBeInstanceOf(RangeError);
      expect(thrownBy(() => slots.resize('2' as never))).toBeInstanceOf(TypeError);
      expect(stateOf(pipe).limit).toBe(1);
    });
  });

  it('may stand only once in a chain: a call would wait there for itself', () => {
    const slots = bulkhead({ limit: 1, name: 'slots' });
    expect(() => pipeline('p', [slots, slots], { telemetry: false })).toThrow(/"slots" stands in it twice/);
  });

  it('lets a thousand waiters in without growing the stack', async () => {
    const { pipe, slots } = full({ limit: 1, queue: 10_000, maxWaitMs: Number.POSITIVE_INFINITY });
    const server = script('ok');
    const calls = Array.from({ length: 10_000 }, () => pipe.execute(server));
    expect(await Promise.all(calls)).toHaveLength(10_000);
    await turn();
    expect(slots.active).toBe(0);
  });

  describe('bad options', () => {
    it.each([
      [{ limit: 0 }, '"limit" must be a whole number from 1 up or Infinity, received 0'],
      [{ limit: 1.5 }, '"limit" must be a whole number from 1 up or Infinity, received 1.5'],
      [{ limit: 1, queue: -1 }, '"queue" must be a whole number from 0 up or Infinity, received -1'],
      [{ limit: 1, maxWaitMs: 0 }, '"maxWaitMs" must be a number above 0 or Infinity, received 0'],
      [
        { limit: 0, queue: -1 },
        '"limit" must be a whole number from 1 up or Infinity, received 0; "queue" must be a whole number from 0 up or Infinity, received -1',
      ],
    ])('%j is a RangeError', (options, message) => {
      const error = thrownBy(() => bulkhead(options));
      expect(error).toBeInstanceOf(RangeError);
      expect(error.message).toBe(`Cannot create bulkhead: ${message}`);
    });

    it.each([
      [undefined, 'options must be an object, received undefined'],
      [5, 'options must be an object, received 5'],
      [{}, '"limit" must be a whole number from 1 up or Infinity, received undefined'],
      [{ limit: 1, queueSize: 1 }, 'unknown option "queueSize"'],
      [{ limit: 1, maxWaitMS: 1 }, 'unknown option "maxWaitMS", did you mean "maxWaitMs"?'],
      [{ limit: 1, holdUntilSettled: 5 }, '"holdUntilSettled" must be true or false, or { maxMs }, received 5'],
      [
        { limit: 1, holdUntilSettled: {} },
        '"holdUntilSettled.maxMs" must be a number from 0 up or Infinity, received undefined',
      ],
    ])('%j is a TypeError', (options, message) => {
      const error = thrownBy(() => bulkhead(options as never));
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toBe(`Cannot create bulkhead: ${message}`);
    });
  });
});
