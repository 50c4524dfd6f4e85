import * as otel from '@opentelemetry/api';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { breaker, bulkhead, ended, fakePipeline as lostPipeline, fresh, timeout } from './fake.ts';
import { listenToDiag, metricsSdk, type Point, register, tracesSdk, unregister, valueOf } from './sdk.ts';

/** As users do: what nobody holds is collected, and its states with it. */
const kept: unknown[] = [];

function fakePipeline(...args: Parameters<typeof lostPipeline>) {
  const p = lostPipeline(...args);
  kept.push(p);
  return p;
}

let sdk: ReturnType<typeof metricsSdk>;
let diag: string[];

beforeEach(() => {
  sdk = metricsSdk();
  diag = listenToDiag();
});

afterEach(() => {
  kept.length = 0;
  unregister();
  expect(diag).toEqual([]);
});

const P = 'seaworthy.pipeline.name';
const Q = 'seaworthy.policy.name';

/** An own provider keeps the pipelines of one test apart from those of the others. */
function own(more: object = {}) {
  return { telemetry: { meterProvider: sdk.provider, ...more } };
}

function end(
  p: ReturnType<typeof fakePipeline>,
  outcome: Parameters<typeof ended>[0],
  more: Parameters<typeof ended>[1] = {},
) {
  p.observer.interest();
  p.observer.end('execution', undefined, ended(outcome, more), p.call());
}

async function collectGarbage(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  (globalThis as unknown as { gc(): void }).gc();
  await new Promise((resolve) => setTimeout(resolve, 20));
}

describe('histograms', () => {
  test('one record per call, in seconds, with an error type on failures only', async () => {
    const p = fakePipeline(own());
    expect(p.observer.interest()).toBe(1);
    end(p, 'success');
    end(p, 'success');
    end(p, 'failure', { error: new TypeError('x') });
    end(p, 'failure', { errorType: '503' });
    const points = (await sdk.collect()).filter(({ name }) => name === 'seaworthy.pipeline.duration');
    expect(points).toEqual(
      [
        [2, { 'seaworthy.outcome': 'success' }],
        [1, { 'seaworthy.outcome': 'failure', 'error.type': 'TypeError' }],
        [1, { 'seaworthy.outcome': 'failure', 'error.type': '503' }],
      ].map(([value, attributes]) =>
        expect.objectContaining({
          kind: 'histogram',
          unit: 's',
          scope: 'seaworthy@0.1.0',
          value,
          attributes: { [P]: p.name, ...(attributes as object) },
        }),
      ),
    );
    expect(points[0]?.boundaries).toEqual([
      0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30,
    ]);
  });

  test('attempts are recorded where they repeat, and not when they were turned away', async () => {
    const once = fakePipeline(own());
    const again = fakePipeline({ ...own(), repeats: true });
    for (const p of [once, again]) {
      p.observer.interest();
      p.observer.end('attempt', undefined, ended('success'), p.call({ attempt: 1 }));
      p.observer.end('attempt', undefined, ended('failure', { rejected: true }), p.call({ attempt: 1 }));
      p.observer.end(
        'attempt',
        undefined,
        ended('failure', { error: new TypeError() }),
        p.call({ attempt: 2, attemptKind: 'retry' }),
      );
    }
    const attempts = (await sdk.collect()).filter(({ name }) => name === 'seaworthy.attempt.duration');
    expect(attempts.map(({ attributes, value }) => ({ ...attributes, value }))).toEqual([
      { [P]: again.name, 'seaworthy.attempt.kind': 'initial', 'seaworthy.outcome': 'success', value: 1 },
      {
        [P]: again.name,
        'seaworthy.attempt.kind': 'retry',
        'seaworthy.outcome': 'failure',
        'error.type': 'TypeError',
        value: 1,
      },
    ]);
  });

  test('calls that waited are recorded, without any tracing', async () => {
    const p = fakePipeline(own());
    p.observer.interest();
    p.observer.event({ type: 'dequeued', policy: 'q', waitedMs: 20 }, p.call(), undefined);
    expect(valueOf(await sdk.collect(), 'seaworthy.concurrency.queue.duration', { [Q]: 'q' })).toBe(1);
  });

  test('a histogram has the buckets of all pipelines known at the first call; one that comes later is told', async () => {
    const a = fakePipeline(own({ durationBuckets: [0.3, 0.1] }));
    fakePipeline(own({ durationBuckets: [0.2, 0.1] }));
    end(a, 'success');
    fakePipeline(own({ durationBuckets: [0.1] }));
    expect((await sdk.collect()).find(({ name }) => name.endsWith('pipeline.duration'))?.boundaries).toEqual([
      0.1, 0.2, 0.3,
    ]);
    expect(diag).toEqual([]);
    const late = fakePipeline(own({ durationBuckets: [7] }));
    expect(diag.splice(0)).toEqual([
      expect.stringContaining(`"durationBuckets" of pipeline "${late.name}" came too late`),
    ]);
  });
});

describe('counts and states', () => {
  test('are there at 0 before the first call, when the SDK was there first', async () => {
    register({ meterProvider: sdk.provider });
    const p = fakePipeline({ policies: [breaker('zero/circuit_breaker')] });
    const points = await sdk.collect();
    expect(valueOf(points, 'seaworthy.execution.active', { [P]: p.name })).toBe(0);
    expect(
      valueOf(points, 'seaworthy.rejections', {
        [Q]: 'zero/circuit_breaker',
        'seaworthy.rejection.reason': 'circuit_open',
      }),
    ).toBe(0);
    expect(
      valueOf(points, 'seaworthy.circuit_breaker.status', {
        [Q]: 'zero/circuit_breaker',
        'seaworthy.circuit_breaker.state': 'closed',
      }),
    ).toBe(1);
    expect(
      valueOf(points, 'seaworthy.circuit_breaker.status', {
        [Q]: 'zero/circuit_breaker',
        'seaworthy.circuit_breaker.state': 'open',
      }),
    ).toBe(0);
    expect(points.filter(({ name }) => name === 'seaworthy.circuit_breaker.failure_ratio')).toEqual([]);
  });

  test('from before the SDK was registered survive', async () => {
    const p = fakePipeline({ policies: [timeout('early', 7)] });
    expect(p.observer.interest()).toBe(0);
    register({ meterProvider: sdk.provider });
    expect(p.observer.interest()).toBe(1);
    expect(valueOf(await sdk.collect(), 'seaworthy.timeouts', { [Q]: 'early' })).toBe(7);
  });

  test('of instances with one name are summed, a policy in two pipelines is counted once', async () => {
    const shared = breaker('shared');
    shared.state = { ...shared.state, failureRatio: 0.4, executions: { ...shared.state.executions, failure: 5 } };
    const name = fresh();
    const one = fakePipeline({ ...own(), name, policies: [timeout('t', 2), shared] });
    const two = fakePipeline({ ...own(), name, policies: [shared, timeout('t', 3)] });
    one.counts.active = 1;
    two.counts.active = 4;
    two.counts.late = 2;
    const other = breaker('shared');
    other.state = { ...other.state, failureRatio: 0.9 };
    fakePipeline({ ...own(), policies: [other] });
    const points = await sdk.collect();
    expect(valueOf(points, 'seaworthy.timeouts', { [Q]: 't' })).toBe(5);
    expect(valueOf(points, 'seaworthy.execution.active', { [P]: name })).toBe(5);
    expect(valueOf(points, 'seaworthy.late', { [Q]: name })).toBe(2);
    expect(
      valueOf(points, 'seaworthy.circuit_breaker.executions', {
        [Q]: 'shared',
        'seaworthy.circuit_breaker.result': 'failure',
      }),
    ).toBe(5);
    expect(
      valueOf(points, 'seaworthy.circuit_breaker.status', {
        [Q]: 'shared',
        'seaworthy.circuit_breaker.state': 'closed',
      }),
    ).toBe(2);
    expect(valueOf(points, 'seaworthy.circuit_breaker.failure_ratio', { [Q]: 'shared' })).toBe(0.9);
  });

  test('the provider a pipeline was given may also be the global one', async () => {
    const name = fresh();
    fakePipeline({ ...own(), policies: [timeout(name, 2)] });
    register({ meterProvider: sdk.provider });
    fakePipeline({ policies: [timeout(name, 3)] });
    expect(valueOf(await sdk.collect(), 'seaworthy.timeouts', { [Q]: name })).toBe(5);
  });

  test('disposal keeps the counters and shows states at 0', async () => {
    const limited = bulkhead('gone', 3);
    const p = fakePipeline({ ...own(), policies: [limited, timeout('gone/timeout', 3)] });
    p.counts.late = 1;
    await sdk.collect();
    p.observer.dispose();
    p.observer.dispose();
    p.counts.rejections.draining++;
    const next = fakePipeline({ ...own(), name: p.name, policies: [timeout('gone/timeout', 2)] });
    for (let collection = 0; collection < 2; collection++) {
      const points = await sdk.collect();
      expect(valueOf(points, 'seaworthy.timeouts', { [Q]: 'gone/timeout' })).toBe(5);
      expect(valueOf(points, 'seaworthy.late', { [Q]: next.name })).toBe(1);
      expect(
        valueOf(points, 'seaworthy.rejections', { [Q]: next.name, 'seaworthy.rejection.reason': 'draining' }),
      ).toBe(1);
      for (const name of ['usage', 'limit', 'queue.usage', 'queue.limit'])
        expect(valueOf(points, `seaworthy.concurrency.${name}`)).toBe(0);
      expect(valueOf(points, 'seaworthy.concurrency.leaked', { [Q]: 'gone' })).toBe(0);
    }
  });

  test('a pipeline that was disposed of while calls run is counted to their end', async () => {
    const limit = timeout('running', 1);
    const p = fakePipeline({ ...own(), policies: [limit] });
    p.counts.active = 1;
    p.observer.dispose();
    expect(valueOf(await sdk.collect(), 'seaworthy.execution.active', { [P]: p.name })).toBe(1);
    limit.state.timeouts++;
    p.counts.active = 0;
    const points = await sdk.collect();
    expect(valueOf(points, 'seaworthy.execution.active', { [P]: p.name })).toBe(0);
    expect(valueOf(points, 'seaworthy.timeouts', { [Q]: 'running' })).toBe(2);
  });

  test('a policy that leaves with its last pipeline and comes back is not counted twice', async () => {
    const shared = timeout('returning', 4);
    const leave = () => {
      for (let i = 0; i < 2; i++) lostPipeline({ ...own(), policies: [shared] }).observer.interest();
    };
    leave();
    await collectGarbage();
    expect(valueOf(await sdk.collect(), 'seaworthy.timeouts', { [Q]: 'returning' })).toBe(4);
    shared.state.timeouts++; // nobody is there to be read
    expect(valueOf(await sdk.collect(), 'seaworthy.timeouts', { [Q]: 'returning' })).toBe(4);
    const p = fakePipeline({ ...own(), policies: [shared, shared] });
    shared.state.timeouts++;
    expect(valueOf(await sdk.collect(), 'seaworthy.timeouts', { [Q]: 'returning' })).toBe(6);
    expect(p.observer.interest()).toBe(1);
  });

  test('a collected pipeline hands its counts over', async () => {
    const leave = () =>
      Array.from(
        { length: 20 },
        () => lostPipeline({ ...own(), name: 'weak', policies: [timeout('weak/timeout', 1)] }).counts,
      );
    const left = leave();
    await collectGarbage();
    await sdk.collect();
    for (const counts of left) counts.active = 99; // nobody looks any more
    const points = await sdk.collect();
    expect(valueOf(points, 'seaworthy.timeouts', { [Q]: 'weak/timeout' })).toBe(20);
    expect(valueOf(points, 'seaworthy.execution.active', { [P]: 'weak' }) ?? 0).toBe(0);
  });

  test('a snapshot that throws costs one message and no other metric', async () => {
    const p = fakePipeline({ ...own(), policies: [timeout('fine', 1)] });
    const bad = fakePipeline({
      ...own(),
      policies: [
        {
          ...timeout('bad'),
          get state(): never {
            throw new Error('mine');
          },
        },
      ],
    });
    expect(valueOf(await sdk.collect(), 'seaworthy.timeouts', { [Q]: 'fine' })).toBe(1);
    await sdk.collect();
    bad.observer.dispose();
    expect(diag.splice(0)).toEqual([expect.stringContaining('telemetry failed in snapshot()')]);
    expect(p.observer.interest()).toBe(1);
  });
});

describe('limits', () => {
  const names = (points: readonly Point[], metric: string, key: string) =>
    new Set(points.filter(({ name }) => name === metric).map(({ attributes }) => attributes[key]));

  test('100 pipeline names, 200 policy names, then _OTHER and one warning each', async () => {
    for (let i = 0; i < 150; i++) {
      const p = fakePipeline({
        ...own(),
        name: `many-${i}`,
        policies: [timeout(`many-${i}/a`, 1), timeout(`many-${i}/b`, 1)],
      });
      end(p, 'success');
    }
    const points = await sdk.collect();
    expect(names(points, 'seaworthy.execution.active', P).size).toBe(101);
    expect(names(points, 'seaworthy.pipeline.duration', P).size).toBe(101);
    const policies = new Set(
      ['seaworthy.timeouts', 'seaworthy.late'].flatMap((metric) => [...names(points, metric, Q)]),
    );
    expect(policies.size).toBe(301); // and pipelines speak for themselves
    const all = points.filter(({ name }) => name === 'seaworthy.timeouts').reduce((sum, { value }) => sum + value, 0);
    expect(all).toBe(300);
    expect(diag.splice(0)).toEqual([
      expect.stringContaining('more than 100 pipeline names'),
      expect.stringContaining('more than 200 policy names'),
    ]);
  });

  test('error types: 24 of others per pipeline, ours always, and the same on the span', async () => {
    const traces = tracesSdk();
    const p = fakePipeline({ telemetry: { meterProvider: sdk.provider, tracerProvider: traces.provider } });
    p.observer.interest();
    for (let i = 0; i < 40; i++) {
      const error = Object.assign(new Error('x'), { name: `Attack${i}` });
      p.observer.end(
        'execution',
        p.observer.start('execution', p.call(), undefined),
        ended('failure', { error }),
        p.call(),
      );
    }
    p.observer.end('execution', undefined, ended('failure', { error: { code: 'circuit_open' } }), p.call());
    const types = names(await sdk.collect(), 'seaworthy.pipeline.duration', 'error.type');
    expect(types.size).toBe(26);
    expect(types).toContain('_OTHER');
    expect(types).toContain('circuit_open');
    expect(new Set(traces.spans().map(({ attributes }) => attributes['error.type']))).toEqual(
      new Set([...types].filter((type) => type !== 'circuit_open')),
    );
    expect(diag.splice(0)).toEqual([expect.stringContaining('more than 24 error types')]);
  });

  test('1,500 streams of one histogram, then those of _OTHER', async () => {
    for (let i = 0; i < 90; i++) {
      const p = fakePipeline({ ...own(), name: `wide-${i}` });
      for (let j = 0; j < 20; j++) end(p, 'failure', { errorType: `${500 + j}` });
    }
    const points = (await sdk.collect()).filter(({ name }) => name === 'seaworthy.pipeline.duration');
    expect(points.length).toBe(1501);
    expect(points.reduce((sum, { value }) => sum + value, 0)).toBe(1800);
    expect(valueOf(points, 'seaworthy.pipeline.duration', { [P]: '_OTHER', 'error.type': '_OTHER' })).toBe(300);
    expect(diag.splice(0)).toEqual([expect.stringContaining('1500 streams')]);
  });
});

test('states that did not fit are shown at 0 too when they are gone', async () => {
  register({ meterProvider: sdk.provider });
  const many = [own(), {}].flatMap((more, i) =>
    Array.from({ length: 200 }, (_, j) =>
      fakePipeline({ ...more, name: `fit-${i}`, policies: [breaker(`fit-${i}-${j}`)] }),
    ),
  );
  const rest = async () =>
    (await sdk.collect()).find(
      ({ name, attributes }) =>
        name === 'seaworthy.circuit_breaker.status' && !('seaworthy.circuit_breaker.state' in attributes),
    );
  expect((await rest())?.value).toBeGreaterThan(0);
  for (const p of many) p.observer.dispose();
  expect(await rest()).toMatchObject({ value: 0, attributes: { [Q]: '_OTHER' } });
  expect(diag.splice(0)).toContainEqual(expect.stringContaining('status has 1500 streams'));
});

test('metrics: false has none', async () => {
  register({ meterProvider: sdk.provider });
  const p = fakePipeline({ telemetry: { metrics: false }, policies: [timeout('none', 1)] });
  expect(p.observer.interest()).toBe(0);
  fakePipeline();
  expect((await sdk.collect()).filter(({ attributes }) => attributes[Q] === 'none')).toEqual([]);
  expect(otel.metrics.getMeterProvider()).toBe(sdk.provider);
});
