import { bulkhead, circuitBreaker, fallback, pipeline, type Policy, policy, retry, timeout } from 'seaworthy';
import { afterAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { warn } from '../../src/ports/report.ts';
import { deaf, stand, stateOf, turn, watch } from './stand.ts';

const bad = () => Promise.reject(new Error('down'));
const sum = (counts: Record<string, number>) => Object.values(counts).reduce((all, count) => all + count);

/** What the process was warned of: a policy of ours that throws is told there and nowhere else. */
const warnings: string[] = [];
let stuffed = 0;

beforeEach(() => {
  const emit = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  // Each warning is told once in a process, so those of other tests are forgotten.
  for (let i = 0; i < 256; i++) warn(`stuffing ${stuffed++}`);
  warnings.length = 0;
  emit.mockImplementation(((warning: Error) => warnings.push(warning.message)) as never);
});
afterAll(() => void vi.restoreAllMocks());

const each: [string, () => Policy<any>][] = [
  ['fallback', () => fallback(() => 'instead')],
  ['bulkhead', () => bulkhead({ limit: 1, queue: 1 })],
  ['retry', () => retry({ backoff: 1 })],
  ['timeout', () => timeout(100)],
  ['timeout of a length of its own', () => timeout(() => 100)],
  ['circuit breaker', () => circuitBreaker()],
];

describe('a call that is ended by its caller', () => {
  it.each(each)('while the function runs in a %s warns of nothing', async (_, make) => {
    const caller = new AbortController();
    const { pipe, clock } = stand([make()]);
    const call = watch(pipe.execute(deaf, caller.signal));
    await turn();
    caller.abort('mine');
    await clock.advance(60_000);
    expect([call.error, warnings, clock.pending]).toEqual(['mine', [], 0]);
  });

  it.each(each)('in a predicate of the policy around a %s has one end there', async (_, make) => {
    const caller = new AbortController();
    const when = {
      result: () => {
        caller.abort('mine');
        return true;
      },
    };
    // Attempts begin inside the innermost retry, so nothing stands between the two that are meant.
    const { pipe, told } = stand([
      retry({ when, backoff: 1, name: 'around' }),
      make(),
      retry({ maxRetries: 0, name: 'inside' }),
    ]);
    const { error } = await pipe.tryExecute(() => 1, caller.signal);
    const { executions } = stateOf(pipe);
    expect([error, executions.cancelled, sum(executions)]).toEqual(['mine', 1, 1]);
    expect(told('retry_result').filter((event) => 'policy' in event && event.policy === 'around')).toHaveLength(1);
    expect(warnings).toEqual([]);
  });

  it.each(each)('when a circuit inside a %s has let it in gives back its place there', async (_, make) => {
    const probed = circuitBreaker({
      initialState: { version: 1, state: 'half_open', openForMs: 0, remainingMs: 0, openings: 1 },
      consecutiveFailures: 1,
      halfOpenCalls: 1,
      name: 'probed',
    });
    const caller = new AbortController();
    const { pipe } = stand([make(), probed]);
    const off = pipe.subscribe(
      (event) => event.type === 'circuit_admission' && event.policy === 'probed' && caller.abort('mine'),
    );
    expect((await pipe.tryExecute(() => 1, caller.signal)).error).toBe('mine');
    off.dispose();
    expect([await pipe.execute(() => 2), warnings]).toEqual([2, []]);
  });
});

describe('a call that is ended by whoever hears that it is turned away', () => {
  const open = { version: 1, state: 'open', openForMs: 1, remainingMs: 1e9, openings: 1 } as const;
  const turning: [string, () => Policy<any>][] = [
    ['bulkhead', () => bulkhead({ limit: 1 })],
    ['timeout', () => timeout(() => 0)],
    ['circuit breaker', () => circuitBreaker({ initialState: open })],
  ];

  it.each(turning)('by a %s gets the reason of its caller, and nothing is amiss', async (_, make) => {
    const callers: AbortController[] = [];
    const { pipe, told } = stand([make()]);
    pipe.subscribe((event) => event.type === 'rejected' && callers.at(-1)!.abort('mine'));
    const calls = [0, 1].map(() => {
      callers.push(new AbortController());
      return watch(pipe.execute(deaf, callers.at(-1)!.signal));
    });
    await turn();
    expect([calls[1]!.error, told('rejected').length > 0, warnings]).toEqual(['mine', true, []]);
  });

  it.each(turning)('by a %s gets the reason of a middleware around it, and nothing is amiss', async (_, make) => {
    const inside: AbortController[] = [];
    const around = policy({
      kind: 'around',
      around: (_call, next) => {
        inside.push(new AbortController());
        return next(inside.at(-1)!.signal);
      },
    });
    const { pipe, told } = stand([around, make()]);
    pipe.subscribe((event) => event.type === 'rejected' && inside.at(-1)!.abort('mine'));
    const calls = [0, 1].map(() => watch(pipe.execute(deaf)));
    await turn();
    await turn();
    expect([calls[1]!.error, told('rejected').length > 0, warnings]).toEqual(['mine', true, []]);
  });
});

describe.each<[string, (result: () => boolean) => Policy<any>]>([
  ['fallback', (result) => fallback({ to: deaf, when: { result } })],
  ['retry', (result) => retry({ when: { result } })],
  ['circuit breaker', (result) => circuitBreaker({ when: { result } })],
])('a predicate of a %s that ends the call', (_, make) => {
  it.each([true, false])('and then says %s leaves it ended once', async (answer) => {
    const caller = new AbortController();
    const { pipe, told } = stand([
      make(() => {
        caller.abort('mine');
        return answer;
      }),
    ]);
    expect((await pipe.tryExecute(() => 1, caller.signal)).error).toBe('mine');
    const { active, calls, outcomes } = pipe.snapshot();
    expect([active, calls, sum(outcomes), outcomes.cancelled]).toEqual([0, 1, 1, 1]);
    expect([told('execution_end').length, warnings]).toEqual([1, []]);
  });
});

describe('a caller who gives up on hearing of a timeout', () => {
  it.each([
    ['of a fallback', () => fallback({ to: deaf, timeoutMs: 10 }), bad],
    ['around the function', () => timeout(10), deaf],
  ] as const)('%s gets his own reason, and the work is given up once', async (_, make, fn) => {
    const caller = new AbortController();
    const { pipe, clock, told } = stand([make()]);
    pipe.subscribe((event) => event.type === 'timeout' && caller.abort('mine'));
    const call = watch(pipe.execute(fn, caller.signal));
    await clock.advance(10);
    expect(call.error).toBe('mine');
    expect(pipe.snapshot()).toMatchObject({ active: 0, calls: 1, outcomes: { cancelled: 1, failure: 0 } });
    expect([told('timeout').length, told('fallback'), told('execution_end').length]).toEqual([1, [], 1]);
    expect(warnings).toEqual([]);
  });
});

describe('a retry whose user code ends the call', () => {
  it.each([
    ['when', ['when']],
    ['backoff', ['when', 'retryable', 'backoff']],
  ])('in %s asks nothing further, announces nothing and keeps no token', async (place, questions) => {
    const caller = new AbortController();
    const asked: string[] = [];
    const ask = <T>(who: string, answer: T) => {
      asked.push(who);
      if (who === place) caller.abort('mine');
      return answer;
    };
    const { pipe, told, clock } = stand([
      retry({
        when: () => ask('when', true),
        backoff: () => ask('backoff', 5),
        budget: { capacity: 3, minPerSecond: 0, ratio: 0 },
      }),
    ]);
    const retryable = () => ask('retryable', true);
    const { error } = await pipe.tryExecute(bad, { signal: caller.signal, idempotent: false, retryable });
    const { executions, budget } = stateOf(pipe);
    expect([error, asked]).toEqual(['mine', questions]);
    expect([executions.cancelled, sum(executions), budget.remaining]).toEqual([1, 1, 3]);
    expect([told('retry'), told('retry_result').length, clock.pending, warnings]).toEqual([[], 1, 0, []]);
  });
});

describe('a retry in the middle of which user code ends the call', () => {
  it.each([true, false])(
    'counts it as cancelled where the predicate answers %s, and throws the value away',
    async (answer) => {
      const caller = new AbortController();
      const discarded: unknown[] = [];
      const { pipe } = stand([retry({ when: { result: () => (caller.abort('mine'), answer) } })]);
      await pipe.tryExecute(() => 503, { signal: caller.signal, onDiscard: (value) => discarded.push(value) });
      expect(stateOf(pipe).executions).toMatchObject({ cancelled: 1, success: 0 });
      expect(discarded).toEqual([503]);
    },
  );

  it.each([true, false])(
    'counts it as cancelled where `retryable` answers %s, and asks for no pause',
    async (answer) => {
      const caller = new AbortController();
      let asked = 0;
      const { pipe } = stand([retry({ backoff: () => ++asked })]);
      const retryable = () => (caller.abort('mine'), answer);
      await pipe.tryExecute(bad, { signal: caller.signal, idempotent: false, retryable });
      expect([stateOf(pipe).executions, asked]).toMatchObject([{ cancelled: 1, not_retryable: 0 }, 0]);
    },
  );

  it('counts it as cancelled where the predicate on an error ends it and answers false', async () => {
    const caller = new AbortController();
    const { pipe } = stand([retry({ when: () => (caller.abort('mine'), false) })]);
    await pipe.tryExecute(bad, caller.signal);
    expect(stateOf(pipe).executions).toMatchObject({ cancelled: 1, not_retryable: 0 });
  });
});

it('a fallback whose limit rings together with an outer timeout leaves what answers then alone', async () => {
  const rings: (() => void)[] = [];
  const timer = { cancel() {}, ref() {}, unref() {} };
  let time = 0;
  const clock = { now: () => time, after: (_ms: number, ring: () => void) => (rings.push(ring), timer) };
  const pipe = pipeline('p', [fallback(async () => 'outer'), timeout(50), fallback({ to: deaf, timeoutMs: 50 })], {
    clock,
    telemetry: false,
  });
  const call = watch(
    pipe.execute(() => {
      throw new Error('down');
    }),
  );
  await turn();
  time = 50;
  for (const ring of rings) ring();
  await turn();
  expect(call).toMatchObject({ state: 'value', value: 'outer' });
  expect(warnings).toEqual([]);
});
