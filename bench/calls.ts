import { peers, type Row, rows } from './cases.ts';
import {
  type Bytes,
  bytesFlags,
  bytesPerCall,
  compare,
  type Contender,
  median,
  type Reading,
  type Rounds,
} from './measure.ts';
import type { Bars, Figure, Part, Settings } from './part.ts';
import { inProcess, oneByOne } from './process.ts';
import { figure, table } from './table.ts';

/** What a process measures: these rows of one library, or of the bare functions. */
interface What {
  readonly series: string;
  readonly rows: readonly string[];
  readonly bytes: boolean;
}

const full: Rounds = { rounds: 11, roundMs: 6, warmMs: 100, warmCalls: 15_000 };
const short: Rounds = { rounds: 1, roundMs: 0.2, warmMs: 1, warmCalls: 0 };

export async function measureOne(what: unknown, check: boolean): Promise<(Reading | Bytes)[]> {
  const { series, rows: names, bytes } = what as What;
  const readings: (Reading | Bytes)[] = [];
  for (const name of names) {
    const row = rows.find((row) => row.name === name)!;
    const contender = await contenderOf(row, series);
    readings.push(
      bytes
        ? await bytesPerCall(contender, check ? 1 : 5, check ? 200 : 20_000)
        : await compare(
            row.base,
            contender,
            check ? { ...short, ...row.rounds, ...briefly(row) } : { ...full, ...row.rounds },
          ),
    );
  }
  return readings;
}

/** In a check nothing takes as many calls as it would otherwise. */
const briefly = ({ rounds }: Row): Partial<Rounds> => ({ rounds: 1, ...(rounds?.calls && { calls: 20 }) });

async function contenderOf(row: Row, series: string): Promise<Contender> {
  if (series === bareName) return row.base;
  return { call: await row.of(await peers[series]!()), way: row.way };
}

const bareName = 'bare';

async function run({ check, progress }: Settings): Promise<Figure[]> {
  const readings = new Map<string, Reading[]>();
  const bytes = new Map<string, Bytes>();
  const jobs = await jobsOf(check);
  let done = 0;
  await oneByOne(jobs, check, async (job) => {
    progress(done, jobs.length, `${job.series}: ${job.rows[0]}`);
    const answers = await inProcess<(Reading & Bytes)[]>('calls', job, check, job.bytes ? bytesFlags : []);
    for (const [i, name] of job.rows.entries()) {
      const key = keyOf(name, job.series);
      if (job.bytes) bytes.set(key, answers[i]!);
      else readings.set(key, [...(readings.get(key) ?? []), answers[i]!]);
    }
    done++;
  });
  return rows.flatMap((row) => figuresOf(row, readings, bytes));
}

const keyOf = (row: string, series: string) => `${row}\n${series}`;

/** Row by row within each round of processes, so that a machine that slows down does so for all. */
async function jobsOf(check: boolean): Promise<What[]> {
  const loaded = await Promise.all(
    Object.entries(peers).map(async ([series, load]) => [series, await load()] as const),
  );
  const entrants = (row: Row) => loaded.filter(([, peer]) => peer[row.needs] !== undefined).map(([series]) => series);
  const times = (process: number) =>
    rows
      .filter(({ processes }) => process < processes)
      .flatMap((row) => entrants(row).map((series): What => ({ series, rows: [row.name], bytes: false })));
  const weights = rows
    .filter(({ bytes }) => bytes)
    .flatMap((row) => [bareName, ...entrants(row)].map((series): What => ({ series, rows: [row.name], bytes: true })));
  if (check) return [...together(times(0)), ...together(weights)];
  return [...Array.from({ length: 7 }, (_, process) => times(process)).flat(), ...weights];
}

/** One process per library: what is only checked needs none of its own. */
function together(jobs: readonly What[]): What[] {
  const all = new Map<string, What>();
  for (const job of jobs) all.set(job.series, { ...job, rows: [...(all.get(job.series)?.rows ?? []), ...job.rows] });
  return [...all.values()];
}

function figuresOf(row: Row, readings: Map<string, Reading[]>, bytes: Map<string, Bytes>): Figure[] {
  const figures: Figure[] = [];
  const bareNs: number[] = [];
  for (const series of Object.keys(peers)) {
    const all = readings.get(keyOf(row.name, series));
    if (all === undefined) continue;
    bareNs.push(...all.map((reading) => reading.bareNs));
    const ratios = all.map(({ ratio }) => ratio);
    const values = {
      ns: median(all.map(({ ns }) => ns)),
      ratio: median(ratios),
      cpuRatio: median(all.map(({ cpuRatio }) => cpuRatio)),
      lowest: Math.min(...ratios),
      highest: Math.max(...ratios),
      ...bytes.get(keyOf(row.name, series)),
    };
    figures.push({ part: 'calls', row: row.name, series, values });
  }
  const values = { ns: median(bareNs), ratio: 1, ...bytes.get(keyOf(row.name, bareName)) };
  return [{ part: 'calls', row: row.name, series: bareName, values }, ...figures];
}

const groups: Readonly<Record<Row['group'], string>> = {
  five: 'fallback > retry > circuit breaker > bulkhead > timeout, as many of them as there are',
  alone: 'one policy',
  failing: 'turned away, retried, timed out',
};

const units = {
  ratio: 'times the bare function',
  ns: 'nanoseconds per call, of processor time where it timed out',
  bytes: 'bytes allocated per call',
} as const;

function print(figures: readonly Figure[]): string {
  const columns = [bareName, ...Object.keys(peers)];
  const find = (row: string, series: string) => figures.find((one) => one.row === row && one.series === series);
  return Object.entries(groups)
    .flatMap(([group, title]) =>
      Object.entries(units).map(([unit, what]) => {
        const own = rows.filter((row) => row.group === group && find(row.name, bareName)?.values[unit] !== undefined);
        const lines = own.map(({ name }) => [
          name,
          ...columns.map((series) => figure(find(name, series)?.values[unit])),
        ]);
        return `${title}: ${what}\n\n${table([[unit, ...columns], ...lines])}`;
      }),
    )
    .join('\n\n');
}

/** What is drawn: the ratios, and of single policies only those around an async function. */
function bars(figures: readonly Figure[]): Bars[] {
  return Object.entries(groups).map(([group, title]) => ({
    name: `calls-${group}`,
    title,
    x: 'times the bare function',
    groups: rows
      .filter((row) => row.group === group && (group !== 'alone' || row.bytes))
      .map(({ name }) => ({
        label: name,
        bars: figures
          .filter((one) => one.row === name && one.series !== bareName)
          .map(({ series, values }) => ({ label: series, value: values.ratio! })),
      }))
      .filter(({ bars }) => bars.length > 0),
  }));
}

export const part: Part = {
  name: 'calls',
  title: 'What a call costs, telemetry off',
  run,
  print,
  bars,
};
