/**
 * Compares variants side by side: each has its own loop, rounds are interleaved and rotated with the base, the ratio is
 * taken per round and the median of all rounds is reported. Absolute times of a shared machine mean little; ratios hold.
 */
export interface Variant {
  readonly name: string;
  /** One call. */
  readonly call: () => unknown;
  /** Calls per round; fewer for slow variants. */
  readonly calls?: number;
}

/** What a variant cost, by the median of its rounds. */
export interface Reading {
  readonly name: string;
  readonly nsPerCall: number;
  /** Times the base of the same round. */
  readonly ratio: number;
}

/** Measures `variants` against `base` in `rounds` interleaved rounds. */
export async function compare(base: Variant, variants: readonly Variant[], rounds: number): Promise<Reading[]> {
  const all = [base, ...variants].map((variant) => ({
    ...variant,
    loop: loopOf(),
    times: [] as number[],
    ratios: [] as number[],
  }));
  for (const { loop, call, calls = 20_000 } of all) await loop(call, calls);
  for (let round = 0; round < rounds; round++) {
    const order = all.map((_, i) => all[(i + round) % all.length]!);
    for (const variant of order) variant.times.push(await timed(variant.loop, variant.call, variant.calls ?? 20_000));
    const baseline = all[0]!.times[round]!;
    for (const variant of all) variant.ratios.push(variant.times[round]! / baseline);
  }
  return all.map(({ name, times, ratios }) => ({ name, nsPerCall: median(times), ratio: median(ratios) }));
}

type Loop = (call: () => unknown, calls: number) => Promise<void>;

/** A loop of its own for each variant: a shared one would share its inline caches and flatter none of them alike. */
function loopOf(): Loop {
  return new Function('return async (call, calls) => { for (let i = 0; i < calls; i++) await call(); }')() as Loop;
}

async function timed(loop: Loop, call: () => unknown, calls: number): Promise<number> {
  const start = performance.now();
  await loop(call, calls);
  return ((performance.now() - start) * 1e6) / calls;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
