import * as cockatiel from 'cockatiel';
import { timeout } from 'seaworthy';
import { deaf, deferred, likeFetch, turn, watch } from '../../policies/stand.ts';
import { compare, end, keepsAlive, type Runs, sides } from './compat-table.ts';

const { Aggressive, Cooperative } = cockatiel.TimeoutStrategy;

const boom = new Error('boom');
const gone = new Error('the caller has gone');

/** An aggressive timeout is ours; a cooperative one waits for the function in either. */
const hard = (ms: number) =>
  sides(
    () => cockatiel.timeout(ms, Aggressive),
    () => timeout(ms),
  );
const soft = (ms: number) =>
  sides(
    () => cockatiel.timeout(ms, Cooperative),
    () => timeout({ ms, mode: 'cooperative' }),
  );

/** What a call comes to whose function looks at its signal, waits, and looks again. */
const looking =
  (lateMs: number, signal?: () => AbortSignal) => async (side: Runs, pass: (ms: number) => Promise<void>) => {
    const answer = deferred();
    const told: boolean[] = [];
    const seen = watch(
      end(
        side.execute(async (context) => {
          told.push(context.signal.aborted);
          await answer.promise;
          told.push(context.signal.aborted);
          return 42;
        }, signal?.()),
      ),
    );
    await pass(lateMs);
    const before = seen.state;
    answer.resolve(undefined);
    await pass(0);
    return { before, told, answer: seen.value };
  };

compare<Runs>('timeout', [
  {
    behaviour: 'a function that is in time gives its answer (aggressive)',
    ...hard(1_000),
    scene: (side) => side.execute(() => 42),
    both: 42,
  },
  {
    behaviour: 'a function that is in time gives its answer (cooperative)',
    ...soft(1_000),
    scene: (side) => side.execute(() => 42),
    both: 42,
  },
  {
    behaviour: 'its error passes, the same object',
    ...hard(1_000),
    scene: (side) => end(side.execute(() => Promise.reject(boom))),
    both: boom,
  },
  {
    behaviour: 'aggressive: the signal is aborted when time is up, and the call is cancelled then',
    ...hard(5),
    scene: looking(5),
    both: { before: 'value', told: [false, true], answer: 'cancelled' },
  },
  {
    behaviour: 'cooperative: the signal is aborted when time is up, the function is waited for',
    ...soft(5),
    scene: async (side, pass) => {
      const { before, told } = await looking(5)(side, pass);
      return { before, told };
    },
    both: { before: 'pending', told: [false, true] },
  },
  {
    behaviour: 'cooperative: what the function answers after its time',
    ...soft(5),
    scene: async (side, pass) => (await looking(5)(side, pass)).answer,
    cockatiel: ['is the answer', 42],
    seaworthy: ['is too late: the call has timed out', 'cancelled'],
    differs: 'a timeout that is told of and an answer that is given contradict each other',
  },
  {
    behaviour: 'aggressive: a function that rejects because of its signal',
    ...hard(5),
    scene: async (side, pass) => {
      const answer = end(side.execute(likeFetch));
      await pass(5);
      const what = await answer;
      return what instanceof DOMException ? what.name : what;
    },
    cockatiel: ['its own AbortError is thrown', 'AbortError'],
    seaworthy: ['the timeout is thrown, with that error as its cause', 'cancelled'],
    stage: 'seaworthy',
    differs: 'who gets the error must see that it was a timeout',
  },
  {
    behaviour: "the caller's abort reaches the function, with its reason",
    ...hard(1_000),
    scene: async (side) => {
      const caller = new AbortController();
      const told: unknown[] = [];
      await end(
        side.execute(({ signal }) => {
          told.push(signal.aborted);
          caller.abort(gone);
          told.push(signal.aborted, signal.reason);
        }, caller.signal),
      );
      return told;
    },
    both: [false, true, gone],
  },
  {
    behaviour: "aggressive: the caller's abort ends the call",
    ...hard(1_000),
    scene: async (side) => {
      const caller = new AbortController();
      const seen = watch(end(side.execute(deaf, caller.signal)));
      caller.abort(gone);
      await turn();
      return seen.value;
    },
    cockatiel: ['as if it had timed out', 'cancelled'],
    seaworthy: ["with the caller's reason", gone],
    stage: 'seaworthy',
    differs: 'a caller who has gone gets their own reason, and is no timeout',
  },
  {
    behaviour: 'it still has its own time where the caller gives a signal',
    ...hard(5),
    scene: looking(5, () => new AbortController().signal),
    both: { before: 'value', told: [false, true], answer: 'cancelled' },
  },
  {
    behaviour: "the function's signal after the answer",
    ...soft(1_000),
    scene: async (side) => (await side.execute(({ signal }) => [signal]))[0].aborted,
    cockatiel: ['is aborted, unless abortOnReturn is false', true],
    seaworthy: ['is left alone', false],
    stage: 'seaworthy',
    differs: 'a stream or a body that was answered must go on',
  },
  {
    behaviour: "the function's signal after the answer, with abortOnReturn: false",
    ...sides(
      () => cockatiel.timeout(1_000, { strategy: Aggressive, abortOnReturn: false }),
      () => timeout(1_000),
    ),
    scene: async (side) => (await side.execute(({ signal }) => [signal]))[0].aborted,
    both: false,
  },
  {
    behaviour: 'a timeout without end',
    ...hard(Number.POSITIVE_INFINITY),
    scene: async (side, pass) => {
      const seen = watch(end(side.execute(deaf)));
      await pass(10);
      return seen.state;
    },
    cockatiel: ['is up after 1 ms', 'value'],
    seaworthy: ['is none', 'pending'],
    differs: 'setTimeout takes what is too long for it as 1 ms',
  },
  {
    behaviour: 'a pending timeout keeps the process alive',
    ...hard(5),
    scene: keepsAlive(),
    both: true,
  },
  {
    behaviour: 'and does not where it was told to let it go (dangerouslyUnref), in a timeout',
    ...sides(
      () => cockatiel.timeout(5, Aggressive).dangerouslyUnref(),
      () => timeout(5),
    ),
    scene: keepsAlive(),
    cockatiel: ['yes', false],
    seaworthy: ['there is no such option', true],
    differs: 'a call that somebody waits for is not given up in silence',
  },
]);
