import { getHeapSpaceStatistics } from 'node:v8';
import * as otel from '@opentelemetry/api';
import { bulkhead, circuitBreaker, fallback, pipeline, retry, timeout } from '../../../src/index.ts';
import { virtualClock } from '../../../src/testing/index.ts';

/*
 * Prints the bytes that one call through five policies leaves on the heap, telemetry off and on, while no SDK is
 * registered. The young generation must be large enough that nothing is collected while it is measured.
 */

const calls = 20_000;
/** The least of so many, and on a machine where much else is going on of more, as long as they differ. */
const rounds = { least: 7, most: 60 };

const off = five('off', false);
const on = five('on', true);
const heap: Record<string, { off: number; on: number }> = {};

heap['nothing registered'] = await compare();
otel.diag.setLogger({ error() {}, warn() {}, info() {}, debug() {}, verbose() {} });
heap['a diag logger registered'] = await compare();
console.log(JSON.stringify(heap));

function five(name: string, telemetry: boolean) {
  const p = pipeline(
    name,
    [fallback({ to: { value: 0 } }), retry(), circuitBreaker(), bulkhead({ limit: 10 }), timeout(10_000)],
    // Its time stands still: a busy machine would arm more of the library's timers in one round than in another.
    { telemetry, clock: virtualClock() },
  );
  const answer = async () => 1;
  return async (times: number) => {
    for (let i = 0; i < times; i++) await p.execute(answer);
  };
}

async function compare(): Promise<{ off: number; on: number }> {
  const seen: Record<'off' | 'on', number[]> = { off: [], on: [] };
  for (const run of [off, on]) await run(20_000);
  // What else leaves something there meanwhile only adds to it.
  const least = () => ({ off: Math.min(...seen.off), on: Math.min(...seen.on) });
  for (let round = 0; round < rounds.most; round++) {
    seen.off.push(await bytes(off));
    seen.on.push(await bytes(on));
    if (round >= rounds.least && least().on - least().off < 1) break;
  }
  return least();
}

async function bytes(run: (times: number) => Promise<void>): Promise<number> {
  (globalThis as unknown as { gc(): void }).gc();
  const before = young();
  await run(calls);
  return (young() - before) / calls;
}

/** Where new objects are, and nothing else: what the compiler makes lives elsewhere. */
function young(): number {
  return getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')?.space_used_size ?? Number.NaN;
}
