import * as cockatiel from 'cockatiel';
import { bulkhead, fallback, type PipelineEvent, retry, timeout } from 'seaworthy';
import { toCockatiel } from 'seaworthy/cockatiel';
import { deaf, turn, watch } from '../../policies/stand.ts';
import { compare, end, type Pass, pipe, playing, type Runs, throws } from './compat-table.ts';

const { ConstantBackoff, Event, handleAll, handleType, handleWhenResult, TimeoutStrategy } = cockatiel;

const boom = new Error('boom');
const ok = () => 'ok';
const fails = () => Promise.reject(boom);

/** What has cockatiel's two events, as all of its policies and a pipeline do. */
type Telling = Runs & Pick<cockatiel.IPolicy<any, any>, 'onSuccess' | 'onFailure'>;

/** Writes down what the two events tell, durations left out. */
function listening(side: Telling): unknown[] {
  const told: unknown[] = [];
  side.onSuccess(({ duration }) => told.push(duration >= 0 && 'success'));
  side.onFailure(({ duration, handled, reason }) => told.push(duration >= 0 && { handled, reason }));
  return told;
}

/** What is told of calls with these functions. */
const told =
  (...fns: readonly ((context: any) => unknown)[]) =>
  async (side: Telling, pass: Pass) => {
    const all = listening(side);
    for (const fn of fns) {
      const ended = end(side.execute(fn));
      for (let i = 0; i < 5; i++) await pass(1);
      await ended;
    }
    return all;
  };

const plain = { theirs: (): Telling => cockatiel.noop, ours: (): Telling => pipe([]) };
const judging = (handler: cockatiel.Policy) => ({
  theirs: (): Telling => cockatiel.retry(handler, { maxAttempts: 0 }),
  ours: (): Telling => pipe([retry({ maxRetries: 0 })], { classify: handler }),
});
const once = <T>(event: cockatiel.Event<T>, listener: (told: T) => void) => Event.once(event, listener);

compare<Telling>('onSuccess and onFailure of a pipeline', [
  { behaviour: 'a call that succeeds is told', ...judging(handleAll), scene: told(ok), both: ['success'] },
  {
    behaviour: 'an error that is handled is told as handled',
    ...judging(handleAll),
    scene: told(fails),
    both: [{ handled: true, reason: { error: boom } }],
  },
  {
    behaviour: 'an error that is not handled is told as not handled',
    ...judging(handleType(TypeError)),
    scene: told(fails),
    both: [{ handled: false, reason: { error: boom } }],
  },
  {
    behaviour: 'a value that is handled is told as a failure',
    ...judging(handleWhenResult((r) => r === 503)),
    scene: told(() => 503, ok),
    both: [{ handled: true, reason: { value: 503 } }, 'success'],
  },
  {
    behaviour: 'where nobody handles anything an error is told',
    ...plain,
    scene: told(fails),
    cockatiel: ['as not handled', [{ handled: false, reason: { error: boom } }]],
    seaworthy: ['as handled', [{ handled: true, reason: { error: boom } }]],
    differs: 'errors are failures unless somebody says otherwise',
  },
  {
    behaviour: 'a call that is retried is told',
    theirs: () => cockatiel.retry(handleAll, { maxAttempts: 2 }),
    ours: () => pipe([retry({ backoff: 0 })]),
    scene: (side, pass) => told(playing(throws(boom), throws(boom), 'ok'))(side, pass),
    cockatiel: [
      'attempt by attempt',
      [{ handled: true, reason: { error: boom } }, { handled: true, reason: { error: boom } }, 'success'],
    ],
    seaworthy: ['once, as it ended', ['success']],
    differs: 'attempts are events of their own (`subscribe`)',
  },
  {
    behaviour: 'a call that a fallback answered is told',
    theirs: () => cockatiel.fallback(handleAll, 'instead'),
    ours: () => pipe([fallback(() => 'instead')]),
    scene: told(fails),
    cockatiel: ['as a failure', [{ handled: true, reason: { error: boom } }]],
    seaworthy: ['as a success', ['success']],
    differs: "the caller got an answer; the failure is in the fallback's own event",
  },
  {
    behaviour: 'a call that went through a bulkhead is told',
    theirs: () => cockatiel.bulkhead(1),
    ours: () => pipe([bulkhead({ limit: 1 })]),
    scene: told(ok),
    cockatiel: ['not at all', []],
    seaworthy: ['as any other', ['success']],
    differs: 'it is a call as any other',
  },
  {
    behaviour: 'a call whose caller has gone is told',
    ...judging(handleAll),
    scene: async (side) => {
      const all = listening(side);
      const caller = new AbortController();
      const fn = () => {
        caller.abort(boom);
        throw boom;
      };
      await end(side.execute(fn, caller.signal));
      return all;
    },
    cockatiel: ['as a failure', [{ handled: true, reason: { error: boom } }]],
    seaworthy: ['as neither', []],
    differs: 'the caller has ended it, nothing has failed',
  },
  {
    behaviour: 'a listener is told until it is disposed of, others go on',
    ...plain,
    scene: async (side) => {
      const all: string[] = [];
      const one = side.onSuccess(() => all.push('one'));
      await side.execute(ok);
      const two = side.onSuccess(() => all.push('two'));
      await side.execute(ok);
      one.dispose();
      await side.execute(ok);
      two.dispose();
      await side.execute(ok);
      return all;
    },
    both: ['one', 'one', 'two', 'two'],
  },
  {
    behaviour: 'a listener that throws',
    ...plain,
    scene: async (side) => {
      const handle = side.onSuccess(() => {
        throw boom;
      });
      const answer = await end(side.execute(ok));
      handle.dispose();
      return answer;
    },
    cockatiel: ['makes the call fail', boom],
    seaworthy: ['is reported, and changes nothing', 'ok'],
    differs: 'who looks on must not change what happens',
  },
  {
    behaviour: 'Event.once tells once',
    ...plain,
    scene: async (side) => {
      const all: string[] = [];
      once(side.onSuccess, () => all.push('success'));
      await side.execute(ok);
      await side.execute(ok);
      return all;
    },
    both: ['success'],
  },
  {
    behaviour: 'Event.toPromise resolves with the next one',
    ...judging(handleAll),
    scene: async (side) => {
      const next = Event.toPromise(side.onFailure);
      await end(side.execute(ok));
      await end(side.execute(fails));
      return (await next).reason;
    },
    both: { error: boom },
  },
  {
    behaviour: 'Event.toPromise can be cancelled, before or while it waits',
    ...plain,
    scene: async (side) => {
      const caller = new AbortController();
      const waiting = end(Event.toPromise(side.onSuccess, caller.signal));
      caller.abort();
      return [await waiting, await end(Event.toPromise(side.onSuccess, AbortSignal.abort())), await side.execute(ok)];
    },
    both: ['cancelled', 'cancelled', 'ok'],
  },
  {
    behaviour: 'in wrap, the outermost tells of the whole',
    theirs: () => cockatiel.wrap(cockatiel.retry(handleAll, { maxAttempts: 0 }), cockatiel.noop),
    ours: () => cockatiel.wrap(toCockatiel(pipe([])), cockatiel.noop),
    scene: told(ok, fails),
    both: ['success', { handled: true, reason: { error: boom } }],
  },
]);

/** A policy that tells of more than that, what it told in cockatiel's words. */
interface Saying extends Runs {
  readonly said: unknown[];
}

/** Both with the events of one policy: cockatiel's emitters, and what `subscribe` tells that stands for them. */
function saying<P extends cockatiel.IPolicy<any, any>>(
  make: () => P,
  listen: (policy: P, said: unknown[]) => void,
  ours: () => Parameters<typeof pipe>[0][number],
  heard: (event: PipelineEvent) => unknown,
) {
  return {
    theirs: (): Saying => {
      const policy = make();
      const said: unknown[] = [];
      listen(policy, said);
      return { execute: (fn, signal) => policy.execute(fn, signal), said };
    },
    ours: (): Saying => {
      const own = pipe([ours()]);
      const said: unknown[] = [];
      own.subscribe((event) => {
        const words = heard(event);
        if (words !== undefined) said.push(words);
      });
      return { execute: (fn, signal) => own.execute(fn, signal), said };
    },
  };
}

const retries = () =>
  saying(
    () => cockatiel.retry(handleAll, { maxAttempts: 2, backoff: new ConstantBackoff(5) }),
    (policy, said) => {
      policy.onRetry(({ attempt, delay, ...reason }) => said.push(['retry', attempt, delay, reason]));
      policy.onGiveUp((reason) => said.push('gave up') && reason);
    },
    () => retry({ maxRetries: 2, backoff: 5 }),
    (event) => {
      if (event.type === 'retry') return ['retry', event.retry, event.delayMs, { error: event.error }];
      return event.type === 'retry_result' && event.result === 'exhausted' ? 'gave up' : undefined;
    },
  );

const timeouts = (strategy: cockatiel.TimeoutStrategy) =>
  saying(
    () => cockatiel.timeout(5, strategy),
    (policy, said) => policy.onTimeout(() => said.push('timeout')),
    () => timeout({ ms: 5, mode: strategy === TimeoutStrategy.Aggressive ? 'abandon' : 'cooperative' }),
    (event) => (event.type === 'timeout' ? 'timeout' : undefined),
  );

/** What is said of a call of this function in the next 20 ms. */
const said = (fn: (context: any) => unknown) => async (side: Saying, pass: Pass) => {
  void end(side.execute(fn));
  for (let i = 0; i < 4; i++) await pass(5);
  return side.said;
};

const polite = ({ signal }: { signal: AbortSignal }) =>
  new Promise((resolve) => signal.addEventListener('abort', () => resolve('so far')));

compare<Saying>('events of single policies (subscribe)', [
  {
    behaviour: 'a retry is told before its pause, with its number, its pause and what happened (onRetry)',
    ...retries(),
    scene: async (side, pass) => {
      const fn = playing(throws(boom), throws(boom), 'ok');
      void end(side.execute(fn));
      await pass(0);
      const [first, calls] = [side.said.length, fn.mock.calls.length];
      for (let i = 0; i < 3; i++) await pass(5);
      return [first, calls, side.said];
    },
    both: [
      1,
      1,
      [
        ['retry', 1, 5, { error: boom }],
        ['retry', 2, 5, { error: boom }],
      ],
    ],
  },
  {
    behaviour: 'that the retries are used up is told (onGiveUp)',
    ...retries(),
    scene: async (side, pass) => (await said(fails)(side, pass)).at(-1),
    both: 'gave up',
  },
  {
    behaviour: 'a timeout is told (onTimeout, aggressive)',
    ...timeouts(TimeoutStrategy.Aggressive),
    scene: said(deaf),
    both: ['timeout'],
  },
  {
    behaviour: 'a timeout is told (onTimeout, cooperative)',
    ...timeouts(TimeoutStrategy.Cooperative),
    scene: said(polite),
    both: ['timeout'],
  },
  {
    behaviour: 'no timeout is told of a function that was in time, answer or error',
    ...timeouts(TimeoutStrategy.Aggressive),
    scene: async (side, pass) => [await said(ok)(side, pass), await said(fails)(side, pass)],
    both: [[], []],
  },
  {
    behaviour: 'a caller who goes before the time is up',
    ...timeouts(TimeoutStrategy.Aggressive),
    scene: async (side) => {
      const caller = new AbortController();
      const seen = watch(end(side.execute(deaf, caller.signal)));
      await turn();
      caller.abort(boom);
      await turn();
      return [seen.state, side.said];
    },
    cockatiel: ['is told as a timeout', ['value', ['timeout']]],
    seaworthy: ['is not', ['value', []]],
    differs: 'a caller who has gone is no timeout',
  },
  {
    behaviour: 'a rejection of a bulkhead is told (onReject)',
    ...saying(
      () => cockatiel.bulkhead(1),
      (policy, all) => policy.onReject(() => all.push('rejected')),
      () => bulkhead({ limit: 1 }),
      (event) => (event.type === 'rejected' ? 'rejected' : undefined),
    ),
    scene: async (side) => {
      void side.execute(deaf);
      return [await end(side.execute(ok)), side.said];
    },
    both: ['full', ['rejected']],
  },
]);
