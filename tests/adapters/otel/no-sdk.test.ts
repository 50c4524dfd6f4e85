import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import * as otel from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { bulkhead, circuitBreaker, fallback, pipeline, retry, timeout } from 'seaworthy';
import { virtualClock } from 'seaworthy/testing';
import { afterEach, describe, expect, test } from 'vitest';
import { metricsSdk, register, unregister } from './sdk.ts';

afterEach(unregister);

/** A clock that counts how often it is read. */
function countingClock() {
  const clock = virtualClock();
  const reads = { now: 0, coarse: 0 };
  return {
    reads,
    advance: clock.advance.bind(clock),
    now: () => (reads.now++, clock.now()),
    coarse: () => (reads.coarse++, clock.now()),
    after: clock.after.bind(clock),
  };
}

/** How often calls of every kind through five policies read the clock. */
async function reads(telemetry: boolean): Promise<{ now: number; coarse: number }> {
  const clock = countingClock();
  const p = pipeline(
    'clocked',
    [
      fallback({ to: () => 'b' }),
      retry({ maxRetries: 1, backoff: 10 }),
      circuitBreaker({ consecutiveFailures: 4, breakMs: 50 }),
      bulkhead({ limit: 1, queue: 1 }),
      timeout(5),
    ],
    { clock, telemetry, random: () => 0.5 },
  );
  const all: Promise<unknown>[] = [];
  const functions: (() => unknown)[] = [() => 1, () => Promise.reject(new Error('no')), () => new Promise(() => {})];
  for (const fn of functions)
    for (let times = 0; times < 3; times++) {
      all.push(p.execute(fn), p.execute(fn, { key: 'k', timeoutMs: 30 }));
      await clock.advance(20);
    }
  await clock.advance(100);
  await Promise.all(all);
  return { ...clock.reads };
}

describe('while no SDK is registered', () => {
  test.each([
    ['nothing', () => {}],
    ['a diag logger', () => otel.diag.setLogger({ error() {}, warn() {}, info() {}, debug() {}, verbose() {} })],
    ['a context manager', () => otel.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())],
  ])('and %s is, telemetry reads no clock', async (_what, registered) => {
    registered();
    const off = await reads(false);
    expect(off.now).toBeGreaterThan(0);
    expect(off.coarse).toBeGreaterThan(0);
    expect(await reads(true)).toEqual(off);
  });

  test('a clock is read for telemetry as soon as there is one', async () => {
    const off = await reads(false);
    register({ meterProvider: metricsSdk().provider });
    expect((await reads(true)).now).toBeGreaterThan(off.now);
  });

  test('a call through five policies leaves as many bytes on the heap as without telemetry', async () => {
    const child = fileURLToPath(new URL('no-sdk.child.ts', import.meta.url));
    const young = ['--min-semi-space-size=64', '--max-semi-space-size=64'];
    const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', ...young, child]);
    const heap: Record<string, { off: number; on: number }> = JSON.parse(stdout);
    expect(Object.keys(heap)).toEqual(['nothing registered', 'a diag logger registered']);
    for (const { off, on } of Object.values(heap)) {
      expect(off).toBeGreaterThan(200);
      // The smallest object there is takes 16 bytes.
      expect(on - off).toBeLessThan(8);
    }
  }, 60_000);
});
