import { bulkhead, circuitBreaker, fallback, pipeline, retry, timeout } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { script } from '../../src/testing/script.ts';
import { virtualClock } from '../../src/testing/virtual-clock.ts';
import { deaf, stand, stateOf, turn, watch } from '../policies/stand.ts';

const down = new Error('down');
const bad = () => Promise.reject(down);
const ok = async () => 'ok';

describe('the course of a circuit', () => {
  it.each([
    ['a constant break', 500, 500, 500],
    ['a break that grows', { next: () => ({ duration: 100, next: () => ({ duration: 700 }) }) } as never, 100, 700],
  ])(
    'P-15: with %s: ten failures, a break, a probe that fails, a break, a probe that succeeds',
    async (_, breakMs, first, second) => {
      const breaker = circuitBreaker({ failureRatio: 1, minimumCalls: 10, halfOpenCalls: 1, breakMs });
      const { pipe, clock, told } = stand([breaker]);
      const wait = async () => ((await pipe.tryExecute(ok)).error as { retryAfterMs: number }).retryAfterMs;
      for (let n = 0; n < 10; n++) await pipe.tryExecute(bad);
      expect(await wait()).toBe(first);
      await clock.advance(first / 2);
      expect(await wait()).toBe(first / 2);
      await clock.advance(first / 2);
      await pipe.tryExecute(bad);
      expect(await wait()).toBe(second);
      await clock.advance(second);
      expect(await pipe.execute(ok)).toBe('ok');
      expect(told('circuit_state').map((event: any) => event.state)).toEqual([
        'open',
        'half_open',
        'open',
        'half_open',
        'closed',
      ]);
      expect(stateOf(pipe).transitions).toMatchObject({ open: 2, half_open: 2, closed: 1 });
    },
  );

  it('P-16: the second call during a probe is turned away, and told when the probe’s lease is over', async () => {
    const { pipe, clock } = stand([
      circuitBreaker({ consecutiveFailures: 1, breakMs: 100, halfOpenCalls: 1, halfOpenMs: 900 }),
    ]);
    await pipe.tryExecute(bad);
    await clock.advance(100);
    watch(pipe.execute(deaf));
    await clock.advance(200);
    expect((await pipe.tryExecute(ok)).error).toMatchObject({ code: 'circuit_open', retryAfterMs: 700, cause: down });
  });

  it('shouldTransitionBackToOpenStateWhenSlowCallRateIsAboveThreshold: a probe slower than slowMs opens it again', async () => {
    const breaker = circuitBreaker({ slowMs: 100, minimumCalls: 1, breakMs: 1_000, halfOpenCalls: 1 });
    const { pipe, clock } = stand([breaker]);
    const run = async (delayMs: number) => {
      watch(pipe.execute(script.with(clock, { delayMs, then: 'ok' })));
      await clock.advance(delayMs);
      return breaker.state;
    };
    expect(await run(101)).toBe('open');
    await clock.advance(1_000);
    expect(await run(101)).toBe('open');
    await clock.advance(1_000);
    expect(await run(100)).toBe('closed');
  });

  it('shouldForceOpenCircuitBreaker: held open by hand it stays so whatever time passes, and tells it once', async () => {
    const breaker = circuitBreaker({ consecutiveFailures: 1, breakMs: 100 });
    const { pipe, clock, told } = stand([breaker]);
    const hold = breaker.isolate();
    for (let n = 0; n < 5; n++) {
      await clock.advance(1_000_000);
      expect((await pipe.tryExecute(ok)).error).toMatchObject({ code: 'circuit_isolated' });
    }
    expect(told('circuit_state')).toEqual([expect.objectContaining({ previous: 'closed', state: 'isolated' })]);
    expect(told('rejected')).toHaveLength(5);
    hold.dispose();
    expect(await pipe.execute(ok)).toBe('ok');
  });

  it('P-g: isolating asks nobody for a break, and one that it finds half-open is so afterwards', async () => {
    let asked = 0;
    const breakMs = { next: () => (asked++, { duration: 100 }) } as never;
    const breaker = circuitBreaker({ consecutiveFailures: 1, breakMs });
    const { pipe, clock } = stand([breaker]);
    await pipe.tryExecute(bad);
    expect(asked).toBe(1);
    await clock.advance(100);
    const hold = breaker.isolate();
    await pipe.tryExecute(ok);
    await clock.advance(1_000);
    hold.dispose();
    expect([breaker.state, asked]).toEqual(['half_open', 1]);
  });

  it('P-20: one that was isolated before any pipeline was made is so in all of them; one dispose frees all', async () => {
    const breaker = circuitBreaker({ name: 'db' });
    const hold = breaker.isolate();
    const clock = virtualClock();
    const pipes = ['a', 'b'].map((name) => pipeline(name, [breaker], { telemetry: false, clock }));
    for (const pipe of pipes)
      expect((await pipe.tryExecute(ok)).error).toMatchObject({
        code: 'circuit_isolated',
        retryAfterMs: Number.POSITIVE_INFINITY,
      });
    hold.dispose();
    for (const pipe of pipes) expect(await pipe.execute(ok)).toBe('ok');
  });

  it('P-23: one circuit counts results of several types in several pipelines, each judged by its own classify', async () => {
    const breaker = circuitBreaker({ consecutiveFailures: 2, name: 'db' });
    const clock = virtualClock();
    const failing = (value: unknown) => (outcome: { value?: unknown }) =>
      (outcome.value === value ? 'failure' : 'success') as 'failure';
    const numbers = pipeline('numbers', [breaker], { telemetry: false, clock, classify: failing(-1) });
    const words = pipeline('words', [breaker], { telemetry: false, clock, classify: failing('no') });
    expect(await numbers.execute(() => -1)).toBe(-1);
    expect(breaker.state).toBe('closed');
    expect(await words.execute(() => 'no')).toBe('no');
    expect(breaker.state).toBe('open');
    for (const pipe of [numbers, words])
      expect((await pipe.tryExecute(ok)).error).toMatchObject({ code: 'circuit_open', pipeline: pipe.name });
  });

  it('J-7: after a quiet window a snapshot shows no calls and no ratio, without traffic', async () => {
    const { pipe, clock } = stand([circuitBreaker({ windowMs: 5_000, minimumCalls: 2 })]);
    for (const fn of [ok, ok, bad]) await pipe.tryExecute(fn);
    expect(stateOf(pipe).failureRatio).toBeCloseTo(1 / 3);
    await clock.advance(20_000);
    expect(stateOf(pipe)).toMatchObject({
      failureRatio: null,
      state: 'closed',
      executions: { success: 2, failure: 1 },
    });
  });

  it('OnClose gets the old metrics: each change says by what share of failures it came', async () => {
    const { pipe, clock, told } = stand([circuitBreaker({ minimumCalls: 4, breakMs: 100, halfOpenCalls: 4 })]);
    for (const fn of [ok, bad, bad, bad]) await pipe.tryExecute(fn);
    await clock.advance(100);
    for (const fn of [bad, ok, ok, ok]) await pipe.tryExecute(fn);
    expect(told('circuit_state').map((event: any) => [event.previous, event.state, event.failureRatio])).toEqual([
      ['closed', 'open', 0.75],
      ['open', 'half_open', undefined],
      ['half_open', 'closed', 0.25],
    ]);
  });
});

describe('a circuit in its own way', () => {
  it('J-3: stands in a chain once, nesting included: the probe of a call would leave it no place further inside, for ever', async () => {
    const breaker = circuitBreaker({ name: 'db' });
    const clock = virtualClock();
    const options = { telemetry: false as const, clock };
    const inner = pipeline('inner', [breaker], options);
    expect(() => pipeline('twice', [breaker, timeout(10), breaker], options)).toThrow(/"db" stands in it twice/);
    expect(() => pipeline('outer', [breaker, retry(), inner], options)).toThrow(TypeError);
    expect(await pipeline('beside', [retry(), inner], options).execute(ok)).toBe('ok');
  });

  it('J-3: a probe whose function calls the same pipeline is turned away further inside, and gives its place back', async () => {
    const breaker = circuitBreaker({ consecutiveFailures: 1, breakMs: 100, halfOpenCalls: 1 });
    const { pipe, clock } = stand([breaker]);
    await pipe.tryExecute(bad);
    await clock.advance(100);
    expect((await pipe.tryExecute(() => pipe.execute(ok))).error).toMatchObject({ code: 'circuit_open' });
    expect(await pipe.execute(ok)).toBe('ok');
    expect(breaker.state).toBe('closed');
  });
});

describe('rejections and what is told', () => {
  it('P-19: a hundred rejections have no stack that grows, and the failure that opened it as cause; by hand there is none', async () => {
    for (const stackTraces of [false, true]) {
      const breaker = circuitBreaker({ consecutiveFailures: 1 });
      const { pipe } = stand([breaker], { stackTraces });
      await pipe.tryExecute(bad);
      const errors: Error[] = [];
      for (let n = 0; n < 100; n++) errors.push((await pipe.tryExecute(ok)).error as Error);
      expect(new Set(errors.map(({ stack }) => stack)).size).toBe(1);
      expect(errors[0]!.stack!.includes('\n    at ')).toBe(stackTraces);
      expect(new Set(errors.map(({ cause }) => cause))).toEqual(new Set([down]));
      breaker.reset();
      breaker.isolate();
      expect((await pipe.tryExecute(ok)).error).not.toHaveProperty('cause', down);
    }
  });

  it('P-22: what a listener hears stays in order, also when it makes calls that change the state again', async () => {
    const breaker = circuitBreaker({ consecutiveFailures: 1, breakMs: 100, halfOpenCalls: 2, halfOpenMs: 100 });
    const { pipe, clock, told } = stand([breaker]);
    let heard = 0;
    pipe.subscribe((event) => {
      if (event.type !== 'circuit_state' || ++heard !== 3) return;
      void pipe.tryExecute(() => {
        throw down;
      });
    });
    await pipe.tryExecute(bad);
    await clock.advance(100);
    watch(pipe.execute(deaf)); // a probe whose lease ends, and the break after it, before anybody looks again
    await clock.advance(200);
    await pipe.tryExecute(ok);
    const changes = told('circuit_state').map((event: any) => [event.previous, event.state]);
    const froms = changes.map(([from]) => from);
    const tos = changes.map(([, to]) => to);
    expect(froms).toEqual(['closed', ...tos.slice(0, -1)]);
    expect(tos).toEqual(['open', 'half_open', 'open', 'half_open', 'open']);
    expect(breaker.state).toBe('open');
  });

  it('P-22: what nobody was told yet is told in order of time, holds by hand among the rest', async () => {
    const breaker = circuitBreaker({ consecutiveFailures: 1, breakMs: 100, halfOpenCalls: 1 });
    const { pipe, clock, told } = stand([breaker]);
    await pipe.tryExecute(bad);
    await clock.advance(150);
    expect(stateOf(pipe).state).toBe('half_open');
    breaker.isolate();
    await pipe.tryExecute(ok);
    expect(told('circuit_state').map((event: any) => [event.previous, event.state, event.at])).toEqual([
      ['closed', 'open', 0],
      ['open', 'half_open', 100],
      ['half_open', 'isolated', 150],
    ]);
    const quiet = circuitBreaker({ consecutiveFailures: 1, breakMs: 100, halfOpenCalls: 1 });
    const other = stand([quiet]);
    await other.pipe.tryExecute(bad);
    await other.clock.advance(50);
    const hold = quiet.isolate();
    await other.clock.advance(100);
    hold.dispose();
    await other.pipe.tryExecute(ok);
    expect(other.told('circuit_state').map((event: any) => [event.at, event.state])).toEqual([
      [0, 'open'],
      [50, 'isolated'],
      [100, 'half_open'],
      [150, 'half_open'],
      [150, 'closed'],
    ]);
  });

  it('testExecutionHook*: what is told of a call, exactly and in order', async () => {
    const chain = () => [
      fallback(() => 'instead'),
      retry({ backoff: 1, maxRetries: 1 }),
      circuitBreaker(),
      bulkhead({ limit: 1 }),
      timeout(10),
    ];
    /** The events of the last of these calls. */
    const story = async (...servers: ((context: any) => unknown)[]) => {
      const { pipe, clock, events } = stand(chain());
      for (const server of servers) watch(pipe.execute(server));
      await clock.advance(100);
      return events
        .filter(({ executionId }) => executionId === `shop-${servers.length}`)
        .map((event: any) => [event.type, event.result ?? event.outcome ?? event.reason].filter(Boolean).join(' '));
    };
    const attempt = (...words: string[]) => ['circuit_admission', ...words];
    expect(await story(ok)).toEqual([
      ...attempt('attempt_end success'),
      'retry_result success',
      'execution_end success',
    ]);
    expect(await story(script('fail', 'ok'))).toEqual([
      ...attempt('attempt_end failure', 'retry'),
      ...attempt('attempt_end success', 'retry_result success_after_retry', 'execution_end success'),
    ]);
    expect(await story(script('hang'))).toEqual([
      ...attempt('timeout', 'attempt_end failure', 'retry', 'late'),
      ...attempt(
        'timeout',
        'attempt_end failure',
        'retry_result exhausted',
        'fallback success',
        'execution_end fallback',
        'late',
      ),
    ]);
    expect(await story(deaf, ok)).toEqual([
      ...attempt(
        'rejected bulkhead_full',
        'attempt_end failure',
        'retry_result not_retryable',
        'fallback success',
        'execution_end fallback',
      ),
    ]);
  });
});

describe('composition', () => {
  it('Fallback -> RetryPolicy -> CircuitBreaker: the fallback answers once, for the last of what the retry saw', async () => {
    const seen: unknown[] = [];
    const { pipe, clock } = stand([
      fallback(({ error }) => (seen.push(error), 'instead')),
      retry({ backoff: 1, maxRetries: 5 }),
      circuitBreaker({ consecutiveFailures: 3 }),
    ]);
    const server = script('fail');
    const call = watch(pipe.execute(server));
    await clock.advance(10);
    expect([call.value, server.calls.length, seen]).toEqual([
      'instead',
      3,
      [expect.objectContaining({ code: 'circuit_open' })],
    ]);
  });

  it('P-32: an empty pipeline just calls; a list changed afterwards changes nothing; nested ones run in their places', async () => {
    expect(await stand([]).pipe.execute(() => 'just me')).toBe('just me');
    const clock = virtualClock();
    const list = [retry({ maxRetries: 1, backoff: 0 })];
    const pipe = pipeline('listed', list, { telemetry: false, clock });
    list.push(retry({ maxRetries: 9, backoff: 0 }));
    list.shift();
    const server = script('fail');
    watch(pipe.execute(server));
    await clock.advance(1);
    expect(server.calls).toHaveLength(2);
    const inner = pipeline('inner', [timeout({ ms: 20, name: 'in' })], { telemetry: false, clock });
    const outer = pipeline('outer', [timeout({ ms: 50, name: 'out' }), retry({ backoff: 0 }), inner], {
      telemetry: false,
      clock,
    });
    const call = watch(outer.execute(deaf));
    await clock.advance(49);
    expect(call.state).toBe('pending');
    await clock.advance(1);
    expect(call.error).toMatchObject({ policy: 'out' });
  });

  it('P-32: a nested pipeline is not disposed of with the one around it', async () => {
    const clock = virtualClock();
    const inner = pipeline('inner', [timeout(20)], { telemetry: false, clock });
    const outer = pipeline('outer', [inner], { telemetry: false, clock });
    outer.dispose();
    expect((await outer.tryExecute(ok)).error).toMatchObject({ code: 'draining' });
    expect(await inner.execute(ok)).toBe('ok');
    await turn();
  });
});
