import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import contract from '../adapters/otel/contract.json' with { type: 'json' };
import { type Receiver, startReceiver, type WirePoint, type WireSpan } from './receiver.ts';
import { type Service, startService } from './service.ts';
import { ask, counted, idle, play, settings } from './story.ts';

interface Expected {
  readonly kind: string;
  readonly unit: string;
  readonly required: Readonly<Record<string, unknown>>;
  readonly optional?: Readonly<Record<string, unknown>>;
}

/** Upper limits in seconds: operators' queries name them. */
const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30];

/** The SDK takes a span's start from the wall clock, in whole milliseconds; in nanoseconds. */
const clockStep = 2_000_000n;
/** A circuit reads a clock that may be 5 ms old, and more where the event loop is late; in nanoseconds. */
const coarse = 20_000_000n;

describe('what an outage leaves at an OTLP receiver', () => {
  let receiver: Receiver;
  let service: Service;
  let exitCode: number | null;
  let whileOpen: readonly WirePoint[];
  let after: readonly WirePoint[];

  beforeAll(async () => {
    receiver = await startReceiver();
    service = await startService({ otlpEndpoint: receiver.endpoint, env: settings });
    await play(service, async () => void (whileOpen = await next(receiver)));
    after = await next(receiver);
    exitCode = await service.stop();
  }, 60_000);

  afterAll(async () => {
    await service?.stop();
    await receiver?.close();
  });

  test('is understood, and nothing on the way complained', () => {
    expect(receiver.faults).toEqual([]);
    expect(exitCode).toBe(0);
    expect(service.output().replace(/^(upstream|service) on .*\n/gm, '')).toBe('');
  });

  test('an attempt that timed out and the one that repeated it stand in one execution, each above its request', () => {
    expect(tree(receiver.spans, 'GET /quote/b')).toEqual([
      'GET /quote/b SERVER UNSET',
      '  execute prices INTERNAL UNSET attempt.count=2 outcome=success pipeline.name=prices pipeline.policies=fallback,retry,circuit_breaker,bulkhead,timeout retry.result=success_after_retry',
      '    attempt prices INTERNAL ERROR (timed out after 1500 ms) attempt.kind=initial attempt.number=1 circuit_breaker.state=closed error.type=timeout outcome=failure pipeline.name=prices timeout.duration=1.5',
      '      GET CLIENT ERROR (timed out after 1500 ms) error.type=timeout',
      '    attempt prices INTERNAL UNSET attempt.kind=retry attempt.number=2 circuit_breaker.state=closed outcome=success pipeline.name=prices retry.delay=0.03',
      '      GET CLIENT UNSET http.request.resend_count=1',
      '  execute signatures INTERNAL UNSET attempt.count=1 outcome=success pipeline.name=signatures pipeline.policies=bulkhead,timeout',
    ]);
  });

  test('a call that a fallback answered is no error, and its attempts say why they failed', () => {
    expect(tree(receiver.spans, 'GET /quote/c').slice(0, -1)).toEqual([
      'GET /quote/c SERVER UNSET',
      '  execute prices INTERNAL UNSET attempt.count=3 fallback.reason=circuit_open outcome=fallback pipeline.name=prices pipeline.policies=fallback,retry,circuit_breaker,bulkhead,timeout retry.result=not_retryable',
      '    attempt prices INTERNAL ERROR attempt.kind=initial attempt.number=1 circuit_breaker.state=closed error.type=503 outcome=failure pipeline.name=prices',
      '      GET CLIENT ERROR error.type=503',
      '    attempt prices INTERNAL ERROR attempt.kind=retry attempt.number=2 circuit_breaker.state=closed error.type=503 outcome=failure pipeline.name=prices retry.delay=0.03',
      '      GET CLIENT ERROR error.type=503 http.request.resend_count=1',
      '    attempt prices INTERNAL ERROR (circuit open) attempt.kind=retry attempt.number=3 error.type=circuit_open outcome=failure pipeline.name=prices rejection.reason=circuit_open retry.delay=0.03',
      '    fallback prices INTERNAL UNSET pipeline.name=prices',
    ]);
  });

  test('a call that nothing saved is an error with the type of its last attempt', () => {
    const lines = tree(receiver.spans, 'GET /stock/e');
    expect(lines.slice(0, 2)).toEqual([
      'GET /stock/e SERVER UNSET',
      '  execute stock INTERNAL ERROR attempt.count=3 error.type=503 outcome=failure pipeline.name=stock pipeline.policies=timeout,retry,circuit_breaker,bulkhead,timeout retry.result=exhausted',
    ]);
    expect(lines.filter((line) => line.includes('CLIENT'))).toEqual([
      '      GET CLIENT ERROR error.type=503',
      '      GET CLIENT ERROR error.type=503 http.request.resend_count=1',
      '      GET CLIENT ERROR error.type=503 http.request.resend_count=2',
    ]);
  });

  test('attempts that the open circuit turned away link to the attempt that opened it, and no other span links', () => {
    const opener = attempt(receiver, 'GET /quote/c', 2);
    const links = [{ traceId: opener.traceId, spanId: opener.spanId }];
    expect(attempt(receiver, 'GET /quote/c', 3).links).toEqual(links);
    const turnedAway = attempt(receiver, 'GET /quote/d', 1);
    expect(turnedAway.links).toEqual(links);
    expect(turnedAway.traceId).not.toBe(opener.traceId);
    expect(receiver.spans.filter((span) => span.links.length > 0)).toHaveLength(2);
  });

  test('one call in nine finds no place, four say how long they waited for theirs', () => {
    const attempts = [...'123456789'].map((item) => attempt(receiver, `GET /quote/${item}`, 1));
    const reasons = attempts.map(({ attributes }) => attributes['seaworthy.rejection.reason']);
    expect(reasons.filter((reason) => reason !== undefined)).toEqual(['bulkhead_full']);
    const waits = attempts.map(({ attributes }) => attributes['seaworthy.concurrency.queue.duration'] as number);
    const waited = waits.filter((seconds) => seconds !== undefined);
    expect(waited).toHaveLength(4);
    for (const seconds of waited) expectBetween(seconds, 0.2, 2);
    const queue = after.find(({ name }) => name === 'seaworthy.concurrency.queue.duration')!;
    expect(queue.sum).toBeCloseTo(waited.reduce((sum, seconds) => sum + seconds));
  });

  test('every span of ours ends once, inside its parent, without events, and never says OK', () => {
    const byId = new Map(receiver.spans.map((span) => [span.spanId, span]));
    expect(byId.size).toBe(receiver.spans.length);
    const ours = receiver.spans.filter(isOurs);
    expect(new Set(ours.map(({ scope }) => scope)).size).toBe(1);
    for (const span of ours) {
      const parent = byId.get(span.parentSpanId!)!;
      expect([span.traceId, span.events]).toEqual([parent.traceId, []]);
      const inside = span.start >= parent.start - clockStep && span.end <= parent.end + clockStep;
      expect(inside, `${span.name} in ${parent.name}`).toBe(true);
      expect(span.status).not.toBe('OK');
    }
  });

  test('the circuit tells its three changes as log events, in the spans that brought them about', () => {
    const opener = attempt(receiver, 'GET /quote/c', 2);
    const probe = attempt(receiver, 'GET /quote/f', 1);
    expect(receiver.logs.map(({ scope, time, ...log }) => log)).toEqual([
      change('WARN', 'closed', 'open', opener, { 'seaworthy.circuit_breaker.failure_ratio': 0.6, 'error.type': '503' }),
      change('INFO', 'open', 'half_open', probe, {}),
      change('INFO', 'half_open', 'closed', probe, { 'seaworthy.circuit_breaker.failure_ratio': 0 }),
    ]);
    const [opened, halfOpened, closed] = receiver.logs.map(({ time }) => time) as [bigint, bigint, bigint];
    expect(opened >= opener.start - coarse && opened <= opener.end + clockStep).toBe(true);
    expectBetween(Number(halfOpened - opened) / 1e6, Number(settings.BREAK_MS) - 50, Number(settings.BREAK_MS) + 50);
    expect(closed >= probe.start - coarse && closed <= probe.end + clockStep).toBe(true);
  });

  test('while the circuit is open its status says so, and only the closed one has a failure ratio', () => {
    const values = byKey(whileOpen);
    expect(values['circuit_breaker.status open prices/circuit_breaker']).toBe(1);
    expect(values['circuit_breaker.status closed prices/circuit_breaker']).toBe(0);
    expect(values['circuit_breaker.status closed stock/circuit_breaker']).toBe(1);
    expect(values['circuit_breaker.transitions open prices/circuit_breaker']).toBe(1);
    expect(values['circuit_breaker.failure_ratio stock/circuit_breaker']).toBeCloseTo(3 / 7);
    expect(values).not.toHaveProperty(['circuit_breaker.failure_ratio prices/circuit_breaker']);
  });

  test('while the bulkhead is full, what runs and what waits can be seen', () => {
    const seen = receiver.exports.map((points) => byKey(ours(points)));
    const [active, running, waiting] = idle;
    const levels = seen.map((values) => [active, running, waiting].map((key) => values[key!]));
    expect(levels).toContainEqual([8, 4, 4]);
  });

  test('every metric stands at what was done, streams of what did not happen at 0', () => {
    const values = byKey(after);
    for (const key of idle) expect(values, key).toHaveProperty([key], 0);
    const measured = Object.entries(values).filter(([key, value]) => value !== 0 && !isMeasured(key));
    expect(Object.fromEntries(measured)).toEqual(counted);
    for (const pipeline of ['prices', 'stock']) {
      expectBetween(values[`retry.budget.remaining ${pipeline}/retry`], 95, 100);
    }
  });

  test('every metric has the kind, the unit, the attributes and the temporality that the contract gives it', () => {
    const listed: Readonly<Record<string, Expected>> = contract.metrics;
    for (const { name, kind, unit, attributes, temporality, scope } of [...whileOpen, ...after]) {
      const { required = {}, optional = {}, ...rest } = listed[name] ?? {};
      expect({ name, ...rest }).toMatchObject({ name, kind, unit });
      expect(Object.keys({ ...required, ...attributes }), name).toHaveLength(Object.keys(attributes).length);
      expect(Object.keys(attributes).filter((key) => !(key in required || key in optional))).toEqual([]);
      expect(temporality).toBe(kind === 'gauge' ? undefined : 'cumulative');
      expect(scope).toMatch(/^seaworthy@\d+\.\d+\.\d+$/);
    }
    const arrived = new Set([...whileOpen, ...after].map(({ name }) => name));
    expect([...arrived].filter((name) => !(name in listed))).toEqual([]);
    const said = [...Object.keys(counted), ...idle].map((key) => `seaworthy.${key.split(' ')[0]}`);
    for (const name of [...said, 'seaworthy.circuit_breaker.failure_ratio', 'seaworthy.retry.budget.remaining'])
      expect(arrived).toContain(name);
  });

  test('durations come in seconds, in the buckets that were advised', () => {
    const durations = after.filter(({ kind }) => kind === 'histogram');
    for (const { boundaries, counts, value } of durations) {
      expect(boundaries).toEqual(buckets);
      expect(counts!.reduce((sum, count) => sum + count)).toBe(value);
    }
    const timedOut = durations.find(({ attributes }) => attributes['error.type'] === 'timeout')!;
    expectBetween(timedOut.sum, 1.49, 2.5);
    expect(timedOut.counts!.indexOf(1)).toBe(buckets.indexOf(2.5));
  });

  test('after it has drained, a service leaves states at 0 and counts where they were', () => {
    const last = ours(receiver.exports.at(-1)!);
    const states = last.filter(({ kind }) => kind === 'gauge' || kind === 'up_down');
    expect(states.filter(({ value }) => value !== 0)).toEqual([]);
    const values = byKey(last);
    for (const { name, kind, attributes } of after)
      if (kind === 'counter' || kind === 'histogram') {
        const key = keyOf(name, attributes);
        expect(values[key], key).toBe(counted[key] ?? 0);
      }
  });
});

test('an exporter that asks for deltas gets the counts of each interval, and states as they are', async () => {
  const receiver = await startReceiver();
  const env = {
    ...settings,
    OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: 'delta',
    OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
  };
  const service = await startService({ otlpEndpoint: receiver.endpoint, env });
  try {
    await ask(service, 'quote/a');
    await next(receiver);
    await ask(service, 'quote/b');
    await ask(service, 'quote/c');
    const settled = await next(receiver);
    await next(receiver);
    await service.stop();
    const all = receiver.exports.flatMap(ours);
    for (const { name, kind, temporality } of all)
      expect(temporality, name).toBe(kind === 'gauge' ? undefined : kind === 'up_down' ? 'cumulative' : 'delta');
    const total = (name: string) =>
      all
        .filter((point) => point.name === name && Object.values(point.attributes).includes('success'))
        .filter(({ attributes }) => !String(attributes['seaworthy.pipeline.name']).startsWith('signatures'))
        .reduce((sum, { value }) => sum + value, 0);
    expect(total('seaworthy.pipeline.duration')).toBe(3);
    expect(total('seaworthy.retry.executions')).toBe(3);
    expect(byKey(settled)['concurrency.limit prices/bulkhead bulkhead']).toBe(4);
    expect(receiver.faults).toEqual([]);
  } finally {
    await service.stop();
    await receiver.close();
  }
}, 60_000);

test('a refused connection has the word of the system for it on attempts, requests and the execution', async () => {
  const receiver = await startReceiver();
  const service = await startService({ otlpEndpoint: receiver.endpoint, env: settings });
  try {
    await service.upstream.set('down');
    expect(await ask(service, 'stock/a')).toMatchObject({ status: 503 });
    await service.upstream.set('healthy');
    expect(await ask(service, 'stock/b')).toMatchObject({ status: 200 });
    await service.stop();
    const failed = tree(receiver.spans, 'GET /stock/a').map((line) =>
      [/^ *(.*?) [A-Z]+ (?:UNSET|ERROR)/.exec(line)?.[1], /error\.type=(\S+)/.exec(line)?.[1]].join(' '),
    );
    const attempt = ['attempt stock ECONNREFUSED', 'GET ECONNREFUSED'];
    expect(failed).toEqual(['GET /stock/a ', 'execute stock ECONNREFUSED', ...attempt, ...attempt, ...attempt]);
  } finally {
    await service.stop();
    await receiver.close();
  }
}, 60_000);

/** The first export that was collected after this call: one may be on its way. */
async function next(receiver: Receiver): Promise<WirePoint[]> {
  const at = receiver.exports.length + 1;
  await receiver.until('an export of the metrics', () => receiver.exports.length > at);
  return ours(receiver.exports[at]!);
}

function expectBetween(value: number | undefined, low: number, high: number): void {
  expect(value).toBeGreaterThanOrEqual(low);
  expect(value).toBeLessThanOrEqual(high);
}

function ours(points: readonly WirePoint[]): WirePoint[] {
  return points.filter(({ name }) => name.startsWith('seaworthy.'));
}

function isOurs({ scope }: WireSpan): boolean {
  return scope.startsWith('seaworthy@');
}

/** A share of time or of calls that no story fixes. */
function isMeasured(key: string): boolean {
  return /^(retry\.budget\.remaining|circuit_breaker\.failure_ratio)/.test(key);
}

function keyOf(name: string, attributes: WirePoint['attributes']): string {
  const words = Object.keys(attributes)
    .sort()
    .map((key) => attributes[key]);
  return [name.replace('seaworthy.', ''), ...words].join(' ');
}

/** Throws when two streams have the same attributes. */
function byKey(points: readonly WirePoint[]): Record<string, number> {
  const values: Record<string, number> = {};
  for (const { name, attributes, value } of points) {
    const key = keyOf(name, attributes);
    if (key in values) throw new Error(`two streams for ${key}`);
    values[key] = value;
  }
  return values;
}

function change(severity: string, from: string, to: string, { traceId, spanId }: WireSpan, more: object) {
  const attributes = {
    'seaworthy.policy.name': 'prices/circuit_breaker',
    'seaworthy.circuit_breaker.state': to,
    'seaworthy.circuit_breaker.previous_state': from,
    ...more,
  };
  return { event: 'seaworthy.circuit_breaker.state_change', severity, body: undefined, attributes, traceId, spanId };
}

function attempt({ spans }: Receiver, root: string, number: number): WireSpan {
  const { traceId } = spans.find(({ name }) => name === root)!;
  const found = spans.filter(
    (span) => span.traceId === traceId && span.attributes['seaworthy.attempt.number'] === number,
  );
  expect(found).toHaveLength(1);
  return found[0]!;
}

/** The spans below the root of that name: kind, status and every attribute of ours, indented as they are nested. */
function tree(spans: readonly WireSpan[], root: string): string[] {
  const roots = spans.filter(({ name, parentSpanId }) => name === root && parentSpanId === undefined);
  const lines = (span: WireSpan, indent: string): string[] => {
    const facts = Object.entries(span.attributes)
      .filter(([key]) => /^(seaworthy|error)\.|resend/.test(key))
      .map(([key, value]) => `${key.replace('seaworthy.', '')}=${value}`)
      .sort();
    const words = [span.name, span.kind, span.status, ...(span.message ? [`(${span.message})`] : []), ...facts];
    const below = spans.filter(({ parentSpanId }) => parentSpanId === span.spanId);
    below.sort((a, b) => Number(a.start - b.start));
    return [indent + words.join(' '), ...below.flatMap((child) => lines(child, `${indent}  `))];
  };
  return roots.flatMap((span) => lines(span, ''));
}
