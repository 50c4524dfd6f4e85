import { clients } from './http/clients.ts';
import { type Paired, paired } from './http/load.ts';
import type { Figure, Part, Settings } from './part.ts';
import { inProcess } from './process.ts';
import { figure, table } from './table.ts';

/** What one process measures. */
interface Share {
  readonly row: string;
  readonly series: readonly string[];
}

/** A process for each client; a check is content with one for each row. */
const shares = (check: boolean): readonly Share[] =>
  Object.entries(clients).flatMap(([row, { by }]) => {
    const names = Object.keys(by);
    return check ? [{ row, series: names }] : names.map((name) => ({ row, series: [name] }));
  });

export async function measureOne(what: unknown, check: boolean): Promise<Paired[]> {
  const { row, series } = what as Share;
  return paired(row, series, check);
}

async function run({ check, progress }: Settings): Promise<Figure[]> {
  const all = shares(check);
  const figures: Figure[] = [];
  for (const [done, share] of all.entries()) {
    progress(done, all.length, `${share.row}: ${share.series.join(', ')}`);
    const found = await inProcess<Paired[]>('http', share, check);
    figures.push(...found.map(({ series, values }) => ({ part: 'http', row: share.row, series, values })));
  }
  progress(all.length, all.length, 'http');
  return figures;
}

function print(figures: readonly Figure[]): string {
  const rows = figures.map(({ row, series, values: { cpuRatio, throughputRatio, p99Ms, bareP99Ms, cpuUs } }) => [
    `${row}: ${series}`,
    figure(cpuRatio),
    figure(throughputRatio),
    figure(cpuUs),
    figure(p99Ms),
    figure(bareP99Ms),
  ]);
  const head = ['', 'CPU, x bare', 'requests/s, x bare', 'CPU us per request', 'p99 ms', 'p99 ms, bare'];
  return [
    table([head, ...rows]),
    ['bare is the same platform without a signal', 'opossum gives its function no signal, and has no retry'].join('\n'),
  ].join('\n\n');
}

export const part: Part = {
  name: 'http',
  title: 'HTTP on loopback: 64 connections, 1.2 kB of JSON, the server a process of its own',
  run,
  print,
};
