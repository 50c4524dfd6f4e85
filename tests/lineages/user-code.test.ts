import {
  bulkhead,
  circuitBreaker,
  type CircuitBreakerOptions,
  type ExecuteOptions,
  fallback,
  type FallbackOptions,
  type Observer,
  pipeline,
  type PipelineOptions,
  retry,
  type RetryOptions,
  timeout,
  type TimeoutOptions,
} from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { deaf, stand, stateOf, turn, watch } from '../policies/stand.ts';

const down = new Error('down');
const oops = (): never => {
  throw new Error('oops');
};
const good = async () => 'good';
const bad = () => Promise.reject(down);

interface Parts {
  readonly retry?: RetryOptions;
  readonly breaker?: CircuitBreakerOptions;
  readonly fallback?: Partial<FallbackOptions<any>>;
  readonly ms?: TimeoutOptions['ms'];
  readonly pipeline?: PipelineOptions<any>;
  readonly call?: ExecuteOptions;
  readonly listener?: () => void;
}

/** All policies around a circuit that stands half-open: a slot, a probe's place and a token to lose. */
async function chain({ listener, ...parts }: Parts) {
  const breaker = circuitBreaker({
    failureRatio: 1,
    minimumCalls: 1,
    breakMs: 100,
    name: 'fuse',
    ...parts.breaker,
  });
  const slots = bulkhead({ limit: 1 });
  const again = retry({
    backoff: 0,
    maxRetries: 1,
    budget: { capacity: 5, minPerSecond: 0, ratio: 0 },
    ...parts.retry,
  });
  const at = stand(
    [
      fallback({ to: ({ error }) => Promise.reject(error), ...parts.fallback } as FallbackOptions<any>),
      again,
      breaker,
      slots,
      timeout(parts.ms ?? 50),
    ],
    parts.pipeline,
  );
  if (listener !== undefined) at.pipe.subscribe(listener);
  const alone = pipeline('alone', [breaker, timeout(1)], { telemetry: false, clock: at.clock });
  // Our own timeout, about which no predicate is asked.
  watch(alone.execute(deaf));
  await at.clock.advance(10_000);
  expect(breaker.state).toBe('half_open');
  const call = (fn: () => unknown) => {
    const seen = watch(at.pipe.execute(fn, parts.call));
    return at.clock.advance(1_000).then(() => seen);
  };
  return { ...at, breaker, slots, again, call };
}

const whole = (members: (keyof Observer)[]): Observer =>
  Object.fromEntries([['start', () => 'token'], ...members.map((member) => [member, oops])]) as unknown as Observer;

const throwers: [string, Parts][] = [
  ['when of a retry', { retry: { when: oops } }],
  ['when of a retry, about values', { retry: { when: { error: oops, result: oops } } }],
  ['backoff', { retry: { backoff: oops } }],
  ["next of cockatiel's backoff", { retry: { backoff: { next: oops } as never } }],
  ['when of a breaker', { breaker: { when: oops } }],
  ['when of a breaker, about values', { breaker: { when: { error: oops, result: oops } } }],
  ['breakMs', { breaker: { breakMs: { next: oops } as never } }],
  ['when of a fallback', { fallback: { when: oops } }],
  ['when of a fallback, about values', { fallback: { when: { result: oops } } }],
  ['ms of a timeout', { ms: oops }],
  ['classify of a pipeline', { pipeline: { classify: oops } }],
  ['classify of a call', { call: { classify: oops } }],
  ['retryable', { call: { idempotent: false, retryable: oops } }],
  ['onDiscard', { call: { onDiscard: oops } }],
  ['a listener', { listener: oops }],
  ['interest of an observer', { pipeline: { observers: [whole(['interest'])] } }],
  ['start of an observer', { pipeline: { observers: [whole(['start'])] } }],
  ['within of an observer', { pipeline: { observers: [whole(['within'])] } }],
  ['event and end of an observer', { pipeline: { observers: [whole(['event', 'end'])] } }],
];

const servers: [string, () => unknown, unknown][] = [
  ['a value', good, 'good'],
  ['a rejection', bad, down],
  [
    'a throw',
    () => {
      throw down;
    },
    down,
  ],
];

describe("what the user's own code throws beside the call", () => {
  const table = throwers.flatMap(([who, parts]) => servers.map(([what, fn, own]) => ({ who, parts, what, fn, own })));

  it.each(table)(
    'J-17: $who throws about $what: the answer is the same, and slot, probe, token and timer are back',
    async ({ parts, fn, own }) => {
      const at = await chain(parts);
      let calls = 0;
      const seen = await at.call(() => (calls++, fn()));
      expect(own === down ? seen.error : seen.value).toBe(own);
      await turn();
      expect([at.slots.active, at.slots.held, at.clock.pending]).toEqual([0, 0, 0]);
      const { remaining } = (at.again.snapshot!() as any).budget;
      expect(5 - remaining).toBe((at.again.snapshot!() as any).attempts);
      expect((at.again.snapshot!() as any).attempts).toBe(calls - 1);
      expect(at.pipe.snapshot()).toMatchObject({ active: 0, calls: 1 });
      // Not stuck: once the break is over at the latest, the circuit takes a probe and closes.
      await at.clock.advance(60_000);
      expect((await at.call(good)).value).toBe('good');
      expect(at.breaker.state).toBe('closed');
    },
  );

  it('P-h: a fallback that throws is the outcome, and the last of it: a listener that throws as well changes nothing', async () => {
    const worse = new Error('worse');
    const at = await chain({ fallback: { to: () => Promise.reject(worse) }, listener: oops });
    expect((await at.call(bad)).error).toBe(worse);
    expect(worse.cause).toBe(down);
    expect(at.told('execution_end')).toHaveLength(1);
    expect(at.pipe.snapshot().outcomes).toMatchObject({ failure: 1, fallback: 0 });
  });

  it('J-17: an error whose retryAfterMs throws when it is read comes out as it is, retried like any other', async () => {
    const mean = Object.defineProperty(new Error('mean'), 'retryAfterMs', { get: oops });
    const at = await chain({});
    expect((await at.call(() => Promise.reject(mean))).error).toBe(mean);
    await turn();
    expect([at.slots.active, at.clock.pending]).toEqual([0, 0]);
    expect(stateOf(at.pipe, 1)).toMatchObject({ attempts: 1, budget: { remaining: 4 } });
  });
});
