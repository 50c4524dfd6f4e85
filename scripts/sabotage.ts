/**
 * Are the promises kept by somebody? `npm run sabotage` breaks the library once per line of tests/promises.md, in a copy of
 * the tree, and expects the named test to turn red. A break that stays green is a promise nobody watches; a break that
 * does not apply any more is a line to bring up to date. `--only <pattern>` takes the lines that match.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Report } from './vitest-report.ts';

interface Promised {
  readonly line: number;
  readonly promise: string;
  readonly test: { readonly file: string; readonly name: string };
  readonly broken: { readonly file: string; readonly old: string; readonly new: string };
}

const root = fileURLToPath(new URL('..', import.meta.url));
const table = 'tests/promises.md';
/** What a copy needs; nothing in it is ever written back. */
const copied = ['src', 'tests', 'observability', 'scripts', 'package.json', 'tsconfig.json', 'vitest.config.ts'];
const running = new Set<ChildProcess>();
const scratch = mkdtempSync(join(tmpdir(), 'seaworthy-sabotage-'));

process.exitCode = 1;
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    for (const child of running) child.kill();
    rmSync(scratch, { recursive: true, force: true });
    process.exit(130);
  });
try {
  process.exitCode = (await main()) ? 0 : 1;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

async function main(): Promise<boolean> {
  const at = process.argv.indexOf('--only');
  const only = at < 0 ? undefined : new RegExp(process.argv[at + 1] ?? '', 'i');
  const { rows, faults } = read(readFileSync(join(root, table), 'utf8'));
  const chosen = rows.filter(
    ({ promise, test, broken }) => only?.test(`${promise} ${test.file} ${broken.file}`) ?? true,
  );
  for (const fault of faults) console.error(fault);
  console.log(`${chosen.length} promises`);

  const copies = Array.from({ length: Math.min(4, availableParallelism(), Math.max(1, chosen.length)) }, (_, n) =>
    copy(n),
  );
  const unkept = new Set<string>(await missing(copies[0]!, chosen));
  for (const problem of unkept) console.error(`✗ ${problem}`);

  const queue = [...chosen];
  const bad: string[] = [];
  const work = async (tree: string) => {
    for (let row = queue.shift(); row !== undefined; row = queue.shift()) {
      const started = performance.now();
      const problem = await sabotage(tree, row);
      const took = `${((performance.now() - started) / 1000).toFixed(1)} s`;
      const where = `${table}:${row.line}`;
      if (problem === undefined) console.log(`✓ ${row.promise} (${took})`);
      else {
        bad.push(`${where}: ${row.promise}: ${problem}`);
        console.log(`✗ ${row.promise} (${took})\n    ${problem}`);
      }
    }
  };
  await Promise.all(copies.map(work));

  if (bad.length > 0) console.error(`\n${bad.join('\n')}`);
  console.log(`${chosen.length - bad.length} of ${chosen.length} breaks were noticed`);
  return bad.length + faults.length + unkept.size === 0 && chosen.length > 0;
}

/** Reads the table's rows: `| promise | `file` > `test name` | `file`: `old` → `new` |`; other rows' faults are named. */
function read(text: string): { rows: Promised[]; faults: string[] } {
  const rows: Promised[] = [];
  const faults: string[] = [];
  text.split('\n').forEach((line, index) => {
    if (!line.startsWith('|') || /^\|\s*(Promise\s*\||-)/.test(line)) return;
    const cells = line
      .slice(1)
      .split(/(?<!\\)\|/)
      .map((cell) => cell.replaceAll('\\|', '|').trim());
    const [promise = '', test = '', broken = ''] = cells;
    const named = spans(test);
    const change = spans(broken);
    if (promise === '' || named.length !== 2 || change.length < 2 || change.length > 3) {
      faults.push(`${table}:${index + 1}: a row has a promise, \`file\` > \`test\` and \`file\`: \`old\` → \`new\`.`);
      return;
    }
    rows.push({
      line: index + 1,
      promise,
      test: { file: named[0]!, name: named[1]! },
      broken: { file: change[0]!, old: change[1]!, new: change[2] ?? '' },
    });
  });
  return { rows, faults };
}

/** The code spans of a cell: between single backticks, or between double ones where the code has some itself; `↵` is a line break. */
function spans(cell: string): string[] {
  return Array.from(cell.matchAll(/``( ?)(.*?)\1``|`([^`]*)`/g), ([, , double, single]) =>
    (double ?? single ?? '').replaceAll('↵', '\n'),
  );
}

function copy(n: number): string {
  const tree = join(scratch, `tree-${n}`);
  for (const name of copied)
    cpSync(join(root, name), join(tree, name), {
      recursive: true,
      filter: (source) => basename(source) !== 'node_modules' && !/tests\/(consumers|sdk2|package)$/.test(source),
    });
  symlinkSync(join(root, 'node_modules'), join(tree, 'node_modules'), 'dir');
  return tree;
}

/** The named tests that are not there, or not green before anything is broken. */
async function missing(tree: string, rows: readonly Promised[]): Promise<string[]> {
  const files = [...new Set(rows.map(({ test }) => test.file))];
  const { report, output } = await vitest(tree, files, undefined);
  if (report === undefined) return [`vitest ended without a report:\n${output}`];
  const problems: string[] = [];
  for (const { line, test } of rows) {
    const suite = report.testResults.find(({ name }) => name.endsWith(`/${test.file}`));
    const found = suite?.assertionResults.filter(({ fullName }) => fullName.includes(test.name)) ?? [];
    if (found.length === 0) problems.push(`${table}:${line}: ${test.file} has no test "${test.name}"`);
    else if (found.some(({ status }) => status !== 'passed'))
      problems.push(`${table}:${line}: "${test.name}" is red already`);
  }
  return problems;
}

/** Breaks the tree, runs the test, mends the tree; answers what is wrong with the line, if anything. */
async function sabotage(tree: string, { test, broken }: Promised): Promise<string | undefined> {
  const path = join(tree, broken.file);
  let source: string;
  try {
    source = readFileSync(path, 'utf8');
  } catch {
    return `${broken.file} does not exist`;
  }
  const times = source.split(broken.old).length - 1;
  if (times !== 1) return `\`${broken.old}\` occurs ${times} times in ${broken.file}, and must once`;
  try {
    writeFileSync(
      path,
      source.replace(broken.old, () => broken.new),
    );
    const { report, output } = await vitest(tree, [test.file], test.name);
    if (report === undefined) return `vitest ended without a report:\n${output}`;
    if (report.numFailedTests > 0) return undefined;
    const outside = report.testResults.find(({ status }) => status === 'failed');
    if (outside !== undefined) return `it broke the file, not the test: ${outside.message.split('\n')[0]}`;
    return report.numPassedTests === 0 ? `no test "${test.name}" ran` : 'it stayed green';
  } finally {
    writeFileSync(path, source);
  }
}

/** A test's name, or the end of its group's name and it, however vitest joins the two. */
function pattern(name: string): string {
  return name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll(' ', '(?: | > )');
}

async function vitest(tree: string, files: readonly string[], name: string | undefined) {
  const outputFile = join(tree, 'report.json');
  rmSync(outputFile, { force: true });
  const args = [
    'node_modules/vitest/vitest.mjs',
    'run',
    '--project=source',
    '--reporter=json',
    `--outputFile=${outputFile}`,
  ];
  // A broken library often hangs; the tests that take long on purpose say so themselves.
  if (name !== undefined) args.push('--testTimeout=4000', '--bail=1', '-t', pattern(name));
  const child = spawn(process.execPath, [...args, ...files], { cwd: tree, stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  const late = setTimeout(() => child.kill('SIGKILL'), name === undefined ? 600_000 : 90_000);
  await new Promise((resolve) => child.once('close', resolve));
  clearTimeout(late);
  running.delete(child);
  let report: Report | undefined;
  try {
    report = JSON.parse(readFileSync(outputFile, 'utf8'));
  } catch {
    // It was killed, or never began.
  }
  return { report, output };
}
