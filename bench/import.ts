import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { median } from './measure.ts';
import type { Figure, Part, Settings } from './part.ts';
import { figure, table } from './table.ts';

const base = ['pipeline', 'retry', 'timeout'];
const further = ['circuitBreaker', 'bulkhead', 'fallback'];

/** What an application's bundle grows by, in bytes. */
async function bundled(names: readonly string[]) {
  const { outputFiles } = await build({
    stdin: { contents: `export { ${names.join(', ')} } from 'seaworthy'`, resolveDir: import.meta.dirname },
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    platform: 'node',
    external: ['@opentelemetry/api'],
  });
  const { contents } = outputFiles[0]!;
  return { kB: contents.length / 1000, gzipKb: gzipSync(contents).length / 1000 };
}

/** Milliseconds until a process that has done nothing else has the library. */
async function importMs(): Promise<number> {
  const source = `const start = performance.now(); await import('seaworthy'); console.log(performance.now() - start)`;
  const args = ['--input-type=module', '--eval', source];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: import.meta.dirname });
  return Number(stdout);
}

async function run({ check, progress }: Settings): Promise<Figure[]> {
  const of = (row: string, values: Figure['values']): Figure => ({ part: 'import', row, series: 'ours', values });
  progress(0, 2, 'size');
  const small = await bundled(base);
  const figures = [of('base', small)];
  let dearest: Figure['values'] = { kB: 0, gzipKb: 0 };
  for (const name of further) {
    const more = await bundled([...base, name]);
    const values = { kB: more.kB - small.kB, gzipKb: more.gzipKb - small.gzipKb };
    figures.push(of(name, values));
    if (values.kB > dearest['kB']!) dearest = values;
  }
  progress(1, 2, 'time');
  const times: number[] = [];
  for (let i = 0; i < (check ? 1 : 15); i++) times.push(await importMs());
  return [...figures, of('dearest further policy', dearest), of('time', { ms: median(times) })];
}

export const part: Part = {
  name: 'import',
  title: 'What importing it costs',
  run,
  print: (figures) =>
    table([
      ['import', 'kB minified', 'kB gzipped', 'ms'],
      ...figures.map(({ row, values }) => [
        row === 'base' ? `{ ${base.join(', ')} }` : row,
        ...['kB', 'gzipKb', 'ms'].map((name) => figure(values[name])),
      ]),
    ]),
};
