import fc from 'fast-check';
import { expect, it } from 'vitest';
import { RetryBudget } from '../../src/algorithms/retry-budget.ts';

const command = fc.oneof(
  fc.record({ do: fc.constant('take' as const), wait: fc.integer({ min: -2000, max: 3000 }) }),
  fc.record({ do: fc.constantFrom('success' as const, 'giveBack' as const), wait: fc.constant(0) }),
);

it('never holds less than 0 or more than its capacity, and never grants more than was deposited', () => {
  fc.assert(
    fc.property(
      fc.record({ ratio: fc.double({ min: 0, max: 2, noNaN: true }), minPerSecond: fc.nat(5), capacity: fc.nat(20) }),
      fc.array(command, { maxLength: 300, size: 'max' }),
      (rules, commands) => {
        const budget = new RetryBudget(rules);
        let now = 0;
        // Time begins with the first reading.
        let latest: number | undefined;
        let deposits = rules.capacity;
        let granted = 0;
        for (const { do: what, wait } of commands) {
          now += wait;
          if (what === 'success') {
            budget.success();
            deposits += rules.ratio;
          } else if (what === 'giveBack') {
            // Only what was taken can be returned.
            if (granted === 0) continue;
            budget.giveBack();
            granted--;
          } else {
            deposits += (Math.max(0, now - (latest ?? now)) / 1000) * rules.minPerSecond;
            latest = Math.max(latest ?? now, now);
            const before = budget.remaining(now);
            const taken = budget.take(now);
            if (Math.abs(before - 1) > 1e-6) expect(taken).toBe(before > 1);
            if (taken) granted++;
          }
          expect(budget.remaining(now)).toBeGreaterThanOrEqual(0);
          expect(budget.remaining(now)).toBeLessThanOrEqual(rules.capacity);
          expect(granted).toBeLessThanOrEqual(deposits + 1e-6);
        }
      },
    ),
    { seed: 20_261_121, numRuns: 500 },
  );
});
