import { expect, it } from 'vitest';
import { count } from '../../src/algorithms/counts.ts';

it.each([
  ['success', { success: 2, failure: 1 }],
  ['failure', { success: 1, failure: 2 }],
] as const)('counts one more %s and nothing else', (name, expected) => {
  const counts = { success: 1, failure: 1 };
  count(counts, name);
  expect(counts).toEqual(expected);
});
