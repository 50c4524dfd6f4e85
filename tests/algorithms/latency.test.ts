import { describe, expect, it } from 'vitest';
import { LatencyHistogram, RollingLatency } from '../../src/algorithms/latency.ts';
import { seededRandom } from '../../src/testing/seeded-random.ts';

it('reads 0 without readings', () => {
  expect(new LatencyHistogram().quantile(0.99)).toBe(0);
});

it('reads every quantile within about 6 %, whatever the range', () => {
  for (const scale of [0.5, 20, 3_000, 1e6]) {
    const random = seededRandom(scale);
    const histogram = new LatencyHistogram();
    const readings = Array.from({ length: 5_000 }, () => scale * (0.1 + random() ** 3 * 10));
    for (const reading of readings) histogram.record(reading);
    readings.sort((a, b) => a - b);
    expect(histogram.count).toBe(5_000);
    for (const q of [0.01, 0.5, 0.9, 0.99, 1]) {
      const exact = readings[Math.ceil(q * 5_000) - 1]!;
      expect(Math.abs(histogram.quantile(q) - exact) / exact, `${scale} ${q}`).toBeLessThan(0.0626);
    }
  }
});

it('has a lowest and a highest cell for what is out of range', () => {
  const histogram = new LatencyHistogram();
  for (const strange of [0, -5, Number.NaN]) histogram.record(strange);
  expect(histogram.quantile(1)).toBeLessThan(0.02);
  histogram.record(Number.POSITIVE_INFINITY);
  histogram.record(1e300);
  expect(histogram.count).toBe(5);
  expect(histogram.quantile(1)).toBeGreaterThan(1e6);
});

it('is not moved by one reading among many', () => {
  const histogram = new LatencyHistogram();
  for (let n = 0; n < 999; n++) histogram.record(10);
  histogram.record(10_000);
  expect(histogram.quantile(0.5)).toBeCloseTo(10, 0);
  expect(histogram.quantile(0.999)).toBeCloseTo(10, 0);
  expect(histogram.quantile(1)).toBeGreaterThan(9_000);
});

describe('durations of the last ten to twenty seconds', () => {
  it('are none before the first', () => {
    expect(new RollingLatency(4_000).at(5_000).count).toBe(0);
  });

  it('hold a reading for ten seconds at least and twenty at most', () => {
    for (const at of [0, 1, 4_999, 9_999, 10_000, 123_456]) {
      const left = (ms: number) => {
        const rolling = new RollingLatency(at);
        rolling.record(8);
        return rolling.at(at + ms).count;
      };
      expect([at, left(10_000), left(20_000), left(86_400_000)]).toEqual([at, 1, 0, 0]);
    }
  });

  it('read as a histogram of just the readings they hold', () => {
    const rolling = new RollingLatency(0);
    const random = seededRandom(3);
    const readings: { at: number; ms: number }[] = [];
    for (let now = 0; now < 120_000; now += 250) {
      rolling.turn(now);
      const ms = 1 + random() * (now + 1);
      rolling.record(ms);
      readings.push({ at: now, ms });
      const since = Math.max(0, Math.floor(now / 10_000) - 1) * 10_000;
      const exact = new LatencyHistogram();
      for (const { at, ms } of readings) if (at >= since) exact.record(ms);
      const read = rolling.at(now);
      expect([now, read.count, read.quantile(0.5), read.quantile(0.99)]).toEqual([
        now,
        exact.count,
        exact.quantile(0.5),
        exact.quantile(0.99),
      ]);
    }
  });

  it('are not thrown away by a clock reading that is a little older than the last', () => {
    const rolling = new RollingLatency(19_000);
    rolling.record(8);
    rolling.turn(20_000.5);
    rolling.turn(19_998);
    rolling.record(8);
    expect(rolling.at(20_001).count).toBe(2);
  });

  it('may be read as often as one likes', () => {
    const rolling = new RollingLatency(0);
    rolling.record(8);
    rolling.turn(10_000);
    rolling.record(8);
    expect([rolling.at(10_001).count, rolling.at(10_002).count]).toEqual([2, 2]);
  });

  it('never take more room: two histograms, whatever happens', () => {
    const rolling = new RollingLatency(0);
    const parts = () => Object.values(rolling).filter((part) => part instanceof LatencyHistogram);
    const first = parts();
    for (let now = 0; now < 300_000; now += 500) {
      rolling.turn(now);
      rolling.record(now);
    }
    expect(parts().map((part) => first.includes(part))).toEqual([true, true]);
  });
});
