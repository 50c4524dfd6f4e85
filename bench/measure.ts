/**
 * Compares something with a bare await, side by side: each has its own loop, rounds take turns, the ratio is taken per
 * round and the median of all rounds counts. Absolute times of a shared machine mean little; ratios hold.
 */
export interface Variant {
  readonly name: string;
  /** One call. */
  readonly call: () => unknown;
}

/** What a call cost, by the median of its rounds. */
export interface Reading {
  readonly nsPerCall: number;
  /** Times the base of the same round. */
  readonly ratio: number;
}

/** Measures `variant` against `base` in `rounds` rounds of `calls` calls, after three that warm up. */
export async function compare(base: Variant, variant: Variant, rounds: number, calls: number): Promise<Reading> {
  const times = await interleaved([base, variant], rounds, calls);
  return {
    nsPerCall: median(times.map(([, time]) => time!)),
    ratio: median(times.map(([bare, time]) => time! / bare!)),
  };
}

/** Nanoseconds per call of each variant, round by round, after three that warm up. */
export async function interleaved(variants: readonly Variant[], rounds: number, calls: number): Promise<number[][]> {
  const loops = variants.map(() => loopOf());
  const times: number[][] = [];
  for (let round = -3; round < rounds; round++) {
    const row: number[] = [];
    for (const [i, { call }] of variants.entries()) row.push(await timed(loops[i]!, call, calls));
    if (round >= 0) times.push(row);
  }
  return times;
}

type Loop = (call: () => unknown, calls: number) => Promise<void>;

/** A loop of its own for each: a shared one would share its inline caches. */
function loopOf(): Loop {
  return new Function('return async (call, calls) => { for (let i = 0; i < calls; i++) await call(); }')() as Loop;
}

async function timed(loop: Loop, call: () => unknown, calls: number): Promise<number> {
  const start = performance.now();
  await loop(call, calls);
  return ((performance.now() - start) * 1e6) / calls;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
