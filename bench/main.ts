/**
 * What five policies cost, beside a bare await and beside the peers. Each case runs in a process of its own together with
 * the bare await, several times; the table shows medians. `--check` only shows that every case runs, in one short process
 * each: the figures of that mean nothing.
 */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { bare, variants } from './cases.ts';
import { compare, interleaved, median, type Reading } from './measure.ts';
import { compared, signals } from './telemetry.ts';

const check = process.argv.includes('--check');
const given = (name: string) =>
  process.argv.find((argument) => argument.startsWith(`--${name}=`))?.slice(name.length + 3);
const only = given('case');
const signal = given('signal');

if (signal !== undefined) {
  // What each adds to a call of its round, so that the call itself is no part of the ratio.
  const rows = await interleaved(compared(signals[signal]!), check ? 1 : 15, check ? 100 : 5_000);
  console.log(JSON.stringify(rows.map(([off, ours, byHand]) => [ours! - off!, byHand! - off!])));
  process.exit(0);
}

if (only !== undefined) {
  const variant = { name: only, call: variants[only]!() };
  const reading = check ? await compare(bare, variant, 1, 100) : await compare(bare, variant, 15, 20_000);
  console.log(JSON.stringify(reading));
  // opossum's intervals would hold the process.
  process.exit(0);
}

const processes = check ? 1 : 7;
const names = Object.keys(variants);
const readings = new Map<string, Reading[]>(names.map((name) => [name, []]));
// Case by case within each round, so that a machine that slows down does so for all.
for (let round = 0; round < processes; round++)
  for (const name of names) readings.get(name)!.push(run(`--case=${name}`));

/** One case in a process of its own. */
function run(which: string) {
  const args = [fileURLToPath(import.meta.url), which, ...(check ? ['--check'] : [])];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' }));
}

const ratioOf = (name: string) => median(readings.get(name)!.map(({ ratio }) => ratio));
const width = Math.max(...names.map(({ length }) => length));
console.log(`Node ${process.version}; medians of ${processes} processes per case, ratios to a bare await beside it\n`);
console.log(`${'case'.padEnd(width)}  ${'ns/call'.padStart(9)}  ${'x bare'.padStart(8)}`);
for (const name of names) {
  const ns = median(readings.get(name)!.map(({ nsPerCall }) => nsPerCall));
  console.log(`${name.padEnd(width)}  ${ns.toFixed(0).padStart(9)}  ${ratioOf(name).toFixed(1).padStart(8)}`);
}
const ours = ratioOf('five policies, telemetry on, no SDK');
const cockatiel = ratioOf("cockatiel's five") / ours;
console.log(`\nfive policies without an SDK: ${ours.toFixed(1)} x a bare await (bar: at most 10)`);
console.log(`cockatiel's five: ${cockatiel.toFixed(1)} x ours (bar: at least 10)`);

console.log(
  `\nwhat telemetry adds to a call of five policies, beside a span per policy and a counter per event by hand\n`,
);
console.log(`${'signals'.padEnd(width)}  ${'ns, ours'.padStart(9)}  ${'by hand'.padStart(9)}  ${'x ours'.padStart(8)}`);
for (const name of Object.keys(signals)) {
  const rows: number[][] = [];
  for (let round = 0; round < (check ? 1 : 3); round++) rows.push(...run(`--signal=${name}`));
  const [ours, byHand] = [0, 1].map((column) => median(rows.map((row) => row[column]!)));
  const ratio = median(rows.map(([own, hand]) => hand! / own!));
  console.log(
    `${name.padEnd(width)}  ${ours!.toFixed(0).padStart(9)}  ${byHand!.toFixed(0).padStart(9)}  ${ratio.toFixed(1).padStart(8)}`,
  );
}
