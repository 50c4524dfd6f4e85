import { getEventListeners } from 'node:events';
import { bulkhead, circuitBreaker, fallback, pipeline, retry, timeout } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { turn } from '../policies/stand.ts';

const untilAborted = ({ signal }: { signal: AbortSignal }) =>
  new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

const median = (numbers: number[]) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!;

function collect(): number {
  (globalThis as { gc?: () => void }).gc!();
  (globalThis as { gc?: () => void }).gc!();
  return process.memoryUsage().heapUsed;
}

/** `n` calls at once behind one signal: a third ends by itself, a third runs and a third waits when it aborts. */
async function crowd(n: number) {
  const third = Math.floor(n / 3);
  const pipe = pipeline(
    'crowd',
    [
      fallback(() => 'instead'),
      timeout(60_000),
      retry(),
      circuitBreaker(),
      bulkhead({ limit: 2 * third, queue: n, maxWaitMs: 60_000 }),
    ],
    { telemetry: false },
  );
  const caller = new AbortController();
  const { signal } = caller;
  let answered = 0;
  let aborted = 0;
  const started = performance.now();
  const calls: Promise<unknown>[] = [];
  for (let i = 0; i < n; i++) {
    const call = i < third ? pipe.execute(turn, signal) : pipe.execute(untilAborted, signal);
    calls.push(call.then(() => answered++, (error) => error === signal.reason && aborted++));
  }
  const most = getEventListeners(signal, 'abort').length;
  await Promise.all(calls.slice(0, third));
  caller.abort(new Error('everybody out'));
  await Promise.all(calls);
  const ms = performance.now() - started;
  await turn();
  await turn();
  const listeners = getEventListeners(signal, 'abort').length;
  const { active } = pipe.snapshot();
  pipe.dispose();
  return { ms, answered, aborted, most, listeners, active, third };
}

describe('a crowd behind one signal', () => {
  it('100,000 calls through all five policies settle, abort included, in at most 15 times the time of 10,000', { timeout: 120_000 }, async () => {
    await crowd(10_000);
    const small: number[] = [];
    const large: number[] = [];
    for (let round = 0; round < 5; round++) {
      // Neither pays for the other's garbage.
      collect();
      small.push((await crowd(10_000)).ms);
      collect();
      const { ms, answered, aborted, third, most } = await crowd(100_000);
      large.push(ms);
      expect([answered, aborted, most]).toEqual([third, 100_000 - third, 1]);
    }
    expect(median(large) / median(small)).toBeLessThanOrEqual(15);
  });

  it('and leave nothing behind: no listener, no call, no resource, no memory', { timeout: 120_000 }, async () => {
    await crowd(100_000);
    const resources = process.getActiveResourcesInfo().toSorted();
    const heap = collect();
    const { listeners, active } = await crowd(100_000);
    await turn();
    expect([listeners, active]).toEqual([0, 0]);
    expect(process.getActiveResourcesInfo().toSorted()).toEqual(resources);
    expect(collect() - heap).toBeLessThan(1_048_576);
  });

  it('a signal that outlives a hundred thousand calls grows by nothing', { timeout: 60_000 }, async () => {
    const pipe = pipeline('shared', [timeout(60_000), retry(), circuitBreaker(), bulkhead({ limit: 10 })], { telemetry: false });
    const { signal } = new AbortController();
    for (let i = 0; i < 10_000; i++) await pipe.execute(async () => i, signal);
    const heap = collect();
    for (let i = 0; i < 100_000; i++) await pipe.execute(async () => i, signal);
    await turn();
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    expect(collect() - heap).toBeLessThan(1_048_576);
    expect(pipe.snapshot().calls).toBe(110_000);
  });
});
