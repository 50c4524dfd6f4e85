import { IterableBackoff } from 'cockatiel';
import { describe, expect, it } from 'vitest';
import { delays } from '../../src/algorithms/backoff.ts';
import { RetryBudget } from '../../src/algorithms/retry-budget.ts';
import { type RetryQuestion, RetryTally, retryAfterOf, Trial, wish } from '../../src/algorithms/retry-decision.ts';

const none = Number.NEGATIVE_INFINITY;
const decide = (question: Partial<RetryQuestion>, trial = new Trial<unknown>()) =>
  trial.decide({
    backoff: 100,
    wishMs: none,
    maxWishMs: 30_000,
    now: 1_000,
    due: Number.POSITIVE_INFINITY,
    budget: undefined,
    ...question,
  });
const budget = (capacity: number) => new RetryBudget({ ratio: 0, minPerSecond: 0, capacity });

describe('a trial decides', () => {
  it.each<[string, Partial<RetryQuestion>, unknown]>([
    ['to wait as long as the backoff says', {}, 100],
    ['not to wait at all', { backoff: 0 }, 0],
    ['that it is over when the backoff stops', { backoff: 'stop' }, 'exhausted'],
    ['to wait at least as long as the other side wishes', { wishMs: 500 }, 500],
    ['to wait for the backoff when that is longer', { wishMs: 50 }, 100],
    ['to grant the longest wish', { wishMs: 30_000 }, 30_000],
    ['that a longer wish is none of ours', { wishMs: 30_001 }, 'not_retryable'],
    ['that a pause up to the deadline does not fit', { due: 1_100 }, 'deadline'],
    ['that one shorter fits', { due: 1_101 }, 100],
    ['that a wish beyond the deadline does not fit', { wishMs: 500, due: 1_400 }, 'deadline'],
    ['that there is no token', { budget: budget(0) }, 'budget_exhausted'],
    ['to give the reason before the budget', { budget: budget(0), due: 1_100 }, 'deadline'],
  ])('%s', (_, question, answer) => expect(decide(question)).toBe(answer));

  it('a no takes no token and counts no retry', () => {
    const tokens = budget(3);
    const trial = new Trial<unknown>();
    decide({ budget: tokens, due: 0 }, trial);
    decide({ budget: tokens, wishMs: 1e9 }, trial);
    expect([tokens.remaining(0), trial.retries]).toEqual([3, 0]);
  });

  it('a yes takes one, which comes back only until the retry begins', () => {
    const tokens = budget(3);
    const trial = new Trial<unknown>();
    decide({ budget: tokens }, trial);
    expect([tokens.remaining(0), trial.retries, trial.delayMs]).toEqual([2, 1, 100]);
    trial.callOff();
    trial.callOff();
    expect(tokens.remaining(0)).toBe(3);
    decide({ budget: tokens }, trial);
    trial.begin();
    trial.callOff();
    expect(tokens.remaining(0)).toBe(2);
  });

  it('walks its backoff a step per failure', () => {
    const trial = new Trial<number>();
    const walk = delays((info: number) => info * 10);
    expect([trial.delay(walk, 1), trial.delay(walk, 2)]).toEqual([10, 20]);
    expect(new Trial<unknown>().delay(delays(5), undefined)).toBe(5);
  });

  it('goes on in its backoff where the last step has ended', () => {
    const trial = new Trial<unknown>();
    const walk = delays(new IterableBackoff([10, 20]));
    expect([1, 2, 3].map(() => trial.delay(walk, undefined))).toEqual([10, 20, 20]);
  });
});

it.each([
  [0, 0],
  [1.5, 1.5],
  [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
  [-1, none],
  [Number.NaN, none],
  ['5', none],
  [undefined, none],
  [null, none],
])('wish(%s) is %s', (ms, expected) => expect(wish(ms)).toBe(expected));

it.each<[string, unknown, unknown]>([
  ['its own word', { retryAfterMs: 7 }, 7],
  ['whatever that is', { retryAfterMs: 'soon' }, 'soon'],
  ['nothing, where it has none', new Error('x'), undefined],
  ['nothing, where it is no object', 5, undefined],
  ['nothing, where it is null', null, undefined],
  ['nothing, where it is undefined', undefined, undefined],
  [
    'nothing, where reading it throws',
    {
      get retryAfterMs() {
        throw new Error('x');
      },
    },
    undefined,
  ],
])('an error says when to come back by %s', (_, error, expected) => expect(retryAfterOf(error)).toBe(expected));

it('a tally starts at nothing and is nobody else’s', () => {
  const tally = new RetryTally();
  tally.executions.success++;
  expect(new RetryTally().executions.success).toBe(0);
  expect(Object.values(new RetryTally().executions)).toEqual([0, 0, 0, 0, 0, 0, 0]);
});
