import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The demo's own processes, the same ports and policies as in the long run; only the timetable is shorter. */
it('keeps its promises, for real, on the shortened timetable', { timeout: 60_000 }, async () => {
  expect(existsSync(`${root}/dist/index.js`), 'the demo runs on the build: npm run build').toBe(true);
  const { code, stdout, stderr } = await run(['--fast']);
  expect(stderr).toBe('');
  expect(code, stdout).toBe(0);
  expect(stdout).not.toContain('\x1b');
  expect(stdout.match(/^ {2}kept/gm)).toHaveLength(5);
  for (const phase of ['HEALTHY', 'SLOW', 'FAILING', 'DOWN', 'RECOVERING'])
    expect(stdout).toContain(`${phase}: the upstream `);
  expect(stdout).not.toContain('there was none in this run');

  const last = JSON.parse(stdout.trimEnd().split('\n').at(-1)!);
  const count = expect.any(Number);
  expect(last).toEqual({
    calls: count,
    success: count,
    fallback: count,
    failure: 0,
    retries: count,
    rejected: count,
    transitions: count,
    spans: count,
    plainFetch: { success: count, failure: count },
  });
  expect(last.calls).toBeGreaterThan(0);
  expect(last.success + last.fallback).toBe(last.calls);
  expect(last.plainFetch.success + last.plainFetch.failure).toBe(last.calls);
  expect(last.plainFetch.failure).toBeGreaterThan(0);
  for (const what of ['success', 'fallback', 'retries', 'rejected', 'transitions'])
    expect(last[what], what).toBeGreaterThan(0);
});

it('stops at once when asked to, and takes its processes with it', { timeout: 30_000 }, async () => {
  const { code, stdout } = await run([], (demo) => setTimeout(() => demo.kill('SIGINT'), 300));
  expect(code).toBe(130);
  expect(stdout).not.toContain('What was promised');
});

/** Ends when the output does, that is when no process of the demo holds it any more. */
function run(args: string[], onOutput?: (demo: ReturnType<typeof spawn>) => void) {
  return new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve, reject) => {
    const demo = spawn(process.execPath, ['demo/main.ts', ...args], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    demo.stdout.once('data', () => onOutput?.(demo));
    demo.stdout.on('data', (chunk) => (stdout += chunk));
    demo.stderr.on('data', (chunk) => (stderr += chunk));
    demo.on('error', reject);
    demo.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}
