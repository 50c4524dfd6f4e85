import { expect } from 'vitest';
import { type BookOptions, CircuitBook } from '../../src/algorithms/circuit-book.ts';
import { Circuit, type CircuitRules, consecutiveTrip } from '../../src/algorithms/circuit.ts';

/** Rules that trip at the first failure. */
const rules = (over: Partial<CircuitRules> = {}): CircuitRules => ({
  trip: consecutiveTrip(1),
  breakMs: () => 1000,
  halfOpenCalls: 3,
  halfOpenMs: 500,
  reopenRatio: 0.5,
  slowFails: false,
  ...over,
});
/** A fresh circuit. */
export const circuit = (over: Partial<CircuitRules> = {}) => new Circuit(rules(over));

/** Opens a fresh circuit at 0, so that its break is over at 1000. */
export const opened = (over: Partial<CircuitRules> = {}) => {
  const c = circuit(over);
  c.settle(c.admit(0), 'failure', false, 0);
  expect(c.state(0)).toBe('open');
  c.takeTransitions();
  return c;
};
/** Its changes of state since the last time, one line each. */
export const steps = (c: Circuit) =>
  c.takeTransitions().map(({ from, to, at, why }) => `${at}: ${from} > ${to} (${why})`);

/** A book whose clock is set by hand. */
export function book(
  options: BookOptions = { consecutiveFailures: 1, breakMs: 1_000, halfOpenCalls: 1 },
  keys = { max: 10, idleMs: 1e6 },
) {
  const time = { now: 0 };
  const it = new CircuitBook(options, keys, () => time.now);
  const call = (
    key: string | undefined,
    result: 'success' | 'failure' | 'ignored',
    error?: unknown,
    errorType?: string,
  ) => {
    const record = key === undefined ? it.main : it.record(key, time.now);
    const admission = it.admit(record);
    if (admission === undefined) it.refuse(record);
    else it.settle(admission, result, time.now, { error, errorType });
    return admission !== undefined;
  };
  return { it, time, call };
}
