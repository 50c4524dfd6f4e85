import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const files = globSync('examples/*.ts', { cwd: root }).sort();

/** Lines each example prints, in order; others may stand between them. */
const prints: Record<string, readonly string[]> = {
  'bulkhead.ts': ['2 active, 1 waiting', 'failure bulkhead_full', '1 1', '0 0'],
  'circuit-breaker.ts': [
    'closed -> open',
    'true Error: out of order',
    'half_open',
    'open -> half_open',
    'half_open -> closed',
    'isolated failure',
    'closed',
    'open closed',
  ],
  'cockatiel-migration.ts': [
    'answered at call 3',
    'answered at call 6',
    'answered at call 9',
    'answered at call 12',
    'true',
  ],
  'console.ts': ['text/event-stream', 'undefined undefined undefined closed', '5 5 2 open'],
  'custom-policy.ts': [
    '[ 1.08, 1.08, 1.08 ]',
    '1',
    'Error: rates/gate is closed',
    'coalesce: keeps 13 promises',
    'gate: keeps 13 promises',
  ],
  'fallback.ts': ['1', '0', 'instead of: out of order', 'RangeError: too far', 'failure not needed'],
  'fetch.ts': [
    "200 { method: 'GET' }",
    '503 out of order',
    '503 out of order',
    '7 requests',
    '503 3 requests',
    'not needed',
  ],

  'metric-producer.ts': [
    'seaworthy.retry.attempts 10',
    'seaworthy.pipeline.duration s 100 success prices',
    'seaworthy.attempt.duration s 90 initial success prices',
  ],
  'otel.ts': [
    'GET /checkout              SERVER   UNSET',
    '└─ execute payments        INTERNAL UNSET outcome=success  attempt.count=2',
    '   ├─ attempt payments     INTERNAL ERROR outcome=failure  attempt.number=1  attempt.kind=initial  error.type=timeout',
    '   │  └─ POST              CLIENT   UNSET',
    '   └─ attempt payments     INTERNAL UNSET outcome=success  attempt.number=2  attempt.kind=retry  retry.delay=0.03',
    '      └─ POST              CLIENT   UNSET',
    '└─ execute payments        INTERNAL UNSET outcome=fallback  attempt.count=2',
    '   └─ fallback payments    INTERNAL UNSET',
    'seaworthy.timeouts 1 seaworthy.policy.name=payments/timeout',
  ],
  'quickstart.ts': ['42 EUR', 'the price of anchors', 'value 7 undefined', '3 5 3'],
  'retry.ts': ['attempt 1 failed, again in 5 ms', 'found in attempt 3', '2 Error: still down', '503', '3'],
  'shutdown.ts': ['DrainingError: pipeline is draining', 'finished', 'closed'],
  'timeout.ts': ['TimeoutError: timed out after 20 ms', 'true true', 'done', 'failure', 'cleaned up: true'],
  'virtual-clock.ts': ['  attempt 1 at 0 ms'],
};

describe('examples', () => {
  it('are all listed here', () => {
    expect(files.map((file) => basename(file))).toEqual(Object.keys(prints));
  });

  it.concurrent.each(files)('%s runs, prints what it says and ends by itself', { timeout: 60_000 }, async (file) => {
    const { code, out, err } = await run(file);
    expect(err.replace(/^.*(SeaworthyWarning|ExperimentalWarning|--trace-warnings|on purpose).*\n/gm, '')).toBe('');
    expect(code).toBe(0);
    let rest = out.split('\n');
    for (const line of prints[basename(file)] ?? []) {
      const at = rest.indexOf(line);
      expect(
        at,
        `${file} must print ${JSON.stringify(line)} here, and goes on with:\n${rest.join('\n')}`,
      ).toBeGreaterThanOrEqual(0);
      rest = rest.slice(at + 1);
    }
  });
});

/** Runs a file as its reader would, on the built package: `seaworthy` in it is this package itself. */
function run(file: string): Promise<{ code: number | null; out: string; err: string }> {
  // Node 22 strips types without being asked from 22.18 on.
  const flags = process.versions.node.startsWith('22.') ? ['--experimental-strip-types'] : [];
  const child = spawn(process.execPath, [...flags, join(root, file)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NODE_OPTIONS: '', NO_COLOR: '1' },
  });
  let out = '';
  let err = '';
  child.stdout.on('data', (data) => (out += data));
  child.stderr.on('data', (data) => (err += data));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, out, err }));
  });
}
