import { expect, it } from 'vitest';
import { LatencyHistogram } from '../../src/algorithms/latency.ts';
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
