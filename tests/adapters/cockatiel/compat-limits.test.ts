import * as cockatiel from 'cockatiel';
import { bulkhead, fallback } from 'seaworthy';
import { vi } from 'vitest';
import { deaf, deferred, turn, watch } from '../../policies/stand.ts';
import { abortSeen, compare, end, pipe, playing, type Row, type Runs, sides, throws } from './compat-table.ts';

const { handleAll, handleType, handleWhenResult } = cockatiel;

const boom = new Error('boom');
const gone = new Error('the caller has gone');

/** Works that end when told. */
const works = (n: number) => Array.from({ length: n }, () => deferred<string>());

/** A bulkhead of so many slots and places to wait. */
const slots = (limit: number, queue = 0) =>
  sides(
    () => cockatiel.bulkhead(limit, queue),
    () => bulkhead({ limit, queue }),
  );

/** Calls whose functions end one after the other, first come first ended: what each came to, and the order of it all. */
const crowd = (size: number) => async (side: Runs) => {
  const order: string[] = [];
  const work = works(size);
  const calls = work.map(({ promise }, n) =>
    end(
      side.execute(async () => {
        order.push(`${n} begins`);
        await promise;
        order.push(`${n} ends`);
        return n;
      }),
    ),
  );
  for (const { resolve } of work) {
    resolve('done');
    await turn();
  }
  return { order, calls: await Promise.all(calls) };
};

compare<Runs>('bulkhead', [
  {
    behaviour: 'calls beyond the limit are rejected',
    ...slots(2),
    scene: crowd(3),
    both: { order: ['0 begins', '1 begins', '0 ends', '1 ends'], calls: [0, 1, 'full'] },
  },
  {
    behaviour: 'calls beyond the limit wait, first come first served, and those beyond the queue are rejected',
    ...slots(2, 2),
    scene: crowd(5),
    both: {
      order: ['0 begins', '1 begins', '0 ends', '2 begins', '1 ends', '3 begins', '2 ends', '3 ends'],
      calls: [0, 1, 2, 3, 'full'],
    },
  },
  {
    behaviour: 'a function that throws gives its slot back',
    ...slots(1),
    scene: async (side) => [await end(side.execute(playing(throws(boom)))), await side.execute(() => 'next')],
    both: [boom, 'next'],
  },
  {
    behaviour: "the function's signal is aborted with the caller's, each its own",
    ...slots(1, 10),
    scene: async (side) => {
      const told: boolean[] = [];
      const calls = [1, 2, 3].map(() => {
        const caller = new AbortController();
        const fn = async ({ signal }: { signal: AbortSignal }) => {
          await turn();
          told.push(signal.aborted);
          caller.abort();
          told.push(signal.aborted);
        };
        return end(side.execute(fn, caller.signal));
      });
      await Promise.all(calls);
      return told;
    },
    both: [false, true, false, true, false, true],
  },
  {
    behaviour: 'the function of a caller who had gone before is not called, in a bulkhead',
    ...slots(1),
    scene: async (side) => {
      const fn = playing('ok');
      return [await end(side.execute(fn, AbortSignal.abort(gone))), fn.mock.calls.length];
    },
    cockatiel: ['and gets TaskCancelledError', ['cancelled', 0]],
    seaworthy: ["and gets the caller's reason", [gone, 0]],
    stage: 'seaworthy',
    differs: 'a caller who has gone gets their own reason, and is no timeout',
  },
  {
    behaviour: 'a caller who goes while waiting is not served later',
    ...slots(1, 1),
    scene: async (side) => {
      const [first] = works(1);
      const caller = new AbortController();
      const fn = playing('ok');
      const running = side.execute(() => first!.promise);
      const waiting = watch(end(side.execute(fn, caller.signal)));
      await turn();
      caller.abort(gone);
      await turn();
      const atOnce = waiting.value;
      first!.resolve('done');
      await running;
      await turn();
      return [atOnce, waiting.value, fn.mock.calls.length];
    },
    cockatiel: ['hears of it when a slot is free', [undefined, 'cancelled', 0]],
    seaworthy: ['hears at once', [gone, gone, 0]],
    stage: 'seaworthy',
    differs: 'a caller who has gone gets their own reason, at once, and leaves their place to others',
  },
]);

/** A bulkhead with what may be read from it: free slots and free places to wait. */
interface Counting extends Runs {
  free(): [slots: number, places: number];
}

compare<Counting>('bulkhead, what it says of itself', [
  {
    behaviour: 'slots and places are free again as soon as calls end',
    theirs: () => {
      const policy = cockatiel.bulkhead(2, 2);
      return { execute: (fn) => policy.execute(fn), free: () => [policy.executionSlots, policy.queueSlots] };
    },
    ours: () => {
      const policy = bulkhead({ limit: 2, queue: 2 });
      const own = pipe([policy]);
      return { execute: (fn) => own.execute(fn), free: () => [2 - policy.active, 2 - policy.queued] };
    },
    scene: async (side) => {
      const free = [side.free()];
      const work = works(4);
      const calls: Promise<unknown>[] = [];
      for (const { promise } of work) {
        calls.push(side.execute(() => promise));
        free.push(side.free());
      }
      for (const [n, { resolve }] of work.entries()) {
        resolve('done');
        await calls[n];
        await turn();
        free.push(side.free());
      }
      return free;
    },
    both: [
      [2, 2],
      [1, 2],
      [0, 2],
      [0, 1],
      [0, 0],
      [0, 1],
      [0, 2],
      [1, 2],
      [2, 2],
    ],
  },
] satisfies Row<Counting>[]);

/** A fallback to `'instead'`. */
const instead = (when: cockatiel.Policy = handleAll) =>
  sides(
    () => cockatiel.fallback(when, 'instead'),
    () => fallback({ to: { value: 'instead' }, when }),
  );

/** A fallback that makes its answer with `to`, which cockatiel gives nothing and we the outcome. */
const making = (to: (...args: any[]) => unknown) =>
  sides(
    () => cockatiel.fallback(handleAll, to),
    () => fallback(to),
  );

compare<Runs>('fallback', [
  { behaviour: 'an answer is left as it is', ...instead(), scene: (side) => side.execute(() => 'ok'), both: 'ok' },
  {
    behaviour: 'an error is answered',
    ...instead(),
    scene: (side) => side.execute(playing(throws(boom))),
    both: 'instead',
  },
  {
    behaviour: 'an error that is not handled is thrown, the same object',
    ...instead(handleType(TypeError)),
    scene: (side) => end(side.execute(playing(throws(boom)))),
    both: boom,
  },
  {
    behaviour: 'a value that is handled is answered, another is not',
    ...instead(handleWhenResult((r) => r === 503)),
    scene: async (side) => [await side.execute(() => 503), await side.execute(() => 200)],
    both: ['instead', 200],
  },
  {
    behaviour: 'a function may make the answer, also in time',
    ...making(async () => 'made'),
    scene: (side) => side.execute(playing(throws(boom))),
    both: 'made',
  },
  {
    behaviour: 'the function that makes the answer is told',
    ...making((...args) => args[0]?.error),
    scene: (side) => side.execute(playing(throws(boom))),
    cockatiel: ['nothing', undefined],
    seaworthy: ['what happened, and the call', boom],
    differs: 'an answer often depends on what went wrong',
  },
  {
    behaviour: 'the error of a function that fails to make the answer is thrown, with the original',
    ...making(() => {
      throw new Error('no answer either');
    }),
    scene: async (side) => {
      const { message, cause } = (await end(side.execute(playing(throws(boom))))) as Error;
      return [message, cause];
    },
    cockatiel: ['lost', ['no answer either', undefined]],
    seaworthy: ['as its cause', ['no answer either', boom]],
    differs: 'what went wrong first is what has to be mended',
  },
  {
    behaviour: "the function's signal is aborted with the caller's, under a fallback",
    ...instead(),
    scene: (side) => abortSeen(side),
    both: [false, true],
  },
  {
    behaviour: 'a caller who has gone',
    ...instead(),
    scene: async (side) => {
      const caller = new AbortController();
      const fn = ({ signal }: { signal: AbortSignal }) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      const answer = end(side.execute(fn, caller.signal));
      await turn();
      caller.abort(gone);
      return answer;
    },
    cockatiel: ['is answered', 'instead'],
    seaworthy: ['gets their own reason', gone],
    stage: 'seaworthy',
    differs: 'nobody reads the answer',
  },
]);

const nothing = () =>
  sides(
    () => cockatiel.noop,
    () => [],
  );

compare<Runs>('noop', [
  {
    behaviour: 'answers and errors pass',
    ...nothing(),
    scene: async (side) => [await side.execute(() => 42), await end(side.execute(playing(throws(boom))))],
    both: [42, boom],
  },
  {
    behaviour: "the caller's signal is the function's",
    ...nothing(),
    scene: async (side) => {
      const caller = new AbortController();
      const fn = vi.fn(deaf);
      void end(side.execute(fn, caller.signal));
      await turn();
      caller.abort(gone);
      const [context] = fn.mock.calls[0] as unknown as [{ signal: AbortSignal }];
      return [context.signal.aborted, context.signal.reason];
    },
    both: [true, gone],
  },
]);
