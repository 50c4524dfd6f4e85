import { describe, expect, it } from 'vitest';
import { Circuit, type CircuitRules, consecutiveTrip } from '../../src/algorithms/circuit.ts';

const rules = (over: Partial<CircuitRules> = {}): CircuitRules => ({
  trip: consecutiveTrip(1),
  breakMs: (openings) => 1000 * openings,
  halfOpenCalls: 1,
  halfOpenMs: 500,
  reopenRatio: 0,
  slowFails: false,
  ...over,
});
const opened = (over: Partial<CircuitRules> = {}) => {
  const c = new Circuit(rules(over));
  c.settle(c.admit(0), 'failure', false, 0);
  return c;
};
/** As it would come back from a file. */
const json = (c: Circuit, now: number) => JSON.parse(JSON.stringify(c.toJSON(now))) as unknown;

describe('toJSON and restore', () => {
  it('carries a closed circuit', () => {
    const snapshot = json(new Circuit(rules()), 5);
    expect(snapshot).toEqual({ version: 1, state: 'closed', openForMs: 0, remainingMs: 0, openings: 0 });
    const c = Circuit.restore(rules(), snapshot, 77);
    expect(c.state(77)).toBe('closed');
    c.settle(c.admit(77), 'failure', false, 77);
    expect(c.state(77)).toBe('open');
  });

  it('begins a closed circuit anew, whatever else its snapshot says', () => {
    const snapshot = { version: 1, state: 'closed', openForMs: 5, remainingMs: 1e9, openings: 7 };
    const c = Circuit.restore(rules(), snapshot, 50);
    expect(c.retryAfterMs(50)).toBe(0);
    c.settle(c.admit(50), 'failure', false, 50);
    expect(c.retryAfterMs(50)).toBe(1000);
  });

  it('writes a break without end as null', () => {
    const c = opened({ breakMs: () => Infinity });
    expect(c.toJSON(300)).toEqual({ version: 1, state: 'open', openForMs: 300, remainingMs: null, openings: 1 });
    expect(Circuit.restore(rules(), json(c, 300), 0).retryAfterMs(1e9)).toBe(Infinity);
  });

  it('counts the opening of a lease that ends just now', () => {
    const c = opened();
    c.admit(1000);
    expect([json(c, 1499.9), json(c, 1500)]).toMatchObject([
      { state: 'half_open', openings: 1 },
      { state: 'open', openings: 2 },
    ]);
  });

  it('carries the rest of a break to a clock with another origin', () => {
    const snapshot = json(opened(), 300);
    expect(snapshot).toEqual({ version: 1, state: 'open', openForMs: 300, remainingMs: 700, openings: 1 });
    const c = Circuit.restore(rules(), snapshot, 1_000_000);
    expect(c.retryAfterMs(1_000_000)).toBe(700);
    expect(c.admit(1_000_699)).toBe(-1);
    const probe = c.admit(1_000_700);
    expect(probe).toBeGreaterThanOrEqual(0);
    expect(c.transitions).toMatchObject([{ from: 'open', to: 'half_open', at: 1_000_700 }]);
    c.settle(probe, 'failure', false, 1_000_701);
    expect(c.retryAfterMs(1_000_701)).toBe(2000);
    expect(json(Circuit.restore(rules(), snapshot, 50), 60)).toMatchObject({ openForMs: 310, remainingMs: 690 });
  });

  it('carries a half-open circuit without a step more of backoff (C-22)', () => {
    const noticed = opened();
    noticed.advance(1000);
    for (const c of [opened(), noticed]) {
      const snapshot = json(c, 1500);
      expect(snapshot).toEqual({ version: 1, state: 'half_open', openForMs: 0, remainingMs: 0, openings: 1 });
      const restored = Circuit.restore(rules(), snapshot, 0);
      expect(restored.state(0)).toBe('half_open');
      expect(restored.retryAfterMs(0)).toBe(0);
      const probe = restored.admit(0);
      expect(restored.admit(0)).toBe(-1);
      restored.settle(probe, 'failure', false, 1);
      expect(restored.retryAfterMs(1)).toBe(2000);
    }
  });

  it('carries what an unnoticed lease has done', () => {
    const c = opened();
    c.admit(1000);
    expect(json(c, 1600)).toEqual({ version: 1, state: 'open', openForMs: 100, remainingMs: 1900, openings: 2 });
    expect(json(c, 3500)).toEqual({ version: 1, state: 'half_open', openForMs: 0, remainingMs: 0, openings: 2 });
    c.advance(1600);
    expect(json(c, 1600)).toEqual({ version: 1, state: 'open', openForMs: 100, remainingMs: 1900, openings: 2 });
  });

  it('carries a break without end', () => {
    const c = Circuit.restore(rules(), json(opened({ breakMs: () => Infinity }), 5), 9);
    expect(c.retryAfterMs(1e9)).toBe(Infinity);
  });

  it('takes no permit of before the restart', () => {
    const before = new Circuit(rules());
    const permit = before.admit(0);
    const c = Circuit.restore(
      rules(),
      { version: 1, state: 'half_open', openForMs: 0, remainingMs: 0, openings: 1 },
      0,
    );
    expect(c.settle(permit, 'success', false, 0)).toBe(false);
  });

  it('shares nothing with the object it was made from', () => {
    const snapshot = Object.freeze({ version: 1, state: 'open', openForMs: 0, remainingMs: 10, openings: 1 });
    const c = Circuit.restore(rules(), snapshot, 0);
    c.settle(c.admit(10), 'success', false, 10);
    expect(snapshot).toEqual({ version: 1, state: 'open', openForMs: 0, remainingMs: 10, openings: 1 });
    expect(c.toJSON(10)).not.toBe(c.toJSON(10));
  });

  const good = { version: 1, state: 'open', openForMs: 0, remainingMs: 10, openings: 1 };
  it.each([
    [undefined, /must be an object, received undefined/],
    [null, /received null/],
    ['{}', /received "\{\}"/],
    [{}, /"version" must be 1, received undefined/],
    [{ ...good, version: 2 }, /"version" must be 1, received 2/],
    [{ ...good, state: 'isolated' }, /"state" must be .* received "isolated"/],
    [{ ...good, openForMs: -1 }, /"openForMs" must be a finite number of milliseconds from 0 up, received -1/],
    [{ ...good, openForMs: Infinity }, /"openForMs" .* received Infinity/],
    [{ ...good, remainingMs: Infinity }, /"remainingMs" .* or null, received Infinity/],
    [{ ...good, remainingMs: Number.NaN }, /"remainingMs" .* received NaN/],
    [{ ...good, remainingMs: '10' }, /"remainingMs" .* received "10"/],
    [{ ...good, openings: 0 }, /"openings" must be a whole number from 1 up, received 0/],
    [{ ...good, openings: 1.5, openForMs: {} }, /"openForMs" .* received an object; "openings" .* received 1.5/],
    [{ ...good, state: 'closed', openings: -1 }, /"openings" must be a whole number from 0 up/],
    [{ ...good, openForMs: null }, /"openForMs"/],
  ])('refuses %j in one sentence', (snapshot, message) => {
    const restore = () => Circuit.restore(rules(), snapshot, 0);
    expect(restore).toThrow(TypeError);
    expect(restore).toThrow(message);
    expect(restore).toThrow(/^Cannot restore a circuit: /);
  });
});
