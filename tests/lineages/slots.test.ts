import { bulkhead, circuitBreaker, fallback, pipeline, retry, timeout } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/testing/seeded-random.ts';
import { virtualClock } from '../../src/testing/virtual-clock.ts';
import { deaf, deferred, likeFetch, stand, stateOf, turn, watch } from '../policies/stand.ts';

const down = new Error('down');

/** One slot, taken by work that ends by hand, and a queue. */
function full(maxWaitMs = 100) {
  const slots = bulkhead({ limit: 1, queue: 5, maxWaitMs });
  const at = stand([slots]);
  const work = deferred();
  watch(at.pipe.execute(() => work.promise));
  const order: unknown[] = [];
  const wait = (name: unknown, options: object = {}) =>
    watch(at.pipe.execute(() => (order.push(name), deaf()), options));
  return { ...at, slots, work, order, wait };
}

describe('waiters that go', () => {
  it.each(['its caller gives up', 'its own timeoutMs passes'])(
    'J-8: when %s in the middle of the queue, the next live one gets the slot, and the count is exact at the end',
    async (how) => {
      const at = full(1_000);
      const caller = new AbortController();
      const leaving = how === 'its own timeoutMs passes' ? { timeoutMs: 50 } : { signal: caller.signal };
      const calls = [at.wait('first', leaving), at.wait('second', leaving), at.wait('third')];
      await at.clock.advance(49);
      expect(at.slots.queued).toBe(3);
      if (how === 'its caller gives up') caller.abort('gone');
      else await at.clock.advance(1);
      expect(at.slots.queued).toBe(1);
      at.work.resolve('done');
      await turn();
      expect(at.order).toEqual(['third']);
      expect(calls.map(({ state }) => state)).toEqual(['error', 'error', 'pending']);
      expect([at.slots.active, at.slots.queued]).toEqual([1, 0]);
    },
  );

  it.each([
    ['the slot is released first', true],
    ['the wait ends first', false],
  ])(
    'timeoutAcquireRaceCondition: release and end of wait in the same tick, %s: the slot is the waiter’s or free, never lost',
    async (_, first) => {
      const { pipe, clock, slots, work, order, wait, told } = full(100);
      const release = () => work.resolve('done');
      if (first) clock.after(100, release);
      const call = wait('waiter');
      if (!first) clock.after(100, release);
      await clock.advance(100);
      await turn();
      const served = order.length === 1;
      expect(served).toBe(call.state === 'pending');
      expect([slots.active, slots.queued]).toEqual([served ? 1 : 0, 0]);
      expect(told('rejected', 'dequeued')).toHaveLength(1);
      expect(stateOf(pipe).rejections.queue_timeout).toBe(served ? 0 : 1);
    },
  );

  it('timeoutAcquireRaceCondition: over random ends in the same ticks no slot is lost or made (random)', async () => {
    const random = seededRandom(11);
    const clock = virtualClock();
    const slots = bulkhead({ limit: 2, queue: 4, maxWaitMs: 20, name: 'slots' });
    const pipe = pipeline('ticks', [timeout(60), slots], { telemetry: false, clock });
    const tick = (most: number) => 10 * Math.ceil(random() * most);
    for (let n = 0; n < 500; n++) {
      const caller = new AbortController();
      const ms = tick(4);
      const fn = () => new Promise<void>((resolve) => clock.after(ms, resolve));
      watch(pipe.execute(fn, { signal: caller.signal, timeoutMs: tick(5) }));
      if (random() < 0.3) clock.after(tick(3), () => caller.abort());
      if (random() < 0.1) slots.resize(1 + Math.floor(random() * 3));
      if (random() < 0.5) await clock.advance(10);
    }
    await clock.advance(1_000);
    expect([slots.active, slots.queued, slots.held, clock.pending]).toEqual([0, 0, 0, 0]);
  });
});

describe('limits and releases', () => {
  it('J-9: one slot and three waiting; three slots, and two start at once', async () => {
    const { slots, order, wait } = full();
    for (const name of ['a', 'b', 'c']) wait(name);
    slots.resize(3);
    expect([slots.active, slots.queued]).toEqual([3, 1]);
    await turn();
    expect(order).toEqual(['a', 'b']);
  });

  it('J-10: disposing of a hold twice takes away one hold', () => {
    const breaker = circuitBreaker();
    const { pipe } = stand([breaker]);
    const [one, two] = [breaker.isolate(), breaker.isolate()];
    one.dispose();
    one.dispose();
    one[Symbol.dispose]();
    expect(breaker.state).toBe('isolated');
    two.dispose();
    expect(breaker.state).toBe('closed');
    const past = pipe.bypass('shop/circuit_breaker');
    const further = pipe.bypass('shop/circuit_breaker');
    past.dispose();
    past.dispose();
    expect(stateOf(pipe).bypassed).toBe(true);
    further.dispose();
    expect(stateOf(pipe).bypassed).not.toBe(true);
  });

  it.each([
    ['releaseOnSuccess', () => async () => 'ok', undefined],
    ['releaseOnError', () => () => Promise.reject(down), undefined],
    [
      'releaseOnUncaughtException',
      () => () => {
        throw down;
      },
      undefined,
    ],
    ['releaseOnCancellation', () => likeFetch, 'cancel'],
    ['releaseOnDeadlineExceeded', () => likeFetch, 'deadline'],
    ['a deaf function, cancelled', () => deaf, 'cancel'],
    ['a deaf function, past its deadline', () => deaf, 'deadline'],
  ])('%s: the slot comes back once, at the latest when the hold is over', async (_, make, end) => {
    const slots = bulkhead({ limit: 1, holdUntilSettled: { maxMs: 500 } });
    const { pipe, clock } = stand([slots]);
    for (let n = 0; n < 3; n++) {
      const caller = new AbortController();
      const call = watch(
        pipe.execute(make() as never, { signal: caller.signal, ...(end === 'deadline' && { timeoutMs: 50 }) }),
      );
      await clock.advance(50);
      caller.abort('enough');
      await clock.advance(500);
      expect([call.state === 'pending', slots.active, slots.held, clock.pending]).toEqual([false, 0, 0, 0]);
    }
  });

  it('a hold that is over while the work goes on is not given back a second time when that ends', async () => {
    const slots = bulkhead({ limit: 1, queue: 1, holdUntilSettled: { maxMs: 500 } });
    const { pipe, clock } = stand([timeout(50), slots]);
    const [first, second] = [deferred(), deferred()];
    watch(pipe.execute(() => first.promise));
    await clock.advance(550);
    const next = watch(pipe.execute(() => second.promise));
    first.resolve('much too late');
    await turn();
    expect([slots.active, next.state]).toEqual([1, 'pending']);
    second.resolve('in time');
    await turn();
    expect([slots.active, next.value]).toEqual([0, 'in time']);
  });
});

describe('isolation of one from another', () => {
  it('testFallbackSemaphore: a fallback is limited by a pipeline of its own, whose rejection keeps the first failure', async () => {
    const clock = virtualClock();
    const spare = pipeline('spare', [bulkhead({ limit: 1 })], { telemetry: false, clock });
    const work = deferred();
    const { pipe } = stand([fallback(() => spare.execute(() => work.promise))], { clock });
    const first = watch(pipe.execute(() => Promise.reject(down)));
    const second = await pipe.tryExecute(() => Promise.reject(down));
    expect(second.error).toMatchObject({ code: 'bulkhead_full', pipeline: 'spare', cause: down });
    work.resolve('spare');
    await turn();
    expect(first.value).toBe('spare');
  });

  it('testRejectedThreadWithFallback, testShortCircuitFallbackCounter: each call turned away is answered by the fallback and counted once', async () => {
    const breaker = circuitBreaker();
    const { pipe } = stand([fallback(() => 'instead'), breaker]);
    const hold = breaker.isolate();
    for (let n = 0; n < 2; n++) expect(await pipe.execute(() => 'mine')).toBe('instead');
    hold.dispose();
    expect(await pipe.execute(() => 'mine')).toBe('mine');
    expect(stateOf(pipe).executions).toEqual({ success: 2, failure: 0 });
    expect(stateOf(pipe, 1)).toMatchObject({
      executions: { rejected: 2, failure: 0, success: 1 },
      rejections: { circuit_isolated: 2 },
    });
    expect(pipe.snapshot().outcomes).toMatchObject({ fallback: 2, success: 1, failure: 0 });
  });

  it('DisposePipeline_EnsureExternalPipelineNotDisposed, P-36: slots shared by pipelines serve one line, and outlive any of them', async () => {
    const clock = virtualClock();
    const slots = bulkhead({ limit: 1, queue: 5, name: 'slots' });
    const [a, b] = ['a', 'b'].map((name) => pipeline(name, [slots], { telemetry: false, clock }));
    const works = Array.from({ length: 4 }, () => deferred());
    const order: number[] = [];
    [a, b, a, b].forEach((pipe, n) => watch(pipe!.execute(() => (order.push(n), works[n]!.promise))));
    a!.dispose();
    for (const work of works) {
      work.resolve('done');
      await turn();
    }
    expect(order).toEqual([0, 1, 2, 3]);
    expect([slots.active, slots.queued]).toEqual([0, 0]);
    expect(await b!.execute(() => 'still')).toBe('still');
  });

  it('one pipeline that hangs takes no slot of a retry that pauses in another', async () => {
    const clock = virtualClock();
    const slots = bulkhead({ limit: 1, name: 'slots' });
    const patient = pipeline('patient', [retry({ backoff: 1_000, maxRetries: 1 }), slots], { telemetry: false, clock });
    const quick = pipeline('quick', [slots], { telemetry: false, clock });
    const call = watch(patient.execute(() => Promise.reject(down)));
    await clock.advance(500);
    expect(await quick.execute(() => 'ok')).toBe('ok');
    await clock.advance(500);
    expect(call.error).toBe(down);
  });
});
