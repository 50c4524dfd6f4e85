/**
 * What resilience costs, beside bare functions and beside the peers: `npm run bench` measures everything, `npm run bench --
 * calls http` those parts. `bench/README.md` says what the rows mean.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Figure, PartModule } from './part.ts';
import { barChart, curves } from './plot.ts';
import { progressBar } from './progress.ts';
import { reportOf, textOf } from './report.ts';

/** In the order in which they run. */
const parts: Readonly<Record<string, () => Promise<PartModule>>> = {
  calls: () => import('./calls.ts'),
  telemetry: () => import('./telemetry.ts'),
  growth: () => import('./growth.ts'),
  steady: () => import('./steady.ts'),
  http: () => import('./http.ts'),
  import: () => import('./import.ts'),
};
const names = Object.keys(parts);

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    check: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    markdown: { type: 'boolean', default: false },
    svg: { type: 'string' },
    // Of a process that measures one thing for another.
    only: { type: 'string' },
    one: { type: 'string' },
  },
});
const { check } = values;

if (values.only !== undefined) {
  const { measureOne } = await parts[values.only]!();
  const answer = await measureOne!(JSON.parse(values.one!), check);
  // Timers of the peers would hold the process.
  process.stdout.write(JSON.stringify(answer), () => process.exit(0));
} else {
  const unknown = positionals.filter((name) => !names.includes(name));
  if (unknown.length > 0)
    throw new TypeError(`Cannot measure ${unknown.join(', ')}: the parts are ${names.join(', ')}`);
  await measure(positionals.length > 0 ? positionals : names);
}

async function measure(wanted: readonly string[]): Promise<void> {
  const bar = progressBar(process.stderr);
  const modules = await Promise.all(wanted.map((name) => parts[name]!()));
  const figures: Figure[] = [];
  const took: Record<string, number> = {};
  for (const { part } of modules) {
    const start = performance.now();
    const progress = (done: number, total: number, what: string) => bar.show(part.name, done, total, what);
    figures.push(...(await part.run({ check, progress })));
    took[part.name] = (performance.now() - start) / 1000;
  }
  bar.clear();
  const report = reportOf(figures, took, check);
  if (values.svg !== undefined) draw(values.svg, modules, figures);
  const all = modules.map(({ part }) => part);
  console.log(values.json ? JSON.stringify(report, undefined, 2) : textOf(report, all, values.markdown));

  const missing = report.budget.filter(({ verdict }) => verdict === 'not measured').map(({ what }) => what);
  // Else a row of the budget could lose its figure and nobody would see it.
  if (wanted.length === names.length && missing.length > 0)
    throw new Error(`Nothing was measured for these rows of the budget: ${missing.join('; ')}`);
}

function draw(folder: string, modules: readonly PartModule[], figures: readonly Figure[]): void {
  mkdirSync(folder, { recursive: true });
  for (const { part } of modules) {
    const own = figures.filter((one) => one.part === part.name);
    for (const plot of part.plots?.(own) ?? []) writeFileSync(join(folder, `${plot.name}.svg`), curves(plot));
    for (const bars of part.bars?.(own) ?? []) writeFileSync(join(folder, `${bars.name}.svg`), barChart(bars));
  }
}
