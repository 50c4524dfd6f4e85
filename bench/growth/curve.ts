/**
 * Measures how the cost of a call grows with one number: calls in flight, keys, the length of a queue. Figures are
 * processor time of the whole process, the garbage collector's threads included, because a neighbour on the machine moves
 * those least.
 */
import { setImmediate as turn } from 'node:timers/promises';

/** What is done at one place of a curve. */
export interface Load {
  /** How many calls a round makes. */
  readonly calls: number;
  /** Makes them, and waits until all have ended. */
  round(): Promise<unknown>;
  /** Makes what is weighed, as many pieces as the place on the axis says, and answers what lets go of it. */
  hold?(): (() => unknown) | Promise<() => unknown>;
  /** Stops what would go on by itself. */
  end?(): void;
}

/** One line of a plot: makes the load of a place. */
export type Series = (x: number) => Load | Promise<Load>;

export interface Curve {
  /** What the axis counts. */
  readonly x: string;
  readonly points: readonly number[];
  /** The largest place at which a check looks. */
  readonly checked: number;
  /** A place where one round would take more milliseconds than this is left out. @default 5_000 */
  readonly patienceMs?: number;
  readonly series: Readonly<Record<string, () => Series | Promise<Series>>>;
}

/** One place; `expectedMs` or `expectedBytes` alone says that it was left out, because one round would have taken that much. */
export interface Point {
  readonly x: number;
  readonly values: Readonly<Record<string, number>>;
}

/** A place where what is weighed would be bigger than this is left out. */
const mostBytes = 2e9;

/** Walks along the axis; a series that has become too slow or too big for the next place ends there. */
export async function along(
  series: Series,
  points: readonly number[],
  patienceMs = 5_000,
  check = false,
): Promise<Point[]> {
  const measured: Point[] = [];
  for (const x of points) {
    const left = leftOut(x, measured.filter(({ values }) => values.ns !== undefined).slice(-2), patienceMs);
    measured.push({ x, values: left ?? (await measure(x, series, check)) });
  }
  return measured;
}

async function measure(x: number, series: Series, check: boolean): Promise<Point['values']> {
  let load: Load | undefined = await series(x);
  const warm = performance.now() + (check ? 0 : 150);
  do await load.round();
  while (performance.now() < warm);
  const ns = await nsPerCall(load, check);
  load.end?.();
  const { hold } = load;
  // Let go of, or it would be in memory beside what is weighed.
  load = undefined;
  // Of few pieces one would weigh the rest of the process.
  return hold === undefined || (x < 1_000 && !check) ? { ns } : { ns, ...(await weigh(x, hold, check)) };
}

/** By the pace of the last place, and by how much slower it was than the one before. */
function leftOut(
  x: number,
  [before, last = before]: readonly Point[],
  patienceMs: number,
): Point['values'] | undefined {
  if (before === undefined || last === undefined) return undefined;
  const steps = before === last ? 0 : Math.log(x / last.x) / Math.log(last.x / before.x);
  const slower = Math.max(1, last.values.ns! / before.values.ns!) ** steps;
  const expectedMs = (x * last.values.ns! * slower) / 1e6;
  if (expectedMs > patienceMs) return { expectedMs };
  const expectedBytes = x * (last.values.bytes ?? 0);
  return expectedBytes > mostBytes ? { expectedBytes } : undefined;
}

const cpuNs = (since?: NodeJS.CpuUsage) => {
  const { user, system } = process.cpuUsage(since);
  return (user + system) * 1e3;
};

/** Rounds back to back, with a turn of the event loop after every thousand calls. */
async function nsPerCall({ calls, round }: Load, check: boolean): Promise<number> {
  const [atLeast, atMostMs] = check ? [1, 0] : [5, 1_500];
  const perTurn = Math.max(1, Math.floor(1_000 / calls));
  const costs: number[] = [];
  const begun = performance.now();
  let used = 0;
  do {
    const since = process.cpuUsage();
    for (let i = 0; i < perTurn; i++) await round();
    await turn();
    const spent = cpuNs(since);
    costs.push(spent);
    used += spent;
  } while (performance.now() - begun < atMostMs && (costs.length < atLeast || used < 200e6));
  // Not the median: most rounds meet no garbage collection, and it is part of the price.
  return used / costs.length / perTurn / calls;
}

/** Bytes per piece while it is held, and after all were let go; timers that hold or wait for it. */
async function weigh(x: number, hold: NonNullable<Load['hold']>, check: boolean): Promise<Record<string, number>> {
  const collections = check ? 1 : 3;
  // Once before, so that the code is no part of it; among so many pieces it does not show.
  if (x < 10_000 && !check) await (await hold())();
  const [empty, timersBefore] = [await settledBytes(collections), timers()];
  const release = await hold();
  const full = await settledBytes(collections);
  const kept = timers() - timersBefore;
  await release();
  const left = await settledBytes(collections);
  return { bytes: (full - empty) / x, keptBytes: (left - empty) / x, timers: kept };
}

const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

async function settledBytes(collections: number): Promise<number> {
  if (globalThis.gc === undefined) throw new Error('Cannot weigh anything without --expose-gc');
  for (let i = 0; i < collections; i++) {
    await turn();
    globalThis.gc();
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
