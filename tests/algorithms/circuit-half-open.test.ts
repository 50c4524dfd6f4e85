import { describe, expect, it } from 'vitest';
import { ratioTrip } from '../../src/algorithms/circuit.ts';
import { timeWindow } from '../../src/algorithms/rolling-window.ts';
import { opened, steps } from './circuit-fixture.ts';

describe('half-open', () => {
  it('admits so many probes and turns the rest away at once (C-8, C-9)', () => {
    const c = opened();
    const answers = Array.from({ length: 1000 }, () => c.admit(1000));
    expect(answers.filter((permit) => permit >= 0)).toHaveLength(3);
    expect(new Set(answers.slice(0, 3)).size).toBe(3);
    expect(c.retryAfterMs(1200)).toBe(300);
  });

  it.each([
    [1, 0.5, ['s'], 'closed'],
    [1, 0.5, ['f'], 'open'],
    [3, 0.5, ['s'], 'half_open'],
    [3, 0.5, ['s', 's'], 'closed'],
    [3, 0.5, ['s', 'f', 's'], 'closed'],
    [3, 0.5, ['f', 's', 'f'], 'open'],
    [3, 0.5, ['f', 'f'], 'open'],
    [3, 0, ['s', 's', 'f'], 'open'],
    [3, 0, ['s', 's'], 'half_open'],
    [3, 0, ['s', 's', 's'], 'closed'],
    [3, 0, ['f'], 'open'],
    [4, 1, ['s'], 'closed'],
    [4, 1, ['f', 'f', 'f'], 'half_open'],
    [4, 1, ['f', 'f', 'f', 'f'], 'open'],
    [30, 0.1, ['f', 'f'], 'half_open'],
    [30, 0.1, ['f', 'f', 'f'], 'open'],
    // 0.07 * 100 is a hair more than 7 in floating point.
    [100, 0.07, Array.from('ffffff'), 'half_open'],
    [100, 0.07, Array.from('fffffff'), 'open'],
    [10, 0.7, ['s', 's', 's'], 'half_open'],
    [10, 0.7, ['s', 's', 's', 's'], 'closed'],
  ] as const)('%i probes, share %f: %j leave it %s', (halfOpenCalls, reopenRatio, results, state) => {
    const c = opened({ halfOpenCalls, reopenRatio });
    for (const result of results) c.settle(c.admit(1000), result === 's' ? 'success' : 'failure', false, 1000);
    expect(c.state(1000)).toBe(state);
  });

  it('says why it moved and by what share', () => {
    const c = opened({ halfOpenMs: 5000 });
    const [a, b, d] = [c.admit(1000), c.admit(1000), c.admit(1000)];
    c.settle(a, 'success', false, 1001);
    c.settle(b, 'failure', false, 1002);
    c.settle(d, 'failure', false, 1003);
    expect(c.takeTransitions()[1]).toEqual({
      from: 'half_open',
      to: 'open',
      at: 1003,
      failureRatio: 2 / 3,
      why: 'probes_failed',
    });
  });

  it('decides without waiting for a hung probe (C-10)', () => {
    const c = opened();
    const [a, b] = [c.admit(1000), c.admit(1000), c.admit(1000)] as [number, number, number];
    c.settle(a, 'success', false, 1001);
    c.settle(b, 'success', false, 1002);
    expect(c.state(1002)).toBe('closed');
  });

  it('gives the place of an ignored probe to another, and decides nothing (C-17)', () => {
    const c = opened({ halfOpenCalls: 1 });
    for (let n = 0; n < 20; n++) {
      const probe = c.admit(1000 + n);
      expect(c.admit(1000 + n)).toBe(-1);
      expect(c.settle(probe, 'ignored', false, 1000 + n)).toBe(true);
      expect(c.state(1000 + n)).toBe('half_open');
    }
    c.settle(c.admit(1100), 'success', false, 1100);
    expect(c.state(1100)).toBe('closed');
  });

  it('takes a slow probe for a failed one only where slowness can open', () => {
    for (const slowFails of [true, false]) {
      for (const result of ['success', 'ignored'] as const) {
        const c = opened({ halfOpenCalls: 1, slowFails });
        c.settle(c.admit(1000), result, true, 1400);
        expect(c.state(1400)).toBe(slowFails ? 'open' : result === 'success' ? 'closed' : 'half_open');
      }
    }
  });

  it('settles a probe once', () => {
    const c = opened({ reopenRatio: 1 });
    const probe = c.admit(1000);
    expect(c.settle(probe, 'failure', false, 1000)).toBe(true);
    expect(c.settle(probe, 'failure', false, 1000)).toBe(false);
    expect(c.settle(probe, 'ignored', false, 1000)).toBe(false);
    expect([c.admit(1000), c.admit(1000)].every((permit) => permit > probe)).toBe(true);
    expect(c.admit(1000)).toBe(-1);
  });

  it('is not disturbed by a hundred calls that are turned away meanwhile', () => {
    const c = opened({ halfOpenCalls: 1 });
    const probe = c.admit(1000);
    for (let n = 0; n < 100; n++) {
      const refused = c.admit(1001);
      expect(refused).toBe(-1);
      expect(c.settle(refused, 'failure', false, 1001)).toBe(false);
    }
    c.settle(probe, 'success', false, 1002);
    expect(steps(c)).toEqual(['1000: open > half_open (break_over)', '1002: half_open > closed (probes_passed)']);
  });

  it('starts a fresh window when it closes (O-7)', () => {
    const window = timeWindow(1e6);
    const c = opened({ trip: ratioTrip({ failureRatio: 0.5, minimumCalls: 1, window }), halfOpenCalls: 1 });
    c.settle(c.admit(1000), 'success', false, 1000);
    expect(window.calls(1000)).toBe(0);
    for (const result of ['success', 'success', 'failure'] as const) c.settle(c.admit(1001), result, false, 1001);
    expect(c.state(1001)).toBe('closed');
  });
});

describe('leases', () => {
  it('takes a probe that never reports for a failure dated at its expiry, whoever looks later', () => {
    const c = opened({ halfOpenCalls: 1 });
    c.admit(1200);
    expect(c.state(1699)).toBe('half_open');
    expect(c.state(1700)).toBe('open');
    expect(c.retryAfterMs(1800)).toBe(900);
    expect(c.state(2700)).toBe('half_open');
    expect(c.retryAfterMs(2700)).toBe(0);
    expect(c.transitions).toHaveLength(1);
    c.advance(9000);
    expect(steps(c)).toEqual([
      '1000: open > half_open (break_over)',
      '1700: half_open > open (lease_expired)',
      '2700: open > half_open (break_over)',
    ]);
    expect(c.admit(9000)).toBeGreaterThanOrEqual(0);
  });

  it('counts the expiry as one failure among the probes', () => {
    const c = opened();
    c.admit(1000);
    const second = c.admit(1100);
    expect(c.state(1550)).toBe('half_open');
    c.settle(second, 'success', false, 1550);
    const third = c.admit(1551);
    expect(third).toBeGreaterThanOrEqual(0);
    expect(c.admit(1551)).toBe(-1);
    c.settle(third, 'failure', false, 1552);
    expect(c.state(1552)).toBe('open');
  });

  it('hears of an expired probe no more: its result comes late', () => {
    const c = opened();
    const probe = c.admit(1000);
    expect(c.settle(probe, 'success', false, 1500)).toBe(false);
    expect(c.state(1500)).toBe('half_open');
  });

  it('gives a full lease on a clock that goes backwards', () => {
    const c = opened();
    const [first, second] = [c.admit(1400), c.admit(1000)];
    c.settle(first, 'ignored', false, 1450);
    expect(c.settle(second, 'success', false, 1600)).toBe(true);
  });

  it('draws a break by chance once, so that everybody sees the same', () => {
    let drawn = 1000;
    const c = opened({ halfOpenCalls: 1, breakMs: () => (drawn += 7) });
    c.admit(1007);
    const told = c.retryAfterMs(1507);
    expect(c.retryAfterMs(1507)).toBe(told);
    expect(c.toJSON(1507).remainingMs).toBe(told);
    c.advance(1507);
    expect(c.retryAfterMs(1507)).toBe(told);
  });
});
