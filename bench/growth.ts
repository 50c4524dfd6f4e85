import { along, type Curve } from './growth/curve.ts';
import { inFlight, inFlightShared } from './growth/in-flight.ts';
import { keys } from './growth/keys.ts';
import { queue } from './growth/queue.ts';
import { shapes } from './growth/shapes.ts';
import { subscribers } from './growth/subscribers.ts';
import { window, windowSeconds } from './growth/window.ts';
import type { Figure, Part, Plot, Settings } from './part.ts';
import { inProcess } from './process.ts';

const curves: Readonly<Record<string, Curve>> = {
  'in flight': inFlight,
  'in flight, shared signal': inFlightShared,
  keys,
  window,
  'window, seconds': windowSeconds,
  queue,
  shapes,
  subscribers,
};

/** What one process measures: some lines of one curve. */
interface Share {
  readonly row: string;
  readonly series: readonly string[];
}

/** A process for each line; a check is content with one for each curve. */
const shares = (check: boolean): readonly Share[] =>
  Object.entries(curves).flatMap(([row, { series }]) => {
    const names = Object.keys(series);
    return check ? [{ row, series: names }] : names.map((name) => ({ row, series: [name] }));
  });

export async function measureOne(what: unknown, check: boolean): Promise<Figure[]> {
  const { row, series } = what as Share;
  const { points, checked, patienceMs, series: all } = curves[row]!;
  const places = check ? points.filter((x) => x <= checked).slice(-1) : points;
  const figures: Figure[] = [];
  for (const name of series) {
    const found = await along(await all[name]!(), places, patienceMs, check);
    figures.push(...found.map((point) => ({ part: 'growth', row, series: name, ...point })));
  }
  return figures;
}

async function run({ check, progress }: Settings): Promise<Figure[]> {
  const all = shares(check);
  const figures: Figure[] = [];
  for (const [done, share] of all.entries()) {
    progress(done, all.length, `${share.row}: ${share.series.join(', ')}`);
    // A crowd of listeners on one signal is what is measured, and no reason to warn.
    figures.push(...(await inProcess<Figure[]>('growth', share, check, ['--no-warnings'])));
  }
  progress(all.length, all.length, 'growth');
  return figures;
}

function print(figures: readonly Figure[]): string {
  const tables = Object.entries(curves).map(([row, { x }]) => {
    const own = figures.filter((figure) => figure.row === row);
    const places = [...new Set(own.map((figure) => figure.x!))].sort((a, b) => a - b);
    const names = [...new Set(own.map(({ series }) => series))];
    const width = Math.max(...names.map(({ length }) => length), x.length);
    const line = (name: string, cells: readonly string[]) =>
      `${name.padEnd(width)}${cells.map((cell) => cell.padStart(11)).join('')}`;
    const cell = (name: string, text: (values: Figure['values']) => string) =>
      places.map((place) => {
        const found = own.find(({ series, x }) => series === name && x === place);
        return found === undefined ? '' : text(found.values);
      });
    const weighed = names.filter((name) => own.some(({ series, values }) => series === name && 'bytes' in values));
    return [
      `${row}: ns per call`,
      line(x, places.map(thousands)),
      ...names.map((name) => line(name, cell(name, cost))),
      ...(weighed.length === 0 ? [] : [`${row}: bytes each`]),
      ...weighed.map((name) =>
        line(
          name,
          cell(name, ({ bytes }) => (bytes === undefined ? '' : thousands(bytes))),
        ),
      ),
    ].join('\n');
  });
  return [...tables, notes].join('\n\n');
}

const notes = [
  '> n s    left out: at the pace of the places before, one round would take that long (or, in GB, need that much memory)',
  'p-*      p-retry + p-limit + p-timeout by hand; none of them is a circuit breaker',
  'opossum  has no retry and no queue, and takes no signal of the caller; mollitia takes none either',
].join('\n');

const thousands = (n: number) => Math.round(n).toLocaleString('en-US');

function cost({ ns, expectedMs, expectedBytes }: Figure['values']): string {
  if (ns !== undefined) return thousands(ns);
  if (expectedBytes !== undefined) return `> ${(expectedBytes / 1e9).toFixed(0)} GB`;
  return `> ${(expectedMs! / 1_000).toFixed(0)} s`;
}

function plots(figures: readonly Figure[]): readonly Plot[] {
  return Object.entries(curves).flatMap(([row, { x }]) =>
    (['ns', 'bytes'] as const).flatMap((y) => {
      const own = figures.filter((figure) => figure.row === row && y in figure.values && figure.x !== undefined);
      if (own.length === 0) return [];
      const labels = [...new Set(own.map(({ series }) => series))];
      return [
        {
          name: `growth-${row}-${y}`.replaceAll(/[^a-z]+/g, '-'),
          title: `${row}: ${y === 'ns' ? 'ns per call' : 'bytes each'}`,
          x,
          y: y === 'ns' ? 'ns per call' : 'bytes',
          logX: true,
          logY: true,
          lines: labels.map((label) => ({
            label,
            points: own
              .filter(({ series }) => series === label)
              .map((figure) => [figure.x!, figure.values[y]!] as const),
          })),
        },
      ];
    }),
  );
}

export const part: Part = {
  name: 'growth',
  title: 'How the cost of a call grows: processor time, all threads',
  run,
  print,
  plots,
};
