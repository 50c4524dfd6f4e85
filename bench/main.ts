import { bare, variants } from './cases.ts';
import { compare } from './measure.ts';

/** `--check` only shows that every case runs; the figures of so short a run mean nothing. */
const check = process.argv.includes('--check');
const readings = await compare(
  check ? { ...bare, calls: 500 } : bare,
  check ? variants().map((v) => ({ ...v, calls: 200 })) : variants(),
  check ? 1 : 11,
);

const width = Math.max(...readings.map(({ name }) => name.length));
console.log(
  `Node ${process.version}, median of ${check ? 1 : 11} interleaved rounds; ratios to a bare await of the same round\n`,
);
console.log(`${'case'.padEnd(width)}  ${'ns/call'.padStart(9)}  ${'x bare'.padStart(8)}`);
for (const { name, nsPerCall, ratio } of readings)
  console.log(`${name.padEnd(width)}  ${nsPerCall.toFixed(0).padStart(9)}  ${ratio.toFixed(1).padStart(8)}`);

const ratioOf = (name: string) => readings.find((reading) => reading.name === name)!.ratio;
const ours = ratioOf('five policies, telemetry on, no SDK');
const cockatiel = ratioOf('cockatiel, its five');
console.log(
  `\nfive policies without an SDK: ${ours.toFixed(1)} x bare (bar: 10); cockatiel's five cost ${(cockatiel / ours).toFixed(1)} x ours (bar: 10)`,
);
// opossum's intervals would hold the process.
process.exit(!check && (ours > 10 || cockatiel / ours < 10) ? 1 : 0);
