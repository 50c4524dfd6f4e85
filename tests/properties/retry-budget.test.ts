import fc from 'fast-check';
import { expect, it } from 'vitest';
import { RetryBudget } from '../../src/algorithms/retry-budget.ts';
import { commands, explore, holds, operations, patience, same } from './explore.ts';

const command = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('take' as const), wait: fc.integer({ min: -500, max: 1000 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('take' as const), wait: fc.constant(0) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('success' as const), wait: fc.nat(20) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('giveBack' as const), wait: fc.nat(20) }) },
);
/** In quarters, eighths and whole milliseconds, so that the model's sums are exact. */
const rules = fc.record({
  ratio: fc.constantFrom(0, 0.125, 0.25, 0.5, 1, 2),
  minPerSecond: fc.constantFrom(0, 1, 5, 125),
  capacity: fc.constantFrom(0, 0.5, 1, 2, 3, 20, 100),
});

it(
  'stays within its bounds, and over any N calls grants no more than ratio x successes + minPerSecond x seconds + capacity',
  async () => {
    let refused = 0;
    let granted = 0;
    await explore('retry budget', fc.tuple(rules, commands(command, 300)), ([rules, run], did) => {
      const { ratio, minPerSecond, capacity } = rules;
      const budget = new RetryBudget(rules);
      let now = 0;
      /** Time begins with the first reading, and does not go back. */
      let latest: number | undefined;
      let tokens: number = capacity;
      let out = 0;
      // How far the retries are ahead of what was deposited, and the least that was: what lies between is any N calls.
      let ahead = 0;
      let least = 0;
      const deposit = (much: number) => (tokens = Math.min(capacity, tokens + much));
      const flow = () => {
        const seconds = Math.max(0, now - (latest ?? now)) / 1000;
        latest = Math.max(latest ?? now, now);
        deposit(seconds * minPerSecond);
        ahead -= seconds * minPerSecond;
        least = Math.min(least, ahead);
      };
      for (const { do: what, wait } of run) {
        // Only what was taken can be returned.
        if (what === 'giveBack' && out === 0) continue;
        did();
        now += wait;
        flow();
        same('tokens', near(budget.remaining(now), tokens), true);
        if (what === 'success') {
          budget.success();
          deposit(ratio);
          ahead -= ratio;
        } else if (what === 'giveBack') {
          budget.giveBack();
          deposit(1);
          out--;
          ahead--;
        } else {
          const taken = budget.take(now);
          same('taken', taken, tokens > 1 - 1e-9);
          if (taken) {
            tokens = Math.max(0, tokens - 1);
            out++;
            ahead++;
            granted++;
          } else refused++;
        }
        least = Math.min(least, ahead);
        const left = budget.remaining(now);
        holds('tokens are within bounds', left >= 0 && left <= capacity);
        same('tokens', near(left, tokens), true);
        holds('no span of calls has more retries than its deposits and the capacity', ahead - least <= capacity + 1e-6);
      }
    });
    expect(refused).toBeGreaterThan(operations / 20);
    expect(granted).toBeGreaterThan(operations / 20);
  },
  patience,
);

const near = (a: number, b: number) => Math.abs(a - b) < 1e-6;
