import { bulkhead, circuitBreaker, fallback, pipeline, retry, timeout } from 'seaworthy';
import { virtualClock } from 'seaworthy/testing';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { deaf, deferred, stateOf, turn, watch } from '../policies/stand.ts';

const quiet = { telemetry: false } as const;
const down = new Error('down');

describe('what goes on without a pause', () => {
  it('holds the event loop for no more retries than the budget pays: a hundred by default', async () => {
    const pipe = pipeline('storm', [retry({ maxRetries: Number.POSITIVE_INFINITY, backoff: 0 })], quiet);
    for (const fail of [() => Promise.reject(down), () => (void 0, thrown())]) {
      let calls = 0;
      const outcome = await pipe.tryExecute(() => {
        calls++;
        return fail();
      });
      expect(outcome.error).toBe(down);
      // The second storm finds what the clock has paid since.
      expect(calls).toBeLessThanOrEqual(101);
      expect(calls).toBeGreaterThanOrEqual(1);
      await turn();
    }
    expect(pipe.snapshot().attempts).toBeGreaterThan(101);
  });

  it.each([
    ['throws', thrown],
    ['rejects', () => Promise.reject(down)],
  ])('lets timers and sockets have their turn, also without a budget, behind a function that %s', async (_, fn) => {
    const pipe = pipeline('storm', [retry({ maxRetries: 1_000, backoff: 0, budget: false })], quiet);
    let calls = 0;
    const turns: number[] = [];
    const look = () => {
      turns.push(calls);
      immediate = setImmediate(look);
    };
    let immediate = setImmediate(look);
    await turn();
    await Promise.all([pipe, pipe].map((each) => each.tryExecute(() => (calls++, fn()))));
    clearImmediate(immediate);
    turns.push(calls);
    expect(calls).toBe(2_002);
    // A hundred pauses, and the first call of either.
    expect(Math.max(...turns.map((at, n) => at - (turns[n - 1] ?? 0)))).toBeLessThanOrEqual(103);
  });

  it('is not made to wait for what other turns have seen: a retry of few is a microtask', async () => {
    const pipe = pipeline('few', [retry({ maxRetries: 2, backoff: 0, budget: false })], quiet);
    for (let round = 0; round < 20; round++) {
      await turn();
      let turned = false;
      setImmediate(() => {
        turned = true;
      });
      await Promise.all(Array.from({ length: 50 }, () => pipe.tryExecute(() => Promise.reject(down))));
      expect(turned).toBe(false);
    }
    expect(pipe.snapshot().attempts).toBe(3_000);
  });

  it('does not wait for a turn that only a test runner could give', async () => {
    vi.useFakeTimers();
    const pipe = pipeline('fake', [retry({ maxRetries: 500, backoff: 0, budget: false })], quiet);
    expect((await pipe.tryExecute(() => Promise.reject(down))).error).toBe(down);
  });

  afterEach(() => vi.useRealTimers());

  it('is a turn of its own for each call of a queue, between those that came sooner and those that came later', async () => {
    const pipe = pipeline('queue', [bulkhead({ limit: 1, queue: 100 })], quiet);
    const gate = deferred();
    const order: string[] = [];
    const all = [pipe.execute(() => gate.promise)];
    for (let n = 0; n < 5; n++)
      all.push(
        pipe.execute(() => {
          // The function behind must not run inside this one, which has only just given its slot away.
          order.push(`in ${n}`);
          queueMicrotask(() => order.push(`after ${n}`));
        }),
      );
    gate.resolve(0);
    await Promise.all(all);
    for (let n = 0; n < 5; n++) expect(order.indexOf(`after ${n - 1}`)).toBeLessThan(order.indexOf(`in ${n}`));
    expect(stateOf(pipe)).toMatchObject({ active: 0, queued: 0 });
  });
});

function thrown(): never {
  throw down;
}

describe('one policy object in several places', () => {
  it('twice in one pipeline: each place has a deadline of its own for the same call', async () => {
    const clock = virtualClock();
    const limit = timeout({ ms: 100, name: 'limit' });
    const pipe = pipeline('twice', [limit, retry({ maxRetries: 5, backoff: 40, budget: false }), limit], {
      clock,
      ...quiet,
    });
    let calls = 0;
    const first = watch(
      pipe.execute(() => {
        calls++;
        return calls === 1 ? Promise.reject(down) : deaf();
      }),
    );
    // 0: fails; 40: second attempt, whose own limit is 140; the outer one is over at 100.
    await clock.advance(99);
    expect([first.state, calls]).toEqual(['pending', 2]);
    await clock.advance(1);
    expect(first.error).toMatchObject({ code: 'timeout', policy: 'limit' });
    expect(stateOf(pipe, 0)).toMatchObject({ timeouts: 1 });
    await clock.advance(1_000);
    expect(stateOf(pipe, 0)).toMatchObject({ timeouts: 1 });
    expect(clock.pending).toBe(0);
  });

  it('in many pipelines: their calls share what it counts, and none the place of another', async () => {
    const clock = virtualClock();
    const slots = bulkhead({ limit: 3, queue: 100, name: 'slots' });
    const circuit = circuitBreaker({ consecutiveFailures: 3, name: 'circuit' });
    const limit = timeout({ ms: 50, name: 'limit' });
    const pipes = Array.from({ length: 20 }, (_, n) =>
      // In another order each, so that no slot of a memo means the same in two of them.
      pipeline(`p${n}`, n % 2 === 0 ? [slots, circuit, limit] : [limit, slots, circuit, retry()], { clock, ...quiet }),
    );
    const works = pipes.map(() => deferred<number>());
    const seen = pipes.map((pipe, n) => watch(pipe.execute(() => works[n]!.promise)));
    expect([slots.active, slots.queued]).toEqual([3, 17]);
    for (const [n, work] of works.entries()) work.resolve(n);
    await turn();
    expect(seen.map(({ value }) => value)).toEqual(pipes.map((_, n) => n));
    expect([slots.active, slots.queued]).toEqual([0, 0]);
    await turn();
    expect(clock.pending).toBe(0);
    for (const n of [0, 2, 4]) await pipes[n]!.tryExecute(thrown);
    expect((await pipes[1]!.tryExecute(() => 1)).error).toMatchObject({ code: 'circuit_open', policy: 'circuit' });
  });

  it('a pipeline inside itself by way of the function: each call has its own deadline, slot, attempt and end', async () => {
    const clock = virtualClock();
    const pipe = pipeline(
      'self',
      [fallback({ to: () => 'spare', when: () => false }), retry(), bulkhead({ limit: 10 }), timeout(100)],
      { clock, ...quiet },
    );
    const depths: number[] = [];
    const dive = (depth: number): Promise<unknown> =>
      pipe.execute(({ attempt }) => {
        depths.push(depth);
        if (depth < 5) return dive(depth + 1);
        return attempt === 1 ? Promise.reject(down) : `bottom at attempt ${attempt}`;
      });
    const seen = watch(dive(1));
    await clock.advance(99);
    expect(seen).toMatchObject({ state: 'value', value: 'bottom at attempt 2' });
    expect(depths).toEqual([1, 2, 3, 4, 5, 5]);
    expect(pipe.snapshot()).toMatchObject({ active: 0, calls: 5, attempts: 6, outcomes: { success: 5 } });
    await turn();
    expect(clock.pending).toBe(0);
  });

  it('a pipeline inside itself whose innermost function hangs: each is timed out once, or ended by the one around it', async () => {
    for (const passed of [false, true]) {
      const clock = virtualClock();
      const pipe = pipeline('self', [timeout(100)], { clock, ...quiet });
      const ends: unknown[] = [];
      const dive = (depth: number, around?: AbortSignal): Promise<unknown> => {
        const call = pipe.execute(({ signal }) => (depth < 3 ? dive(depth + 1, passed ? signal : undefined) : deaf()), {
          signal: around,
        });
        return call.catch((error) => {
          ends.push(error);
          throw error;
        });
      };
      const seen = watch(dive(1));
      await clock.advance(100);
      expect(seen.error).toMatchObject({ code: 'timeout' });
      expect(ends).toHaveLength(3);
      const { failure, cancelled, success } = pipe.snapshot().outcomes;
      expect([failure + cancelled, success]).toEqual([3, 0]);
      // Who is told to stop by the one around it ends with the reason of that one.
      expect(new Set(ends).size).toBe(failure);
      if (!passed) expect(failure).toBe(3);
      else expect(failure).toBeLessThan(3);
      await turn();
      expect([clock.pending, pipe.snapshot().active]).toEqual([0, 0]);
    }
  });
});
