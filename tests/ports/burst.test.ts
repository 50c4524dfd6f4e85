import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Beginning, begunAt, systemClock } from '../../src/ports/clock.ts';
import { pipeline, timeout, TimeoutError } from '../../src/index.ts';

const begin = () => systemClock.begin!();
const isShared = (beginning: Beginning) => typeof beginning !== 'number';

/** Begins until a reading is shared, and answers that; the first ones of a cold process are far apart. */
function shared(): Beginning {
  for (let i = 0; i < 100_000; i++) {
    const beginning = begin();
    if (isShared(beginning)) return beginning;
  }
  throw new Error('no reading was shared in 100,000 beginnings');
}

/** Kept busy for so many milliseconds. */
function spin(ms: number): void {
  for (const until = performance.now() + ms; performance.now() < until; );
}

// Nothing is shared before a turn that was asked for has come.
beforeAll(async () => {
  for (let i = 0; i < 100_000; i++) if (isShared(begin())) throw new Error('shared before any turn has come');
  await turn();
});

afterEach(async () => {
  vi.useRealTimers();
  await turn();
});

describe('what begins', () => {
  it('in a turn of its own has a reading of its own', async () => {
    for (let i = 0; i < 50; i++) {
      const before = performance.now();
      const beginning = begin();
      expect(beginning).toBeGreaterThanOrEqual(before);
      expect(beginning).toBeLessThanOrEqual(performance.now());
      await turn();
    }
  });

  it('together with sixty others has a reading of its own', async () => {
    for (let round = 0; round < 20; round++) {
      for (let i = 0; i < 61; i++) expect(isShared(begin())).toBe(false);
      await turn();
    }
  });

  it('in a burst shares a reading with at most 63 others, taken when all of them have begun', () => {
    const first = shared();
    const all = [first];
    while (begin() === first) all.push(first);
    const last = performance.now();
    expect(all.length).toBe(64);
    // The one after them has had it read.
    expect(begunAt(first)).toBeLessThanOrEqual(last);
  });

  it('has begun neither before it did nor after its turn, however long that keeps the process busy', async () => {
    const beginning = shared();
    const before = performance.now();
    spin(5);
    const after = performance.now();
    await turn();
    spin(5);
    expect(begunAt(beginning)).toBeGreaterThanOrEqual(before);
    // What came in between are at most other turns' callbacks.
    expect(begunAt(beginning)).toBeLessThan(after + 4);
  });

  it('after somebody has asked does not share what that one was told', () => {
    const beginning = shared();
    const told = begunAt(beginning);
    spin(0.1);
    expect(begunAt(begin())).toBeGreaterThan(told);
    expect(begunAt(beginning)).toBe(told);
  });

  it('in the turn after a burst is close to nothing again', async () => {
    shared();
    await turn();
    expect(isShared(begin())).toBe(false);
  });
});

describe('timeouts of a burst', () => {
  it('are never early, and all of them come', async () => {
    const pipe = pipeline('burst', [timeout(20)], { telemetry: false });
    for (let i = 0; i < 2_000; i++) await pipe.execute(() => 1);
    const calls = Array.from({ length: 2_000 }, () => {
      const start = performance.now();
      return pipe
        .tryExecute(() => new Promise(() => {}))
        .then(({ error }) => [error, performance.now() - start] as const);
    });
    const ends = await Promise.all(calls);
    expect(ends.filter(([error]) => !(error instanceof TimeoutError))).toEqual([]);
    expect(Math.min(...ends.map(([, ms]) => ms))).toBeGreaterThanOrEqual(20);
  });

  it('are told how much time is left, and that is no less than there is', async () => {
    const pipe = pipeline('remaining', [timeout(1_000)], { telemetry: false });
    shared();
    const start = performance.now();
    await pipe.execute((call) => expect(call.remainingMs).toBeGreaterThan(1_000 - (performance.now() - start) - 0.1));
  });
});

describe('what begins where setImmediate alone has been replaced', () => {
  it('has a reading of its own, because nobody else would take that of the last ones, and shares again afterwards', async () => {
    vi.stubGlobal('setImmediate', () => {});
    for (let i = 0; i < 1_000; i++) expect(isShared(begin())).toBe(false);
    vi.unstubAllGlobals();
    await turn();
    expect(isShared(shared())).toBe(true);
  });
});

// Last, because a process in which timers were replaced once shares none any more.
describe('what begins', () => {
  it('under timers that a test runner has replaced is read at once', () => {
    vi.useFakeTimers();
    for (let i = 0; i < 1_000; i++) expect(isShared(begin())).toBe(false);
  });
});
