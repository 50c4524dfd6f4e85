/**
 * Compares things side by side: each has a loop of its own, rounds take turns in changing order, and ratios are taken within a
 * round. Absolute times of a shared machine mean little; ratios hold.
 */
import { getHeapStatistics } from 'node:v8';

/** How a loop makes its calls. */
export type Way =
  /** One after the other. */
  | 'in turn'
  /** The same, and each may reject. */
  | 'caught'
  /** 64 at a time. */
  | 'at once'
  /** All started in one turn, then all awaited; each may reject. */
  | 'together';

export interface Contender {
  readonly call: () => unknown;
  readonly way: Way;
}

export interface Rounds {
  readonly rounds: number;
  /** About how long a round of one contender takes, in milliseconds. */
  readonly roundMs: number;
  /** How long each contender warms up at least, in milliseconds; at most it is four times that. */
  readonly warmMs: number;
  /** Calls that make it warm in between. */
  readonly warmCalls: number;
  /** Calls of a round in place of `roundMs`. */
  readonly calls?: number;
  /** @default 'wall' */
  readonly clock?: Clock;
}

/** What a call cost, by the median of its rounds. */
export interface Reading {
  readonly ns: number;
  readonly bareNs: number;
  /** Times the base of the same round. */
  readonly ratio: number;
  /** The same by processor time, whatever the clock. */
  readonly cpuRatio: number;
}

export async function compare(base: Contender, contender: Contender, rounds: Rounds): Promise<Reading> {
  const times = await timesOf([base, contender], rounds);
  const ratioBy = (clock: Clock) => median(times.map(([bare, own]) => own![clock] / bare![clock]));
  const { clock = defaultClock } = rounds;
  return {
    ns: median(times.map(([, own]) => own![clock])),
    bareNs: median(times.map(([bare]) => bare![clock])),
    ratio: ratioBy(clock),
    cpuRatio: ratioBy('process'),
  };
}

/** Nanoseconds per call of each contender, round by round. */
export async function interleaved(contenders: readonly Contender[], rounds: Rounds): Promise<number[][]> {
  const { clock = defaultClock } = rounds;
  return (await timesOf(contenders, rounds)).map((row) => row.map((times) => times[clock]));
}

/** Nanoseconds per call by every clock. */
type Times = Readonly<Record<Clock, number>>;

async function timesOf(contenders: readonly Contender[], settings: Rounds): Promise<Times[][]> {
  const runs: (Run & { calls: number })[] = [];
  for (const { call, way } of contenders) {
    const run = { loop: loopOf(way), call, step: way === 'at once' ? atOnce : 8 };
    runs.push({ ...run, calls: settings.calls ?? (await callsIn(run, settings)) });
  }
  const times: Times[][] = [];
  // The first round meets what the others' warming up has left behind, and does not count.
  for (let round = -1; round < settings.rounds; round++) {
    const row = new Array<Times>(runs.length);
    for (let i = 0; i < runs.length; i++) {
      // Whoever is first in a round meets another heap than whoever is last.
      const at = (i + Math.max(round, 0)) % runs.length;
      // Timers that were let go are gone, and what waits for a turn does not wait for a contender.
      await new Promise((resolve) => setImmediate(resolve));
      row[at] = await timed(runs[at]!);
    }
    if (round >= 0) times.push(row);
  }
  return times;
}

type Loop = (call: () => unknown, calls: number) => Promise<void>;

interface Run {
  readonly loop: Loop;
  readonly call: () => unknown;
  /** It makes a multiple of so many calls. */
  readonly step: number;
}

const atOnce = 64;

/** What a call costs. */
type Clock =
  /** Time passed: what a caller waits for. */
  | 'wall'
  /** Processor time of the whole process, threads that compile and collect beside the loop included: for calls that wait for a timer. */
  | 'process';

const defaultClock: Clock = 'wall';

const sources: Readonly<Record<Way, string>> = {
  'in turn': 'for (let i = 0; i < calls; i++) await call();',
  caught: 'for (let i = 0; i < calls; i++) try { await call(); } catch {}',
  'at once': `const worker = async () => { for (let i = 0; i < calls; i += ${atOnce}) await call(); };
    await Promise.all(Array.from({ length: ${atOnce} }, worker));`,
  together: `const all = [];
    for (let i = 0; i < calls; i++) all.push(call());
    await Promise.allSettled(all);`,
};

/** A loop of its own for each: a shared one would share its inline caches. */
export function loopOf(way: Way): Loop {
  return new Function(`return async (call, calls) => { ${sources[way]} }`)() as Loop;
}

/** Warms up, and answers how many calls a round of `roundMs` is. */
async function callsIn(run: Run, { roundMs, warmMs, warmCalls }: Rounds): Promise<number> {
  const start = performance.now();
  let ns = Number.POSITIVE_INFINITY;
  for (let calls = run.step, made = 0; ; ) {
    // The least counts: a neighbour only makes it more.
    ns = Math.min(ns, (await timed({ ...run, calls })).wall);
    made += calls;
    const wanted = Math.max(1, Math.round((roundMs * 1e6) / ns / run.step)) * run.step;
    const passedMs = performance.now() - start;
    if (passedMs >= warmMs && (made >= warmCalls || passedMs >= 4 * warmMs)) return wanted;
    calls = Math.min(wanted, calls * 4);
  }
}

async function timed({ loop, call, calls }: Run & { readonly calls: number }): Promise<Times> {
  const used = process.cpuUsage();
  const start = performance.now();
  await loop(call, calls);
  const wall = ((performance.now() - start) * 1e6) / calls;
  const { user, system } = process.cpuUsage(used);
  return { wall, process: ((user + system) * 1e3) / calls };
}

/** Flags of a process that counts bytes: nothing is collected within a batch. */
export const bytesFlags: readonly string[] = ['--min-semi-space-size=384', '--max-semi-space-size=384'];

export interface Bytes {
  /** Allocated per call, by the median of the batches. */
  readonly bytes: number;
  /** Still there after a full collection, per call. */
  readonly kept: number;
}

/** What a call allocates on the heap. Needs `--expose-gc` and `bytesFlags`. */
export async function bytesPerCall({ call, way }: Contender, batches: number, calls: number): Promise<Bytes> {
  const loop = loopOf(way);
  // Optimised code allocates less, and feedback is allocated once.
  for (let i = 0; i < 3; i++) await loop(call, calls);
  // A batch stays below a quarter of the young generation.
  const size = Math.max(1, Math.min(calls, Math.floor(96e6 / Math.max(1, await allocated(loop, call, 1_000)))));
  const readings: number[] = [];
  for (let batch = 0; batch < batches; batch++) readings.push(await allocated(loop, call, size));
  return {
    bytes: median(readings),
    kept: Math.min(await kept(loop, call, 5 * size), await kept(loop, call, 5 * size)),
  };
}

/** Over many calls, and the less of two, because what the compiler makes now and then is no call's. */
async function kept(loop: Loop, call: () => unknown, calls: number): Promise<number> {
  const before = await settledHeap();
  await loop(call, calls);
  return ((await settledHeap()) - before) / calls;
}

async function allocated(loop: Loop, call: () => unknown, calls: number): Promise<number> {
  await settledHeap();
  const before = getHeapStatistics().used_heap_size;
  await loop(call, calls);
  return (getHeapStatistics().used_heap_size - before) / calls;
}

/** Bytes in use once everything that was let go is gone; a turn passes first, in which timers are let go. */
async function settledHeap(): Promise<number> {
  await new Promise((resolve) => setImmediate(resolve));
  globalThis.gc!();
  return getHeapStatistics().used_heap_size;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
