import { expect } from 'vitest';
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
