import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { countWindow, tally, timeWindow } from '../../src/algorithms/rolling-window.ts';

const seed = 20_261_121;
const step = fc.record({
  // Mostly small steps, some whole windows, some idle hours, some backwards.
  wait: fc.oneof(
    { weight: 6, arbitrary: fc.nat(150) },
    { weight: 2, arbitrary: fc.nat(2000) },
    fc.constant(3_600_000),
    fc.integer({ min: -500, max: 0 }),
  ),
  failed: fc.boolean(),
  slow: fc.boolean(),
  clear: fc.nat(30).map((n) => n === 0),
});

describe('a window agrees with a list of what happened', () => {
  it('timeWindow: nothing older than the window, everything younger than all but one bucket', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200, size: 'max' }), fc.constantFrom(1, 2, 5, 10), (steps, buckets) => {
        const windowMs = 1000;
        const window = timeWindow(windowMs, buckets);
        let events: { at: number; failed: boolean; slow: boolean }[] = [];
        let now = 0;
        let latest = -Infinity;
        for (const { wait, failed, slow, clear } of steps) {
          now += wait;
          latest = Math.max(latest, now);
          if (clear) {
            window.clear();
            events = [];
          }
          window.record(now, failed, slow);
          events.push({ at: latest, failed, slow });
          const seen = tally(window, now);
          const within = (ms: number) => events.filter(({ at }) => latest - at < ms);
          const [most, least] = [within(windowMs), within(windowMs - windowMs / buckets)];
          expect(seen.calls).toBeLessThanOrEqual(most.length);
          expect(seen.calls).toBeGreaterThanOrEqual(Math.max(1, least.length));
          // What is kept is the youngest, without a gap.
          const kept = events.slice(events.length - seen.calls);
          expect(seen.failures).toBe(kept.filter((event) => event.failed).length);
          expect(seen.slow).toBe(kept.filter((event) => event.slow).length);
        }
        expect(tally(window, latest + windowMs)).toEqual({ calls: 0, failures: 0, slow: 0 });
      }),
      { seed, numRuns: 300 },
    );
  });

  it('countWindow: the last n, exactly', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100, size: 'max' }), fc.integer({ min: 1, max: 12 }), (steps, size) => {
        const window = countWindow(size);
        let events: { failed: boolean; slow: boolean }[] = [];
        for (const { failed, slow, clear } of steps) {
          if (clear) {
            window.clear();
            events = [];
          }
          window.record(0, failed, slow);
          events = [...events, { failed, slow }].slice(-size);
          expect(tally(window, 0)).toEqual({
            calls: events.length,
            failures: events.filter((event) => event.failed).length,
            slow: events.filter((event) => event.slow).length,
          });
        }
      }),
      { seed, numRuns: 300 },
    );
  });
});
