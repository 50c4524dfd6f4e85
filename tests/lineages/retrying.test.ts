import { ExponentialBackoff, noJitterGenerator } from 'cockatiel';
import { circuitBreaker, pipeline, retry, retryBudget, type RetryOptions, timeout } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { recorder } from '../../src/testing/recorder.ts';
import { script } from '../../src/testing/script.ts';
import { virtualClock } from '../../src/testing/virtual-clock.ts';
import { stand, stateOf, turn, watch } from '../policies/stand.ts';

const down = new Error('down');
const bad = () => Promise.reject(down);
const judging = { result: (value: unknown) => value === 'bad' };

describe('a backoff that says stop', () => {
  const stops: [string, () => any][] = [
    ["'stop'", () => 'stop'],
    ['-1', () => -1],
    ['NaN', () => Number.NaN],
    ['Infinity', () => Number.POSITIVE_INFINITY],
  ];
  const failures: [string, () => unknown, object][] = [
    [
      'a throw',
      () => {
        throw down;
      },
      { status: 'failure', error: down },
    ],
    ['a rejection', bad, { status: 'failure', error: down }],
    ['a bad result', () => 'bad', { status: 'value', value: 'bad' }],
    ['a bad result that was awaited', async () => 'bad', { status: 'value', value: 'bad' }],
  ];
  const table = stops.flatMap(([says, backoff]) =>
    failures.map(([what, fn, outcome]) => ({ says, backoff, what, fn, outcome })),
  );

  it.each(table)(
    'J-15: $says, after $what: the outcome itself, the same event, the same counts, no retry announced',
    async ({ backoff, fn, outcome }) => {
      const { pipe, clock, told } = stand([retry({ backoff, when: judging, maxRetries: 5 })]);
      const discarded: unknown[] = [];
      let calls = 0;
      const answer = await pipe.tryExecute(() => (calls++, fn()), { onDiscard: (value) => discarded.push(value) });
      expect(answer).toEqual(outcome);
      expect(calls).toBe(1);
      expect(told('retry')).toEqual([]);
      expect(told('retry_result')).toEqual([expect.objectContaining({ result: 'exhausted', retries: 0 })]);
      expect(stateOf(pipe)).toMatchObject({ attempts: 0, executions: { exhausted: 1 }, budget: { remaining: 100 } });
      expect([discarded, clock.pending]).toEqual([[], 0]);
    },
  );
});

describe('retry storms', () => {
  it('J-11: a burst of calls that fail together holds its tokens through the pauses and never overshoots', async () => {
    const { pipe, clock } = stand([
      retry({ backoff: 500, maxRetries: 9, budget: { capacity: 10, minPerSecond: 0, ratio: 0 } }),
    ]);
    const server = script.with(clock, { delayMs: 10, then: 'fail' });
    const calls = Array.from({ length: 200 }, () => watch(pipe.execute(server)));
    await clock.advance(10);
    // Those without a token have not slept for nothing.
    expect(calls.filter(({ state }) => state === 'error')).toHaveLength(190);
    expect(stateOf(pipe).budget.remaining).toBe(0);
    await clock.advance(60_000);
    expect(server.calls).toHaveLength(210);
    expect(stateOf(pipe)).toMatchObject({ attempts: 10, executions: { budget_exhausted: 200 } });
  });

  it('J-11: tokens given back by callers who gave up in the pause go to others, and to no more of them', async () => {
    const { pipe, clock } = stand([
      retry({ backoff: 500, maxRetries: 1, budget: { capacity: 3, minPerSecond: 0, ratio: 0 } }),
    ]);
    const server = script.with(clock, 'fail');
    const callers = [1, 2, 3].map(() => new AbortController());
    for (const caller of callers) watch(pipe.execute(server, caller.signal));
    await clock.advance(1);
    for (const caller of callers.slice(0, 2)) caller.abort();
    for (let n = 0; n < 10; n++) watch(pipe.execute(server));
    await clock.advance(60_000);
    expect(server.calls).toHaveLength(13 + 3);
    expect(stateOf(pipe).budget.remaining).toBe(0);
  });

  it('J-11: an empty budget ends the retrying only: the call keeps its own answer, good or bad', async () => {
    const { pipe } = stand([retry({ backoff: 0, when: judging, budget: { capacity: 0, minPerSecond: 0, ratio: 0 } })]);
    expect(await pipe.execute(() => 'fine')).toBe('fine');
    expect(await pipe.execute(() => 'bad')).toBe('bad');
    expect((await pipe.tryExecute(bad)).error).toBe(down);
  });

  it('budget_test, minConcurrency floor: a budget whose share is spent still pays minPerSecond', async () => {
    const { pipe, clock } = stand([
      retry({ backoff: 0, maxRetries: 1, budget: { capacity: 2, minPerSecond: 1, ratio: 0 } }),
    ]);
    const server = script.with(clock, 'fail');
    const seconds: number[] = [];
    for (let second = 0; second < 10; second++) {
      const before = server.calls.length;
      for (let n = 0; n < 20; n++) watch(pipe.execute(server));
      await clock.advance(1_000);
      seconds.push(server.calls.length - before - 20);
    }
    expect(seconds).toEqual([2, ...Array(9).fill(1)]);
  });

  it('retries inside retries with one budget multiply no further than it pays, pipelines and all', async () => {
    const budget = retryBudget({ capacity: 12, minPerSecond: 0, ratio: 0 });
    const clock = virtualClock();
    const often: RetryOptions = { backoff: 0, maxRetries: 4, budget };
    const inner = pipeline('inner', [retry(often)], { telemetry: false, clock });
    const outer = pipeline('outer', [retry(often), inner], { telemetry: false, clock });
    const server = script.with(clock, 'fail');
    for (let n = 0; n < 10; n++) watch(outer.execute(server));
    await clock.advance(1_000);
    expect(server.calls).toHaveLength(10 + 12);
    expect(budget.remaining).toBe(0);
  });

  it('answers that classify ignores are no successes, and pay nothing into the budget', async () => {
    const classify = ({ value }: { value?: unknown }) =>
      value === 'shrug' ? 'ignored' : value === 'ok' ? 'success' : 'failure';
    const { pipe, clock } = stand(
      [retry({ backoff: 0, maxRetries: 1, budget: { capacity: 1, minPerSecond: 0, ratio: 1 } })],
      { classify },
    );
    watch(pipe.execute(bad));
    await clock.advance(1);
    expect(stateOf(pipe).budget.remaining).toBe(0);
    for (let n = 0; n < 10; n++) await pipe.execute(() => 'shrug');
    expect(stateOf(pipe).budget.remaining).toBe(0);
    await pipe.execute(() => 'ok');
    expect(stateOf(pipe).budget.remaining).toBe(1);
  });

  it('"with rejected retries": seven attempts are allowed, three reach the server, and the circuit has the last word', async () => {
    const heard = recorder();
    const { pipe, clock } = stand([retry({ backoff: 0, maxRetries: 6 }), circuitBreaker({ consecutiveFailures: 3 })], {
      observers: [heard],
    });
    const server = script.with(clock, 'fail');
    const call = watch(pipe.execute(server));
    await clock.advance(1);
    expect(call.error).toMatchObject({ code: 'circuit_open', cause: { name: 'ScriptedError', call: 3 } });
    expect(server.calls).toHaveLength(3);
    expect(heard.ends('attempt').map(({ rejected }) => rejected)).toEqual([false, false, false, true]);
  });

  it('"with rejected retries": told to wait for it, a retry comes back when the break is over, and not before', async () => {
    const breaker = circuitBreaker({ consecutiveFailures: 3, breakMs: 1_000, halfOpenCalls: 1 });
    const { pipe, clock } = stand([retry({ backoff: 10, maxRetries: 6, retryRejected: true }), breaker]);
    const server = script.with(clock, 'fail');
    watch(pipe.execute(server));
    await clock.advance(10_000);
    expect(server.calls.map(({ at }) => at)).toEqual([0, 10, 20, 1_020, 2_020]);
  });
});

describe('how often and when', () => {
  const run = async (options: RetryOptions, ms = 1e9) => {
    const { pipe, clock } = stand([retry({ budget: false, ...options })]);
    const server = script.with(clock, 'fail');
    watch(pipe.execute(server));
    await clock.advance(ms);
    return server.calls.map(({ at }) => at);
  };

  it('P-8: twelve retries are thirteen calls; the last result is answered, each of the others is discarded once', async () => {
    const { pipe, clock } = stand([retry({ maxRetries: 12, backoff: 1, when: { result: () => true } })]);
    const discarded: unknown[] = [];
    let n = 0;
    const call = watch(pipe.execute(() => ++n, { onDiscard: (value) => discarded.push(value) }));
    await clock.advance(100);
    expect(call.value).toBe(13);
    expect(discarded).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
  });

  it.each([0, 0.5, 1 - 1e-12])(
    'P-9: over 2,049 retries no pause is negative, NaN or above the cap (chance: %d)',
    async (chance) => {
      const clock = virtualClock();
      const pipe = pipeline('long', [retry({ maxRetries: 2_049, budget: false })], {
        telemetry: false,
        clock,
        random: () => chance,
      });
      const pauses: number[] = [];
      pipe.subscribe((event) => event.type === 'retry' && pauses.push(event.delayMs));
      await Promise.all([pipe.tryExecute(bad), clock.advance(1e8)]);
      expect(pauses).toHaveLength(2_049);
      expect(pauses.every((ms) => ms >= 0 && ms <= 10_000)).toBe(true);
      expect(pauses.at(-1)).toBeCloseTo(chance * 10_000);
    },
  );

  it('P-11: a pause of 0 needs no timer', async () => {
    const base = virtualClock();
    let timers = 0;
    const clock = Object.assign(Object.create(base), {
      after: (ms: number, fn: () => void) => (timers++, base.after(ms, fn)),
    });
    const pipe = pipeline('quick', [retry({ backoff: 0 })], { telemetry: false, clock });
    const server = script('fail');
    await pipe.tryExecute(server);
    expect([server.calls.length, timers]).toEqual([3, 0]);
  });

  it('backoff sequence of failsafe-go: 1, 2, 4, 8, 10, 10 ms', async () => {
    const backoff = new ExponentialBackoff({ generator: noJitterGenerator, initialDelay: 1, maxDelay: 10 });
    expect(await run({ maxRetries: 6, backoff })).toEqual([0, 1, 3, 7, 15, 25, 35]);
  });

  it('P-12: an attempt lasts as long as the function took, without the pause', async () => {
    const heard = recorder();
    const { pipe, clock } = stand([retry({ backoff: ({ retry }) => retry * 2_000 })], { observers: [heard] });
    watch(pipe.execute(script.with(clock, { delayMs: 300, then: 'fail' })));
    await clock.advance(60_000);
    expect(heard.ends('attempt').map(({ durationMs }) => durationMs)).toEqual([300, 300, 300]);
    expect(heard.of('retry').map(({ retry, delayMs }) => [retry, delayMs])).toEqual([
      [1, 2_000],
      [2, 4_000],
    ]);
    expect(heard.ends('execution')[0]!.durationMs).toBe(6_900);
  });

  it('P-j: attempts have one number everywhere: in the function, a backoff, retryable, a fallback and every event', async () => {
    const seen: Record<string, unknown[]> = { fn: [], backoff: [], retryable: [] };
    const { pipe, clock, events } = stand([
      retry({ backoff: ({ attempt, call }) => (seen.backoff!.push([attempt, call.attempt]), 1) }),
    ]);
    watch(
      pipe.execute(({ attempt }) => (seen.fn!.push(attempt), bad()), {
        idempotent: false,
        retryable: (_, ...rest: any[]) => (seen.retryable!.push(rest.length), true),
      }),
    );
    await clock.advance(10);
    expect(seen).toMatchObject({
      fn: [1, 2, 3],
      backoff: [
        [1, 1],
        [2, 2],
      ],
    });
    const numbers = (type: string) => events.filter((event) => event.type === type).map((event) => event.attempt);
    expect(numbers('retry')).toEqual([1, 2]);
    expect(numbers('attempt_end')).toEqual([1, 2, 3]);
  });

  it('P-14: one predicate may judge results of several types, and errors', async () => {
    const { pipe, clock } = stand([
      retry({ backoff: 1, when: { result: (r: unknown) => r === -1 || r === 'no', error: (e) => e === down } }),
    ]);
    const numbers = watch(pipe.execute(script({ value: -1 }, { value: 7 })));
    const words = watch(pipe.execute(script({ value: 'no' }, { value: 'yes' })));
    const errors = watch(pipe.execute(script({ error: down }, { value: true })));
    await clock.advance(10);
    expect([numbers.value, words.value, errors.value]).toEqual([7, 'yes', true]);
  });

  it('shouldThrowCancellationExceptionWhenInterruptedDuringRetryOnResult: given up in the pause after a bad result', async () => {
    const { pipe, clock } = stand([retry({ backoff: 1_000, when: judging })]);
    const caller = new AbortController();
    const discarded: unknown[] = [];
    const call = watch(
      pipe.execute(() => 'bad', { signal: caller.signal, onDiscard: (value) => discarded.push(value) }),
    );
    await clock.advance(10);
    caller.abort('enough');
    await turn();
    expect([call.error, discarded, clock.pending]).toEqual(['enough', ['bad'], 0]);
  });

  it('RetryPolicy -> Timeout: the timeout of an attempt leaves the pause after it alone', async () => {
    const { pipe, clock } = stand([retry({ backoff: 500 }), timeout(100)]);
    const server = script.with(clock, 'fail', 'hang', 'ok');
    const call = watch(pipe.execute(server));
    await clock.advance(2_000);
    expect(call.value).toBe('ok');
    expect(server.calls.map(({ at }) => at)).toEqual([0, 500, 1_100]);
  });

  it('CB(Retry(fn)) counts one failure per call, Retry(CB(fn)) one per attempt', async () => {
    for (const [outside, failures] of [
      [true, 1],
      [false, 3],
    ] as const) {
      const breaker = circuitBreaker({ minimumCalls: 99 });
      const again = retry({ backoff: 1 });
      const { pipe, clock } = stand(outside ? [breaker, again] : [again, breaker]);
      watch(pipe.execute(bad));
      await clock.advance(10);
      expect(stateOf(pipe, outside ? 0 : 1).executions).toMatchObject({ failure: failures, success: 0 });
    }
  });

  it('two calls that fail at the same time have backoffs of their own', async () => {
    const backoff = new ExponentialBackoff({ generator: noJitterGenerator, initialDelay: 10 });
    const { pipe, clock } = stand([retry({ backoff })]);
    const server = script.with(clock, 'fail');
    watch(pipe.execute(server));
    await clock.advance(15);
    watch(pipe.execute(server));
    await clock.advance(100);
    expect(server.calls.map(({ at }) => at)).toEqual([0, 10, 15, 25, 30, 45]);
  });
});
