import { execFile } from 'node:child_process';
import { getEventListeners } from 'node:events';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { bulkhead, circuitBreaker, pipeline, retry } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { deferred, stateOf, turn } from '../policies/stand.ts';
import { ends, many } from './growth-calls.ts';

const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;

/** Bytes of heap in use, when what can go has gone. */
function heap(): number {
  const collect = (globalThis as { gc?: () => void }).gc!;
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}

const gone = new Error('gone');

describe.each(Object.entries(ends))('calls in flight behind one signal that %s', (end, run) => {
  it('100,000 take at most 15 times as long as 10,000', { timeout: 120_000 }, async () => {
    const script = fileURLToPath(new URL('growth-timing.ts', import.meta.url));
    const flags = ['--expose-gc', '--min-semi-space-size=256', '--max-semi-space-size=256', '--no-warnings'];
    const { stdout } = await promisify(execFile)(process.execPath, [...flags, script, end], { timeout: 90_000 });
    expect(Number(stdout)).toBeGreaterThan(1);
    expect(Number(stdout)).toBeLessThanOrEqual(15);
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
