/**
 * What a call costs in machine instructions and bytes of heap, which no other load of the machine changes, beside the
 * figures kept in bench/instructions/figures.json; fails when one differs by more than 5 %. `--accept` keeps what was
 * measured, `--case=<part of a name>` takes the cases that match, `--dist=<folder>` another build. The instructions are
 * counted by Debian's valgrind; without it there are only the bytes, and with `CI` set that is a failure.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { cases } from '../bench/instructions/cases.ts';
import { type Cost, Counter, valgrindVersion } from '../bench/instructions/count.ts';
import { type Figures, floor, judge, table } from '../bench/instructions/judge.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const file = join(root, 'bench/instructions/figures.json');
/** At a time: each keeps a core busy. */
const abreast = 2;

const { values: given } = parseArgs({
  options: { accept: { type: 'boolean' }, case: { type: 'string' }, dist: { type: 'string' } },
});
process.exitCode = await main();

async function main(): Promise<number> {
  const dist = resolve(given.dist ?? join(root, 'dist'));
  if (!existsSync(join(dist, 'index.js'))) return refuse(`There is no build in ${dist}. Make it: npm run build`);
  const names = Object.keys(cases).filter((name) => name === floor || name.includes(given.case ?? ''));
  if (names.length === 1 && !floor.includes(given.case ?? ''))
    return refuse(`No case has "${given.case}" in its name.`);

  const kept: Figures | undefined = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
  const valgrind = (await valgrindVersion()) ?? null;
  const measured: Figures = {
    node: process.versions.node,
    arch: process.arch,
    valgrind,
    cases: await count(dist, names, valgrind !== null),
  };
  console.log(table(kept, measured));

  const some = given.case !== undefined;
  if (given.accept === true) return keep(kept, measured, some);
  if (kept === undefined) return refuse('No figures are kept yet. Keep these: npm run instructions -- --accept');
  const { notes, faults } = judge(kept, measured, some);
  for (const note of notes) console.log(`\n${note}`);
  for (const fault of faults) console.error(`\n✗ ${fault}`);
  if (valgrind === null && process.env.CI) return refuse('Here, where CI is set, the instructions must be counted.');
  return faults.length === 0 ? 0 : 1;
}

async function count(dist: string, names: readonly string[], valgrind: boolean): Promise<Record<string, Cost>> {
  using counter = new Counter(dist, valgrind);
  const costs = new Map<string, Cost>();
  const left = [...names];
  const work = async () => {
    for (let name = left.shift(); name !== undefined; name = left.shift()) {
      costs.set(name, await counter.count(name));
      if (process.stderr.isTTY) process.stderr.write(`\r${costs.size} of ${names.length}\r`);
    }
  };
  await Promise.all(Array.from({ length: abreast }, work));
  return Object.fromEntries(names.map((name) => [name, costs.get(name)!]));
}

/** Only figures of one Node, machine and valgrind stand in the file together. */
function keep(kept: Figures | undefined, measured: Figures, some: boolean): number {
  if (measured.valgrind === null)
    return refuse('Figures without instructions are not kept: there is no valgrind here.');
  const { cases: costs, ...where } = measured;
  const alike = kept?.node === where.node && kept.arch === where.arch && kept.valgrind === where.valgrind;
  if (some && !alike)
    return refuse('The kept figures are of another Node, machine or valgrind: accept all cases at once.');
  const all = some ? { ...kept?.cases, ...costs } : costs;
  const rounded = Object.keys(cases)
    .filter((name) => all[name] !== undefined)
    .map((name) => {
      const { instructions, bytes } = all[name]!;
      return [name, { instructions: Math.round(instructions!), bytes: Math.round(bytes) }];
    });
  const text = JSON.stringify({ ...where, cases: Object.fromEntries(rounded) }, null, 2);
  // A case per line.
  writeFileSync(file, `${text.replace(/\{\s+("instructions": \d+),\s+("bytes": \d+)\s+\}/g, '{ $1, $2 }')}\n`);
  console.log('\nKept in bench/instructions/figures.json.');
  return 0;
}

function refuse(why: string): number {
  console.error(`\n✗ ${why}`);
  return 1;
}
