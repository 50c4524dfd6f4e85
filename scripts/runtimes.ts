/**
 * What runs where? `npm run runtimes` prints the README's table. Each Node runs the source's tests (their packages
 * permitting) and, like Bun and Deno, the built library's own checks in tests/runtimes/smoke.mjs. The runtimes come from
 * npm, by npx. `node scripts/runtimes.ts deno` takes those whose name matches.
 */
import { execFile, execFileSync } from 'node:child_process';
import { cpSync, existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import type { Report } from './vitest-report.ts';

interface Runtime {
  readonly name: string;
  /** What npm calls it. */
  readonly package: string;
  readonly command: readonly string[];
}

const node = (version: string): Runtime => ({
  name: `Node ${version}`,
  package: `node@${version}`,
  command: ['node', '--no-warnings'],
});

const runtimes: readonly Runtime[] = [
  node('22.13.0'),
  node('22'),
  node('24'),
  node('26'),
  { name: 'Bun', package: 'bun', command: ['bun', 'run'] },
  { name: 'Deno', package: 'deno', command: ['deno', 'run', '--allow-all', '--node-modules-dir=manual'] },
];

/** What a runtime changes nothing about: the repository, numbers alone, and what is measured for minutes. */
const notOfRuntimes = [
  'tests/architecture.test.ts',
  'tests/bench/**',
  'tests/security.test.ts',
  'tests/demo/**',
  'tests/drills/**',
  'tests/observability/**',
  'tests/algorithms/**',
  'tests/properties/**',
  'tests/flows/growth.test.ts',
  'tests/flows/soak.test.ts',
];

/** Tests that vitest.config.ts keeps apart from the source's. */
const ofOtherProjects = ['tests/sdk2/**', 'tests/consumers/**', 'tests/package/**', 'tests/examples.test.ts'];

/** Peers that do not run on every Node we run on. */
const picky = ['undici', '@opentelemetry/sdk-trace'];

/** Tests whose child process reads TypeScript, which Node does by itself from this version on. */
const stripping = {
  since: '>=22.18.0',
  files: ['tests/flows/sigterm.test.ts', 'tests/adapters/otel/instrumentation.test.ts'],
};

const root = fileURLToPath(new URL('..', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'seaworthy-runtimes-'));
const only = new RegExp(process.argv[2] ?? '', 'i');

process.exitCode = 1;
try {
  process.exitCode = (await main()) ? 0 : 1;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

async function main(): Promise<boolean> {
  const app = application();
  const rows: string[] = [];
  let well = true;
  for (const runtime of runtimes.filter(({ name }) => only.test(name))) {
    const { output: version } = await npx(runtime.package, root, runtime.command[0]!, '--version');
    const number = /\d+\.\d+\.\d+/.exec(version)?.[0] ?? '?';
    const counts: Count[] = [];
    const ran: string[] = [];
    if (runtime.package.startsWith('node@')) {
      const { what, ...count } = await source(runtime, number);
      counts.push(count);
      ran.push(what);
    }
    counts.push(await smoke(runtime, app));
    ran.push("the built library's checks");
    const passed = counts.reduce((sum, count) => sum + count.passed, 0);
    const failed = counts.reduce((sum, count) => sum + count.failed, 0);
    well &&= failed === 0 && counts.every((count) => count.passed > 0);
    rows.push(`| ${runtime.name.split(' ')[0]} | ${number} | ${ran.join('; ')} | ${passed} passed, ${failed} failed |`);
    console.error(rows.at(-1));
  }
  console.log(['| runtime | version | what ran | result |', '|---|---|---|---|', ...rows].join('\n'));
  console.log(
    `\nThe source's tests are those of vitest.config.ts but ${notOfRuntimes.join(', ')}: a runtime changes nothing about them.`,
  );
  return well && rows.length > 0;
}

interface Count {
  readonly passed: number;
  readonly failed: number;
}

/** An application with the library in its node_modules, as it would be installed. */
function application(): string {
  const app = join(scratch, 'app');
  const library = join(app, 'node_modules/seaworthy');
  mkdirSync(library, { recursive: true });
  execFileSync(process.execPath, ['scripts/build.mjs', join(library, 'dist')], { cwd: root, stdio: 'inherit' });
  cpSync(join(root, 'package.json'), join(library, 'package.json'));
  for (const name of ['cockatiel', 'tslib', '@opentelemetry/api']) {
    const link = join(app, 'node_modules', name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join(root, 'node_modules', name), link);
  }
  cpSync(join(root, 'tests/runtimes/smoke.mjs'), join(app, 'smoke.mjs'));
  return app;
}

async function smoke({ name, package: from, command }: Runtime, app: string): Promise<Count> {
  const { output, errors } = await npx(from, app, ...command, 'smoke.mjs');
  const [, passed, failed] = /(\d+) passed, (\d+) failed\s*$/.exec(output) ?? [];
  if (failed !== '0') console.error(`${name}:\n${output}${errors}`);
  return { passed: Number(passed ?? 0), failed: Number(failed ?? 1) };
}

/** Runs the source's tests, without those that cannot run on that Node. */
async function source({ name, package: from, command }: Runtime, version: string): Promise<Count & { what: string }> {
  const all = globSync('tests/**/*.test.ts', { cwd: root, exclude: [...ofOtherProjects, ...notOfRuntimes] });
  const why: string[] = [];
  let files = all;
  const leave = (reason: string, unfit: (file: string) => boolean) => {
    const left = files.filter(unfit);
    if (left.length === 0) return;
    files = files.filter((file) => !left.includes(file));
    why.push(`${left.length} for ${reason}`);
    console.error(`${name} leaves out, for ${reason}:\n${left.join('\n')}`);
  };
  for (const peer of picky) {
    const { version: of, engines } = manifestOf(peer);
    if (!within(version, engines.node)) leave(`${peer} ${of}`, (file) => needs(join(root, file), peer));
  }
  if (!within(version, stripping.since)) leave('TypeScript', (file) => stripping.files.includes(file));
  const report = join(scratch, `${name}.json`);
  const { output, errors } = await npx(
    from,
    root,
    ...command,
    'node_modules/vitest/vitest.mjs',
    'run',
    '--project=source',
    '--reporter=json',
    `--outputFile=${report}`,
    ...files,
  );
  const what = `${files.length} files of tests${why.length === 0 ? '' : ` (left out: ${why.join(', ')})`}`;
  if (!existsSync(report)) {
    console.error(`${name}: vitest ended without a report.\n${output}${errors}`);
    return { passed: 0, failed: 1, what };
  }
  const run = JSON.parse(readFileSync(report, 'utf8')) as Report;
  const broken = run.testResults.filter(
    (file) => file.status === 'failed' && file.assertionResults.every(({ status }) => status !== 'failed'),
  );
  for (const { name, message } of broken) console.error(`${relative(root, name)} failed outside its tests: ${message}`);
  for (const { name: file, assertionResults } of run.testResults)
    for (const { fullName, failureMessages } of assertionResults.filter(({ status }) => status === 'failed'))
      console.error(`${name}: ${relative(root, file)} > ${fullName}\n${failureMessages.join('\n')}`);
  return { passed: run.numPassedTests, failed: run.numFailedTests + broken.length, what };
}

function manifestOf(name: string): { version: string; engines: { node: string } } {
  return JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8'));
}

/** Whether a version is in a range, which is `>=` and a version. */
function within(version: string, range: string): boolean {
  const least = /^>=(\d+)\.(\d+)\.(\d+)$/.exec(range)?.slice(1).map(Number);
  if (least === undefined) throw new Error(`This script cannot read the range "${range}".`);
  const have = version.split('.').map(Number);
  const different = least.findIndex((number, place) => number !== have[place]);
  return different < 0 || have[different]! > least[different]!;
}

/** Whether a file, or one of the tests' files that it imports, imports the package; all of OpenTelemetry's SDK is one. */
function needs(file: string, name: string, seen = new Set<string>()): boolean {
  if (seen.has(file) || !existsSync(file)) return false;
  seen.add(file);
  const imported = [...readFileSync(file, 'utf8').matchAll(/(?:from|import\()\s*'([^']+)'/g)].map(([, path]) => path!);
  const isIt = name.startsWith('@opentelemetry/')
    ? (path: string) => path.startsWith('@opentelemetry/') && path !== '@opentelemetry/api'
    : (path: string) => path === name;
  return imported.some((path) => isIt(path) || (path.startsWith('.') && needs(join(dirname(file), path), name, seen)));
}

function npx(from: string, cwd: string, ...command: readonly string[]): Promise<{ output: string; errors: string }> {
  return new Promise((resolve) => {
    execFile(
      'npx',
      ['-y', '-p', from, ...command],
      { cwd, maxBuffer: 2 ** 26, timeout: 900_000 },
      (_, output, errors) => resolve({ output, errors }),
    );
  });
}
