import { bulkhead, circuitBreaker, fallback, pipeline, retry, timeout } from 'seaworthy';
import { describe, expect, it, vi } from 'vitest';
import { deaf, stand, stateOf, turn, watch } from '../policies/stand.ts';

/** Keeps the only slot of `slots` from outside, on the same clock. */
function occupy(slots: ReturnType<typeof bulkhead>, { clock }: ReturnType<typeof stand>) {
  const caller = new AbortController();
  const other = pipeline('other', [slots], { telemetry: false, clock });
  watch(other.execute(deaf, caller.signal));
}

describe('a black hole: the other side takes calls and never answers', () => {
  it.each([
    ['timeout -> breaker', (breaker: ReturnType<typeof circuitBreaker>) => [timeout(100), breaker]],
    ['breaker -> timeout', (breaker: ReturnType<typeof circuitBreaker>) => [breaker, timeout(100)]],
  ])('%s opens on it, and calls it no more', async (_, policies) => {
    const breaker = circuitBreaker({ minimumCalls: 5 });
    const { pipe, clock } = stand(policies(breaker));
    const hole = vi.fn(deaf);
    const calls = Array.from({ length: 5 }, () => watch(pipe.execute(hole)));
    await clock.advance(99);
    expect(breaker.state).toBe('closed');
    await clock.advance(1);
    expect(calls.map(({ error }) => error?.code)).toEqual(Array(5).fill('timeout'));
    expect(breaker.state).toBe('open');
    expect(await pipe.tryExecute(hole)).toMatchObject({ error: { code: 'circuit_open' } });
    expect(hole).toHaveBeenCalledTimes(5);
  });

  it("deadline -> breaker: the caller's own timeoutMs counts as well", async () => {
    const breaker = circuitBreaker({ minimumCalls: 2 });
    const { pipe, clock } = stand([breaker]);
    for (let n = 0; n < 2; n++) watch(pipe.execute(deaf, { timeoutMs: 100 }));
    await clock.advance(100);
    expect(breaker.state).toBe('open');
  });

  it.each([
    ['the function', () => [fallback(() => 'instead'), retry()]],
    ['an attempt that has its own timeout', () => [fallback(() => 'instead'), retry({ backoff: 0 }), timeout(60)]],
    ['a queue', () => [fallback(() => 'instead'), bulkhead({ limit: 1, queue: 1, maxWaitMs: 1_000 })]],
  ])('the fallback answers when timeoutMs passes in %s, and not before', async (_, policies) => {
    const { pipe, clock } = stand(policies());
    watch(pipe.execute(deaf));
    const call = watch(pipe.execute(deaf, { timeoutMs: 150 }));
    await clock.advance(149);
    expect(call.state).toBe('pending');
    await clock.advance(1);
    expect(call.value).toBe('instead');
  });

  it('timeout -> breaker -> bulkhead: calls that only waited for a slot say nothing about the other side', async () => {
    const slots = bulkhead({ limit: 1, queue: 10, maxWaitMs: 1_000, name: 'slots' });
    const breaker = circuitBreaker({ consecutiveFailures: 1 });
    const at = stand([timeout(100), breaker, slots]);
    occupy(slots, at);
    const fn = vi.fn(deaf);
    const calls = Array.from({ length: 5 }, () => watch(at.pipe.execute(fn)));
    await at.clock.advance(100);
    expect(calls.map(({ error }) => error?.code)).toEqual(Array(5).fill('timeout'));
    expect(fn).not.toHaveBeenCalled();
    expect(breaker.state).toBe('closed');
    expect(stateOf(at.pipe, 1).executions).toMatchObject({ ignored: 5, failure: 0 });
    expect(slots.queued).toBe(0);
  });

  it('deadline -> breaker -> bulkhead: nor do calls whose timeoutMs passed while they waited', async () => {
    const slots = bulkhead({ limit: 1, queue: 10, maxWaitMs: 1_000, name: 'slots' });
    const breaker = circuitBreaker({ consecutiveFailures: 1 });
    const at = stand([breaker, slots]);
    occupy(slots, at);
    const call = watch(at.pipe.execute(deaf, { timeoutMs: 100 }));
    await at.clock.advance(100);
    expect(call.error).toMatchObject({ code: 'timeout', policy: 'deadline' });
    expect(breaker.state).toBe('closed');
  });

  it('timeout -> breaker -> retry -> bulkhead: one that had been called counts, although its next attempt only waited', async () => {
    const slots = bulkhead({ limit: 1, queue: 10, maxWaitMs: 1_000, name: 'slots' });
    const breaker = circuitBreaker({ consecutiveFailures: 1 });
    const at = stand([timeout(100), breaker, retry({ backoff: 10 }), slots]);
    const call = watch(at.pipe.execute(() => Promise.reject(new Error('down'))));
    await at.clock.advance(5);
    occupy(slots, at);
    await at.clock.advance(94);
    expect([slots.queued, breaker.state]).toEqual([1, 'closed']);
    await at.clock.advance(1);
    expect(call.error).toMatchObject({ code: 'timeout' });
    expect(breaker.state).toBe('open');
  });

  it('breaker: a hung probe does not wedge half-open, and the break after it runs from the end of its lease', async () => {
    const breaker = circuitBreaker({ consecutiveFailures: 1, breakMs: 500, halfOpenCalls: 1, halfOpenMs: 1_000 });
    const { pipe, clock, told } = stand([breaker]);
    await pipe.tryExecute(() => Promise.reject(new Error('down')));
    await clock.advance(500);
    watch(pipe.execute(deaf));
    expect(await pipe.tryExecute(() => 'ok')).toMatchObject({ error: { code: 'circuit_open', retryAfterMs: 1_000 } });
    await clock.advance(1_000);
    expect(breaker.state).toBe('open');
    // Nobody looks at the moment the break ends.
    await clock.advance(700);
    expect(breaker.state).toBe('half_open');
    expect(await pipe.execute(() => 'ok')).toBe('ok');
    expect(breaker.state).toBe('closed');
    expect(told('circuit_state').map((event) => 'at' in event && [event.state, event.at])).toEqual([
      ['open', 0],
      ['half_open', 500],
      ['open', 1_500],
      ['half_open', 2_000],
      ['closed', 2_200],
    ]);
  });

  it.each([
    ['timeout -> breaker', (breaker: ReturnType<typeof circuitBreaker>) => [timeout(100), breaker]],
    ['breaker -> timeout', (breaker: ReturnType<typeof circuitBreaker>) => [breaker, timeout(100)]],
  ])('%s: a probe that falls into it opens the circuit when its time is up', async (_, policies) => {
    const breaker = circuitBreaker({ consecutiveFailures: 1, breakMs: 500, halfOpenCalls: 1 });
    const { pipe, clock } = stand(policies(breaker));
    await pipe.tryExecute(() => Promise.reject(new Error('down')));
    await clock.advance(500);
    watch(pipe.execute(deaf));
    await clock.advance(99);
    expect(breaker.state).toBe('half_open');
    await clock.advance(1);
    expect(breaker.state).toBe('open');
    await clock.advance(500);
    expect(await pipe.execute(() => 'ok')).toBe('ok');
    expect(breaker.state).toBe('closed');
  });

  it('timeout -> breaker -> bulkhead: a probe that only waited gives its place to the next', async () => {
    const slots = bulkhead({ limit: 1, queue: 10, maxWaitMs: 1_000, name: 'slots' });
    const breaker = circuitBreaker({ consecutiveFailures: 1, breakMs: 500, halfOpenCalls: 1 });
    const at = stand([timeout(100), breaker, slots]);
    await at.pipe.tryExecute(() => Promise.reject(new Error('down')));
    await at.clock.advance(500);
    occupy(slots, at);
    watch(at.pipe.execute(() => 'never started'));
    await at.clock.advance(100);
    expect(breaker.state).toBe('half_open');
    slots.resize(2);
    const probe = watch(at.pipe.execute(() => 'ok'));
    await turn();
    expect(probe.value).toBe('ok');
    expect(breaker.state).toBe('closed');
  });
});
