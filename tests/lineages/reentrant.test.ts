import {
  bulkhead,
  circuitBreaker,
  fallback,
  pipeline,
  type PipelineEvent,
  retry,
  retryBudget,
  timeout,
} from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/testing/seeded-random.ts';
import { virtualClock } from '../../src/testing/virtual-clock.ts';
import { unhandled } from '../core/spy.ts';
import { turn, watch } from '../policies/stand.ts';

const down = new Error('down');

/** Two pipelines over one circuit, one bulkhead and one budget, and listeners that do to them what they like. */
async function play(seed: number) {
  const random = seededRandom(seed);
  const chance = (share: number) => random() < share;
  const clock = virtualClock();
  const breaker = circuitBreaker({
    consecutiveFailures: 2,
    breakMs: 100,
    halfOpenCalls: 2,
    halfOpenMs: 150,
    name: 'fuse',
  });
  const slots = bulkhead({ limit: 2, queue: 3, maxWaitMs: 60, holdUntilSettled: { maxMs: 200 }, name: 'slots' });
  const budget = retryBudget({ capacity: 50, minPerSecond: 0, ratio: 0 });
  const again = () => retry({ backoff: ({ retry }) => (chance(0.5) ? 0 : retry * 10), budget });
  const options = { telemetry: false as const, clock, random };
  const pipes = [
    pipeline(
      'a',
      [fallback({ to: () => 'instead', when: () => chance(0.5) }), again(), breaker, slots, timeout(40)],
      options,
    ),
    pipeline('b', [timeout(120), breaker, again(), slots], options),
  ];
  const callers: AbortController[] = [];
  const calls: ReturnType<typeof watch>[] = [];
  const changes: { previous: string; state: string }[] = [];
  const ends = new Map<string, number>();
  let left = 400;

  const start = () => {
    if (left-- <= 0) return;
    const caller = new AbortController();
    callers.push(caller);
    const pipe = pipes[chance(0.5) ? 0 : 1]!;
    const fn = () => {
      if (chance(0.4)) throw down;
      if (chance(0.3)) return 'at once';
      return new Promise((yes, no) => {
        if (chance(0.9)) clock.after(Math.ceil(random() * 8) * 10, () => (chance(0.5) ? yes('ok') : no(down)));
      });
    };
    calls.push(
      watch(
        pipe.execute(fn, { signal: caller.signal, ...(chance(0.3) && { timeoutMs: 10 * Math.ceil(random() * 9) }) }),
      ),
    );
  };
  const meddle = () => {
    const what = random();
    if (what < 0.4) start();
    else if (what < 0.6) callers[Math.floor(random() * callers.length)]?.abort('meddled');
    else if (what < 0.7) breaker.reset();
    else if (what < 0.8) slots.resize(1 + Math.floor(random() * 3));
  };
  const listen = (event: PipelineEvent) => {
    if (event.type === 'circuit_state') changes.push(event);
    if (event.type === 'execution_end') ends.set(event.executionId, (ends.get(event.executionId) ?? 0) + 1);
    if (chance(0.15)) meddle();
    if (chance(0.05)) throw down;
  };
  for (const pipe of pipes) pipe.subscribe(listen);

  while (left > 0) {
    start();
    if (chance(0.3)) meddle();
    await clock.advance(Math.floor(random() * 3) * 10);
  }
  await clock.advance(100_000);
  for (let n = 0; n < 20; n++) await Promise.all(pipes.map((pipe) => pipe.tryExecute(() => 'ok')));
  await turn();
  return { breaker, slots, budget, pipes, calls, changes, ends, clock };
}

describe('listeners that start calls, give them up, reset, resize and throw in the middle of others', () => {
  it('every call ends once, every slot, token, probe and timer comes back, and changes of state are told in order (random)', async () => {
    let told = 0;
    const lost = await unhandled(async () => {
      for (let seed = 1; seed <= 20; seed++) {
        const { breaker, slots, budget, pipes, calls, changes, ends, clock } = await play(seed);
        const what = `seed ${seed}`;
        expect(
          calls.filter(({ state }) => state === 'pending'),
          what,
        ).toEqual([]);
        expect([slots.active, slots.queued, slots.held, clock.pending], what).toEqual([0, 0, 0, 0]);
        expect(new Set(ends.values()), what).toEqual(new Set([1]));
        expect(breaker.state, what).toBe('closed');
        const tallies: any[] = pipes.flatMap((pipe) => pipe.snapshot().policies).filter(({ kind }) => kind === 'retry');
        const attempts = tallies.reduce((sum, tally) => sum + tally.attempts, 0);
        expect(budget.remaining, what).toBe(50 - attempts);
        expect(budget.remaining, what).toBeGreaterThanOrEqual(0);
        const course = ['closed', ...changes.map(({ state }) => state)];
        expect(
          changes.map(({ previous }) => previous),
          what,
        ).toEqual(course.slice(0, -1));
        told += changes.length;
        for (const pipe of pipes) expect(pipe.snapshot().active, what).toBe(0);
      }
    });
    expect(lost).toEqual([]);
    expect(told).toBeGreaterThan(300);
  });
});
