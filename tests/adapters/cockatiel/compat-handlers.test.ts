import * as cockatiel from 'cockatiel';
import { circuitBreaker, fallback, retry, timeout } from 'seaworthy';
import { compare, end, type Pass, pipe, playing, type Runs, sides, throws } from './compat-table.ts';

const { ConsecutiveBreaker, handleAll, handleResultType, handleType, handleWhen, handleWhenResult } = cockatiel;

class ErrorA extends Error {}
class ErrorB extends Error {}
class ErrorC extends Error {}
class MoreThanA extends ErrorA {}
const foo = (error: Error) => error.message === 'foo';

/** What a function may come to. */
const outcomes = {
  A: throws(new ErrorA()),
  'more than A': throws(new MoreThanA()),
  B: throws(new ErrorB()),
  'C foo': throws(new ErrorC('foo')),
  'C bar': throws(new ErrorC('bar')),
  'a text': throws('text'),
  nothing: throws(undefined),
  'returned A': new ErrorA(),
  'returned 503': 503,
  'returned nothing': undefined,
};

/** Whether a handler handles an outcome, by what each policy that was given it does. */
interface Judging {
  readonly judges: readonly ((outcome: unknown, pass: Pass) => Promise<boolean>)[];
}

const judging = (handler: cockatiel.Policy): { theirs: () => Judging; ours: () => Judging } => ({
  theirs: () => {
    const breaker = () => ({ halfOpenAfter: 1_000, breaker: new ConsecutiveBreaker(1) });
    return {
      judges: [
        retries(() => cockatiel.retry(handler, { maxAttempts: 1 })),
        opens(() => cockatiel.circuitBreaker(handler, breaker())),
        answers(() => cockatiel.fallback(handler, 'instead')),
      ],
    };
  },
  ours: () => ({
    judges: [{ when: handler }, { classify: handler }].flatMap(({ when, classify }) => [
      retries(() => pipe([retry({ maxRetries: 1, backoff: 0, when })], { classify })),
      opens(() => pipe([circuitBreaker({ consecutiveFailures: 1, when })], { classify })),
      answers(() => pipe([fallback({ to: { value: 'instead' }, when })], { classify })),
    ]),
  }),
});

const retries = (make: () => Runs) => async (outcome: unknown, pass: Pass) => {
  const fn = playing(outcome);
  const ended = end(make().execute(fn));
  await pass(1);
  await ended;
  return fn.mock.calls.length === 2;
};
const opens = (make: () => Runs) => async (outcome: unknown) => {
  const policy = make();
  await end(policy.execute(playing(outcome)));
  return (await end(policy.execute(() => 'next'))) === 'broken';
};
const answers = (make: () => Runs) => async (outcome: unknown) =>
  (await end(make().execute(playing(outcome)))) === 'instead';

/** The outcomes a handler handles; those of which the policies think differently have a question mark. */
async function handled({ judges }: Judging, pass: Pass): Promise<string[]> {
  const names: string[] = [];
  for (const [name, outcome] of Object.entries(outcomes)) {
    const said = new Set<boolean>();
    for (const judge of judges) said.add(await judge(outcome, pass));
    if (said.size > 1) names.push(`${name}?`);
    else if (said.has(true)) names.push(name);
  }
  return names;
}

const handles = (behaviour: string, handler: cockatiel.Policy, both: (keyof typeof outcomes)[]) => ({
  behaviour,
  ...judging(handler),
  scene: handled,
  both,
});

const thrown: (keyof typeof outcomes)[] = ['A', 'more than A', 'B', 'C foo', 'C bar', 'a text', 'nothing'];

compare<Judging>('handlers, given as `when` and as `classify`', [
  handles('handleAll: every error and no value', handleAll, thrown),
  handles('handleType: errors of the type and of those derived from it', handleType(ErrorA), ['A', 'more than A']),
  handles('handleType with a predicate: both must agree', handleType(ErrorC, foo), ['C foo']),
  handles(
    'handleWhen: the errors its predicate says yes to',
    handleWhen((error) => error === undefined),
    ['nothing'],
  ),
  handles(
    'orType and orWhen: any of them',
    handleType(ErrorA)
      .orType(ErrorB)
      .orType(ErrorC, foo)
      .orWhen((error) => error === 'text'),
    ['A', 'more than A', 'B', 'C foo', 'a text'],
  ),
  handles('handleResultType: values of the type and no error', handleResultType(ErrorA), ['returned A']),
  handles(
    'handleResultType with a predicate: both must agree, on values',
    handleResultType(Error, foo).orResultType(ErrorA, (error) => error.message === ''),
    ['returned A'],
  ),
  handles(
    'handleWhenResult: the values its predicate says yes to',
    handleWhenResult((value) => value === undefined),
    ['returned nothing'],
  ),
  handles(
    'orResultType and orWhenResult: any of them',
    handleResultType(ErrorA).orWhenResult((value) => value === 503),
    ['returned A', 'returned 503'],
  ),
  handles(
    'one handler may speak of errors and of values',
    handleType(ErrorB).orWhenResult((value) => value === 503),
    ['B', 'returned 503'],
  ),
]);

const oops = new TypeError('of the predicate');
const boom = new Error('boom');
const throwing = () => {
  throw oops;
};

const again = (when: cockatiel.Policy) =>
  sides(
    () => cockatiel.retry(when, { maxAttempts: 2 }),
    () => retry({ maxRetries: 2, backoff: 0, when, budget: false }),
  );

/** What a call comes to and how often the function was called. */
const played = (outcome: unknown) => async (side: Runs, pass: Pass) => {
  const fn = playing(outcome);
  const ended = end(side.execute(fn));
  for (let i = 0; i < 5; i++) await pass(1);
  return [await ended, fn.mock.calls.length];
};

compare<Runs>('handlers, at their limits', [
  {
    behaviour: 'a predicate on errors that throws',
    ...again(handleWhen(throwing)),
    scene: played(throws(boom)),
    cockatiel: ["its error hides the function's", [oops, 1]],
    seaworthy: ["means no, and is reported; the function's error is thrown", [boom, 1]],
    differs: 'code beside the call must not take the place of its result',
  },
  {
    behaviour: 'a predicate on values that throws',
    ...again(handleAll.orWhenResult(throwing)),
    scene: played('fine'),
    cockatiel: ['is an error of the function, which is called again', [oops, 3]],
    seaworthy: ['means no, and is reported; the value is the answer', ['fine', 1]],
    differs: 'what has succeeded is not done twice because of code beside it',
  },
  {
    behaviour: 'a predicate that answers a promise',
    ...again(handleWhenResult((async () => false) as never)),
    scene: played('fine'),
    cockatiel: ['means yes', ['fine', 3]],
    seaworthy: ['means no, and is reported', ['fine', 1]],
    differs: 'a promise of no is not yes',
  },
  {
    behaviour: 'a timeout inside, which the handler does not speak of',
    theirs: () =>
      cockatiel.wrap(
        cockatiel.retry(handleType(ErrorA), { maxAttempts: 2 }),
        cockatiel.timeout(1, cockatiel.TimeoutStrategy.Aggressive),
      ),
    ours: () => pipe([retry({ maxRetries: 2, backoff: 0, when: handleType(ErrorA) }), timeout(1)]),
    scene: played(new Promise(() => {})),
    cockatiel: ['is not handled', ['cancelled', 1]],
    seaworthy: ['is a failure all the same', ['cancelled', 3]],
    differs: 'handlers are written for the errors of the other side; being too slow is one',
  },
  {
    behaviour: 'an open circuit inside, where all errors are handled',
    theirs: () =>
      cockatiel.wrap(
        cockatiel.retry(handleAll, { maxAttempts: 3, backoff: new cockatiel.ConstantBackoff(1) }),
        cockatiel.circuitBreaker(handleAll, { halfOpenAfter: 60_000, breaker: new ConsecutiveBreaker(1) }),
      ),
    ours: () => pipe([retry({ maxRetries: 3, backoff: 1 }), circuitBreaker({ consecutiveFailures: 1 })]),
    scene: async (side, pass) => {
      const fn = playing(throws(boom));
      let ended: unknown;
      void end(side.execute(fn)).then((what) => (ended = what));
      await pass(1);
      return [ended, fn.mock.calls.length];
    },
    cockatiel: ['is asked again until the retries are used up', [undefined, 1]],
    seaworthy: ['ends the retrying', ['broken', 1]],
    differs: 'a circuit that is open stays so for a while; failing fast is its purpose',
  },
]);
