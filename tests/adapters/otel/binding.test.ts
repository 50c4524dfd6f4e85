import { createRequire } from 'node:module';
import * as otel from '@opentelemetry/api';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ended, fakePipeline, timeout } from './fake.ts';
import { listenToDiag, logsSdk, metricsSdk, register, tracesSdk, unregister, valueOf } from './sdk.ts';

let diag: string[];

beforeEach(() => {
  unregister();
  diag = listenToDiag();
});

afterEach(() => {
  unregister();
  expect(diag).toEqual([]);
});

function call(p: ReturnType<typeof fakePipeline>): void {
  if (p.observer.interest() === 0) return;
  const token = p.observer.start('execution', p.call(), undefined);
  p.observer.end('execution', token, ended('success'), p.call());
}

test('without an SDK there is no interest, and no provider is asked for anything', () => {
  const p = fakePipeline();
  expect(p.observer.interest()).toBe(0);
  expect(fakePipeline({ telemetry: { tracerProvider: otel.trace.getTracerProvider() } }).observer.interest()).toBe(0);
  expect(p.observer.start('execution', p.call(), undefined)).toBeUndefined();
  expect(p.observer.within(undefined, () => 7)).toBe(7);
});

test('traces and metrics are bound each on its own, whenever they come, go and come again', async () => {
  const p = fakePipeline({ policies: [timeout('bound')] });
  const rounds = [];
  for (let round = 0; round < 3; round++) {
    const [traces, metrics] = [tracesSdk(), metricsSdk()];
    register({ meterProvider: metrics.provider });
    expect(p.observer.interest()).toBe(1);
    call(p);
    otel.trace.setGlobalTracerProvider(traces.provider);
    expect(p.observer.interest()).toBe(2);
    call(p);
    rounds.push({ traces, metrics });
    unregister();
    diag = listenToDiag();
    expect(p.observer.interest()).toBe(0);
    call(p);
  }
  for (const { traces, metrics } of rounds) {
    expect(traces.spans()).toHaveLength(1);
    expect(valueOf(await metrics.collect(), 'seaworthy.pipeline.duration', { 'seaworthy.pipeline.name': p.name })).toBe(
      2,
    );
  }
});

test('an SDK registered through the other copy of the API is found, now and after it was replaced', () => {
  const cjs = createRequire(import.meta.url)('@opentelemetry/api') as typeof otel;
  expect(cjs.trace).not.toBe(otel.trace);
  const p = fakePipeline();
  for (let round = 0; round < 2; round++) {
    const traces = tracesSdk();
    expect(p.observer.interest()).toBe(0);
    cjs.trace.setGlobalTracerProvider(traces.provider);
    call(p);
    expect(traces.spans()).toHaveLength(1);
    cjs.trace.disable();
  }
});

test('another provider behind the same proxy is followed from the next call on', () => {
  const [first, second] = [tracesSdk(), tracesSdk()];
  const p = fakePipeline();
  register({ tracerProvider: first.provider });
  call(p);
  (otel.trace.getTracerProvider() as otel.ProxyTracerProvider).setDelegate(second.provider);
  call(p);
  call(p);
  expect([first, second].map(({ spans }) => spans().length)).toEqual([1, 2]);
});

test('however many calls there were before, the first one after a registration is recorded', () => {
  for (let before = 0; before < 200; before++) {
    const traces = tracesSdk();
    const p = fakePipeline();
    for (let i = 0; i < before; i++) call(p);
    register({ tracerProvider: traces.provider });
    call(p);
    expect(traces.spans()).toHaveLength(1);
    unregister();
    call(p);
    expect(traces.spans()).toHaveLength(1);
  }
});

test('a provider that throws is a fault of telemetry and not of the call', () => {
  const broken = {
    getTracer: () => {
      throw new Error('mine');
    },
  };
  const p = fakePipeline({ telemetry: { tracerProvider: broken, metrics: false } });
  expect(p.observer.interest()).toBe(0);
  expect(p.observer.interest()).toBe(0);
  expect(diag.splice(0)).toEqual([expect.stringContaining('telemetry failed in a provider')]);
});

test('a tracer provider that throws costs no metric', () => {
  const metrics = metricsSdk();
  otel.trace.setGlobalTracerProvider({
    getTracer() {
      throw new Error('mine');
    },
  });
  otel.metrics.setGlobalMeterProvider(metrics.provider);
  const p = fakePipeline();
  expect([p.observer.interest(), p.observer.interest()]).toEqual([1, 1]);
  diag.splice(0);
});

test('a state change is logged in the trace of the call that caused it', () => {
  const [traces, logs] = [tracesSdk(), logsSdk()];
  register({ tracerProvider: traces.provider, loggerProvider: logs.provider });
  const p = fakePipeline();
  p.observer.interest();
  const token = p.observer.start('execution', p.call(), undefined);
  const change = { type: 'circuit_state', policy: 'cb', key: 'secret', at: 1 } as const;
  const error = Object.assign(new Error('x'), { code: 'ECONNREFUSED' });
  p.observer.event({ ...change, state: 'open', previous: 'closed', failureRatio: 0.5, error }, p.call(), token);
  p.observer.event({ ...change, state: 'half_open', previous: 'open', failureRatio: undefined }, p.call(), undefined);
  p.observer.end('execution', token, ended('success'), p.call());
  const [open, halfOpen] = logs.records();
  expect(open).toMatchObject({
    eventName: 'seaworthy.circuit_breaker.state_change',
    severityNumber: otel.SeverityNumber.WARN,
    severityText: 'WARN',
    attributes: {
      'seaworthy.policy.name': 'cb',
      'seaworthy.circuit_breaker.state': 'open',
      'seaworthy.circuit_breaker.previous_state': 'closed',
      'seaworthy.circuit_breaker.failure_ratio': 0.5,
      'error.type': 'ECONNREFUSED',
    },
    spanContext: traces.spans()[0]?.spanContext(),
    instrumentationScope: { name: 'seaworthy', version: '0.1.0' },
  });
  expect(JSON.stringify(open?.attributes)).not.toContain('secret');
  expect(halfOpen).toMatchObject({
    severityNumber: otel.SeverityNumber.INFO,
    attributes: { 'seaworthy.circuit_breaker.state': 'half_open' },
  });
  expect(halfOpen?.attributes).not.toHaveProperty('seaworthy.circuit_breaker.failure_ratio');

  const quiet = fakePipeline({ telemetry: { logs: false } });
  quiet.observer.event({ ...change, state: 'open', previous: 'closed', failureRatio: 1 }, quiet.call(), undefined);
  expect(logs.records()).toHaveLength(2);
});

test('where nothing is registered, the place for it is made with nothing in it, as if it were not there', () => {
  const place = Symbol.for('opentelemetry.js.api.1');
  Reflect.deleteProperty(globalThis, place);
  const p = fakePipeline();
  // The API is asked properly every 64th time.
  for (let i = 0; i < 64; i++) expect(p.observer.interest()).toBe(0);
  expect(Object.getOwnPropertyDescriptor(globalThis, place)).toEqual({
    value: undefined,
    writable: true,
    enumerable: true,
    configurable: true,
  });
  const { provider } = metricsSdk();
  expect(otel.metrics.setGlobalMeterProvider(provider)).toBe(true);
  expect(otel.metrics.getMeterProvider()).toBe(provider);
  expect(p.observer.interest()).toBe(1);
});
