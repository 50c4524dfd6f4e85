import { bulkhead, fallback, pipeline, retry, timeout } from 'seaworthy';
import { beforeEach, expect, test } from 'vitest';
import { metricsSdk, valueOf, withoutComplaints } from './sdk.ts';

const Q = 'seaworthy.policy.name';
const P = 'seaworthy.pipeline.name';

let sdk: ReturnType<typeof metricsSdk>;

withoutComplaints();
beforeEach(() => {
  sdk = metricsSdk();
});

async function collectGarbage(): Promise<void> {
  for (let round = 0; round < 3; round++) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    (globalThis as unknown as { gc(): void }).gc();
  }
  await new Promise((resolve) => setTimeout(resolve, 5));
}

const telemetry = () => ({ telemetry: { meterProvider: sdk.provider } });
const fail = () => Promise.reject(new Error('no'));

test('telemetry does not keep a pipeline, and keeps what it has counted', async () => {
  const use = async () => {
    const p = pipeline('used', [retry({ maxRetries: 1, backoff: 0 }), bulkhead({ limit: 5 })], telemetry());
    await p.execute(fail).catch(() => {});
    return new WeakRef(p);
  };
  const gone = [];
  for (let i = 0; i < 10; i++) gone.push(await use());
  expect(valueOf(await sdk.collect(), 'seaworthy.concurrency.limit', { [Q]: 'used/bulkhead' })).toBe(50);
  await collectGarbage();
  expect(gone.filter((ref) => ref.deref() !== undefined)).toEqual([]);
  await sdk.collect();
  const points = await sdk.collect();
  expect(valueOf(points, 'seaworthy.retry.attempts', { [Q]: 'used/retry' })).toBe(10);
  expect(valueOf(points, 'seaworthy.concurrency.limit', { [Q]: 'used/bulkhead' })).toBe(0);
});

test('a disposed pipeline is let go, also when a function in it knows it', async () => {
  const use = async () => {
    const p = pipeline(
      'knows-itself',
      [fallback({ to: (): string => p.name }), retry({ maxRetries: 1, backoff: 0 })],
      telemetry(),
    );
    await p.execute(fail);
    p.dispose();
    return new WeakRef(p);
  };
  const gone = await use();
  await sdk.collect();
  await collectGarbage();
  expect(gone.deref()).toBeUndefined();
  expect(valueOf(await sdk.collect(), 'seaworthy.retry.attempts', { [Q]: 'knows-itself/retry' })).toBe(1);
});

test('a pipeline that nobody holds any more is counted until its last call has ended', async () => {
  let finish = (): void => {};
  const call = pipeline('forgotten', [timeout(60_000)], telemetry()).execute(
    () => new Promise<void>((resolve) => (finish = resolve)),
  );
  await collectGarbage();
  expect(valueOf(await sdk.collect(), 'seaworthy.execution.active', { [P]: 'forgotten' })).toBe(1);
  finish();
  await call;
  const points = await sdk.collect();
  expect(valueOf(points, 'seaworthy.execution.active', { [P]: 'forgotten' })).toBe(0);
  expect(valueOf(points, 'seaworthy.pipeline.duration', { [P]: 'forgotten' })).toBe(1);
});

test('a nested pipeline is counted as long as the one around it lives', async () => {
  const outer = pipeline(
    'outer',
    [pipeline('inner', [retry({ maxRetries: 1, backoff: 0 })], telemetry())],
    telemetry(),
  );
  await collectGarbage();
  await sdk.collect();
  await outer.execute(fail).catch(() => {});
  expect(valueOf(await sdk.collect(), 'seaworthy.retry.attempts', { [Q]: 'inner/retry' })).toBe(1);
});

test('after disposal the calls it turns away are still counted', async () => {
  const p = pipeline('disposed', [], telemetry());
  p.dispose();
  await expect(p.execute(() => 1)).rejects.toThrow('draining');
  expect(
    valueOf(await sdk.collect(), 'seaworthy.rejections', { [Q]: 'disposed', 'seaworthy.rejection.reason': 'draining' }),
  ).toBe(1);
});
