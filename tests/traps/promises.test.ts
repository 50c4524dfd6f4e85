import { createHook } from 'node:async_hooks';
import {
  bulkhead,
  circuitBreaker,
  fallback,
  type Pipeline,
  pipeline,
  policy,
  retry,
  type Stackable,
  timeout,
} from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { deferred, turn } from '../policies/stand.ts';

const quiet = { telemetry: false } as const;
const down = new Error('down');
const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

const five = () => [
  fallback({ to: () => 'spare', when: () => false }),
  retry({ maxRetries: 1, backoff: 0 }),
  circuitBreaker({ minimumCalls: 1_000 }),
  bulkhead({ limit: 100, queue: 100 }),
  timeout(1_000),
];

/** Pipelines of other shapes, so that nothing here holds for one shape alone. */
const shapes: Record<string, () => Stackable[]> = {
  none: () => [],
  timeout: () => [timeout(1_000)],
  'a length of its own': () => [timeout(() => 1_000), bulkhead({ limit: 100 })],
  five,
  'five, the other way round': () => five().reverse(),
  'the same kind several times': () => [timeout(900), retry(), timeout(800), circuitBreaker(), timeout(700)],
  nested: () => [retry(), pipeline('inner', five(), quiet), timeout(1_000)],
};

describe('promises, each of which is dear where an AsyncLocalStorage is active', () => {
  /** Promises that the library makes while `pipe` runs `fn`; the test runner makes some as well. */
  async function count(pipe: Pipeline<any>, fn: () => unknown, signal?: AbortSignal): Promise<number> {
    let made = 0;
    const init = (_id: number, type: string) => {
      if (type === 'PROMISE' && /\/(src|dist)\/core\//.test(new Error('who').stack!)) made++;
    };
    const hook = createHook({ init }).enable();
    await (signal === undefined ? pipe.execute(fn) : pipe.execute(fn, signal));
    hook.disable();
    return made;
  }

  const ready = Promise.resolve('ready');

  it.each(Object.entries(shapes))('are three of ours for a promise, and one for a value, with %s', async (_, make) => {
    const pipe = pipeline('p', make(), quiet);
    for (let round = 0; round < 3; round++) {
      const { signal } = new AbortController();
      // The function's own was there before.
      expect(await count(pipe, () => ready)).toBe(3);
      expect(await count(pipe, () => ready, signal)).toBe(3);
      expect(await count(pipe, () => 'value')).toBe(1);
      expect(await count(pipe, () => 'value', signal)).toBe(1);
    }
  });
});

describe('a promise of ours', () => {
  /** Ends in time. What answers after its call has gone on settles what it was behind once more. */
  const ends: Record<string, (call: { signal: AbortSignal }) => unknown> = {
    'answers at once': () => 1,
    answers: async () => 1,
    throws: () => {
      throw down;
    },
    rejects: async () => {
      throw down;
    },
    'answers a little later': () => sleep(2),
    'rejects a little later': () => sleep(2).then(() => Promise.reject(down)),
    'answers the second time': (() => {
      let calls = 0;
      return async () => (++calls % 2 === 0 ? calls : Promise.reject(down));
    })(),
    'hears of its timeout, and never answers': ({ signal }) => new Promise(() => void signal.aborted),
    'is a thenable': () => ({ then: (yes: (value: unknown) => void) => queueMicrotask(() => yes(1)) }),
  };

  // The event is gone from Node 26 on, and there settling twice costs nothing.
  const tells = Number(process.versions.node.split('.')[0]) < 26;

  it.skipIf(!tells).each(Object.entries(ends))('is settled once, when the function %s', async (_, fn) => {
    const twice: unknown[] = [];
    const listener = (type: string) => void twice.push(type);
    process.on('multipleResolves', listener);
    try {
      new Promise<number>((resolve) => {
        resolve(1);
        resolve(2);
      });
      await turn();
      expect(twice, 'what is settled twice is told of').toEqual(['resolve']);
      twice.length = 0;
      for (const make of Object.values(shapes)) {
        const pipe = pipeline('p', [timeout({ ms: 60, name: 'all' }), ...make()], quiet);
        const { signal } = new AbortController();
        await Promise.all([pipe.tryExecute(fn), pipe.execute(fn, signal).catch(() => {})]);
      }
      await sleep(50);
      expect(twice).toEqual([]);
    } finally {
      process.off('multipleResolves', listener);
    }
  });
});

describe('what the function answers', () => {
  it('at once is no call that waits: there is no timer and no wait, and yet the caller gets a promise', async () => {
    const pipe = pipeline('p', [timeout(1_000), retry(), policy({ kind: 'own', around: (_, next) => next() })], quiet);
    const promise = pipe.execute(() => 1);
    expect(promise).toBeInstanceOf(Promise);
    await expect(promise).resolves.toBe(1);
    const without = pipeline('q', [timeout(1_000), retry(), circuitBreaker()], quiet);
    void without.execute(() => 1);
    expect(without.snapshot()).toMatchObject({ active: 0, outcomes: { success: 1 } });
  });

  it('is asked for its `then` three times at most, and called once', async () => {
    let reads = 0;
    let calls = 0;
    const answer = {
      get then() {
        reads++;
        return (yes: (value: unknown) => void) => {
          calls++;
          yes('value');
        };
      },
    };
    for (const make of Object.values(shapes)) {
      reads = calls = 0;
      await expect(pipeline('p', make(), quiet).execute(() => answer)).resolves.toBe('value');
      expect(calls).toBe(1);
      expect(reads).toBeLessThanOrEqual(3);
    }
  });

  it('comes to its own call, however many calls of other shapes end between', async () => {
    const pipes = Object.values(shapes).map((make, n) => pipeline(`p${n}`, make(), quiet));
    const works = Array.from({ length: 700 }, () => deferred<number>());
    const all = works.map((work, n) => pipes[n % pipes.length]!.execute(() => work.promise));
    // 303 and 700 have no factor in common, so each has its turn, far from that of its neighbours.
    for (let n = 0; n < 700; n++) works[(n * 303) % 700]!.resolve((n * 303) % 700);
    expect(await Promise.all(all)).toEqual(works.map((_, n) => n));
    for (const pipe of pipes) expect(pipe.snapshot()).toMatchObject({ active: 0, outcomes: { success: 100 } });
  });
});
