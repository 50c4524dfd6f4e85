/**
 * The models of tests/properties under a million random operations per machine: `npm run properties`. Runs vitest on that
 * folder and prints what each test says of itself. `SEAWORTHY_OPERATIONS` takes more or fewer, `SEAWORTHY_SEED` the seed
 * that a failure has printed.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What a test says when its machine has come through. */
interface Line {
  readonly file: string;
  readonly machine: string;
  readonly wanted: number;
  readonly operations: number;
  readonly runs: number;
  readonly seed: number;
  readonly ms: number;
}

const root = fileURLToPath(new URL('..', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'seaworthy-properties-'));
const report = join(scratch, 'report');
const began = performance.now();
try {
  const { status } = spawnSync(
    process.execPath,
    ['node_modules/vitest/vitest.mjs', 'run', '--project', 'source', 'tests/properties', '--reporter=dot'],
    {
      cwd: root,
      stdio: 'inherit',
      env: { SEAWORTHY_OPERATIONS: '1000000', ...process.env, SEAWORTHY_REPORT: report },
    },
  );
  const lines = read();
  const whole = status === 0 && lines.length > 0 && lines.every(({ operations, wanted }) => operations >= wanted);
  print(lines);
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  console.log(`${lines.length} machines, ${seconds} s, ${whole ? 'no invariant broken' : 'FAILED'}`);
  process.exitCode = whole ? 0 : 1;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

/** A run that failed early may have written nothing. */
function read(): Line[] {
  let text = '';
  try {
    text = readFileSync(report, 'utf8');
  } catch {}
  const lines = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);
  return lines.toSorted((a, b) => (`${a.file} ${a.machine}` < `${b.file} ${b.machine}` ? -1 : 1));
}

function print(lines: readonly Line[]): void {
  const rows = lines.map(({ file, machine, operations, runs, seed, ms }) => [
    file,
    machine,
    operations.toLocaleString('en'),
    runs.toLocaleString('en'),
    `${(ms / 1000).toFixed(1)} s`,
    String(seed),
  ]);
  const table = [['file', 'machine', 'operations', 'runs', 'time', 'seed'], ...rows];
  const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  const padded = (row: readonly string[]) =>
    row.map((cell, column) => (column < 2 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)));
  for (const row of table) console.log(padded(row).join('  '));
}
