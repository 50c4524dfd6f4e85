import { ConstantBackoff, ConsecutiveBreaker, handleAll } from 'cockatiel';
import { bulkhead, circuitBreaker, fallback, pipeline, policy, retry, retryBudget, timeout } from 'seaworthy';
import { resilientFetch } from 'seaworthy/fetch';
import { otelObserver } from 'seaworthy/otel';
import { virtualClock } from '../../src/testing/virtual-clock.ts';

/** Answers what a classifier may, too. */
const fn = () => 'success';

/** What every option is given in turn, by the words that a message shows it with. */
export const values = {
  '"5"': '5',
  '""': '',
  null: null,
  true: true,
  false: false,
  'an array': [],
  'an object': {},
  'a function': fn,
  'a promise': Promise.resolve(1),
  'a symbol': Symbol('no'),
  '5n': 5n,
  NaN: Number.NaN,
  Infinity: 1e309,
  '-Infinity': -1e309,
  '-0': -0,
  '0': 0,
  '-1': -1,
  '0.5': 0.5,
  '1.5': 1.5,
  '5': 5,
  '2147483648': 2 ** 31,
  '9007199254740992': 2 ** 53,
};
type Value = keyof typeof values;

/** A kind of option: what its message says it must be, which of the values it takes, and why that is right. */
interface Kind {
  readonly must: string;
  readonly takes: readonly Value[];
  readonly why: string;
  /** A number that it does not take is out of range, not of a wrong type. */
  readonly numeric: boolean;
}

const large = ['2147483648', '9007199254740992'] as const;
const anyLength = ['0.5', '1.5', '5', ...large] as const;
const numeric = (must: string, takes: readonly Value[], why: string): Kind => ({ must, takes, why, numeric: true });
const other = (must: string, takes: readonly Value[], why = ''): Kind => ({ must, takes, why, numeric: false });

const kinds = {
  countOrNone: numeric(
    'a whole number from 0 up or Infinity',
    ['0', '-0', '5', ...large, 'Infinity'],
    '-0 is 0 to every comparison; a count has no top, and 1e309 is Infinity, which is none',
  ),
  limitOrNone: numeric(
    'a whole number from 1 up or Infinity',
    ['5', ...large, 'Infinity'],
    'no array is made for it; Infinity is no limit',
  ),
  count: numeric('a whole number from 1 up', ['5', ...large], 'compared with a count and nothing else'),
  window: numeric('a whole number from 1 to 1000000', ['5'], 'a byte is kept for each call'),
  share: numeric('a number above 0 and up to 1', ['0.5'], 'a share of all calls; of 0 it would open without a failure'),
  part: numeric('a number from 0 to 1', ['0', '-0', '0.5'], '0 deposits nothing, which is a choice'),
  amount: numeric('a number from 0 up', ['0', '-0', ...anyLength], 'tokens may be fractions'),
  length: numeric('a number above 0', anyLength, 'longer than a timer holds is waited for in pieces'),
  limitMs: numeric('a number above 0 or Infinity', [...anyLength, 'Infinity'], 'the same, and Infinity is no limit'),
  lengthOrNone: numeric(
    'a number from 0 up or Infinity',
    ['0', '-0', ...anyLength, 'Infinity'],
    '0 is not at all, Infinity for ever',
  ),
  flag: other('true or false', ['true', 'false']),
  callable: other('a function', ['a function']),
  policyName: other('1-128 characters of letters, digits, ".", "_", "-", "/"', ['"5"'], 'a digit is a name'),
  when: other('a predicate, { error, result } or a cockatiel handler', ['a function']),
  classify: other('a function or a cockatiel handler', ['a function']),
  object: other('an object', ['an object']),
} satisfies Record<string, Kind>;

/** Something that takes options: what its messages begin with, what it needs, what its options are, and values that are right. */
interface Taker {
  readonly action: string;
  readonly make: (options: any) => unknown;
  readonly needs?: object;
  /** Where its options stand in another object's. */
  readonly path?: string;
  readonly options: Readonly<Record<string, Kind>>;
  /** For each option a value that is not in the table, where that can be taken too. */
  readonly also?: Readonly<Record<string, unknown>>;
}

const idle = () => pipeline('p', [], { telemetry: false, clock: virtualClock() });
const provider = (method: string) => other(`a provider with ${method}()`, []);
const telemetry = {
  tracerProvider: provider('getTracer'),
  meterProvider: provider('getMeter'),
  loggerProvider: provider('getLogger'),
  traces: kinds.flag,
  metrics: kinds.flag,
  logs: kinds.flag,
  attemptSpans: other('"auto", "always" or "never"', []),
  durationBuckets: other('an array of seconds above 0', []),
  statusMessage: kinds.flag,
};
const budget = { ratio: kinds.part, minPerSecond: kinds.amount, capacity: kinds.amount };
const call = {
  signal: other('an AbortSignal', []),
  timeoutMs: numeric(
    'a number of milliseconds',
    ['0', '-0', '-1', '-Infinity', ...anyLength, 'Infinity'],
    'what is left of a deadline may be nothing, or less; Infinity is no limit',
  ),
  key: other('a string', ['"5"', '""'], 'the empty string is a key like others'),
  idempotent: kinds.flag,
  retryable: kinds.callable,
  classify: kinds.classify,
  onDiscard: kinds.callable,
  attributes: kinds.object,
};

export const takers: Readonly<Record<string, Taker>> = {
  retry: {
    action: 'create retry',
    make: retry,
    options: {
      maxRetries: kinds.countOrNone,
      backoff: numeric(
        'a number from 0 up, or a function, or a cockatiel backoff',
        ['0', '-0', ...anyLength, 'a function'],
        'a pause of 0 is none; Infinity would be a call that never ends',
      ),
      budget: other('{ ratio, minPerSecond, capacity }, retryBudget(...) or false', ['false', 'an object']),
      maxRetryAfterMs: kinds.lengthOrNone,
      retryRejected: kinds.flag,
      when: kinds.when,
      name: kinds.policyName,
    },
    also: { backoff: new ConstantBackoff(1), budget: retryBudget(), when: handleAll },
  },
  'retry budget': { action: 'create retry budget', make: retryBudget, options: budget },
  'budget of a retry': {
    action: 'create retry',
    make: (given) => retry({ budget: given }),
    path: 'budget.',
    options: budget,
  },
  timeout: {
    action: 'create timeout',
    make: timeout,
    needs: { ms: 1 },
    options: {
      ms: numeric('a number above 0 or Infinity, or a function', [...kinds.limitMs.takes, 'a function'], 'the same'),
      mode: other('"abandon" or "cooperative"', []),
      fallbackMs: kinds.limitMs,
      name: kinds.policyName,
    },
    also: { mode: 'cooperative' },
  },
  'circuit breaker': {
    action: 'create circuit breaker',
    make: circuitBreaker,
    options: {
      failureRatio: kinds.share,
      minimumCalls: kinds.count,
      windowMs: kinds.length,
      windowCalls: kinds.window,
      consecutiveFailures: kinds.count,
      slowMs: kinds.length,
      breaker: other('a cockatiel breaker, or a function', []),
      breakMs: numeric(
        'a number from 0 up or Infinity, or a cockatiel backoff',
        kinds.lengthOrNone.takes,
        '0 tries again at once, Infinity waits for reset()',
      ),
      halfOpenCalls: kinds.count,
      halfOpenMs: kinds.length,
      keys: other('{ max, idleMs }', ['an object']),
      when: kinds.when,
      initialState: other('what toJSON() gave', []),
      name: kinds.policyName,
    },
    also: {
      breaker: new ConsecutiveBreaker(1),
      breakMs: new ConstantBackoff(1),
      initialState: circuitBreaker().toJSON(),
    },
  },
  'circuit breaker with slowMs': {
    action: 'create circuit breaker',
    make: circuitBreaker,
    needs: { slowMs: 1 },
    options: { slowRatio: kinds.share },
  },
  'keys of a circuit breaker': {
    action: 'create circuit breaker',
    make: (given) => circuitBreaker({ keys: given }),
    path: 'keys.',
    options: { max: kinds.count, idleMs: kinds.length },
  },
  bulkhead: {
    action: 'create bulkhead',
    make: bulkhead,
    needs: { limit: 1 },
    options: {
      limit: kinds.limitOrNone,
      queue: kinds.countOrNone,
      maxWaitMs: kinds.limitMs,
      holdUntilSettled: other('true or false, or { maxMs }', ['true', 'false']),
      name: kinds.policyName,
    },
    also: { holdUntilSettled: { maxMs: 1 } },
  },
  'holdUntilSettled of a bulkhead': {
    action: 'create bulkhead',
    make: (given) => bulkhead({ limit: 1, holdUntilSettled: given }),
    path: 'holdUntilSettled.',
    needs: { maxMs: 1 },
    options: { maxMs: kinds.lengthOrNone },
  },
  'resize of a bulkhead': {
    action: 'resize bulkhead',
    make: ({ limit }) => bulkhead({ limit: 1 }).resize(limit),
    needs: { limit: 1 },
    options: { limit: kinds.limitOrNone },
  },
  fallback: {
    action: 'create fallback',
    make: fallback,
    needs: { to: fn },
    options: {
      to: other('a function, or { value }', ['a function']),
      timeoutMs: kinds.limitMs,
      when: kinds.when,
      name: kinds.policyName,
    },
    also: { to: { value: undefined } },
  },
  policy: {
    action: 'create policy',
    make: policy,
    needs: { kind: 'mine', around: fn },
    options: {
      kind: other('lower-case letters, digits and "_"', []),
      name: kinds.policyName,
      around: kinds.callable,
      repeats: kinds.flag,
      snapshot: kinds.callable,
    },
  },
  pipeline: {
    action: 'create pipeline "p"',
    make: (given) => pipeline('p', [], given),
    options: {
      classify: kinds.classify,
      attributes: other('an object of strings, numbers and booleans', ['an object']),
      observers: other('an array of observers', ['an array']),
      stackTraces: kinds.flag,
      clock: other('a clock', []),
      random: kinds.callable,
      telemetry: other('true or false, or an object of its options', ['true', 'false', 'an object']),
    },
    also: {
      classify: handleAll,
      attributes: { a: 'b', c: 1, d: true, e: undefined },
      observers: [{}],
      clock: virtualClock(),
    },
  },
  'telemetry of a pipeline': {
    action: 'create pipeline "p"',
    make: (given) => pipeline('p', [], { telemetry: given }),
    path: 'telemetry.',
    options: telemetry,
  },
  otelObserver: {
    action: 'create telemetry',
    make: otelObserver,
    options: telemetry,
    also: { attemptSpans: 'never', durationBuckets: [0.1, 1], tracerProvider: { getTracer: fn } },
  },
  execute: {
    action: 'execute "p"',
    make: (given) => idle().execute(fn, given),
    options: call,
    also: { signal: new AbortController().signal, classify: handleAll },
  },
  tryExecute: {
    action: 'execute "p"',
    make: async (given) => {
      const outcome = await idle().tryExecute(fn, given);
      if (outcome.status === 'failure' && (outcome.error as { code?: unknown }).code === undefined) throw outcome.error;
    },
    options: call,
  },
  wrap: { action: 'wrap with "p"', make: (given) => idle().wrap(fn, given), options: { ...call } },
  drain: {
    action: 'drain "p"',
    make: (given) => idle().drain(given),
    options: { timeoutMs: kinds.limitMs },
  },
  resilientFetch: {
    action: 'create resilientFetch',
    make: (given) => resilientFetch(given),
    needs: { pipeline: idle() },
    options: {
      pipeline: other('a pipeline', []),
      bodyIdleMs: kinds.limitMs,
      maxReplayBytes: kinds.lengthOrNone,
      idempotent: kinds.callable,
      key: kinds.callable,
      clock: other('a clock', []),
    },
  },
};
