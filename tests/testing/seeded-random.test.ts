import { expect, it } from 'vitest';
import { seededRandom } from '../../src/testing/seeded-random.ts';

const draw = (seed: number, count: number) => {
  const random = seededRandom(seed);
  return Array.from({ length: count }, random);
};

it('gives the same numbers for the same seed, and others for another', () => {
  expect(draw(1, 5)).toEqual(draw(1, 5));
  expect(draw(1, 5)).not.toEqual(draw(2, 5));
  // From an implementation in another language.
  expect(draw(42, 3)).toEqual([0.6011037519201636, 0.44829055899754167, 0.8524657934904099]);
});

it('spreads evenly from 0 up to, and without, 1', () => {
  const bins = new Array<number>(10).fill(0);
  for (const x of draw(7, 10_000)) {
    expect(x >= 0 && x < 1).toBe(true);
    bins[Math.floor(x * 10)]!++;
  }
  for (const bin of bins) expect(Math.abs(bin - 1000)).toBeLessThan(120);
});
