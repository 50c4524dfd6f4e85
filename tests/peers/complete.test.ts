import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readClaims, withTable } from '../../scripts/peers.ts';
import { inapplicable } from './inapplicable.ts';

/** Every known defect: how many there are of each letter. */
const known = Object.entries({ C: 41, O: 20, X: 7 }).flatMap(([letter, count]) =>
  Array.from({ length: count }, (_, n) => `${letter}-${n + 1}`),
);

describe('the defects of the peers', () => {
  const { claims, nameless } = readClaims();
  const tested = new Set(claims.map(({ id }) => id));
  const excused = inapplicable.map(({ id }) => id);

  it('each has a test or a reason why it has none, and not both', () => {
    expect(known.filter((id) => !tested.has(id) && !excused.includes(id))).toEqual([]);
    expect(excused.filter((id) => tested.has(id))).toEqual([]);
  });

  it('have no id that nobody knows, and none twice without a test', () => {
    expect([...tested, ...excused].filter((id) => !known.includes(id))).toEqual([]);
    expect(excused).toEqual([...new Set(excused)]);
    expect(inapplicable.filter(({ reason }) => reason.trim() === '')).toEqual([]);
  });

  it('are named by every test here, with the peer they are of', () => {
    expect(nameless).toEqual([]);
    expect(claims.filter(({ peer }) => peer === '')).toEqual([]);
  });

  it('are in the README as the tests have them', () => {
    const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
    expect(withTable(readme) === readme, 'README.md is out of date. Run node scripts/peers.ts.').toBe(true);
  });
});
