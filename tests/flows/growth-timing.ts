// Run by growth.test.ts in a process of its own: prints how many times as long 100,000 calls take as 10,000, by the
// median of five. Processor time, because a busy machine takes away the clock's; and the caller gives V8 room for all of
// it, or the copying of what survives would be measured, which is worse than linear for bare promises as well.
import { ends, many } from './growth-calls.ts';

const run = ends[process.argv[2]!]!;
const collect = (globalThis as { gc?: () => void }).gc!;

async function cost(n: number): Promise<number> {
  collect();
  const before = process.cpuUsage();
  await run(n);
  const { user, system } = process.cpuUsage(before);
  return user + system;
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;

const few: number[] = [];
const all: number[] = [];
await run(many);
for (let round = 0; round < 5; round++) {
  few.push(await cost(many / 10));
  all.push(await cost(many));
}
console.log(median(all) / median(few));
