import { bulkhead, circuitBreaker, fallback, pipeline, type Policy, retry, Stage, timeout } from 'seaworthy';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { metricsStream, type PipelineMetrics } from '../../src/console/index.ts';
import { virtualClock } from '../../src/testing/virtual-clock.ts';
import { Reader } from './reader.ts';

const down = new Error('down');
const hang = () => new Promise<never>(() => {});
const none = { success: 0, fallback: 0, failure: 0, cancelled: 0, ignored: 0 };

afterEach(() => vi.restoreAllMocks());

/** A pipeline of its own name, and a stream of it alone. */
function stand(name: string, policies: readonly Policy<any>[] = []) {
  const clock = virtualClock(5_000);
  const pipe = pipeline(name, policies, { telemetry: false, clock });
  const reader = new Reader(metricsStream({ pipelines: [name], clock }));
  const event = async () => {
    const next = reader.events();
    await clock.advance(1_000);
    return (await next)[0]!;
  };
  return { clock, pipe, reader, event };
}

describe('an event', () => {
  it('of a pipeline that has done nothing is all zero, and has nothing to compare with', async () => {
    const { pipe, event } = stand('form-idle', [timeout(10)]);
    const before = Date.now();
    const first = await event();
    expect(first).toEqual({
      type: 'pipeline',
      version: 1,
      name: 'form-idle',
      id: expect.any(Number),
      time: expect.any(Number),
      total: {
        calls: 0,
        outcomes: none,
        attempts: 0,
        retries: 0,
        timeouts: 0,
        late: 0,
        rejections: { deadline_exceeded: 0, draining: 0 },
      },
      since: null,
      last10s: { calls: 0, failures: 0 },
      errorRatio: null,
      active: 0,
      latency: null,
      policies: pipe.snapshot().policies,
    } satisfies PipelineMetrics);
    expect(first.time).toBeGreaterThanOrEqual(before);
    expect(first.time).toBeLessThanOrEqual(Date.now());
  });

  it('has the counts since creation and since the last event, as rates too', async () => {
    const { clock, pipe, event } = stand('form-counts');
    for (let i = 0; i < 3; i++) await pipe.execute(() => i);
    await event();
    for (let i = 0; i < 2; i++) await pipe.execute(() => i);
    for (let i = 0; i < 6; i++) await pipe.tryExecute(() => Promise.reject(down));
    void pipe.execute(hang);
    await clock.advance(1_000);
    const { total, since, last10s, errorRatio, active } = await event();
    expect(total).toMatchObject({ calls: 12, attempts: 12, outcomes: { ...none, success: 5, failure: 6 } });
    expect(since).toEqual({
      ms: 2_000,
      calls: 9,
      callsPerSecond: 4.5,
      outcomes: { ...none, success: 2, failure: 6 },
      errorRatio: 0.75,
      fallbackRatio: 0,
      attempts: 9,
      attemptsPerSecond: 4.5,
      retries: 0,
      timeouts: 0,
      late: 0,
      rejections: { deadline_exceeded: 0, draining: 0 },
    });
    expect([last10s, errorRatio, active]).toEqual([{ calls: 11, failures: 6 }, 6 / 11, 1]);
    expect(await event()).toMatchObject({ since: { ms: 1_000, calls: 0, callsPerSecond: 0, errorRatio: null } });
  });

  it('adds up what the policies count: retries, timeouts, late answers, calls turned away', async () => {
    const chain = [
      fallback({ to: hang, timeoutMs: 5 }),
      retry({ maxRetries: 1, backoff: 0, budget: false }),
      circuitBreaker({ consecutiveFailures: 2 }),
      bulkhead({ limit: 1, holdUntilSettled: false }),
      timeout(10),
    ];
    const { clock, pipe, event } = stand('form-sums', chain);
    await event();
    const slow = () => new Promise((resolve) => clock.after(20, () => resolve(1)));
    for (let i = 0; i < 3; i++) {
      const call = pipe.tryExecute(slow);
      await clock.advance(100);
      await call;
    }
    const { since, policies } = await event();
    // The first call opens the circuit by its two attempts; the other two are turned away. Each fallback is too slow.
    expect(since).toMatchObject({
      attempts: 2,
      retries: 1,
      timeouts: 2 + 3,
      late: 2,
      rejections: { circuit_open: 2, bulkhead_full: 0 },
      errorRatio: 1,
    });
    expect(policies.map(({ name, kind }) => [name, kind])).toEqual([
      ['form-sums/fallback', 'fallback'],
      ['form-sums/retry', 'retry'],
      ['form-sums/circuit_breaker', 'circuit_breaker'],
      ['form-sums/bulkhead', 'bulkhead'],
      ['form-sums/timeout', 'timeout'],
    ]);
    expect(policies[2]).toMatchObject({ state: 'open' });
  });

  it("counts the caller's own deadline as a timeout, and calls that a pipeline takes no more as turned away", async () => {
    const { clock, pipe, event } = stand('form-deadline');
    await event();
    const call = pipe.tryExecute(hang, { timeoutMs: 5 });
    await clock.advance(5);
    await call;
    pipe.dispose();
    await pipe.tryExecute(() => 1);
    expect((await event()).since).toMatchObject({ timeouts: 1, rejections: { draining: 1 } });
  });

  it('says which share fallbacks answered, which is no failure of the pipeline', async () => {
    const { pipe, event } = stand('form-fallback', [fallback({ to: () => 'spare', when: (error) => error === down })]);
    await event();
    for (const error of [down, down, down, 'other']) await pipe.tryExecute(() => Promise.reject(error));
    expect(await event()).toMatchObject({ errorRatio: 0.25, since: { errorRatio: 0.25, fallbackRatio: 0.75 } });
  });

  it('has the percentiles of the last seconds from the second event on', async () => {
    const { clock, pipe, event } = stand('form-latency');
    await event();
    const call = pipe.execute(() => new Promise((resolve) => clock.after(200, () => resolve(1))));
    await clock.advance(200);
    await call;
    const { latency } = await event();
    for (const quantile of Object.values(latency!)) expect(Math.abs(quantile / 200 - 1)).toBeLessThan(0.07);
    expect(Object.keys(latency!)).toEqual(['p50', 'p90', 'p99']);
  });

  it('tells pipelines of one name apart, for as long as they live and to every reader', async () => {
    const clock = virtualClock();
    const twins = [1, 2].map(() => pipeline('form-twins', [], { telemetry: false, clock }));
    await twins[1]!.execute(() => 1);
    const read = () => new Reader(metricsStream({ pipelines: ['form-twins'], clock })).events();
    const seen = (await read()).map(({ id, total }) => [id, total.calls]);
    expect(seen.map(([, calls]) => calls)).toEqual([0, 1]);
    expect(seen[0]![0]).not.toBe(seen[1]![0]);
    expect((await read()).map(({ id, total }) => [id, total.calls])).toEqual(seen);
  });
});

describe("a policy of the user's own", () => {
  const own = (name: string, says: unknown): Policy => ({
    kind: 'own',
    name,
    stage: () => new (class extends Stage {})(),
    snapshot: () => says as never,
  });

  it('is told as it tells itself, and its words are not taken for counts', async () => {
    const { event } = stand('form-own', [own('gate', { kind: 'custom', timeouts: 7, rejections: { full: 3 } })]);
    const { policies, total } = await event();
    expect(policies).toEqual([{ name: 'gate', bypassed: false, kind: 'custom', timeouts: 7, rejections: { full: 3 } }]);
    expect([total.timeouts, total.rejections]).toEqual([0, { deadline_exceeded: 0, draining: 0 }]);
  });

  it('that says what JSON cannot hold costs its pipeline the list of policies, and a warning', async () => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const { pipe, event } = stand('form-bigint', [own('big', { kind: 'custom', level: 1n }), timeout(10)]);
    await pipe.execute(() => 1);
    expect(await event()).toMatchObject({ name: 'form-bigint', total: { calls: 1 }, policies: [] });
    expect((await event()).since).toMatchObject({ calls: 0 });
    expect(warned.mock.calls.map(([warning]) => (warning as Error).message)).toEqual([
      'form-bigint: "policies" is empty in metrics streams, because what one says of itself is not JSON.',
    ]);
  });

  it('that poses as one of ours with nonsense costs its pipeline the event, and no other pipeline', async () => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const clock = virtualClock();
    const options = { telemetry: false, clock } as const;
    const kept = [
      pipeline('form-liar', [own('liar', { kind: 'bulkhead', rejections: null })], options),
      pipeline('form-honest', [], options),
    ];
    const reader = new Reader(metricsStream({ pipelines: kept.map(({ name }) => name), clock }));
    expect((await reader.events()).map(({ name }) => name)).toEqual(['form-honest']);
    expect(warned.mock.calls.map(([warning]) => (warning as Error).message)).toEqual([
      'form-liar is missing in metrics streams: what a policy says of itself is no snapshot.',
    ]);
  });
});
