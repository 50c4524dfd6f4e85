import { RetryBudget, type RetryBudgetRules } from '../algorithms/retry-budget.ts';
import { systemClock } from '../ports/clock.ts';
import { oneClock } from './one-clock.ts';
import { check, isPlain, number, type Rule, shape } from './options.ts';

/** A retry budget for several retry policies. */
export interface SharedRetryBudget {
  /** Tokens there are now; a retry needs a whole one. */
  readonly remaining: number;
}

/** A bucket of tokens with the clock it lives by. */
export class Budget implements SharedRetryBudget {
  readonly tokens: RetryBudget;
  readonly home = oneClock('a retry budget', systemClock);

  constructor(rules: Partial<RetryBudgetRules>) {
    check('retry budget', rules, { ratio: number(0, 1), minPerSecond: number(0), capacity: number(0) });
    const { ratio = 0.1, minPerSecond = 1, capacity = 100 } = rules;
    this.tokens = new RetryBudget({ ratio, minPerSecond, capacity });
  }

  get remaining(): number {
    return this.tokens.remaining(this.home.clock.now());
  }
}

/**
 * A budget to give to several retry policies: a token per retry, `ratio` back per success and `minPerSecond` by the
 * clock, so that an outage adds at most that share of load. Throws a `RangeError` or `TypeError` for bad options.
 */
export function retryBudget(rules: Partial<RetryBudgetRules> = {}): SharedRetryBudget {
  return new Budget(rules);
}

/** What the option `budget` may be. */
export const budgeting: Rule = /* @__PURE__ */ shape(
  '{ ratio, minPerSecond, capacity }, retryBudget(...) or false',
  (value) => value === false || value instanceof Budget || isPlain(value),
);

/** The budget an option asks for; `undefined` is none. */
export function budgetOf(given: Partial<RetryBudgetRules> | SharedRetryBudget | false): Budget | undefined {
  if (given === false) return undefined;
  return given instanceof Budget ? given : new Budget(given as Partial<RetryBudgetRules>);
}
