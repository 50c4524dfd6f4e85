/** A source of chance: each call gives a number from 0 up to, and without, 1. */
export type Random = () => number;

/** The host's own source, good enough for jitter and for nothing secret. */
export const systemRandom: Random = () => Math.random();
