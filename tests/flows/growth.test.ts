import { getEventListeners } from 'node:events';
import { bulkhead, type CallContext, circuitBreaker, fallback, pipeline, retry, timeout } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { deferred, stateOf, turn } from '../policies/stand.ts';

const many = 100_000;
const few = many / 10;

const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;

/** Bytes of heap in use, when what can go has gone. */
function heap(): number {
  const collect = (globalThis as { gc?: () => void }).gc!;
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}

/** All five policies, with room for everybody. */
const five = () =>
  pipeline(
    'growth',
    [
      fallback({ to: () => 'instead', when: () => false }),
      retry(),
      circuitBreaker(),
      bulkhead({ limit: many }),
      timeout(600_000),
    ],
    { telemetry: false },
  );

const gone = new Error('everybody out');

/** How `n` calls that are all in flight behind one signal come to their end: each by itself, or all by the abort. */
const ends = {
  'that end by themselves': async (n: number) => {
    using pipe = five();
    const { signal } = new AbortController();
    const gate = deferred<string>();
    const started = performance.now();
    const calls = Array.from({ length: n }, () => pipe.execute(() => gate.promise, signal));
    expect(pipe.snapshot().active).toBe(n);
    gate.resolve('done');
    const values = await Promise.all(calls);
    const ms = performance.now() - started;
    expect(values.every((value) => value === 'done')).toBe(true);
    return { ms, signal, active: pipe.snapshot().active };
  },
  'that the abort ends': async (n: number) => {
    using pipe = five();
    const caller = new AbortController();
    const { signal } = caller;
    const untilAborted = (call: CallContext) =>
      new Promise<never>((_, reject) => call.signal.addEventListener('abort', () => reject(call.signal.reason)));
    const started = performance.now();
    const calls = Array.from({ length: n }, () => pipe.tryExecute(untilAborted, signal));
    expect(pipe.snapshot().active).toBe(n);
    caller.abort(gone);
    const outcomes = await Promise.all(calls);
    const ms = performance.now() - started;
    expect(outcomes.every(({ error }) => error === gone)).toBe(true);
    return { ms, signal, active: pipe.snapshot().active };
  },
};

describe.each(Object.entries(ends))('calls in flight behind one signal %s', (_, run) => {
  it('100,000 take at most 15 times as long as 10,000', { timeout: 120_000 }, async () => {
    await run(few);
    const ms = { few: [] as number[], many: [] as number[] };
    for (let round = 0; round < 5; round++) {
      heap();
      ms.few.push((await run(few)).ms);
      heap();
      ms.many.push((await run(many)).ms);
    }
    expect(median(ms.many) / median(ms.few)).toBeLessThanOrEqual(15);
  });

  it('leave nothing behind: no listener, no resource, no memory', { timeout: 120_000 }, async () => {
    for (let round = 0; round < 2; round++) await run(many);
    await turn();
    const resources = process.getActiveResourcesInfo().length;
    const before = heap();
    const { signal, active } = await run(many);
    await turn();
    await turn();
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    expect(active).toBe(0);
    expect(process.getActiveResourcesInfo().length).toBeLessThanOrEqual(resources);
    expect(heap() - before).toBeLessThan(1_048_576);
  });
});

describe('the stack', () => {
  /** How deep the stack is here. */
  function depth(): number {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = Number.POSITIVE_INFINITY;
    const { stack } = new Error('depth');
    Error.stackTraceLimit = stackTraceLimit;
    return stack!.split('\n').length;
  }

  it('does not grow by 100,000 queued synchronous calls that hand on one slot', { timeout: 60_000 }, async () => {
    using pipe = pipeline('queue', [bulkhead({ limit: 1, queue: many, maxWaitMs: 600_000 })], { telemetry: false });
    const gate = deferred<string>();
    const first = pipe.execute(() => gate.promise);
    const depths = new Map<number, number>();
    let served = 0;
    const calls = Array.from({ length: many }, (_, n) =>
      pipe.execute(() => {
        if (n === 1 || n === many - 1) depths.set(n, depth());
        // First come, first served.
        return n === served++;
      }),
    );
    gate.resolve('done');
    await first;
    const inTurn = await Promise.all(calls);
    expect(inTurn.every(Boolean)).toBe(true);
    expect(depths.get(many - 1)).toBe(depths.get(1));
    expect(stateOf(pipe)).toMatchObject({ active: 0, queued: 0 });
  });

  it('does not grow by 100,000 retries without a pause', { timeout: 60_000 }, async () => {
    using pipe = pipeline('retries', [retry({ maxRetries: many, backoff: 0, budget: false })], { telemetry: false });
    const depths = new Map<number, number>();
    const outcome = await pipe.tryExecute(({ attempt }) => {
      if (attempt === 2 || attempt === many + 1) depths.set(attempt, depth());
      throw gone;
    });
    expect(outcome.error).toBe(gone);
    expect(pipe.snapshot().attempts).toBe(many + 1);
    expect(depths.get(many + 1)).toBe(depths.get(2));
  });
});

describe('the keys of a circuit breaker', () => {
  const max = 1_000;

  it.each([
    ['that work', () => 1],
    [
      'that fail, and each opens its circuit',
      () => {
        throw gone;
      },
    ],
  ])('a million of them %s keep a thousand circuits, at a flat cost', { timeout: 120_000 }, async (_, fn) => {
    using pipe = pipeline('keys', [circuitBreaker({ consecutiveFailures: 1, keys: { max } })], { telemetry: false });
    const tenths: number[] = [];
    let most = 0;
    for (let tenth = 0; tenth < 10; tenth++) {
      const started = performance.now();
      for (let n = 0; n < many; n++) {
        await pipe.tryExecute(fn, { key: `${tenth}/${n}` });
        if (n % 10_000 === 0) most = Math.max(most, stateOf(pipe).circuits);
      }
      tenths.push(performance.now() - started);
    }
    expect(most).toBeLessThanOrEqual(max + 1);
    expect(stateOf(pipe).circuits).toBe(max + 1);
    expect(median(tenths.slice(-3)) / median(tenths.slice(0, 3))).toBeLessThan(3);
  });
});
