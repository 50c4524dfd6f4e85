import {
  ConstantBackoff,
  ExponentialBackoff,
  handleType,
  handleWhenResult,
  IterableBackoff,
  noJitterGenerator,
} from 'cockatiel';
import { circuitBreaker, pipeline, retry, type RetryInfo, retryBudget, timeout } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { script } from '../../src/testing/script.ts';
import { seededRandom } from '../../src/testing/seeded-random.ts';
import { virtualClock } from '../../src/testing/virtual-clock.ts';
import { stand, stateOf, thrownBy, turn, watch } from './stand.ts';

/** When the server was called, for a retry with these options and a server that always fails. */
async function callTimes(options: Parameters<typeof retry>[0], ms = 1e6): Promise<number[]> {
  const { pipe, clock } = stand([retry(options)]);
  const server = script.with(clock, 'fail');
  watch(pipe.execute(server));
  await clock.advance(ms);
  return server.calls.map(({ at }) => at);
}

describe('retry', () => {
  it('with maxRetries: 2 calls at most three times, and two is the default', async () => {
    expect(await callTimes({ maxRetries: 2 })).toHaveLength(3);
    expect(await callTimes({})).toHaveLength(3);
    expect(await callTimes({ maxRetries: 1 })).toHaveLength(2);
  });

  it('with maxRetries: 0 calls once', async () => {
    expect(await callTimes({ maxRetries: 0 })).toEqual([0]);
  });

  it('rejects with the last error when exhausted, the same object', async () => {
    const { pipe, clock } = stand([retry({ backoff: 1 })]);
    const errors = [new Error('1'), new Error('2'), new Error('3')];
    const call = watch(pipe.execute(script(...(errors.map((error) => ({ error })) as [{ error: Error }]))));
    await clock.advance(10);
    expect(call.error).toBe(errors[2]);
  });

  it('returns the first success, and numbers the attempts from 1', async () => {
    const { pipe, clock } = stand([retry({ backoff: 1 })]);
    const server = script('fail', 'fail', 'ok');
    const call = watch(pipe.execute(server));
    await clock.advance(10);
    expect(call.value).toBe('ok');
    expect(server.calls.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
  });

  it('may be rejected with undefined and still know a failure from a value', async () => {
    const { pipe, clock } = stand([retry({ backoff: 1, maxRetries: 1 })]);
    const server = script({ error: undefined }, { value: undefined });
    const call = watch(pipe.execute(server));
    await clock.advance(1);
    expect(call).toEqual({ state: 'value', value: undefined });
    expect(server.calls).toHaveLength(2);
  });

  describe('backoff', () => {
    it('is exponential by default: base 100 ms, cap 10 s, full jitter from the random source of the pipeline', async () => {
      const random = seededRandom(1);
      const draws = Array.from({ length: 9 }, () => random());
      const clock = virtualClock();
      const pipe = pipeline('p', [retry({ maxRetries: 9 })], { telemetry: false, clock, random: seededRandom(1) });
      const server = script.with(clock, 'fail');
      watch(pipe.execute(server));
      await clock.advance(1e6);
      const at = server.calls.map((call) => call.at);
      draws.forEach((draw, n) => expect(at[n + 1]! - at[n]!).toBeCloseTo(draw * Math.min(10_000, 100 * 2 ** n), 6));
    });

    it('keeps its jitter at the cap', async () => {
      const tenth = await Promise.all(
        Array.from({ length: 40 }, async (_, seed) => {
          const clock = virtualClock();
          const pipe = pipeline('p', [retry({ maxRetries: 10, budget: false })], {
            telemetry: false,
            clock,
            random: seededRandom(seed),
          });
          const server = script.with(clock, 'fail');
          watch(pipe.execute(server));
          await clock.advance(1e6);
          return server.calls[10]!.at - server.calls[9]!.at;
        }),
      );
      expect(new Set(tenth).size).toBe(40);
      expect(Math.max(...tenth)).toBeLessThanOrEqual(10_000);
      expect(Math.min(...tenth)).toBeLessThan(2_000);
    });

    it('as a number is constant, without jitter', async () => {
      expect(await callTimes({ backoff: 250 })).toEqual([0, 250, 500]);
      expect(await callTimes({ backoff: 0 })).toEqual([0, 0, 0]);
    });

    it("takes cockatiel's", async () => {
      expect(await callTimes({ backoff: new ConstantBackoff(30) })).toEqual([0, 30, 60]);
      expect(await callTimes({ backoff: new IterableBackoff([5, 50]) })).toEqual([0, 5, 55]);
      const doubling = new ExponentialBackoff({ generator: noJitterGenerator, initialDelay: 10 });
      expect(await callTimes({ backoff: doubling, maxRetries: 3 })).toEqual([0, 10, 30, 70]);
    });

    it('as a function is asked before each wait, with the retry, the outcome and the call', async () => {
      const asked: RetryInfo[] = [];
      const { pipe, clock } = stand([retry({ backoff: (info) => (asked.push(info), 10) })]);
      const mine = new Error('mine');
      watch(pipe.execute(script({ error: mine }), { key: 'k' }));
      await turn();
      expect(asked).toHaveLength(1);
      expect(asked[0]).toMatchObject({
        retry: 1,
        attempt: 1,
        outcome: { status: 'failure', error: mine },
        result: { error: mine },
      });
      expect(asked[0]!.call).toMatchObject({ key: 'k', attempt: 1, pipeline: 'shop' });
      expect(asked[0]!.signal.aborted).toBe(false);
      await clock.advance(100);
      expect(asked.map(({ retry }) => retry)).toEqual([1, 2]);
    });

    it("that answers 'stop' ends the call with the last error", async () => {
      const { pipe, clock } = stand([retry({ maxRetries: 5, backoff: ({ retry }) => (retry === 2 ? 'stop' : 1) })]);
      const server = script('fail');
      const call = watch(pipe.execute(server));
      await clock.advance(100);
      expect(call.error).toMatchObject({ name: 'ScriptedError', call: 2 });
      expect(server.calls).toHaveLength(2);
    });

    it.each([Number.NaN, -1, Number.POSITIVE_INFINITY, '5', undefined])(
      'that answers %s stops: it is never a loop without a pause',
      async (answer) => {
        expect(
          await callTimes({ maxRetries: Number.POSITIVE_INFINITY, backoff: () => answer as number }, 1_000),
        ).toEqual([0]);
      },
    );

    it('that throws is reported, and ends the call with its own last error', async () => {
      const { pipe, clock, told } = stand([
        retry({
          backoff: () => {
            throw new Error('broken');
          },
        }),
      ]);
      const call = watch(pipe.execute(script('fail')));
      await clock.advance(1);
      expect(call.error).toMatchObject({ name: 'ScriptedError' });
      expect(told('fault')).toEqual([expect.objectContaining({ where: 'backoff' })]);
    });
  });

  describe('the deadline', () => {
    it('gives up at once with the last error when the delay does not fit', async () => {
      for (const around of [true, false]) {
        const { pipe, clock } = stand(around ? [timeout(100), retry({ backoff: 100 })] : [retry({ backoff: 100 })]);
        const server = script('fail');
        const call = watch(pipe.execute(server, around ? {} : { timeoutMs: 100 }));
        await turn();
        expect(call.error).toMatchObject({ name: 'ScriptedError' });
        expect(server.calls).toHaveLength(1);
        await turn();
        expect(clock.pending).toBe(0);
        expect(stateOf(pipe, around ? 1 : 0).executions.deadline).toBe(1);
      }
    });

    it('lets a delay through that fits', async () => {
      const { pipe, clock } = stand([retry({ backoff: 99 })]);
      const call = watch(pipe.execute(script('fail', 'ok'), { timeoutMs: 100 }));
      await clock.advance(99);
      expect(call.value).toBe('ok');
    });
  });

  describe('retryAfterMs', () => {
    const busy = (retryAfterMs: unknown) => Object.assign(new Error('busy'), { retryAfterMs });
    const times = async (retryAfterMs: unknown, options: Parameters<typeof retry>[0] = {}) => {
      const { pipe, clock } = stand([retry({ backoff: 10, ...options })]);
      const server = script.with(clock, { error: busy(retryAfterMs) }, 'ok');
      const call = watch(pipe.execute(server));
      await clock.advance(100_000);
      return { at: server.calls.map((c) => c.at), call };
    };

    it('on an error is a lower bound of the delay', async () => {
      expect((await times(500)).at).toEqual([0, 500]);
      expect((await times(5)).at).toEqual([0, 10]);
    });

    it('up to maxRetryAfterMs, 30 s by default, is waited for', async () => {
      expect((await times(30_000)).at).toEqual([0, 30_000]);
      expect((await times(60_000, { maxRetryAfterMs: 60_000 })).at).toEqual([0, 60_000]);
    });

    it('above maxRetryAfterMs gives up instead of coming back early', async () => {
      const { at, call } = await times(30_001);
      expect(at).toEqual([0]);
      expect(call.error).toMatchObject({ message: 'busy' });
      expect((await times(2, { maxRetryAfterMs: 1 })).at).toEqual([0]);
      expect((await times(Number.POSITIVE_INFINITY)).at).toEqual([0]);
    });

    it.each([Number.NaN, -1, '500', null])('of %s says nothing', async (nonsense) => {
      expect((await times(nonsense)).at).toEqual([0, 10]);
    });

    it('beyond the deadline gives up at once', async () => {
      const { pipe } = stand([retry({ backoff: 1 })]);
      const call = watch(pipe.execute(script({ error: busy(5_000) }), { timeoutMs: 1_000 }));
      await turn();
      expect(call.error).toMatchObject({ message: 'busy' });
    });
  });

  describe('which outcomes', () => {
    it('judged failures by result are retried, and the last is returned, not thrown', async () => {
      const { pipe, clock } = stand([
        retry({ backoff: 1, when: { result: (r: { status: number }) => r.status >= 500 } }),
      ]);
      const answers = [{ status: 500 }, { status: 502 }, { status: 503 }];
      const discarded: unknown[] = [];
      const server = script(...(answers.map((value) => ({ value })) as [{ value: { status: number } }]));
      const call = watch(pipe.execute(server, { onDiscard: (value) => discarded.push(value) }));
      await clock.advance(10);
      expect(call.value).toBe(answers[2]);
      expect(discarded).toEqual(answers.slice(0, 2));
    });

    it("gives each value thrown away to onDiscard once, never the winner's", async () => {
      const { pipe, clock } = stand([retry({ backoff: 1, when: { result: (r: string) => r === 'bad' } })]);
      const discarded: unknown[] = [];
      const call = watch(
        pipe.execute(script({ value: 'bad' }, { value: 'good' }), { onDiscard: (value) => discarded.push(value) }),
      );
      await clock.advance(10);
      expect(call.value).toBe('good');
      expect(discarded).toEqual(['bad']);
    });

    it('when: a predicate on the error, { error, result } or a cockatiel handler', async () => {
      const calls = async (when: any, ...steps: [any, ...any[]]) => {
        const { pipe, clock } = stand([retry({ backoff: 1, when })]);
        const server = script(...steps);
        watch(pipe.execute(server));
        await clock.advance(10);
        return server.calls.length;
      };
      const type = { error: new TypeError('t') };
      const range = { error: new RangeError('r') };
      const byError = (error: unknown) => error instanceof TypeError;
      expect(await calls(byError, type)).toBe(3);
      expect(await calls(byError, range)).toBe(1);
      expect(await calls({ error: byError }, type)).toBe(3);
      expect(await calls({ error: byError }, range)).toBe(1);
      expect(await calls({ result: (r: unknown) => r === 'x' }, { value: 'x' })).toBe(3);
      expect(await calls(handleType(TypeError), type)).toBe(3);
      expect(await calls(handleType(TypeError), range)).toBe(1);
      expect(
        await calls(
          handleWhenResult((r) => r === 'x'),
          { value: 'x' },
          'ok',
        ),
      ).toBe(2);
    });

    it('a predicate that throws counts as "not handled" and is reported, and runs once per outcome', async () => {
      let runs = 0;
      const { pipe, clock, told } = stand([
        retry({
          backoff: 1,
          when: () => {
            runs++;
            throw new Error('broken');
          },
        }),
      ]);
      const call = watch(pipe.execute(script('fail')));
      await clock.advance(10);
      expect(call.error).toMatchObject({ name: 'ScriptedError' });
      expect(runs).toBe(1);
      expect(told('fault')).toHaveLength(1);
      expect(stateOf(pipe).executions.not_retryable).toBe(1);
    });

    it('our TimeoutError is retried, whatever when says', async () => {
      const { pipe, clock } = stand([retry({ backoff: 1, when: () => false }), timeout(10)]);
      const server = script('hang', 'ok');
      const call = watch(pipe.execute(server));
      await clock.advance(20);
      expect(call.value).toBe('ok');
    });

    it("the caller's abort is not retried, and is not asked about", async () => {
      const { pipe, clock } = stand([retry({ backoff: 1, when: () => true })]);
      const caller = new AbortController();
      const server = script('hang', 'ok');
      const call = watch(pipe.execute(server, caller.signal));
      await clock.advance(1);
      caller.abort('mine');
      await clock.advance(10);
      expect(call.error).toBe('mine');
      expect(server.calls).toHaveLength(1);
      expect(stateOf(pipe).executions.cancelled).toBe(1);
    });

    it('by classify: failure is retried, success and ignored are not', async () => {
      for (const [verdict, calls] of [
        ['failure', 3],
        ['success', 1],
        ['ignored', 1],
      ] as const) {
        const { pipe, clock } = stand([retry({ backoff: 1 })], { classify: () => verdict });
        const server = script('fail');
        watch(pipe.execute(server));
        await clock.advance(10);
        expect(server.calls.length, verdict).toBe(calls);
      }
    });
  });

  describe('our own rejections', () => {
    const open = (options: Parameters<typeof retry>[0]) => {
      const breaker = circuitBreaker({ consecutiveFailures: 1, breakMs: 1_000, halfOpenCalls: 1 });
      return stand([retry({ backoff: 1, ...options }), breaker]);
    };

    it('are not retried', async () => {
      const { pipe, clock } = open({});
      const server = script('fail', 'ok');
      const call = watch(pipe.execute(server));
      await clock.advance(5_000);
      expect(call.error).toMatchObject({ code: 'circuit_open' });
      expect(server.calls).toHaveLength(1);
    });

    it('with retryRejected are retried when they say when to come back', async () => {
      const { pipe, clock } = open({ retryRejected: true });
      const server = script.with(clock, 'fail', 'ok');
      const call = watch(pipe.execute(server));
      await clock.advance(5_000);
      expect(call.value).toBe('ok');
      expect(server.calls.map(({ at }) => at)).toEqual([0, 1_000]);
    });

    it('with retryRejected are not retried above maxRetryAfterMs, or beyond the deadline, or when they do not say', async () => {
      const late = open({ retryRejected: true, maxRetryAfterMs: 500 });
      const call = watch(late.pipe.execute(script('fail', 'ok')));
      await late.clock.advance(5_000);
      expect(call.error).toMatchObject({ code: 'circuit_open' });
      const short = open({ retryRejected: true });
      const cut = watch(short.pipe.execute(script('fail', 'ok'), { timeoutMs: 900 }));
      await short.clock.advance(5_000);
      expect(cut.error).toMatchObject({ code: 'circuit_open' });
      const mute = stand([retry({ backoff: 1, retryRejected: true }), timeout({ ms: () => 0 })]);
      const { error } = await mute.pipe.tryExecute(() => 1);
      expect(error).toMatchObject({ code: 'deadline_exceeded' });
      expect(stateOf(mute.pipe).attempts).toBe(0);
    });
  });

  describe('a call that is not idempotent', () => {
    it('does not run again once the function was called', async () => {
      const { pipe, clock } = stand([retry({ backoff: 1 })]);
      const server = script('fail');
      watch(pipe.execute(server, { idempotent: false }));
      await clock.advance(10);
      expect(server.calls).toHaveLength(1);
      expect(stateOf(pipe).executions.not_retryable).toBe(1);
    });

    it('runs again when retryable says that nothing was sent', async () => {
      const { pipe, clock } = stand([retry({ backoff: 1 })]);
      const server = script('fail');
      watch(
        pipe.execute(server, { idempotent: false, retryable: ({ error }) => (error as { call: number }).call === 1 }),
      );
      await clock.advance(10);
      expect(server.calls).toHaveLength(2);
    });

    it('does not run again when retryable throws, which is reported', async () => {
      const { pipe, clock, told } = stand([retry({ backoff: 1 })]);
      const server = script('fail');
      const retryable = () => {
        throw new Error('broken');
      };
      watch(pipe.execute(server, { idempotent: false, retryable }));
      await clock.advance(10);
      expect(server.calls).toHaveLength(1);
      expect(told('fault')).toEqual([expect.objectContaining({ where: 'retryable' })]);
    });
  });

  it("the caller's abort ends a pending backoff at once, with the caller's reason and no further attempt", async () => {
    const { pipe, clock } = stand([retry({ backoff: 1_000 })]);
    const caller = new AbortController();
    const server = script('fail', 'ok');
    const call = watch(pipe.execute(server, caller.signal));
    await clock.advance(10);
    caller.abort(new Error('enough'));
    await turn();
    expect(call.error).toBe(caller.signal.reason);
    expect(clock.pending).toBe(0);
    await clock.advance(5_000);
    expect(server.calls).toHaveLength(1);
  });

  it('tells of each retry and how it ended, and counts both', async () => {
    const { pipe, clock, told } = stand([retry({ backoff: 5, name: 'again' })]);
    watch(pipe.execute(script('fail', 'ok')));
    watch(pipe.execute(script('ok')));
    watch(pipe.execute(script('fail')));
    await clock.advance(100);
    expect(told('retry').map((e: any) => [e.policy, e.retry, e.delayMs])).toEqual([
      ['again', 1, 5],
      ['again', 1, 5],
      ['again', 2, 5],
    ]);
    expect(told('retry_result').map((e: any) => [e.result, e.retries])).toEqual([
      ['success', 0],
      ['success_after_retry', 1],
      ['exhausted', 2],
    ]);
    expect(stateOf(pipe)).toMatchObject({
      name: 'again',
      attempts: 3,
      executions: { success: 1, success_after_retry: 1, exhausted: 1, not_retryable: 0, cancelled: 0 },
    });
  });

  it('a listener that ends the call while it hears of a retry leaves no timer, no token and no wait behind', async () => {
    const { pipe, clock } = stand([retry({ backoff: 1_000, budget: { capacity: 5, minPerSecond: 0 } })]);
    const caller = new AbortController();
    pipe.subscribe((event) => event.type === 'retry' && caller.abort('enough'));
    const call = watch(pipe.execute(script('fail'), caller.signal));
    await turn();
    await turn();
    expect(call.error).toBe('enough');
    expect(clock.pending).toBe(0);
    expect(stateOf(pipe)).toMatchObject({ budget: { remaining: 5 }, executions: { cancelled: 1 } });
  });

  describe('budget', () => {
    it('starts full, takes one token per retry and then turns retries away with the last error', async () => {
      const { pipe, clock } = stand([retry({ backoff: 0, budget: { capacity: 3, minPerSecond: 0, ratio: 0 } })]);
      expect(stateOf(pipe).budget).toEqual({ limit: 3, remaining: 3 });
      const server = script('fail');
      const calls = Array.from({ length: 4 }, () => watch(pipe.execute(server)));
      await clock.advance(1);
      expect(server.calls).toHaveLength(4 + 3);
      expect(calls.every(({ error }) => error?.name === 'ScriptedError')).toBe(true);
      expect(stateOf(pipe)).toMatchObject({ budget: { remaining: 0 } });
      expect(stateOf(pipe).executions.budget_exhausted).toBeGreaterThan(0);
    });

    it('is { ratio: 0.1, minPerSecond: 1, capacity: 100 } by default', async () => {
      const { pipe, clock } = stand([retry({ backoff: 0 })]);
      expect(stateOf(pipe).budget).toEqual({ limit: 100, remaining: 100 });
      const server = script('fail');
      for (let n = 0; n < 100; n++) watch(pipe.execute(server));
      await clock.advance(0);
      expect(server.calls).toHaveLength(200);
      for (let n = 0; n < 10; n++) await pipe.execute(() => 1);
      expect(stateOf(pipe).budget.remaining).toBeCloseTo(1);
      await clock.advance(1_000);
      expect(stateOf(pipe).budget.remaining).toBeCloseTo(2);
      await clock.advance(1e6);
      expect(stateOf(pipe).budget.remaining).toBe(100);
    });

    it('takes its token before the wait and gives it back when the wait is cancelled', async () => {
      const { pipe, clock } = stand([retry({ backoff: 1_000, budget: { capacity: 5, minPerSecond: 0 } })]);
      const caller = new AbortController();
      watch(pipe.execute(script('fail'), caller.signal));
      await turn();
      expect(stateOf(pipe).budget.remaining).toBe(4);
      caller.abort();
      await turn();
      expect(stateOf(pipe).budget.remaining).toBe(5);
      await clock.advance(10);
    });

    it('keeps the token of a retry that has begun, also when that is cancelled', async () => {
      const { pipe, clock } = stand([retry({ backoff: 10, budget: { capacity: 5, minPerSecond: 0 } })]);
      const caller = new AbortController();
      watch(pipe.execute(script('fail', 'hang'), caller.signal));
      await clock.advance(20);
      caller.abort();
      await turn();
      expect(stateOf(pipe).budget.remaining).toBe(4);
    });

    it('holds attempts per call below 1.02 over 10,000 failing calls within a minute', async () => {
      const { pipe, clock } = stand([retry({ backoff: 0 })]);
      let calls = 0;
      for (let second = 0; second < 59; second++) {
        for (let n = 0; n < 170; n++) pipe.tryExecute(() => (calls++, Promise.reject(new Error('down'))));
        await clock.advance(1_000);
      }
      expect(calls / (59 * 170)).toBeLessThan(1.02);
      expect(calls).toBeGreaterThan(59 * 170);
    });

    it('allows no more retries than capacity + minPerSecond x seconds + ratio x successes', async () => {
      const { pipe, clock } = stand([retry({ backoff: 0, budget: { capacity: 10, minPerSecond: 2, ratio: 0.5 } })]);
      let successes = 0;
      const random = seededRandom(7);
      for (let n = 0; n < 1_000; n++) {
        if (random() < 0.3) {
          await pipe.execute(() => 1);
          successes++;
        } else watch(pipe.execute(script('fail')));
        if (n % 10 === 0) await clock.advance(100);
      }
      await clock.advance(1);
      expect(stateOf(pipe).attempts).toBeLessThanOrEqual(10 + 2 * (clock.now() / 1_000) + 0.5 * successes);
      expect(stateOf(pipe).attempts).toBeGreaterThan(100);
    });

    it('false is none', async () => {
      const { pipe, clock } = stand([retry({ backoff: 0, budget: false })]);
      expect(stateOf(pipe).budget).toBe(null);
      const server = script('fail');
      for (let n = 0; n < 300; n++) watch(pipe.execute(server));
      await clock.advance(0);
      expect(server.calls).toHaveLength(900);
    });

    it('belongs to one retry policy, or is shared by those that are given it', async () => {
      const budget = retryBudget({ capacity: 3, minPerSecond: 0 });
      const clock = virtualClock();
      const a = pipeline('a', [retry({ backoff: 0, budget })], { telemetry: false, clock });
      const b = pipeline('b', [retry({ backoff: 0, budget })], { telemetry: false, clock });
      watch(a.execute(script('fail')));
      await clock.advance(0);
      expect(budget.remaining).toBe(1);
      const server = script('fail');
      watch(b.execute(server));
      await clock.advance(0);
      expect(server.calls).toHaveLength(2);
      expect(budget.remaining).toBe(0);
    });

    it('is checked before the wait: a call that gets no token ends at once', async () => {
      const { pipe } = stand([retry({ backoff: 1_000, budget: { capacity: 0, minPerSecond: 0, ratio: 0 } })]);
      const call = watch(pipe.execute(script('fail')));
      await turn();
      expect(call.error).toMatchObject({ name: 'ScriptedError' });
    });
  });

  describe('bad options', () => {
    it.each([
      [{ maxRetries: -1 }, '"maxRetries" must be a whole number from 0 up or Infinity, received -1'],
      [{ maxRetries: 1.5 }, '"maxRetries" must be a whole number from 0 up or Infinity, received 1.5'],
      [{ maxRetryAfterMs: -1 }, '"maxRetryAfterMs" must be a number from 0 up or Infinity, received -1'],
      [{ backoff: -1 }, '"backoff" must be a number from 0 up, or a function, or a cockatiel backoff, received -1'],
    ])('%j is a RangeError', (options, message) => {
      const error = thrownBy(() => retry(options));
      expect(error).toBeInstanceOf(RangeError);
      expect(error.message).toBe(`Cannot create retry: ${message}`);
    });

    it.each([
      [[], 'options must be an object, received an array'],
      [{ maxRetries: '2' }, '"maxRetries" must be a whole number from 0 up or Infinity, received "2"'],
      [{ maxRetires: 3 }, 'unknown option "maxRetires", did you mean "maxRetries"?'],
      [{ attempts: 3 }, 'unknown option "attempts"'],
      [{ retryRejected: 1 }, '"retryRejected" must be true or false, received 1'],
      [{ when: 'x' }, '"when" must be a predicate, { error, result } or a cockatiel handler, received "x"'],
      [
        { when: { errors: () => true } },
        '"when" must be a predicate, { error, result } or a cockatiel handler, received an object',
      ],
      [
        { budget: true },
        '"budget" must be { ratio, minPerSecond, capacity }, retryBudget(...) or false, received true',
      ],
      [
        { maxRetries: -1, retryRejected: 'no' },
        '"maxRetries" must be a whole number from 0 up or Infinity, received -1; "retryRejected" must be true or false, received "no"',
      ],
    ])('%j is a TypeError', (options, message) => {
      const error = thrownBy(() => retry(options as never));
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toBe(`Cannot create retry: ${message}`);
    });

    it('of a budget are named as such', () => {
      expect(thrownBy(() => retryBudget({ ratio: 2 })).message).toBe(
        'Cannot create retry budget: "ratio" must be a number from 0 to 1, received 2',
      );
      expect(thrownBy(() => retry({ budget: { capacity: -1 } }))).toBeInstanceOf(RangeError);
      expect(thrownBy(() => retry({ budget: { size: 3 } as never })).message).toBe(
        'Cannot create retry: unknown option "budget.size"',
      );
    });

    it('a shared budget refuses a second clock', () => {
      const budget = retryBudget();
      pipeline('one', [retry({ budget })], { telemetry: false, clock: virtualClock() });
      const error = thrownBy(() => pipeline('two', [retry({ budget })], { telemetry: false, clock: virtualClock() }));
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toMatch(/"two".*"one"/);
    });
  });

  it('neither mutates nor keeps its options', async () => {
    const options = { maxRetries: 1, backoff: 1 };
    const { pipe, clock } = stand([retry(Object.freeze({ ...options }))]);
    const mutable = retry(options);
    options.maxRetries = 50;
    expect(options).toEqual({ maxRetries: 50, backoff: 1 });
    const server = script('fail');
    watch(pipe.execute(server));
    const other = stand([mutable]);
    watch(other.pipe.execute(server));
    await clock.advance(100);
    await other.clock.advance(100);
    expect(server.calls).toHaveLength(4);
  });
});
