import { execFile } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { median } from '../measure.ts';

/** What one call costs. */
export interface Cost {
  /** Machine instructions, collections of garbage left out; null where there is no valgrind. */
  readonly instructions: number | null;
  /** Bytes of heap. */
  readonly bytes: number;
}

/** After this many calls V8 has optimised what it is going to. */
const warmUp = 120_000;
const rounds = 9;
const calls = 1_500;

/**
 * Takes chance out: no helper threads, so that code is optimised after the same call each time; fixed hashes; and room for
 * all calls of a run, because when garbage is collected depends on everything before.
 */
const flags = [
  '--single-threaded',
  '--hash-seed=1',
  '--random-seed=1',
  '--min-semi-space-size=256',
  '--max-semi-space-size=256',
];

const run = promisify(execFile);

/** valgrind's version, `3.19.0`; undefined where it is not installed. */
export async function valgrindVersion(): Promise<string | undefined> {
  try {
    return (await run('valgrind', ['--version'])).stdout.trim().replace(/^valgrind-/, '');
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Counts what calls of cases cost, with the build of the library in the folder `dist`. */
export class Counter implements Disposable {
  readonly #library: string;
  readonly #valgrind: boolean;
  readonly #scratch = mkdtempSync(join(tmpdir(), 'seaworthy-instructions-'));
  readonly #loop = join(this.#scratch, 'loop.mjs');
  #built: Promise<unknown> | undefined;

  constructor(dist: string, valgrind: boolean) {
    this.#library = pathToFileURL(join(dist, 'index.js')).href;
    this.#valgrind = valgrind;
  }

  /** What one call of the case `name` costs: the median of its rounds, of which one or the other holds a compilation. */
  async count(name: string): Promise<Cost> {
    await (this.#built ??= this.#build());
    const folder = mkdtempSync(join(this.#scratch, 'case-'));
    const program = [process.execPath, ...flags, this.#loop, this.#library, name, `${warmUp}`, `${rounds}`, `${calls}`];
    const [command = '', ...args] = this.#valgrind ? [...valgrind(join(folder, 'out')), ...program] : program;
    const { stdout } = await run(command, args);
    const bytes: number[] = JSON.parse(stdout);
    return {
      instructions: this.#valgrind ? median(totals(folder)) / calls : null,
      bytes: median(bytes) / calls,
    };
  }

  /** One plain file: valgrind would take seconds to watch Node read TypeScript. */
  #build(): Promise<unknown> {
    return build({
      entryPoints: [fileURLToPath(new URL('loop.ts', import.meta.url))],
      outfile: this.#loop,
      bundle: true,
      platform: 'node',
      format: 'esm',
    });
  }

  [Symbol.dispose](): void {
    rmSync(this.#scratch, { recursive: true, force: true });
  }
}

function valgrind(out: string): string[] {
  return [
    'valgrind',
    '--quiet',
    '--tool=callgrind',
    // Code that V8 writes, and writes again at the same place.
    '--smc-check=all-non-file',
    '--dump-line=no',
    '--dump-before=uv_os_getpriority',
    `--callgrind-out-file=${out}`,
  ];
}

/** Instructions of each round. callgrind writes a numbered file at each mark, with what was executed since the one before. */
function totals(folder: string): number[] {
  const parts = globSync('out.*', { cwd: folder }).length;
  if (parts !== 2 * rounds)
    throw new Error(
      `valgrind saw ${parts} marks instead of ${2 * rounds}: does this Node hide the names of its functions?`,
    );
  return Array.from({ length: rounds }, (_, round) => {
    const text = readFileSync(join(folder, `out.${2 * round + 2}`), 'utf8');
    return Number(/^totals: (\d+)$/m.exec(text)?.[1]);
  });
}
