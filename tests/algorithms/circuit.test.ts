import { describe, expect, it, vi } from 'vitest';
import { consecutiveTrip, ratioTrip } from '../../src/algorithms/circuit.ts';
import { countWindow, timeWindow } from '../../src/algorithms/rolling-window.ts';
import { circuit, opened, steps } from './circuit-fixture.ts';

describe('closed', () => {
  it('opens when the share of failures is reached, and says what it was', () => {
    const c = circuit({ trip: ratioTrip({ failureRatio: 0.5, minimumCalls: 4, window: timeWindow(1000) }) });
    for (const result of ['success', 'success', 'failure'] as const) c.settle(c.admit(1), result, false, 1);
    expect(c.state(1)).toBe('closed');
    expect(c.failureRatio(1)).toBeUndefined();
    c.settle(c.admit(2), 'failure', false, 2);
    expect(c.state(2)).toBe('open');
    expect(c.takeTransitions()).toEqual([{ from: 'closed', to: 'open', at: 2, failureRatio: 0.5, why: 'tripped' }]);
    expect(c.takeTransitions()).toEqual([]);
    expect(c.failureRatio(2)).toBeUndefined();
  });

  it('admits without changing anything', () => {
    const c = circuit();
    expect(new Set(Array.from({ length: 100 }, (_, at) => c.admit(at))).size).toBe(1);
    expect(c.retryAfterMs(5)).toBe(0);
    expect(c.idle).toBe(true);
    expect(c.transitions).toEqual([]);
  });

  it('counts nothing for an ignored call (C-17)', () => {
    const c = circuit({
      trip: ratioTrip({ failureRatio: 0.1, minimumCalls: 1, window: timeWindow(1000), slowRatio: 0.1 }),
    });
    for (let n = 0; n < 50; n++) expect(c.settle(c.admit(0), 'ignored', false, 0)).toBe(true);
    expect(c.failureRatio(0)).toBeUndefined();
    c.settle(c.admit(0), 'success', false, 0);
    expect(c.failureRatio(0)).toBe(0);
  });

  it('counts an ignored call as slow when it had been running for too long', () => {
    const trip = ratioTrip({ failureRatio: 1, minimumCalls: 3, window: timeWindow(1000), slowRatio: 1 });
    const c = circuit({ trip, slowFails: true });
    for (let n = 0; n < 3; n++) c.settle(c.admit(0), 'ignored', true, 0);
    expect(c.state(0)).toBe('open');
  });

  it('counts completed calls only, so that calls slower than the window open it too (O-8)', () => {
    const c = circuit({ trip: ratioTrip({ failureRatio: 0.5, minimumCalls: 10, window: timeWindow(1000) }) });
    const permits = Array.from({ length: 40 }, () => c.admit(0));
    for (const permit of permits) c.settle(permit, 'failure', false, 20_000);
    expect(c.state(20_000)).toBe('open');
  });

  it.each([0, -1, 1.5, 99])('knows no permit %s of another circuit', (off) => {
    const c = circuit();
    const permit = c.admit(0) + off;
    expect(c.settle(permit, 'failure', false, 0)).toBe(off === 0);
    expect(c.state(0)).toBe(off === 0 ? 'open' : 'closed');
  });
});

describe('open', () => {
  it('turns away until the break is over, and says how long that takes', () => {
    const c = opened();
    expect(c.admit(0)).toBe(-1);
    expect(c.retryAfterMs(0)).toBe(1000);
    expect(c.admit(999)).toBe(-1);
    expect(c.retryAfterMs(999)).toBe(1);
    expect(c.state(999)).toBe('open');
    expect(c.state(1000)).toBe('half_open');
    expect(c.retryAfterMs(1000)).toBe(0);
    expect(c.idle).toBe(false);
  });

  it('reports the effective state without traffic, and the change dated when it was due (C-23)', () => {
    const c = opened();
    expect(c.state(5000)).toBe('half_open');
    expect(c.transitions).toEqual([]);
    c.advance(5000);
    expect(steps(c)).toEqual(['1000: open > half_open (break_over)']);
  });

  it('grows its break with the openings in a row, and starts again once closed', () => {
    const breakMs = vi.fn((openings: number) => openings * 100);
    const c = circuit({ breakMs, halfOpenCalls: 1 });
    c.settle(c.admit(0), 'failure', false, 0);
    c.settle(c.admit(100), 'failure', false, 100);
    expect(c.retryAfterMs(100)).toBe(200);
    c.settle(c.admit(300), 'failure', false, 300);
    expect(c.retryAfterMs(300)).toBe(300);
    c.settle(c.admit(600), 'success', false, 600);
    c.settle(c.admit(600), 'failure', false, 600);
    expect(c.retryAfterMs(600)).toBe(100);
    expect(breakMs.mock.calls.flat()).toEqual([1, 2, 3, 1]);
  });

  it('stays open for good with an endless break', () => {
    const c = opened({ breakMs: () => Infinity });
    expect(c.admit(1e12)).toBe(-1);
    expect(c.retryAfterMs(1e12)).toBe(Infinity);
  });

  it('takes a clock that goes backwards for one that stands still', () => {
    const c = circuit();
    c.settle(c.admit(5000), 'failure', false, 5000);
    expect(c.admit(0)).toBe(-1);
    expect(c.state(0)).toBe('open');
    c.reset(100);
    expect(c.takeTransitions().map(({ at }) => at)).toEqual([5000, 5000]);
  });
});

describe('late results', () => {
  const late = ['success', 'failure', 'ignored'] as const;

  it.each(late)('a %s from before the outage moves nothing in any later state (C-12, O-6)', (result) => {
    const c = circuit({ halfOpenCalls: 2, reopenRatio: 0 });
    const old = c.admit(0);
    c.settle(c.admit(0), 'failure', false, 0);
    expect(c.settle(old, result, true, 10)).toBe(false);
    const probe = c.admit(1000);
    expect(c.settle(old, result, true, 1001)).toBe(false);
    c.settle(probe, 'success', false, 1002);
    expect(c.state(1002)).toBe('half_open');
    c.settle(c.admit(1003), 'success', false, 1003);
    expect(c.settle(old, result, true, 1004)).toBe(false);
    expect(c.settle(probe, result, true, 1004)).toBe(false);
    expect(c.state(1004)).toBe('closed');
  });

  it('a probe of an earlier half-open period moves nothing in the next', () => {
    const c = opened({ halfOpenCalls: 2, reopenRatio: 0 });
    const [a, b] = [c.admit(1000), c.admit(1000)];
    c.settle(a, 'failure', false, 1001);
    c.admit(2001);
    expect(c.settle(b, 'failure', false, 2002)).toBe(false);
    expect(c.state(2002)).toBe('half_open');
  });

  it('comes after reset for all that was in flight', () => {
    const c = circuit();
    const before = c.admit(0);
    c.reset(1);
    expect(c.takeTransitions()).toEqual([]);
    expect(c.settle(before, 'failure', false, 2)).toBe(false);
    expect(c.state(2)).toBe('closed');
  });
});

describe('reset', () => {
  it('tells first what was due before it', () => {
    const c = opened();
    c.reset(2000);
    expect(steps(c)).toEqual(['1000: open > half_open (break_over)', '2000: half_open > closed (reset)']);
  });

  it('ends the break: there is nothing to wait for', () => {
    const c = opened();
    c.reset(10);
    expect([c.retryAfterMs(10), c.retryAfterMs(-1e9)]).toEqual([0, 0]);
  });

  it('leaves a change of state to be taken before the circuit may be forgotten', () => {
    const c = opened();
    c.reset(10);
    expect(c.idle).toBe(false);
    c.takeTransitions();
    expect(c.idle).toBe(true);
  });

  it.each([500, 1000])('closes at %i with a fresh window and the first break again', (now) => {
    const breakMs = vi.fn(() => 1000);
    const c = opened({ breakMs, trip: ratioTrip({ failureRatio: 0.5, minimumCalls: 1, window: countWindow(10) }) });
    c.advance(now);
    c.takeTransitions();
    c.reset(now);
    expect(c.state(now)).toBe('closed');
    expect(c.failureRatio(now)).toBeUndefined();
    expect(c.takeTransitions()).toMatchObject([{ to: 'closed', at: now, why: 'reset', failureRatio: undefined }]);
    c.settle(c.admit(now), 'failure', false, now);
    expect(breakMs).toHaveBeenLastCalledWith(1);
  });
});

describe('user code that throws leaves a legal state', () => {
  it('a break that throws: the circuit can still be asked, and opens at the next failure', () => {
    const breakMs = vi
      .fn(() => 1000)
      .mockImplementationOnce(() => {
        throw new Error('boom');
      });
    const c = circuit({ breakMs });
    expect(() => c.settle(c.admit(0), 'failure', false, 0)).toThrow('boom');
    expect(c.state(0)).toBe('closed');
    c.settle(c.admit(0), 'failure', false, 0);
    expect(c.state(0)).toBe('open');
  });

  it('a break that throws for a probe: the probe can be settled again', () => {
    const c = opened({
      halfOpenCalls: 1,
      breakMs: vi
        .fn(() => 1000)
        .mockReturnValueOnce(1000)
        .mockImplementationOnce(() => {
          throw new Error('boom');
        }),
    });
    const probe = c.admit(1000);
    expect(() => c.settle(probe, 'failure', false, 1000)).toThrow('boom');
    expect(c.admit(1000)).toBe(-1);
    expect(c.settle(probe, 'failure', false, 1000)).toBe(true);
    expect(c.state(1000)).toBe('open');
  });

  it('a break that throws at the end of a lease: the probe has failed as soon as there is one', () => {
    let throws = true;
    const c = opened({
      halfOpenCalls: 1,
      breakMs(openings) {
        if (openings > 1 && throws) throw new Error('no idea');
        return 1000;
      },
    });
    c.admit(1000);
    expect(() => c.advance(1500)).toThrow('no idea');
    throws = false;
    c.advance(1600);
    expect([c.state(1600), c.retryAfterMs(1600)]).toEqual(['open', 900]);
  });

  it('a trip that throws while it is reset: the circuit closes all the same', () => {
    const trip = consecutiveTrip(1);
    const c = opened({ halfOpenCalls: 1, trip });
    trip.reset = () => {
      throw new Error('boom');
    };
    expect(() => c.settle(c.admit(1000), 'success', false, 1000)).toThrow('boom');
    expect(c.state(1000)).toBe('closed');
  });
});

describe('a trip', () => {
  it('hears that the circuit opens again by its probes or a lease, and not that it has tripped', () => {
    let relapsed = 0;
    const trip = Object.assign(consecutiveTrip(1), { relapsed: () => void relapsed++ });
    const c = opened({ trip, halfOpenCalls: 1 });
    expect(relapsed).toBe(0);
    c.settle(c.admit(1000), 'failure', false, 1000);
    expect(relapsed).toBe(1);
    c.admit(2000);
    c.advance(2500);
    expect(relapsed).toBe(2);
  });
});
