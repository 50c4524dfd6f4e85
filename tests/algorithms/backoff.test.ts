import { ConstantBackoff, DelegateBackoff, ExponentialBackoff, IterableBackoff } from 'cockatiel';
import { describe, expect, it, vi } from 'vitest';
import { type Backoff, type Delay, delays, exponentialFullJitter } from '../../src/algorithms/backoff.ts';
import { seededRandom } from '../../src/testing/seeded-random.ts';
import { turn } from '../policies/stand.ts';

/** The first `count` delays of one walk. */
function walk<Info>(backoff: Backoff<Info>, count: number, info = {} as Info): Delay[] {
  const walked: Delay[] = [];
  let step = delays(backoff).first(info);
  for (let n = 0; n < count; n++) {
    walked.push(step.delay);
    step = step.next(info);
  }
  return walked;
}

describe('exponentialFullJitter', () => {
  it('doubles the range up to the cap and draws from all of it', () => {
    const most = (x: number) =>
      walk(
        exponentialFullJitter({ baseMs: 100, maxMs: 1000 }, () => x),
        7,
      );
    expect(most(0.999999).map((ms) => Math.round(ms as number))).toEqual([100, 200, 400, 800, 1000, 1000, 1000]);
    expect(most(0)).toEqual([0, 0, 0, 0, 0, 0, 0]);
    expect(most(0.5)).toEqual([50, 100, 200, 400, 500, 500, 500]);
  });

  it('keeps its jitter at the cap: two hundred clients, two hundred moments (C-29)', () => {
    const random = seededRandom(29);
    const twelfth = Array.from(
      { length: 200 },
      () => walk(exponentialFullJitter({ maxMs: 1000 }, random), 12).at(-1) as number,
    );
    expect(new Set(twelfth.map(Math.round)).size).toBeGreaterThan(150);
    const mean = twelfth.reduce((sum, ms) => sum + ms, 0) / 200;
    expect(mean).toBeGreaterThan(430);
    expect(mean).toBeLessThan(570);
    expect(Math.min(...twelfth)).toBeLessThan(50);
    expect(Math.max(...twelfth)).toBeGreaterThan(950);
  });

  it('begins at 100 ms and ends at 10 s by default', () => {
    const walked = walk(
      exponentialFullJitter({}, () => 0.5),
      20,
    );
    expect(walked[0]).toBe(50);
    expect(walked.at(-1)).toBe(5000);
  });

  it('stays a number for ever, also from 0', () => {
    expect(
      walk(
        exponentialFullJitter({ baseMs: 0 }, () => 0.5),
        1100,
      ).at(-1),
    ).toBe(0);
    expect(
      walk(
        exponentialFullJitter({ maxMs: 1000 }, () => 0.5),
        1100,
      ).at(-1),
    ).toBe(500);
  });

  it("is cockatiel's, so that it fits wherever cockatiel asks how long", () => {
    expect(exponentialFullJitter({}, Math.random)).toBeInstanceOf(ExponentialBackoff);
  });
});

describe('delays', () => {
  it.each([
    ['a number', 250],
    ['a constant of cockatiel', new ConstantBackoff(250)],
    ['a function', () => 250],
  ])('%s is the same delay every time', (_, backoff) => {
    expect(walk<object>(backoff as Backoff<object>, 3)).toEqual([250, 250, 250]);
  });

  it('asks a function each time, with what happened, until it says stop', () => {
    const ask = vi.fn(({ attempt }: { attempt: number }): Delay => (attempt < 3 ? attempt * 10 : 'stop'));
    let step = delays(ask).first({ attempt: 1 });
    expect(step.delay).toBe(10);
    step = step.next({ attempt: 2 });
    expect(step.delay).toBe(20);
    step = step.next({ attempt: 3 });
    expect(step.delay).toBe('stop');
    expect(step.next({ attempt: 1 }).delay).toBe('stop');
    expect(ask).toHaveBeenCalledTimes(3);
  });

  it('walks a cockatiel backoff anew for each call, and one does not move the other', () => {
    const list = delays(new IterableBackoff([1, 2, 3]));
    const one = list.first({});
    const other = list.first({});
    expect([one.delay, one.next({}).delay, one.next({}).next({}).delay, other.delay]).toEqual([1, 2, 3, 1]);
    // A step is a value: asked again it says the same.
    expect(one.next({}).delay).toBe(2);
  });

  it('hands what happened to a cockatiel delegate, and keeps its state per call', () => {
    const doubling = new DelegateBackoff<{ base: number }, number>(({ base }, state = base) => ({
      delay: state,
      state: state * 2,
    }));
    expect(walk(doubling, 4, { base: 5 })).toEqual([5, 10, 20, 40]);
    expect(walk(doubling, 2, { base: 3 })).toEqual([3, 6]);
  });

  it.each([Number.NaN, -1, -Infinity, undefined, null, '5', {}])('refuses %j, wherever it comes from (C-30)', (ms) => {
    const odd = ms as number;
    const message = `backoff must answer milliseconds from 0 up or "stop", received ${typeof ms === 'number' ? ms : typeof ms}`;
    const refused = new TypeError(message);
    if (typeof odd === 'number') expect(() => walk(odd, 2)).toThrow(refused);
    expect(() => walk(() => odd, 2)).toThrow(refused);
    if (ms === undefined) return;
    expect(() => walk({ next: () => ({ duration: odd, next: () => never }) }, 2)).toThrow(refused);
  });
  const never = { duration: 1, next: (): never => never as never };

  it('takes a wait without end for stop', () => {
    expect(walk(Infinity, 2)).toEqual(['stop', 'stop']);
    expect(walk(() => Infinity, 2)).toEqual(['stop', 'stop']);
    expect(walk({ next: () => ({ duration: Infinity, next: () => never }) }, 2)).toEqual(['stop', 'stop']);
  });

  it('takes an empty list for stop, and a backoff that ends for its end', () => {
    expect(walk(new IterableBackoff([]), 2)).toEqual(['stop', 'stop']);
    const two = { next: () => ({ duration: 1, next: () => ({ duration: 2, next: () => undefined as never }) }) };
    expect(walk(two, 4)).toEqual([1, 2, 'stop', 'stop']);
    expect(walk({ next: () => undefined as never }, 2)).toEqual(['stop', 'stop']);
  });

  it('waits for 0', () => {
    expect(walk(0, 2)).toEqual([0, 0]);
  });

  it("lets through what the author's code throws", () => {
    const fault = () => {
      throw new Error('boom');
    };
    expect(() => delays(fault).first({})).toThrow('boom');
    expect(() => delays({ next: fault }).first({})).toThrow('boom');
  });
});

it.each<[unknown, string]>([
  [-0.1, '-0.1'],
  [1.1, '1.1'],
  [Number.NaN, 'NaN'],
  ['0.5', 'string'],
  [[0.5], 'object'],
  [null, 'object'],
  [undefined, 'undefined'],
])('a random source that answers %j is refused', (drawn, word) => {
  const refused = new TypeError(`random must answer a number from 0 to 1, received ${word}`);
  expect(() =>
    walk(
      exponentialFullJitter({}, () => drawn as number),
      1,
    ),
  ).toThrow(refused);
});

it.each([0, 0.5, 1])('a random source may answer %d', (drawn) => {
  expect(
    walk(
      exponentialFullJitter({}, () => drawn),
      1,
    ),
  ).toEqual([drawn * 100]);
});

it.each([null, 5, {}])('a step of a backoff that is %j is refused', (step) => {
  const refused = new TypeError('next() of a backoff must answer a backoff');
  expect(() => walk({ next: () => step as never }, 1)).toThrow(refused);
});

it.each<[string, unknown]>([
  ['a backoff', () => Promise.reject(new Error('async'))],
  ['a step of a backoff', { next: () => Promise.reject(new Error('async')) }],
  ['a random source', exponentialFullJitter({}, () => Promise.reject(new Error('async')) as never)],
])('%s that answers a promise is refused, and the rejection of that is nobody’s unhandled one', async (_, backoff) => {
  const unhandled: unknown[] = [];
  const hear = (reason: unknown) => unhandled.push(reason);
  process.on('unhandledRejection', hear);
  expect(() => walk(backoff as Backoff<unknown>, 1)).toThrow(TypeError);
  await turn();
  await turn();
  process.off('unhandledRejection', hear);
  expect(unhandled).toEqual([]);
});
