import { readFileSync } from 'node:fs';
import * as otel from '@opentelemetry/api';
import { bulkhead, circuitBreaker, fallback, pipeline, retry, timeout } from 'seaworthy';
import { virtualClock } from 'seaworthy/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { listenToDiag, logsSdk, metricsSdk, type Point, register, tracesSdk, unregister } from './sdk.ts';

/**
 * Drives every policy down every path on a real SDK and holds what came out against contract.json, both ways: nothing
 * that is not in the file, and nothing in the file that never comes. A failure here is a change of public API.
 */

type Values = string | readonly string[];
interface Shape {
  readonly required: Readonly<Record<string, Values>>;
  readonly optional?: Readonly<Record<string, Values>>;
}
interface Contract {
  readonly scope: string;
  readonly errorTypes: readonly string[];
  readonly statusDescriptions: readonly string[];
  readonly spans: Readonly<Record<string, Shape & { kind: keyof typeof otel.SpanKind }>>;
  readonly links: Readonly<Record<string, string>>;
  readonly metrics: Readonly<Record<string, Shape & { kind: Point['kind']; unit: string }>>;
  readonly logs: Readonly<Record<string, Shape & { severity: Readonly<Record<string, string>> }>>;
}

const contract: Contract = JSON.parse(readFileSync(new URL('contract.json', import.meta.url), 'utf8'));

const [traces, metrics, logs] = [tracesSdk(), metricsSdk(), logsSdk()];
const clock = virtualClock();
const options = { clock, random: () => 0.5 };
/** What pipelines are made here stays reachable, or its last states would be 0. */
const kept: unknown[] = [];

const ok = () => 'ok';
const hang = () => new Promise<never>(() => {});
const fail = () => Promise.reject(Object.assign(new Error('foreign: refused'), { code: 'ECONNREFUSED' }));
const failAs = (name: string) => () => Promise.reject(Object.assign(new Error(''), { name }));

let made = 0;
function make(policies: Parameters<typeof pipeline>[1], more: object = {}) {
  const p = pipeline(`p${++made}`, policies as never, { ...options, ...more });
  kept.push(p);
  return p;
}

async function settle(...calls: Promise<unknown>[]): Promise<void> {
  for (const call of calls) call.catch(() => {});
  await clock.advance(0);
}

/** The policies that may stand inside a retry or alone, down every path; with `again` they stand inside one. */
async function drive(again: boolean): Promise<void> {
  const around = (policies: readonly unknown[]) =>
    make((again ? [retry({ maxRetries: 0 }), ...policies] : policies) as never);
  // Outcomes.
  for (const verdict of ['success', 'failure', 'ignored'] as const) {
    const p = make([...(again ? [retry({ maxRetries: 0 })] : [])], { classify: () => verdict });
    await settle(p.execute(ok), p.execute(fail));
  }
  await settle(
    around([fallback({ to: () => 'b' })]).execute(fail),
    around([fallback({ to: { value: 'b' } })]).execute(fail),
  );
  await settle(around([fallback({ to: failAs('SecondError') })]).execute(fail));
  const controller = new AbortController();
  const cancelled = around([]).execute(hang, controller.signal);
  controller.abort();
  await settle(cancelled);
  // Timeouts, also of work that ends late, and none left to begin with.
  let finish = (_: unknown): void => {};
  const late = around([timeout(50)]).execute(
    () =>
      new Promise((resolve) => {
        finish = resolve;
      }),
  );
  await settle(late, around([timeout({ ms: () => 0 })]).execute(ok));
  await clock.advance(50);
  finish('late');
  // A full bulkhead, its queue, and a slot given up before its work has ended.
  const narrow = around([bulkhead({ limit: 1, queue: 2, maxWaitMs: 30 })]);
  const first = narrow.execute(
    () =>
      new Promise((resolve) => {
        finish = resolve;
      }),
  );
  await settle(first, narrow.execute(ok), narrow.execute(hang), narrow.execute(ok));
  await clock.advance(20);
  finish('ok');
  await clock.advance(0);
  await settle(narrow.execute(ok));
  await clock.advance(30);
  const leaking = around([timeout(10), bulkhead({ limit: 1, holdUntilSettled: { maxMs: 40 } })]);
  await settle(leaking.execute(hang));
  await clock.advance(100);
  // A circuit through all of its states.
  const breaker = circuitBreaker({ consecutiveFailures: 1, breakMs: 100, halfOpenCalls: 1, name: `breaker-${again}` });
  const guarded = around([breaker]);
  const states = async () => {
    await settle(guarded.execute(fail));
    await settle(guarded.execute(ok));
    await clock.advance(100);
    await settle(guarded.execute(ok));
    await settle(guarded.execute(ok));
  };
  await states();
  const isolated = breaker.isolate();
  await settle(guarded.execute(ok));
  await metrics.collect();
  isolated.dispose();
  const disabled = breaker.disable();
  await settle(guarded.execute(ok));
  disabled.dispose();
  await settle(guarded.execute(ok));
  const aborted = new AbortController();
  const ignored = guarded.execute(hang, aborted.signal);
  aborted.abort();
  await settle(ignored);
  // The caller's deadline: passed while running, and too little left to start.
  const hasty = around([]);
  await settle(hasty.execute(hang, { timeoutMs: 5 }), hasty.execute(ok, { timeoutMs: 0 }));
  await clock.advance(5);
}

/** What only a retry can end in. */
async function driveRetry(): Promise<void> {
  const flaky = () => {
    let calls = 0;
    return () => (++calls % 2 === 1 ? fail() : ok());
  };
  const p = make([retry({ maxRetries: 1, backoff: 10 })]);
  await settle(p.execute(ok), p.execute(flaky()), p.execute(fail));
  await clock.advance(10);
  await settle(make([retry({ when: () => false })]).execute(fail));
  await settle(make([retry({ budget: { ratio: 0, minPerSecond: 0, capacity: 0 } })]).execute(fail));
  await settle(make([retry({ budget: false, backoff: 100 })]).execute(fail, { timeoutMs: 20 }));
  const controller = new AbortController();
  const waiting = make([retry({ backoff: 100 })]).execute(fail, controller.signal);
  await settle(waiting);
  controller.abort();
  await settle(waiting);
  // An outer timeout ends the attempt that runs.
  await settle(make([timeout(15), retry()]).execute(hang));
  await clock.advance(15);
  // An attempt that got its slot after a wait, and one that was turned away for want of time, inside the attempt.
  await settle(make([retry({ maxRetries: 0 }), timeout({ ms: () => 0 })]).execute(ok));
  // Wait, failure ratio, draining.
  const ratio = make([circuitBreaker({ minimumCalls: 2, failureRatio: 1, name: 'ratio' })]);
  await settle(ratio.execute(ok), ratio.execute(fail));
  const gone = pipeline('gone', [], options);
  kept.push(gone);
  gone.dispose();
  await settle(gone.execute(ok));
}

let points: Point[];
let diag: string[];

beforeAll(async () => {
  diag = listenToDiag();
  register({ tracerProvider: traces.provider, meterProvider: metrics.provider, loggerProvider: logs.provider });
  await drive(false);
  await drive(true);
  await driveRetry();
  points = await metrics.collect();
});

afterAll(() => {
  unregister();
  kept.length = 0;
});

const word = new RegExp(
  `^(?:${contract.errorTypes.join('|')}|_OTHER|[A-Z][A-Z0-9_]{2,40}|[A-Za-z_$][\\w$.-]{0,60}|[1-5]\\d\\d)$`,
);

/** What is wrong with a value, by the file. */
function violation(allowed: Values, value: unknown): string | undefined {
  const fits =
    typeof allowed !== 'string'
      ? allowed.includes(value as string)
      : allowed === 'int'
        ? Number.isInteger(value)
        : allowed === 'word'
          ? typeof value === 'string' && word.test(value)
          : allowed === 'string[]'
            ? Array.isArray(value) && value.every((item) => typeof item === 'string')
            : typeof value === allowed;
  return fits ? undefined : `must be ${JSON.stringify(allowed)}, was ${JSON.stringify(value)}`;
}

/** Everything in which `attributes` differs from `shape`. */
function violations(
  where: string,
  { required, optional = {} }: Shape,
  attributes: Readonly<Record<string, unknown>>,
): string[] {
  const found = Object.keys(required)
    .filter((key) => !(key in attributes))
    .map((key) => `${where}: ${key} is missing`);
  for (const [key, value] of Object.entries(attributes)) {
    const allowed = required[key] ?? optional[key];
    const wrong = allowed === undefined ? 'is not in contract.json' : violation(allowed, value);
    if (wrong !== undefined) found.push(`${where}: ${key} ${wrong}`);
  }
  return found;
}

/** Every key, and every value of a list, that never came. */
function missing(
  where: string,
  { required, optional = {} }: Shape,
  all: readonly Readonly<Record<string, unknown>>[],
): string[] {
  if (all.length === 0) return [`${where} was never emitted`];
  return Object.entries({ ...required, ...optional }).flatMap(([key, allowed]) => {
    const seen = new Set(all.filter((attributes) => key in attributes).map((attributes) => attributes[key]));
    if (seen.size === 0) return [`${where}: ${key} was never emitted`];
    return typeof allowed === 'string'
      ? []
      : allowed.filter((value) => !seen.has(value)).map((value) => `${where}: ${key}=${value} was never emitted`);
  });
}

const title = (name: string) => name.replace(/ \S+$/, ' {pipeline}');
const texts = (description: string) => description.replace(/ \d+(?:\.\d+)? ms$/, ' {n} ms');

describe('nothing is emitted that is not in contract.json', () => {
  test('spans', () => {
    const wrong = traces.spans().flatMap((span) => {
      const name = title(span.name);
      const shape = contract.spans[name];
      if (shape === undefined) return [`span "${span.name}" is not in contract.json`];
      const found = violations(name, shape, span.attributes);
      if (span.instrumentationScope.name !== contract.scope)
        found.push(`${name}: scope ${span.instrumentationScope.name}`);
      if (span.kind !== otel.SpanKind[shape.kind]) found.push(`${name}: kind ${otel.SpanKind[span.kind]}`);
      if (span.events.length > 0) found.push(`${name}: has span events`);
      if (span.links.length > 0 && contract.links[name] === undefined) found.push(`${name}: has links`);
      const { code, message } = span.status;
      if (code === otel.SpanStatusCode.OK) found.push(`${name}: status OK`);
      if ((code === otel.SpanStatusCode.ERROR) !== 'error.type' in span.attributes)
        found.push(`${name}: ERROR and error.type must come together`);
      if (
        message !== undefined &&
        !message.startsWith('foreign: ') &&
        !contract.statusDescriptions.includes(texts(message))
      )
        found.push(`${name}: description "${message}" is not in contract.json`);
      return found;
    });
    expect([...new Set(wrong)]).toEqual([]);
  });

  test('metrics', () => {
    const wrong = points.flatMap(({ name, kind, unit, attributes }) => {
      const shape = contract.metrics[name];
      if (shape === undefined) return [`metric ${name} is not in contract.json`];
      const found = violations(name, shape, attributes);
      if (kind !== shape.kind || unit !== shape.unit) found.push(`${name}: is a ${kind} of ${unit}`);
      return found;
    });
    expect([...new Set(wrong)]).toEqual([]);
  });

  test('logs', () => {
    const wrong = logs.records().flatMap(({ eventName = '', severityText, attributes }) => {
      const shape = contract.logs[eventName];
      if (shape === undefined) return [`log event ${eventName} is not in contract.json`];
      const found = violations(eventName, shape, attributes);
      if (severityText !== shape.severity[String(attributes['seaworthy.circuit_breaker.state'])])
        found.push(`${eventName}: is ${severityText}`);
      return found;
    });
    expect([...new Set(wrong)]).toEqual([]);
  });

  test('and the SDK has nothing to complain about', () => {
    expect(diag).toEqual([]);
  });
});

describe('nothing is in contract.json that never comes', () => {
  test('spans', () => {
    const all = traces.spans();
    const never = Object.entries(contract.spans).flatMap(([name, shape]) =>
      missing(
        name,
        shape,
        all.filter((span) => title(span.name) === name).map(({ attributes }) => attributes),
      ),
    );
    const linked = new Set(all.filter(({ links }) => links.length > 0).map(({ name }) => title(name)));
    never.push(
      ...Object.keys(contract.links)
        .filter((name) => !linked.has(name))
        .map((name) => `${name} was never linked`),
    );
    const said = new Set(all.map(({ status }) => texts(status.message ?? '')));
    never.push(...contract.statusDescriptions.filter((text) => !said.has(text)).map((text) => `nobody said "${text}"`));
    const types = new Set(all.map(({ attributes }) => attributes['error.type']));
    never.push(
      ...contract.errorTypes.filter((type) => !types.has(type)).map((type) => `error.type=${type} was never emitted`),
    );
    expect(never).toEqual([]);
  });

  test('metrics, each with a value other than 0 once', () => {
    const never = Object.entries(contract.metrics).flatMap(([name, shape]) =>
      missing(
        name,
        shape,
        points.filter((point) => point.name === name).map(({ attributes }) => attributes),
      ),
    );
    expect(never).toEqual([]);
    // A counter stuck at 0 would be there all the same.
    const counted = (point: Point) =>
      JSON.stringify([point.name, ...Object.entries(point.attributes).filter(([key]) => !key.endsWith('.name'))]);
    const counters = points.filter(({ kind }) => kind === 'counter' || kind === 'histogram');
    const moved = new Set(counters.filter(({ value }) => value > 0).map(counted));
    expect([...new Set(counters.map(counted))].filter((stream) => !moved.has(stream))).toEqual([]);
  });

  test('logs', () => {
    const never = Object.entries(contract.logs).flatMap(([name, shape]) =>
      missing(
        name,
        shape,
        logs
          .records()
          .filter(({ eventName }) => eventName === name)
          .map(({ attributes }) => attributes),
      ),
    );
    expect(never).toEqual([]);
  });
});
