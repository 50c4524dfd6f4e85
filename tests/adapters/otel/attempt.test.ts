import * as otel from '@opentelemetry/api';
import { expect, test } from 'vitest';
import { contextWith } from '../../../src/adapters/otel/attempt.ts';
import { getAttempt, resendCountProcessor } from '../../../src/adapters/otel/index.ts';
import { fakePipeline } from './fake.ts';
import { register, tracesSdk, withoutComplaints } from './sdk.ts';

withoutComplaints();

test('repeated HTTP client spans carry http.request.resend_count, nothing else does', async () => {
  const sdk = tracesSdk({ processors: [resendCountProcessor()] });
  register({ tracerProvider: sdk.provider });
  const p = fakePipeline({ repeats: true });
  p.observer.interest();
  const execution = p.observer.start('execution', p.call(), undefined);
  const app = otel.trace.getTracer('http');
  for (const attempt of [1, 2, 3]) {
    const token = p.observer.start(
      'attempt',
      p.call({ attempt, attemptKind: attempt === 1 ? 'initial' : 'retry' }),
      execution,
    );
    p.observer.within(token, () => {
      app.startSpan(`client ${attempt}`, { kind: otel.SpanKind.CLIENT }).end();
      app.startSpan(`db ${attempt}`, { kind: otel.SpanKind.CLIENT, attributes: { 'db.system.name': 'redis' } }).end();
      app.startSpan(`inner ${attempt}`).end();
    });
    const fallback = p.observer.start('fallback', p.call({ attempt }), execution);
    p.observer.within(fallback, () =>
      app.startSpan(`fallback client ${attempt}`, { kind: otel.SpanKind.CLIENT }).end(),
    );
  }
  const counts = sdk.spans().map(({ name, attributes }) => [name, attributes['http.request.resend_count']]);
  expect(counts.filter(([, count]) => count !== undefined)).toEqual([
    ['client 2', 1],
    ['client 3', 2],
  ]);
  await sdk.provider.forceFlush();
  await sdk.provider.shutdown();
});

test('outside of a pipeline there is no attempt', () => {
  expect(getAttempt(otel.ROOT_CONTEXT)).toBeUndefined();
});

test('the context of an attempt is one like any other', () => {
  const [key, own] = [otel.createContextKey('app'), otel.createContextKey('seaworthy.attempt')];
  const attempt = (number: number) => ({ pipeline: 'p', attempt: number, kind: 'retry', deadline: Infinity }) as const;
  const around = otel.ROOT_CONTEXT.setValue(key, 'a');
  const inside = contextWith(around, attempt(2), undefined);
  expect([inside.getValue(key), getAttempt(inside)]).toEqual(['a', attempt(2)]);
  const further = inside.setValue(key, 'b');
  expect([further.getValue(key), getAttempt(further)]).toEqual(['b', attempt(2)]);
  expect([inside.getValue(key), around.getValue(key)]).toEqual(['a', 'a']);
  const less = further.deleteValue(key);
  expect([less.getValue(key), getAttempt(less)]).toEqual([undefined, attempt(2)]);
  const nested = contextWith(further, attempt(3), undefined);
  expect([nested.getValue(key), getAttempt(nested)]).toEqual(['b', attempt(3)]);
  expect(getAttempt(nested.deleteValue(own))).toBeUndefined();
  expect(getAttempt(nested.setValue(own, attempt(9)))).toEqual(attempt(9));
  expect(getAttempt(around)).toBeUndefined();
});

test('the span of a context is what the API reads, and what it sets and takes away', () => {
  const [one, other] = ['1', '2'].map((digit) =>
    otel.trace.wrapSpanContext({ traceId: digit.repeat(32), spanId: digit.repeat(16), traceFlags: 0 }),
  ) as [otel.Span, otel.Span];
  const attempt = { pipeline: 'p', attempt: 1, kind: 'initial', deadline: Infinity } as const;
  const inside = contextWith(otel.trace.setSpan(otel.ROOT_CONTEXT, other), attempt, one);
  expect([otel.trace.getSpan(inside), getAttempt(inside)]).toEqual([one, attempt]);
  const further = contextWith(inside, { ...attempt, attempt: 2 }, undefined);
  expect([otel.trace.getSpan(further), getAttempt(further)?.attempt]).toEqual([one, 2]);
  expect(otel.trace.getSpan(contextWith(inside, undefined, other))).toBe(other);
  const set = otel.trace.setSpan(inside, other);
  expect([otel.trace.getSpan(set), getAttempt(set)]).toEqual([other, attempt]);
  const deleted = otel.trace.deleteSpan(inside);
  expect([otel.trace.getSpan(deleted), getAttempt(deleted)]).toEqual([undefined, attempt]);
  expect(otel.trace.getSpan(inside)).toBe(one);
});

test('an attempt that was handed out cannot be changed for others', () => {
  const inside = contextWith(otel.ROOT_CONTEXT, { pipeline: 'p', attempt: 1, kind: 'initial', deadline: 9 }, undefined);
  expect(Object.isFrozen(getAttempt(inside))).toBe(true);
});
