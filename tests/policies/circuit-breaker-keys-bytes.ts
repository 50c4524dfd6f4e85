// Run by circuit-breaker-keys.test.ts in a process of its own: prints the bytes of heap that each of 100,000 keys takes
// which have been called twice and never failed, the names apart.
import { circuitBreaker, pipeline } from '../../src/index.ts';

const collect = (globalThis as { gc?: () => void }).gc!;

function heap(): number {
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}

const count = 100_000;
// Parsed, because V8 would build pasted ones when they are first looked up.
const keys: string[] = JSON.parse(JSON.stringify(Array.from({ length: count }, (_, n) => `tenant-${n}.example.com`)));
const pipe = pipeline('keys', [circuitBreaker({ keys: { max: count } })], { telemetry: false });
const work = async () => 1;
for (const key of keys.slice(0, 1_000)) await pipe.execute(work, { key: `warm-${key}` });
const before = heap();
for (let round = 0; round < 2; round++) for (const key of keys) await pipe.execute(work, { key });
console.log((heap() - before) / count, pipe.snapshot().calls);
