import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { circuitBreaker, pipeline } from 'seaworthy';
import { expect, it } from 'vitest';
import { stateOf, turn } from '../policies/stand.ts';

/** Bytes of heap in use, when what can go has gone. */
function heap(): number {
  const collect = (globalThis as { gc?: () => void }).gc!;
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}

it('100,000 calls with every kind of end leave nothing behind', { timeout: 120_000 }, async () => {
  const script = fileURLToPath(new URL('../../scripts/soak.ts', import.meta.url));
  const args = ['--expose-gc', '--no-warnings', '--experimental-strip-types', script, '--source', '--calls=100000'];
  const { code, output } = await new Promise<{ code: unknown; output: string }>((resolve) => {
    execFile(process.execPath, args, { timeout: 110_000 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : (error.code ?? error.signal), output: stdout + stderr }),
    );
  });
  expect(output).toMatch(/\n[1-9]\d* passed, 0 failed\n$/);
  expect(code).toBe(0);
});

it('a million keys, half of which open their circuit, take no more memory than the first of them', {
  timeout: 120_000,
}, async () => {
  const max = 1_000;
  using pipe = pipeline('keys', [circuitBreaker({ consecutiveFailures: 1, keys: { max } })], { telemetry: false });
  const gone = new Error('gone');
  const run = async (from: number, to: number) => {
    for (let n = from; n < to; n++)
      await pipe.tryExecute(() => (n % 2 === 0 ? n : Promise.reject(gone)), { key: `tenant ${n}` });
  };
  await run(0, 100_000);
  const before = heap();
  await run(100_000, 1_000_000);
  expect(stateOf(pipe).circuits).toBe(max + 1);
  expect(stateOf(pipe).executions).toMatchObject({ success: 500_000, failure: 500_000, rejected: 0 });
  expect(heap() - before).toBeLessThan(1_048_576);
});

it('signals of 100,000 callers, all alive at once, leave nothing behind when they have gone', {
  timeout: 60_000,
}, async () => {
  using pipe = pipeline('signals', [], { telemetry: false });
  const run = async (n: number) => {
    const signals = Array.from({ length: n }, () => new AbortController().signal);
    for (const signal of signals) await pipe.execute(() => 1, signal);
    await turn();
  };
  await run(1_000);
  await turn();
  const before = heap();
  await run(100_000);
  await turn();
  expect(heap() - before).toBeLessThan(1_048_576);
});
