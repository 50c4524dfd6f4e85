import type { Random } from '../ports/random.ts';

/**
 * A {@link Random} that gives the same numbers for the same `seed` every time, so that a test with jitter can be run
 * again. mulberry32 (Tommy Ettinger): 32 bits of state, even enough for tests, and for nothing secret.
 */
export function seededRandom(seed: number): Random {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
