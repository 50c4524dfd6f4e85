import { describe, expect, it } from 'vitest';
import { countWindow, type RollingWindow, tally, timeWindow } from '../../src/algorithms/rolling-window.ts';

const seen = (window: RollingWindow, now: number) => {
  const { calls, failures, slow } = tally(window, now);
  return [calls, failures, slow];
};

describe('timeWindow', () => {
  it('counts, and forgets each call at most one window after it came', () => {
    const window = timeWindow(1000);
    window.record(50, true, false);
    window.record(450, false, true);
    expect(seen(window, 950)).toEqual([2, 1, 1]);
    expect(seen(window, 1050)).toEqual([1, 0, 1]);
    expect(seen(window, 1449)).toEqual([1, 0, 1]);
    expect(seen(window, 1450)).toEqual([0, 0, 0]);
  });

  it('keeps a call for at least nine tenths of the window', () => {
    const window = timeWindow(1000);
    window.record(0, false, false);
    window.record(99.9, true, true);
    expect(seen(window, 999.9)).toEqual([2, 1, 1]);
    expect(seen(window, 1000)).toEqual([0, 0, 0]);
  });

  it('begins a new step with the call that comes when the last one ends', () => {
    const window = timeWindow(1000);
    window.record(0, true, true);
    window.record(100, true, true);
    expect(seen(window, 999.9)).toEqual([2, 2, 2]);
    expect(seen(window, 1000)).toEqual([1, 1, 1]);
  });

  it.each(['calls', 'failures', 'slow'] as const)('forgets what is stale whichever is asked first: %s', (what) => {
    const window = timeWindow(1000);
    window.record(0, true, true);
    window.record(100, true, true);
    expect([window[what](999.9), window[what](1000), window[what](1099.9), window[what](1100)]).toEqual([2, 1, 1, 0]);
  });

  it('expires every stale bucket after an idle hour, on read and on record (C-19)', () => {
    for (const look of [true, false]) {
      const window = timeWindow(5000);
      for (let at = 0; at < 5000; at += 100) window.record(at, true, false);
      expect(seen(window, 4999)).toEqual([50, 50, 0]);
      const hour = 3_600_000;
      if (look) expect(seen(window, hour)).toEqual([0, 0, 0]);
      window.record(hour, true, false);
      expect(seen(window, hour)).toEqual([1, 1, 0]);
    }
  });

  it('says 0 after a quiet window, without traffic', () => {
    const window = timeWindow(1000);
    expect(seen(window, 0)).toEqual([0, 0, 0]);
    window.record(0, true, true);
    expect(window.failures(2000)).toBe(0);
    expect(window.slow(2000)).toBe(0);
    expect(window.calls(2000)).toBe(0);
  });

  it('takes time that goes backwards for time that stands still', () => {
    const window = timeWindow(1000);
    window.record(10_000, true, false);
    window.record(2_000, true, false);
    expect(seen(window, 3_000)).toEqual([2, 2, 0]);
    expect(seen(window, 10_999)).toEqual([2, 2, 0]);
    expect(seen(window, 11_000)).toEqual([0, 0, 0]);
  });

  it('starts anywhere on the clock, also below zero and far out', () => {
    for (const origin of [-12_345.6, 0, 86_400_000 * 365]) {
      const window = timeWindow(1000);
      window.record(origin, true, false);
      expect(seen(window, origin + 850)).toEqual([1, 1, 0]);
      expect(seen(window, origin + 1000)).toEqual([0, 0, 0]);
    }
  });

  it('forgets all on clear and goes on', () => {
    const window = timeWindow(1000);
    window.clear();
    window.record(0, true, true);
    window.clear();
    expect(seen(window, 0)).toEqual([0, 0, 0]);
    window.record(1, false, false);
    expect(seen(window, 1)).toEqual([1, 0, 0]);
    expect(seen(window, 5000)).toEqual([0, 0, 0]);
  });
});

describe('countWindow', () => {
  it('holds the last calls, whenever they were', () => {
    const window = countWindow(3);
    window.record(0, true, true);
    window.record(1e9, false, true);
    expect(seen(window, 2e9)).toEqual([2, 1, 2]);
    window.record(0, true, false);
    expect(seen(window, 0)).toEqual([3, 2, 2]);
    window.record(0, false, false);
    expect(seen(window, 0)).toEqual([3, 1, 1]);
  });

  it('forgets all on clear, and old outcomes do not come back', () => {
    const window = countWindow(2);
    window.record(0, true, true);
    window.record(0, true, true);
    window.clear();
    expect(seen(window, 0)).toEqual([0, 0, 0]);
    for (let call = 0; call < 5; call++) window.record(0, false, false);
    expect(seen(window, 0)).toEqual([2, 0, 0]);
  });
});

it('costs the same after an hour of buckets has gone stale as after one', () => {
  const window = timeWindow(1e-3, 10);
  const begun = performance.now();
  for (let at = 0; at < 1e3; at += 1) window.record(at * 1e9, true, false);
  // A walk over each bucket that has passed would be 10^13 steps for every record.
  expect(performance.now() - begun).toBeLessThan(2000);
});
