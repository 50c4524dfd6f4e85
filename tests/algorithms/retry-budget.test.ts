import { describe, expect, it } from 'vitest';
import { RetryBudget } from '../../src/algorithms/retry-budget.ts';

const takeAll = (budget: RetryBudget, now: number) => {
  let taken = 0;
  while (budget.take(now)) taken++;
  return taken;
};

describe('RetryBudget', () => {
  it('starts full and runs dry', () => {
    const budget = new RetryBudget({ ratio: 0.1, minPerSecond: 0, capacity: 5 });
    expect(budget.remaining(0)).toBe(5);
    expect(takeAll(budget, 0)).toBe(5);
    expect(budget.remaining(1e9)).toBe(0);
  });

  it('deposits its ratio per success: ten successes are one retry', () => {
    const budget = new RetryBudget({ ratio: 0.1, minPerSecond: 0, capacity: 5 });
    takeAll(budget, 0);
    for (let n = 0; n < 9; n++) budget.success();
    expect(budget.take(0)).toBe(false);
    budget.success();
    expect(takeAll(budget, 0)).toBe(1);
    expect(budget.remaining(0)).toBeGreaterThanOrEqual(0);
  });

  it('deposits by the clock, fractions included, and never above its capacity', () => {
    const budget = new RetryBudget({ ratio: 0, minPerSecond: 2, capacity: 3 });
    takeAll(budget, 1000);
    expect(budget.take(1499)).toBe(false);
    expect(budget.take(1500)).toBe(true);
    expect(takeAll(budget, 1_000_000)).toBe(3);
  });

  it('has what the clock has deposited by the time one looks', () => {
    const budget = new RetryBudget({ ratio: 0, minPerSecond: 2, capacity: 3 });
    takeAll(budget, 1000);
    expect([budget.remaining(1000), budget.remaining(1250), budget.remaining(9000)]).toEqual([0, 0.5, 3]);
  });

  it('takes a clock that goes backwards for one that stands still', () => {
    const budget = new RetryBudget({ ratio: 0, minPerSecond: 1, capacity: 2 });
    takeAll(budget, 10_000);
    expect(budget.take(0)).toBe(false);
    // The ten seconds before must not be paid out a second time.
    expect(budget.take(10_500)).toBe(false);
    expect(budget.take(11_000)).toBe(true);
    expect(budget.take(Number.NaN)).toBe(false);
    expect(budget.take(12_000)).toBe(true);
  });

  it('takes a token back, and no more than it can hold', () => {
    const budget = new RetryBudget({ ratio: 0.1, minPerSecond: 0, capacity: 1 });
    expect(budget.take(0)).toBe(true);
    budget.giveBack();
    expect(budget.remaining(0)).toBe(1);
    budget.giveBack();
    budget.success();
    expect(budget.remaining(0)).toBe(1);
    expect(budget.capacity).toBe(1);
  });

  it('grants nothing with no capacity, or less than one token of it', () => {
    expect(new RetryBudget({ ratio: 1, minPerSecond: 100, capacity: 0 }).take(1e6)).toBe(false);
    expect(new RetryBudget({ ratio: 1, minPerSecond: 100, capacity: 0.5 }).take(1e6)).toBe(false);
  });

  it('keeps attempts per call below 1.02 over 10,000 failing calls within a minute', () => {
    const budget = new RetryBudget({ ratio: 0.1, minPerSecond: 1, capacity: 100 });
    let retries = 0;
    for (let call = 0; call < 10_000; call++) {
      for (let retry = 0; retry < 2; retry++) if (budget.take(call * 6)) retries++;
    }
    expect(retries).toBeLessThanOrEqual(160);
    expect(1 + retries / 10_000).toBeLessThan(1.02);
  });
});
