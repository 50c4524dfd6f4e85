import type { Figure, Part, Settings } from './part.ts';
import { inProcess } from './process.ts';
import { steady } from './steady/crowd.ts';
import { alone, lateness } from './steady/lateness.ts';
import { stalls } from './steady/stall.ts';
import { figure, table } from './table.ts';

const libraries = ['ours', 'cockatiel', 'opossum', 'effect', 'mollitia', 'p-*'];

/** What one process measures. */
interface Share {
  readonly row: string;
  readonly series: readonly string[];
}

const entrants = (row: string) => (row === 'lateness' ? [...libraries, alone] : libraries);

/** Stalls take all libraries in turn, since their other side is a process too; a check has patience for no more anyway. */
const shares = (check: boolean): readonly Share[] =>
  Object.keys(rows).flatMap((row) =>
    check || row === 'stall'
      ? [{ row, series: entrants(row) }]
      : entrants(row).map((name) => ({ row, series: [name] })),
  );

/** By row: what the values of these libraries are. */
const rows: Readonly<Record<string, (series: readonly string[], check: boolean) => Promise<Named[]>>> = {
  '10k in flight': (series, check) =>
    inTurn(series, async (name) => {
      const { cpuNs, ratio, bareNs } = await steady(name, name === 'ours' && !check ? 5 : 1, check);
      const own: Named = [name, { cpuNs, ratio }];
      return name === 'ours' ? [own, ['bare', { cpuNs: bareNs, ratio: 1 }]] : [own];
    }),
  stall: async (_, check) => (await stalls(check)).map(({ series, spurious, of }) => [series, { spurious, of }]),
  lateness: (series, check) =>
    inTurn(series, async (name) => {
      const { p99Ms, earlyMs } = await lateness(name, check);
      return [[name, { p99Ms, earlyMs }]];
    }),
};

type Named = [series: string, values: Figure['values']];

async function inTurn(series: readonly string[], measure: (name: string) => Promise<Named[]>): Promise<Named[]> {
  const found: Named[] = [];
  for (const name of series) found.push(...(await measure(name)));
  return found;
}

export async function measureOne(what: unknown, check: boolean): Promise<Figure[]> {
  const { row, series } = what as Share;
  const found = await rows[row]!(series, check);
  return found.map(([name, values]) => ({ part: 'steady', row, series: name, values }));
}

async function run({ check, progress }: Settings): Promise<Figure[]> {
  const all = shares(check);
  const figures: Figure[] = [];
  for (const [done, share] of all.entries()) {
    progress(done, all.length, `${share.row}: ${share.series.join(', ')}`);
    figures.push(...(await inProcess<Figure[]>('steady', share, check, ['--no-warnings'])));
  }
  progress(all.length, all.length, 'steady');
  return figures;
}

function print(figures: readonly Figure[]): string {
  const of = (row: string) => figures.filter((figure) => figure.row === row);
  const steadily = of('10k in flight').map(({ series, values: { cpuNs, ratio } }) => [
    series,
    figure(cpuNs),
    figure(ratio),
  ]);
  const stalled = of('stall').map(({ series, values: { spurious, of } }) => [series, `${spurious} of ${of}`]);
  const late = of('lateness').map(({ series, values: { p99Ms, earlyMs } }) => [series, figure(p99Ms), figure(earlyMs)]);
  return [
    table([['10,000 in flight, answered after 20 ms', 'CPU ns per call', 'x bare'], ...steadily]),
    table([['blocked for 300 ms, limit 200 ms, all answers there', 'timed out'], ...stalled]),
    table([['timeout of 100 ms', 'p99 late, ms', 'earliest, ms too soon'], ...late]),
    ['p-*  p-retry + p-limit + p-timeout by hand; none of them is a circuit breaker', 'opossum has no retry'].join(
      '\n',
    ),
  ].join('\n\n');
}

export const part: Part = { name: 'steady', title: 'A service that is busy', run, print };
