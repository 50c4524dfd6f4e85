import {
  type Clock,
  circuitBreaker,
  fallback,
  type Observer,
  type Policy,
  pipeline,
  policy,
  retry,
  Stage,
} from 'seaworthy';
import { virtualClock } from 'seaworthy/testing';
import { describe, expect, it } from 'vitest';
import type { Call } from '../../src/core/call.ts';
import { watch } from './spy.ts';

/** A pipeline whose clock counts its readings, and what it says of durations. */
function timed(policies: readonly Policy<any>[]) {
  const clock = virtualClock();
  let readings = 0;
  const told: [name: string, ms: number][] = [];
  const observer: Observer = {
    interest: () => 1,
    end: (name, _token, { durationMs }) => void told.push([name, durationMs]),
  };
  const counting: Clock = {
    now() {
      readings++;
      return clock.now();
    },
    after: (ms, fn) => clock.after(ms, fn),
    coarse: () => clock.now(),
  };
  const pipe = pipeline('p', policies, { clock: counting, telemetry: false, observers: [observer] });
  return { pipe, clock, told, readings: () => readings };
}

/** An author's stage that waits by means of its own. */
function waiting(clock: { current?: ReturnType<typeof virtualClock> }, way: 'in' | 'out'): Policy {
  class Waiting extends Stage {
    private later(call: Call, step: () => void): void {
      call.capture();
      clock.current!.after(30, () => call.run(step));
    }
    override enter(call: Call): void {
      if (way === 'in') this.later(call, () => this.proceed(call));
      else this.proceed(call);
    }
    override succeed(call: Call, value: unknown): void {
      if (way === 'out') this.later(call, () => this.pass(call, value));
      else this.pass(call, value);
    }
  }
  return { kind: 'waiting', stage: () => new Waiting() };
}

describe('readings of the clock', () => {
  it.each<[string, () => unknown]>([
    ['a promise', async () => 1],
    ['a value', () => 1],
  ])('one where a call and its attempt begin, and one where they end: with %s', async (_what, fn) => {
    const { pipe, told, readings } = timed([retry(), circuitBreaker()]);
    const before = readings();
    expect(await pipe.execute(fn as () => number)).toBe(1);
    expect(readings() - before).toBe(2);
    expect(told).toEqual([
      ['attempt', 0],
      ['execution', 0],
    ]);
  });
});

describe('durations are exact', () => {
  const after = (clock: ReturnType<typeof virtualClock>, ms: number) =>
    new Promise<void>((resolve) => void clock.after(ms, resolve));

  it('where a call pauses between attempts, and a fallback works after the last', async () => {
    const { pipe, clock, told } = timed([
      fallback({ to: async () => (await after(clock, 5), 'other') }),
      retry({ maxRetries: 1, backoff: 20 }),
    ]);
    const seen = watch(
      pipe.execute(async () => {
        await after(clock, 3);
        throw new Error('down');
      }),
    );
    await clock.advance(40);
    expect(seen.result).toBe('other');
    expect(told).toEqual([
      ['attempt', 3],
      ['attempt', 3],
      ['fallback', 5],
      ['execution', 31],
    ]);
  });

  it('where a middleware goes on when its attempt has ended', async () => {
    const middleware = policy({
      kind: 'slow_end',
      around: async (_call, next) => {
        await after(clock, 7);
        const value = await next();
        await after(clock, 11);
        return value;
      },
    });
    const { pipe, clock, told } = timed([middleware, retry()]);
    const seen = watch(pipe.execute(() => after(clock, 2)));
    await clock.advance(20);
    expect(seen.state).toBe('value');
    expect(told).toEqual([
      ['attempt', 2],
      ['execution', 20],
    ]);
  });

  it('where a middleware has two attempts at a time', async () => {
    const both = policy({ kind: 'both', repeats: true, around: (_call, next) => Promise.all([next(), next()]) });
    const { pipe, clock, told } = timed([both, retry()]);
    let calls = 0;
    const seen = watch(pipe.execute(() => after(clock, ++calls === 1 ? 2 : 5)));
    await clock.advance(10);
    expect(seen.state).toBe('value');
    expect(told).toEqual([
      ['attempt', 2],
      ['attempt', 5],
      ['execution', 5],
    ]);
  });

  it.each([
    ['in', 'outside of the attempt', (stage: Policy) => [stage, retry()], 4],
    ['out', 'outside of the attempt', (stage: Policy) => [stage, retry()], 4],
    ['in', 'inside of it', (stage: Policy) => [retry(), stage], 34],
    ['out', 'inside of it', (stage: Policy) => [retry(), stage], 34],
  ] as const)('where an author’s stage waits on the way %s, %s', async (way, _where, policies, attempt) => {
    const held: { current?: ReturnType<typeof virtualClock> } = {};
    const { pipe, clock, told } = timed(policies(waiting(held, way)));
    held.current = clock;
    const seen = watch(pipe.execute(() => after(clock, 4)));
    await clock.advance(40);
    expect(seen.state).toBe('value');
    expect(told).toEqual([
      ['attempt', attempt],
      ['execution', 34],
    ]);
  });
});
