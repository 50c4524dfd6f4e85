import * as cockatiel from 'cockatiel';
import { retry } from 'seaworthy';
import { vi } from 'vitest';
import { turn, watch } from '../../policies/stand.ts';
import { abortSeen, compare, end, keepsAlive, type Pass, playing, type Runs, sides, throws } from './compat-table.ts';

const { handleAll, handleType, handleWhenResult, ConstantBackoff } = cockatiel;

class ErrorA extends Error {}
class ErrorB extends Error {}
const a = new ErrorA('A');
const b = new ErrorB('B');
const gone = new Error('the caller has gone');

/** A retry of cockatiel's and one of ours, without pauses and with as many retries. */
const again = (maxAttempts: number, when: cockatiel.Policy = handleAll, backoff = new ConstantBackoff(0)) =>
  sides(
    () => cockatiel.retry(when, { maxAttempts, backoff }),
    () => retry({ maxRetries: maxAttempts, when, backoff, budget: false }),
  );

/** What a call comes to, and how often its function was called. */
const played =
  (...answers: unknown[]) =>
  async (side: Runs, pass: Pass) => {
    const fn = playing(...answers);
    const seen = watch(end(side.execute(fn)));
    for (let i = 0; i < 30 && seen.state === 'pending'; i++) await pass(60_000);
    return [seen.value, fn.mock.calls.length];
  };

const cancelled = 'a caller who has gone gets their own reason, at once, and nothing more is done for them';

compare<Runs>('retry', [
  {
    behaviour: 'a function that returns and one that resolves give the same',
    ...again(1),
    scene: async (side) => [await side.execute(() => 42), await side.execute(async () => 42)],
    both: [42, 42],
  },
  {
    behaviour: 'any error is retried where all are handled',
    ...again(5),
    scene: played(throws(a), 'ok'),
    both: ['ok', 2],
  },
  {
    behaviour: 'an error of another type than those handled is not retried',
    ...again(5, handleType(ErrorA)),
    scene: played(throws(a), throws(b), 'ok'),
    both: [b, 2],
  },
  {
    behaviour: 'a value that is handled is retried, another is the answer',
    ...again(
      5,
      handleWhenResult((r) => r === 1),
    ),
    scene: played(1, 2, 3),
    both: [2, 2],
  },
  {
    behaviour: 'the last value is the answer when the retries are used up',
    ...again(
      5,
      handleWhenResult((r) => (r as number) < 2),
    ),
    scene: played(1),
    both: [1, 6],
  },
  {
    behaviour: 'the last error is thrown, the same object, when the retries are used up',
    ...again(5),
    scene: played(throws(b)),
    both: [b, 6],
  },
  {
    behaviour: 'the number is one of retries: five of them are six calls',
    ...again(5),
    scene: played(throws(a), throws(a), throws(a), throws(a), throws(a), 'ok'),
    both: ['ok', 6],
  },
  {
    behaviour: 'without a number it retries',
    ...sides(
      () => cockatiel.retry(handleAll, {}),
      () => retry({ backoff: 0 }),
    ),
    scene: played(...Array(20).fill(throws(a)), 'ok'),
    cockatiel: ['for ever', ['ok', 21]],
    seaworthy: ['twice', [a, 3]],
    differs: 'a retry without end turns an outage into a storm',
  },
  {
    behaviour: 'without a backoff it pauses',
    ...sides(
      () => cockatiel.retry(handleAll, { maxAttempts: 2 }),
      () => retry({ maxRetries: 2 }),
    ),
    scene: async (side, pass) => {
      vi.spyOn(Math, 'random').mockReturnValue(0.5);
      const fn = playing(throws(a));
      const seen = watch(end(side.execute(fn)));
      for (let i = 0; i < 10; i++) await pass(1);
      const soon = fn.mock.calls.length;
      await pass(60_000);
      return [soon, fn.mock.calls.length, seen.state];
    },
    cockatiel: ['not at all', [3, 3, 'value']],
    seaworthy: ['for a while', [1, 3, 'value']],
    differs: 'those who failed together must not come back together',
  },
  {
    behaviour: 'the function is told which attempt it is',
    ...again(2),
    scene: async (side, pass) => {
      const told: number[] = [];
      const seen = watch(end(side.execute(({ attempt }) => told.push(attempt) && Promise.reject(a))));
      while (seen.state === 'pending') await pass(1);
      return told;
    },
    cockatiel: ['from 0', [0, 1, 2]],
    seaworthy: ['from 1', [1, 2, 3]],
    stage: 'seaworthy',
    differs: 'the same number as in events, spans and the backoff',
  },
  {
    behaviour: 'it does not go again when the caller aborts during an attempt',
    ...again(3),
    scene: async (side) => {
      const caller = new AbortController();
      const fn = playing(throws(a));
      const seen = await end(
        side.execute(({ signal }) => {
          const before = signal.aborted;
          caller.abort(gone);
          fn(undefined);
          return [before, signal.aborted];
        }, caller.signal),
      );
      return [seen, fn.mock.calls.length];
    },
    cockatiel: ["throws the function's error", [a, 1]],
    seaworthy: ["throws the caller's reason", [gone, 1]],
    stage: 'seaworthy',
    differs: cancelled,
  },
  {
    behaviour: "the function's signal is aborted with the caller's, and not before",
    ...again(3),
    scene: (side) => abortSeen(side),
    both: [false, true],
  },
  {
    behaviour: 'a caller who aborts during a pause',
    ...again(3, handleAll, new ConstantBackoff(400)),
    scene: async (side, pass) => {
      const caller = new AbortController();
      const fn = playing(throws(a));
      const seen = watch(end(side.execute(fn, caller.signal)));
      await pass(50);
      caller.abort(gone);
      await turn();
      const atOnce = seen.value;
      await pass(1_000);
      return [atOnce, seen.value, fn.mock.calls.length];
    },
    cockatiel: ['waits for its end, and the function is called again', [undefined, a, 2]],
    seaworthy: ['hears at once', [gone, gone, 1]],
    stage: 'seaworthy',
    differs: cancelled,
  },
  {
    behaviour: 'nothing of a retry without end is left when its caller has gone',
    ...again(Number.POSITIVE_INFINITY, handleAll, new ConstantBackoff(400)),
    scene: async (side, pass) => {
      const caller = new AbortController();
      const ended = end(side.execute(playing(throws(a)), caller.signal));
      await pass(50);
      caller.abort(gone);
      await pass(1_000);
      await ended;
      return vi.getTimerCount();
    },
    both: 0,
  },
  {
    behaviour: 'a signal that has aborted before the call',
    ...again(3),
    scene: async (side) => {
      const fn = playing('ok');
      return [await end(side.execute(fn, AbortSignal.abort(gone))), fn.mock.calls.length];
    },
    cockatiel: ['the function is called', ['ok', 1]],
    seaworthy: ['the function is not called', [gone, 0]],
    stage: 'seaworthy',
    differs: cancelled,
  },
  {
    behaviour: 'a pending pause keeps the process alive',
    ...again(1, handleAll, new ConstantBackoff(5)),
    scene: keepsAlive(a),
    both: true,
  },
  {
    behaviour: 'and does not where it was told to let it go (dangerouslyUnref)',
    ...sides(
      () => cockatiel.retry(handleAll, { maxAttempts: 1, backoff: new ConstantBackoff(5) }).dangerouslyUnref(),
      () => retry({ maxRetries: 1, backoff: 5 }),
    ),
    scene: keepsAlive(a),
    cockatiel: ['yes', false],
    seaworthy: ['there is no such option', true],
    differs: 'a call that somebody waits for is not given up in silence',
  },
]);
