import { RetryBudget, type RetryBudgetRules } from '../algorithms/retry-budget.ts';
import { systemClock } from '../ports/clock.ts';
import { oneClock } from './one-clock.ts';
import { check, fields, number, type Rule } from './options.ts';

/** A retry budget for several retry policies. */
export interface SharedRetryBudget {
  /** Tokens there are now; a retry needs a whole one. */
  readonly remaining: number;
}

const rules = {
  ratio: /* @__PURE__ */ number(0, 1),
  minPerSecond: /* @__PURE__ */ number(0),
  capacity: /* @__PURE__ */ number(0),
};

/** A bucket of tokens with the clock it lives by. */
export class Budget implements SharedRetryBudget {
  readonly tokens: RetryBudget;
  readonly home = oneClock('a retry budget', systemClock);

  constructor({ ratio = 0.1, minPerSecond = 1, capacity = 100 }: Partial<RetryBudgetRules>) {
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
export function retryBudget(options: Partial<RetryBudgetRules> = {}): SharedRetryBudget {
  check('create retry budget', options, rules);
  return new Budget(options);
}

/** What the option `budget` may be. */
export const budgeting: Rule = (value) => (value === false || value instanceof Budget ? undefined : budget(value));

const budget = /* @__PURE__ */ fields(rules, '{ ratio, minPerSecond, capacity }, retryBudget(...) or false');

/** The budget an option asks for; `undefined` is none. */
export function budgetOf(given: Partial<RetryBudgetRules> | SharedRetryBudget | false): Budget | undefined {
  if (given === false) return undefined;
  return given instanceof Budget ? given : new Budget(given as Partial<RetryBudgetRules>);
}
