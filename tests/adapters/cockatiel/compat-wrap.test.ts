import * as cockatiel from 'cockatiel';
import { bulkhead, circuitBreaker, retry, timeout } from 'seaworthy';
import { toCockatiel } from 'seaworthy/cockatiel';
import { deaf, watch } from '../../policies/stand.ts';
import { abortSeen, compare, end, pipe, playing, type Runs, throws } from './compat-table.ts';

const { ConsecutiveBreaker, handleAll, handleType, TimeoutStrategy } = cockatiel;

class ErrorA extends Error {}
const a = new ErrorA('A');
const boom = new Error('boom');
const gone = new Error('the caller has gone');

type Whole = cockatiel.IPolicy<any, any>;

/** Policies of cockatiel's and ours in the same places of cockatiel's `wrap`. */
const touchy = () => cockatiel.circuitBreaker(handleAll, { halfOpenAfter: 100, breaker: new ConsecutiveBreaker(2) });
const ourTouchy = () =>
  toCockatiel(pipe([circuitBreaker({ breaker: new ConsecutiveBreaker(2), breakMs: 100, halfOpenCalls: 1 })]));
const again = (maxAttempts = 3, when: cockatiel.Policy = handleAll) => cockatiel.retry(when, { maxAttempts });
const ourAgain = (maxRetries = 3, when: cockatiel.Policy = handleAll) =>
  toCockatiel(pipe([retry({ maxRetries, when, backoff: 0, budget: false })]));

/** What a call comes to in the next milliseconds, and how often its function was called. */
const played =
  (...answers: unknown[]) =>
  async (side: Runs, pass: (ms: number) => Promise<void>) => {
    const fn = playing(...answers);
    const ended = end(side.execute(fn));
    for (let i = 0; i < 10; i++) await pass(1);
    return [await ended, fn.mock.calls.length];
  };

compare<Runs>('wrap, with a pipeline in it (toCockatiel)', [
  {
    behaviour: 'a retry of cockatiel around a circuit breaker breaks the circuit, and is told so',
    theirs: () => cockatiel.wrap(again(3, handleType(ErrorA)), touchy()),
    ours: () => cockatiel.wrap(again(3, handleType(ErrorA)), ourTouchy()),
    scene: played(throws(a)),
    both: ['broken', 2],
  },
  {
    behaviour: 'a retry around a circuit breaker of cockatiel breaks the circuit, and is told so',
    theirs: () => cockatiel.wrap(again(3, handleType(ErrorA)), touchy()),
    ours: () => cockatiel.wrap(ourAgain(3, handleType(ErrorA)), touchy()),
    scene: played(throws(a)),
    both: ['broken', 2],
  },
  {
    behaviour: 'a fallback of cockatiel answers for what is wrapped in it',
    theirs: () => cockatiel.wrap(cockatiel.fallback(handleAll, 'instead'), again(1), touchy()),
    ours: () => cockatiel.wrap(cockatiel.fallback(handleAll, 'instead'), ourAgain(1), ourTouchy()),
    scene: played(throws(a)),
    both: ['instead', 2],
  },
  {
    behaviour: 'an aggressive timeout of cockatiel ends what is wrapped in it',
    theirs: () => cockatiel.wrap(cockatiel.timeout(5, TimeoutStrategy.Aggressive), again(), cockatiel.noop),
    ours: () => cockatiel.wrap(cockatiel.timeout(5, TimeoutStrategy.Aggressive), ourAgain(), toCockatiel(pipe([]))),
    scene: played(new Promise(() => {})),
    both: ['cancelled', 1],
  },
  {
    behaviour: 'a bulkhead of cockatiel limits what is wrapped in it',
    theirs: () => cockatiel.wrap(cockatiel.bulkhead(1), again(0)),
    ours: () => cockatiel.wrap(cockatiel.bulkhead(1), ourAgain(0)),
    scene: async (side) => {
      void side.execute(deaf);
      return end(side.execute(() => 'ok'));
    },
    both: 'full',
  },
  {
    behaviour: 'a bulkhead limits what cockatiel wraps in it',
    theirs: () => cockatiel.wrap(cockatiel.bulkhead(1), again(0)),
    ours: () => cockatiel.wrap(toCockatiel(pipe([bulkhead({ limit: 1 })])), again(0)),
    scene: async (side) => {
      void side.execute(deaf);
      return end(side.execute(() => 'ok'));
    },
    both: 'full',
  },
  {
    behaviour: 'it knows what it wraps',
    theirs: () => wrapped([again(), touchy(), cockatiel.noop]),
    ours: () => wrapped([ourAgain(), ourTouchy(), cockatiel.noop]),
    scene: (side) => side.execute(() => 42),
    both: [true, 42],
  },
  {
    behaviour: 'the function gets a signal, and what else each policy adds',
    theirs: () => cockatiel.wrap(again(), touchy(), cockatiel.timeout(1_000, TimeoutStrategy.Aggressive)),
    ours: () => cockatiel.wrap(again(), ourTouchy(), cockatiel.timeout(1_000, TimeoutStrategy.Aggressive)),
    scene: (side) =>
      side.execute((context) => [context.signal instanceof AbortSignal, Object.keys(context).includes('attempt')]),
    both: [true, true],
  },
  {
    behaviour: 'the attempt of a retry that is wrapped around others',
    theirs: () => cockatiel.wrap(again(2), cockatiel.noop),
    ours: () => cockatiel.wrap(again(2), toCockatiel(pipe([]))),
    scene: async (side, pass) => {
      const told: number[] = [];
      const ended = end(side.execute(({ attempt }) => told.push(attempt) && Promise.reject(boom)));
      for (let i = 0; i < 5; i++) await pass(1);
      await ended;
      return told;
    },
    cockatiel: ['from 0', [0, 1, 2]],
    seaworthy: ["is the pipeline's own, 1 each time", [1, 1, 1]],
    differs: 'the innermost who counts is the one the function hears; attempts restart inside a pipeline',
  },
  {
    behaviour: "the caller's abort reaches the function through all of them",
    theirs: () => cockatiel.wrap(again(), touchy(), cockatiel.bulkhead(1)),
    ours: () => cockatiel.wrap(again(), ourTouchy(), toCockatiel(pipe([bulkhead({ limit: 1 })]))),
    scene: (side) => abortSeen(side, gone),
    both: [false, true],
  },
]);

function wrapped(policies: [Whole, Whole, Whole]): Runs {
  const policy = cockatiel.wrap(...policies);
  return {
    execute: async (fn) => [policy.wrapped.every((each, n) => each === policies[n]), await policy.execute(fn)],
  };
}

/** A class whose method is decorated, by hand, which is what a legacy decorator comes to. */
function decorated(policy: Whole, method: (this: Doubler, n: number, context: any) => unknown) {
  const own = class extends Doubler {};
  const descriptor = { value: method, configurable: true, writable: true };
  cockatiel.usePolicy(policy as cockatiel.IPolicy<any, never>)(own.prototype, 'double', descriptor as never);
  Object.defineProperty(own.prototype, 'double', descriptor);
  return new own();
}

class Doubler {
  readonly by: number = 2;
  declare double: (n: number, signal?: AbortSignal) => Promise<any>;
}

/** A policy, and the first attempt's number in it. */
interface Used {
  readonly policy: Whole;
  readonly first: number;
}

const used = { theirs: () => ({ policy: again(5), first: 0 }), ours: () => ({ policy: ourAgain(5), first: 1 }) };

compare<Used>('usePolicy, with a pipeline (toCockatiel)', [
  {
    behaviour: 'a method runs behind the policy, with its own this and the context as the last argument',
    ...used,
    scene: async ({ policy, first }, pass) => {
      const doubler = decorated(policy, function (n, context) {
        if (context.attempt < first + 2) throw new Error('not yet');
        return { n: n * this.by, ...context };
      });
      const seen = watch(doubler.double(2));
      for (let i = 0; i < 5; i++) await pass(1);
      const { n, attempt, signal } = seen.value;
      return [n, attempt - first, signal instanceof AbortSignal];
    },
    both: [4, 2, true],
  },
  {
    behaviour: 'a signal as the last argument is the caller’s',
    ...used,
    scene: async ({ policy }) => {
      const caller = new AbortController();
      const told: unknown[] = [];
      const doubler = decorated(policy, (n, context) => {
        told.push(n, context.signal.aborted);
        caller.abort(gone);
        told.push(context.signal.aborted);
        return n * 2;
      });
      await end(doubler.double(2, caller.signal));
      return told;
    },
    both: [2, false, true],
  },
]);

const guards = ['isBrokenCircuitError', 'isIsolatedCircuitError', 'isBulkheadRejectedError'] as const;
const others = ['isTaskCancelledError', 'isHydratingCircuitError'] as const;

/** The guards of cockatiel's that are true for what a policy throws. */
const guarded = (make: () => Promise<unknown>) => async () => {
  const error = await make().then(
    () => new Error('nothing was thrown'),
    (error) => error,
  );
  return [error instanceof Error, ...[...guards, ...others].filter((guard) => cockatiel[guard](error))];
};

/** An error of cockatiel's, and the one of ours that stands for it, from the policies themselves. */
const errors = (theirs: () => Promise<unknown>, ours: () => Promise<unknown>) => ({
  theirs: () => guarded(theirs),
  ours: () => guarded(ours),
  scene: (side: () => Promise<unknown>) => side(),
});

async function open(run: Runs): Promise<unknown> {
  for (let i = 0; i < 2; i++) await end(run.execute(() => Promise.reject(boom)));
  return run.execute(() => 'ok');
}

async function full(run: Runs): Promise<unknown> {
  void run.execute(deaf);
  return run.execute(() => 'ok');
}

compare<() => Promise<unknown>>('guards', [
  {
    behaviour: 'an open circuit',
    ...errors(
      () => open(touchy()),
      () => open(pipe([circuitBreaker({ consecutiveFailures: 2 })])),
    ),
    both: [true, 'isBrokenCircuitError'],
  },
  {
    behaviour: 'a circuit held open by hand',
    ...errors(
      () => {
        const policy = touchy();
        policy.isolate();
        return policy.execute(() => 'ok');
      },
      () => {
        const policy = circuitBreaker();
        policy.isolate();
        return pipe([policy]).execute(() => 'ok');
      },
    ),
    both: [true, 'isBrokenCircuitError', 'isIsolatedCircuitError'],
  },
  {
    behaviour: 'a full bulkhead',
    ...errors(
      () => full(cockatiel.bulkhead(1)),
      () => full(pipe([bulkhead({ limit: 1 })])),
    ),
    both: [true, 'isBulkheadRejectedError'],
  },
  {
    behaviour: 'a timeout',
    theirs: () => guarded(() => cockatiel.timeout(1, TimeoutStrategy.Aggressive).execute(deaf)),
    ours: () => guarded(() => pipe([timeout(1)]).execute(deaf)),
    scene: async (side, pass) => {
      const seen = side();
      await pass(1);
      return seen;
    },
    both: [true, 'isTaskCancelledError'],
  },
  {
    behaviour: 'a caller who has gone, at a bulkhead',
    ...errors(
      () => cockatiel.bulkhead(1).execute(() => 'ok', AbortSignal.abort(gone)),
      () => pipe([bulkhead({ limit: 1 })]).execute(() => 'ok', AbortSignal.abort(gone)),
    ),
    cockatiel: ['isTaskCancelledError', [true, 'isTaskCancelledError']],
    seaworthy: ["none: the reason is the caller's own", [true]],
    differs: 'a caller who has gone gets their own reason, and is no timeout',
  },
  {
    behaviour: 'an error of the function',
    ...errors(
      () => again(0).execute(() => Promise.reject(boom)),
      () => pipe([retry({ maxRetries: 0 })]).execute(() => Promise.reject(boom)),
    ),
    both: [true],
  },
]);
