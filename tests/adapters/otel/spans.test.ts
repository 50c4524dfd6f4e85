import { createRequire } from 'node:module';
import * as otel from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { AlwaysOffSampler } from '@opentelemetry/sdk-trace';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CircuitOpenError, TimeoutError } from '../../../src/core/errors.ts';
import { getAttempt } from '../../../src/adapters/otel/index.ts';
import { breaker, bulkhead, ended, fakePipeline } from './fake.ts';
import { listenToDiag, register, tracesSdk, unregister } from './sdk.ts';

let sdk: ReturnType<typeof tracesSdk>;
let diag: string[];

beforeEach(() => {
  sdk = tracesSdk();
  diag = listenToDiag();
  register({ tracerProvider: sdk.provider });
});

afterEach(() => {
  unregister();
  expect(diag).toEqual([]);
});

const origin = { policy: 'p/timeout', pipeline: 'p' };

/** Runs `during` in an execution with one attempt. */
function run(
  pipeline: ReturnType<typeof fakePipeline>,
  during: (execution: unknown, attempt: unknown) => void = () => {},
) {
  const { observer } = pipeline;
  const call = pipeline.call.bind(pipeline);
  expect(observer.interest()).toBe(2);
  const execution = observer.start('execution', call(), undefined);
  const attempt = observer.start('attempt', call({ attempt: 1 }), execution);
  during(execution, attempt);
  return { execution, attempt };
}

function span(name: string) {
  const found = sdk.spans().filter((candidate) => candidate.name === name);
  expect(found, `spans called "${name}"`).toHaveLength(1);
  return found[0] as (typeof found)[number];
}

describe('spans', () => {
  test('an attempt timed out, the next one answered', () => {
    const p = fakePipeline({
      name: 'payments',
      policies: [breaker('payments/circuit_breaker')],
      repeats: true,
      attributes: { team: 'a' },
    });
    const { observer } = p;
    const call = p.call.bind(p);
    expect(observer.interest()).toBe(2);
    const execution = observer.start(
      'execution',
      call({ attributes: { tenant: 't', 'seaworthy.pipeline.name': 'fake' } }),
      undefined,
    );
    const first = observer.start('attempt', call({ attempt: 1 }), execution);
    observer.event({ type: 'circuit_admission', policy: 'payments/circuit_breaker', state: 'closed' }, call(), first);
    observer.event({ type: 'timeout', policy: 'payments/timeout', timeoutMs: 50 }, call(), first);
    const error = new TimeoutError(50, origin);
    observer.end('attempt', first, ended('failure', { error }), call({ attempt: 1 }));
    const second = observer.start('attempt', call({ attempt: 2, attemptKind: 'retry', retryDelayMs: 30 }), execution);
    observer.end('attempt', second, ended('success'), call({ attempt: 2, attemptKind: 'retry' }));
    observer.event(
      { type: 'retry_result', policy: 'payments/retry', result: 'success_after_retry', retries: 1 },
      call(),
      second,
    );
    observer.end('execution', execution, ended('success', { attempts: 2 }), call({ attempt: 2 }));

    const [one, two, root] = sdk.spans();
    expect(root).toMatchObject({
      name: 'execute payments',
      kind: otel.SpanKind.INTERNAL,
      status: { code: otel.SpanStatusCode.UNSET },
      instrumentationScope: { name: 'seaworthy', version: '0.1.0' },
    });
    expect(root?.attributes).toEqual({
      team: 'a',
      tenant: 't',
      'seaworthy.pipeline.name': 'payments',
      'seaworthy.pipeline.policies': ['circuit_breaker'],
      'seaworthy.outcome': 'success',
      'seaworthy.attempt.count': 2,
      'seaworthy.retry.result': 'success_after_retry',
    });
    expect(one).toMatchObject({
      name: 'attempt payments',
      status: { code: otel.SpanStatusCode.ERROR, message: 'timed out after 50 ms' },
      parentSpanContext: { spanId: root?.spanContext().spanId },
    });
    expect(one?.attributes).toEqual({
      team: 'a',
      'seaworthy.pipeline.name': 'payments',
      'seaworthy.attempt.number': 1,
      'seaworthy.attempt.kind': 'initial',
      'seaworthy.circuit_breaker.state': 'closed',
      'seaworthy.timeout.duration': 0.05,
      'seaworthy.outcome': 'failure',
      'error.type': 'timeout',
    });
    expect(two?.status.code).toBe(otel.SpanStatusCode.UNSET);
    expect(two?.attributes).toMatchObject({
      'seaworthy.attempt.number': 2,
      'seaworthy.attempt.kind': 'retry',
      'seaworthy.retry.delay': 0.03,
    });
    expect(sdk.spans().every(({ events }) => events.length === 0)).toBe(true);
  });

  test('a fallback answered: nothing outside is an error', () => {
    const p = fakePipeline({ name: 'fb', repeats: true });
    const { observer } = p;
    const call = p.call.bind(p);
    const { execution, attempt } = run(p);
    const error = Object.assign(new Error('secret\nsecond line'), { code: 'ECONNRESET' });
    observer.end('attempt', attempt, ended('failure', { error }), call({ attempt: 1 }));
    const fallback = observer.start('fallback', call(), execution);
    observer.end('fallback', fallback, ended('success'), call());
    observer.event({ type: 'fallback', policy: 'fb/fallback', result: 'success', error }, call(), execution);
    observer.end('execution', execution, ended('fallback'), call());

    expect(span('attempt fb').status).toEqual({ code: otel.SpanStatusCode.ERROR, message: 'secret' });
    expect(span('fallback fb')).toMatchObject({
      status: { code: otel.SpanStatusCode.UNSET },
      attributes: { 'seaworthy.pipeline.name': 'fb' },
    });
    expect(span('execute fb')).toMatchObject({
      status: { code: otel.SpanStatusCode.UNSET },
      attributes: { 'seaworthy.outcome': 'fallback', 'seaworthy.fallback.reason': 'ECONNRESET' },
    });
    expect(span('execute fb').attributes).not.toHaveProperty('error.type');
  });

  test('cancelled and ignored are no errors', () => {
    for (const outcome of ['cancelled', 'ignored'] as const) {
      sdk.reset();
      const p = fakePipeline({ name: outcome, repeats: true });
      const { execution, attempt } = run(p);
      p.observer.end('attempt', attempt, ended(outcome, { error: new Error('not for spans') }), p.call({ attempt: 1 }));
      p.observer.end('execution', execution, ended(outcome, { error: new Error('not for spans') }), p.call());
      for (const ended of sdk.spans()) {
        expect(ended.status).toEqual({ code: otel.SpanStatusCode.UNSET });
        expect(ended.attributes['seaworthy.outcome']).toBe(outcome);
        expect(ended.attributes).not.toHaveProperty('error.type');
      }
    }
  });

  test('messages of foreign errors can be switched off, ours stay', () => {
    const p = fakePipeline({ name: 'quiet', repeats: true, telemetry: { statusMessage: false } });
    const { execution, attempt } = run(p);
    p.observer.end('attempt', attempt, ended('failure', { error: new Error('secret') }), p.call({ attempt: 1 }));
    const error = new CircuitOpenError('circuit_isolated', Infinity, origin);
    p.observer.end('execution', execution, ended('failure', { error }), p.call());
    expect(span('attempt quiet').status).toEqual({ code: otel.SpanStatusCode.ERROR });
    expect(span('execute quiet').status.message).toBe('circuit isolated');
  });

  test('a call that an open circuit turned away points to the span that opened it, also from another pipeline', () => {
    const shared = breaker('shared');
    const opener = fakePipeline({ name: 'opener', policies: [shared], repeats: true });
    const opening = run(opener, (_, attempt) => {
      const change = {
        type: 'circuit_state',
        policy: 'shared',
        state: 'open',
        previous: 'closed',
        at: 1,
        failureRatio: 1,
        key: 'k',
      } as const;
      opener.observer.event(change, opener.call({ key: 'k' }), attempt);
    });
    opener.observer.end('attempt', opening.attempt, ended('failure'), opener.call({ attempt: 1 }));
    const turnedAway = (key: string) => {
      const p = fakePipeline({ name: `turned-away-${key}`, policies: [shared], repeats: true });
      const { attempt } = run(p, (_, token) =>
        p.observer.event({ type: 'rejected', policy: 'shared', reason: 'circuit_open' }, p.call({ key }), token),
      );
      p.observer.end(
        'attempt',
        attempt,
        ended('failure', { error: new CircuitOpenError('circuit_open', 1, origin), rejected: true }),
        p.call(),
      );
      return span(`attempt turned-away-${key}`);
    };
    const linked = turnedAway('k');
    expect(linked.links.map(({ context }) => context.spanId)).toEqual([span('attempt opener').spanContext().spanId]);
    expect(linked).toMatchObject({
      status: { code: otel.SpanStatusCode.ERROR, message: 'circuit open' },
      attributes: { 'error.type': 'circuit_open', 'seaworthy.rejection.reason': 'circuit_open' },
    });
    expect(turnedAway('other').links).toEqual([]);
    const due = {
      type: 'circuit_state',
      policy: 'shared',
      state: 'half_open',
      previous: 'open',
      at: 1,
      key: 'k',
    } as const;
    opener.observer.event({ ...due, failureRatio: undefined }, opener.call({ key: 'k' }), undefined);
    sdk.reset();
    expect(turnedAway('k').links).toHaveLength(1); // by the limit on probes

    const closed = {
      type: 'circuit_state',
      policy: 'shared',
      state: 'closed',
      previous: 'half_open',
      at: 1,
      failureRatio: 0,
      key: 'k',
    } as const;
    opener.observer.event(closed, opener.call({ key: 'k' }), undefined);
    sdk.reset();
    expect(turnedAway('k').links).toEqual([]);
  });

  test('a span ends once, and what comes late is lost without a word', () => {
    const p = fakePipeline({ name: 'late', repeats: true });
    const { execution, attempt } = run(p);
    p.observer.end('attempt', attempt, ended('failure', { error: new TimeoutError(1, origin) }), p.call());
    p.observer.end('attempt', attempt, ended('success'), p.call());
    p.observer.event({ type: 'dequeued', policy: 'late/bulkhead', waitedMs: 3 }, p.call(), attempt);
    p.observer.event({ type: 'timeout', policy: 'late/timeout', timeoutMs: 3 }, p.call(), attempt);
    p.observer.end('execution', execution, ended('success'), p.call());
    p.observer.event({ type: 'retry_result', policy: 'late/retry', result: 'success', retries: 0 }, p.call(), attempt);
    expect(sdk.spans()).toHaveLength(2);
    expect(span('attempt late').attributes).not.toHaveProperty('seaworthy.concurrency.queue.duration');
  });

  test('attemptSpans: never leaves the execution, its context and the attempt number', () => {
    const p = fakePipeline({
      name: 'never',
      repeats: true,
      policies: [bulkhead('b')],
      telemetry: { attemptSpans: 'never' },
    });
    const execution = p.observer.interest() === 2 ? p.observer.start('execution', p.call(), undefined) : undefined;
    const attempt = p.observer.start('attempt', p.call({ attempt: 2, attemptKind: 'retry' }), execution);
    const inside = p.observer.within(attempt, () => otel.context.active());
    p.observer.event({ type: 'dequeued', policy: 'b', waitedMs: 3 }, p.call(), attempt);
    p.observer.end('attempt', attempt, ended('success'), p.call({ attempt: 2 }));
    p.observer.end('execution', execution, ended('success'), p.call());
    expect(sdk.spans().map(({ name }) => name)).toEqual(['execute never']);
    expect(otel.trace.getSpanContext(inside)).toEqual(span('execute never').spanContext());
    expect(getAttempt(inside)).toEqual({ pipeline: 'never', attempt: 2, kind: 'retry', deadline: Infinity });
  });

  test('the pipeline can name a tracer provider, or want no traces', () => {
    const own = tracesSdk();
    const p = fakePipeline({ telemetry: { tracerProvider: own.provider } });
    expect(p.observer.interest()).toBe(2);
    p.observer.end('execution', p.observer.start('execution', p.call(), undefined), ended('success'), p.call());
    expect(own.spans()).toHaveLength(1);
    expect(sdk.spans()).toHaveLength(0);
    expect(fakePipeline({ telemetry: { traces: false, metrics: false } }).observer.interest()).toBe(0);
  });
});

describe('context', () => {
  test('user code runs inside its attempt, which knows its number', () => {
    const p = fakePipeline({ repeats: true });
    const parent = otel.trace.getTracer('app').startSpan('GET /');
    const start = () => run(p);
    const { execution, attempt } = otel.context.with(otel.trace.setSpan(otel.context.active(), parent), start);
    const inside = p.observer.within(attempt, () => otel.context.active());
    const outside = p.observer.within(execution, () => otel.context.active());
    for (const [token, name] of [
      [attempt, 'attempt'],
      [execution, 'execution'],
    ] as const)
      p.observer.end(name, token, ended('success'), p.call());
    const [one, root] = sdk.spans();
    expect(otel.trace.getSpanContext(inside)).toEqual(one?.spanContext());
    expect(otel.trace.getSpanContext(outside)).toEqual(root?.spanContext());
    expect(root?.parentSpanContext).toEqual(parent.spanContext());
    expect(getAttempt(inside)).toMatchObject({ pipeline: p.name, attempt: 1, kind: 'initial' });
    expect(getAttempt(otel.context.active())).toBeUndefined();
  });

  test('the execution of a nested pipeline is a child of the attempt it began in', () => {
    const outer = fakePipeline({ name: 'outer', repeats: true });
    const inner = fakePipeline({ name: 'inner' });
    const { execution, attempt } = run(outer);
    inner.observer.interest();
    const nested = inner.observer.start('execution', inner.call(), attempt);
    inner.observer.end('execution', nested, ended('success'), inner.call());
    outer.observer.end('attempt', attempt, ended('success'), outer.call());
    outer.observer.end('execution', execution, ended('success'), outer.call());
    expect(span('execute inner').parentSpanContext?.spanId).toBe(span('attempt outer').spanContext().spanId);
  });

  test('an unsampled span is entered, so that what is inside is not sampled on its own', () => {
    unregister();
    const off = tracesSdk({ sampler: new AlwaysOffSampler() });
    register({ tracerProvider: off.provider });
    const p = fakePipeline();
    p.observer.interest();
    const execution = p.observer.start('execution', p.call(), undefined);
    const inside = p.observer.within(execution, () => otel.trace.getSpanContext(otel.context.active()));
    expect(otel.trace.isSpanContextValid(inside as otel.SpanContext)).toBe(true);
    p.observer.event({ type: 'timeout', policy: 't', timeoutMs: 1 }, p.call(), execution);
    p.observer.end('execution', execution, ended('failure', { error: new Error('x') }), p.call());
    expect(off.spans()).toEqual([]);
  });

  test('an unsampled execution asks for no span of its attempts, which still say who they are', () => {
    const started: string[] = [];
    const inner = tracesSdk({ sampler: new AlwaysOffSampler() }).provider;
    const tracerProvider: otel.TracerProvider = {
      getTracer(name) {
        const tracer = inner.getTracer(name);
        return {
          startActiveSpan: tracer.startActiveSpan.bind(tracer),
          startSpan(title, ...more) {
            started.push(`${title} ${Object.keys(more[0]?.attributes ?? {})}`);
            return tracer.startSpan(title, ...more);
          },
        };
      },
    };
    const p = fakePipeline({ name: 'p', telemetry: { tracerProvider } });
    const { execution, attempt } = run(p);
    const inside = (token: unknown) => p.observer.within(token, () => otel.context.active());
    expect(started).toEqual(['execute p seaworthy.pipeline.name']);
    expect(otel.trace.getSpan(inside(attempt)!)).toBe(otel.trace.getSpan(inside(execution)!));
    expect(otel.trace.getSpan(inside(attempt)!)).toBeDefined();
    expect(getAttempt(inside(attempt)!)).toMatchObject({ pipeline: 'p', attempt: 1 });
  });

  test('a suppressed context is left as it is', () => {
    const suppressed = otel.context
      .active()
      .setValue(otel.createContextKey('OpenTelemetry SDK Context Key SUPPRESS_TRACING'), true);
    otel.context.with(suppressed, () => {
      const p = fakePipeline();
      p.observer.interest();
      const execution = p.observer.start('execution', p.call(), undefined);
      expect(p.observer.within(execution, () => otel.context.active())).toBe(suppressed);
      const attempt = p.observer.start('attempt', p.call({ attempt: 1 }), execution);
      expect(p.observer.within(attempt, () => otel.context.active())).toBe(suppressed);
    });
    expect(sdk.spans()).toEqual([]);
  });

  test('a tracer that does nothing but hand its parent on changes no context', () => {
    const foreign = createRequire(import.meta.url)('@opentelemetry/api') as typeof otel;
    const parent = otel.trace.getTracer('app').startSpan('GET /');
    otel.context.with(otel.trace.setSpan(otel.context.active(), parent), () => {
      const p = fakePipeline({ telemetry: { tracerProvider: new foreign.ProxyTracerProvider() } });
      p.observer.interest();
      const execution = p.observer.start('execution', p.call(), undefined);
      const here = otel.context.active();
      expect(p.observer.within(execution, () => otel.context.active())).toBe(here);
      p.observer.end('execution', execution, ended('failure', { error: new Error('x') }), p.call());
      expect(parent.isRecording()).toBe(true);
    });
  });

  test('errors of user code pass, and a broken context manager neither loses a call nor repeats it', () => {
    const p = fakePipeline();
    p.observer.interest();
    const execution = p.observer.start('execution', p.call(), undefined);
    const mine = new Error('mine');
    expect(() =>
      p.observer.within(execution, () => {
        throw mine;
      }),
    ).toThrow(mine);
    for (const when of ['before', 'after'] as const) {
      otel.context.disable();
      let calls = 0;
      const manager = new AsyncLocalStorageContextManager();
      (manager as any).with = (_context: otel.Context, run: () => unknown) => {
        if (when === 'after') run();
        throw new Error('broken manager');
      };
      otel.context.setGlobalContextManager(manager);
      expect(p.observer.within(execution, () => ++calls)).toBe(1);
      expect(calls).toBe(1);
    }
    expect(diag.splice(0)).toEqual([expect.stringContaining('the context manager')]);
  });
});
