/**
 * The incidents of docs/drills.md on your machine: `npm run drills` plays them and prints what the telemetry answers;
 * `npm run drills -- --write <folder>` keeps the exported files as well, one folder per run, in OTLP/JSON. `--seed <n>` plays
 * them with other latencies, losses and ids. Exits with 1 when an answer is not the expected one.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { diagnoses, operator } from '../tests/drills/diagnoses.ts';
import { epochOf, play, runs } from '../tests/drills/incidents.ts';
import { files, read } from '../tests/drills/otlp.ts';
import { lookedAt } from '../tests/drills/stand.ts';

const { values } = parseArgs({ options: { write: { type: 'string' }, seed: { type: 'string', default: '0' } } });
const root = values.write ?? mkdtempSync(join(tmpdir(), 'seaworthy-drills-'));
let wrong = 0;

try {
  for (const run of runs) {
    const folder = join(root, run.name.replaceAll(' ', '-'));
    mkdirSync(folder, { recursive: true });
    const exported = await play(run, Number(values.seed));
    for (const what of ['traces', 'metrics'] as const) writeFileSync(join(folder, files[what]), exported[what]);

    const ask = operator(read(folder), epochOf(run) + lookedAt * 1000);
    const found = Object.entries(diagnoses).flatMap(([name, diagnose]) =>
      diagnose(ask).map((answer) => [name, answer]),
    );
    const expected = Object.entries({ ...(run.name in diagnoses && { [run.name]: run.answer }), ...run.also });
    const right = JSON.stringify(found.toSorted()) === JSON.stringify(expected.toSorted());
    if (!right) wrong++;
    console.log(`\n${run.name}: ${run.question}`);
    for (const [name, answer] of found) console.log(`  ${name}: ${answer}`);
    if (found.length === 0) console.log('  no diagnosis fits');
    if (!right) console.log(`  EXPECTED ${JSON.stringify(expected)}`);
  }
  if (values.write !== undefined) console.log(`\nThe files are in ${values.write}.`);
} finally {
  if (values.write === undefined) rmSync(root, { recursive: true });
}
process.exitCode = wrong === 0 ? 0 : 1;
