// What `npm test` runs: every check of the repository is a vitest test (type check, lint and the packed package are in
// tests/package), so that one report has the whole count. Plain JavaScript, because an old Node must get as far as the
// sentence below.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 13)) {
  console.error(`seaworthy needs Node 22.13 or newer to run its tests, and this is ${process.versions.node}.`);
  process.exit(1);
}

const scratch = mkdtempSync(join(tmpdir(), 'seaworthy-report-'));
const report = join(scratch, 'report.json');
const { status } = spawnSync(
  process.execPath,
  ['node_modules/vitest/vitest.mjs', 'run', '--reporter=default', '--reporter=json', `--outputFile=${report}`].concat(
    process.argv.slice(2),
  ),
  { stdio: 'inherit' },
);
const { passed, failed, skipped } = count(report);
rmSync(scratch, { recursive: true, force: true });

if (skipped > 0) console.log(`${skipped} skipped`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);

/** Counts what the report says; a test file or a run that broke outside every test counts as one failure. */
function count(file) {
  let run;
  try {
    run = JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    console.error('vitest ended without a report.');
    return { passed: 0, failed: 1, skipped: 0 };
  }
  const broken = run.testResults.filter(
    (suite) => suite.status === 'failed' && !suite.assertionResults.some((test) => test.status === 'failed'),
  );
  for (const suite of broken) console.error(`${suite.name} failed outside its tests: ${suite.message}`);
  let failed = run.numFailedTests + broken.length;
  if (failed === 0 && status !== 0) {
    console.error('vitest reported an error outside every test file; it is printed above.');
    failed = 1;
  }
  return { passed: run.numPassedTests, failed, skipped: run.numPendingTests + run.numTodoTests };
}
