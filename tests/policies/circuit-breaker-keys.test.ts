import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

it('a key that has never failed takes less than 200 bytes', { timeout: 60_000 }, async () => {
  const script = fileURLToPath(new URL('circuit-breaker-keys-bytes.ts', import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', '--no-warnings', script]);
  const [bytes, calls] = stdout.split(' ').map(Number);
  expect(calls).toBe(201_000);
  // Below this nothing would be kept of them.
  expect(bytes).toBeGreaterThan(50);
  expect(bytes).toBeLessThan(200);
});
