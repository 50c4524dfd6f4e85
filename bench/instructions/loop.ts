/**
 * `loop <library> <case> <warm-up calls> <rounds> <calls per round>`: makes the calls of one case and prints, per round, the
 * bytes of heap they took. Before and after each round it asks for the process's priority, which is of no interest; but the
 * function of libuv that answers has a name, by which callgrind knows where a round begins and ends.
 */
import { getPriority } from 'node:os';
import { cases } from './cases.ts';

const [library = '', name = '', ...numbers] = process.argv.slice(2);
const [warmUp = 0, rounds = 0, calls = 0] = numbers.map(Number);

// A clock that costs what it costs and tells the same times in every run: what happens once a second would come elsewhere in each.
const { performance: clock } = globalThis;
let time = clock.now();
const now = () => (clock.now(), (time += 0.001));
Object.defineProperty(globalThis, 'performance', {
  value: Object.assign(Object.create(clock), { now }),
  writable: true,
});

const call = await cases[name]!(await import(library));

// What comes in bursts shares readings of the clock, and what a burst is depends on how fast this machine counts today. Under
// timers that somebody has replaced, as a test runner does, every call has its own.
const { setTimeout: timers } = globalThis;
globalThis.setTimeout = Object.assign((...given: Parameters<typeof timers>) => timers(...given), timers);

const loop = async (times: number) => {
  for (let i = 0; i < times; i++) await call();
};
await loop(warmUp);
const bytes: number[] = [];
for (let round = 0; round < rounds; round++) {
  const before = process.memoryUsage().heapUsed;
  getPriority();
  await loop(calls);
  getPriority();
  bytes.push(process.memoryUsage().heapUsed - before);
}
console.log(JSON.stringify(bytes));
process.exit(0);
