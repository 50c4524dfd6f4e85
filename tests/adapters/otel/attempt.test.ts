import * as otel from '@opentelemetry/api';
import { expect, test } from 'vitest';
import { withAttempt } from '../../../src/adapters/otel/attempt.ts';
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
  const inside = withAttempt(around, attempt(2));
  expect([inside.getValue(key), getAttempt(inside)]).toEqual(['a', attempt(2)]);
  const further = inside.setValue(key, 'b');
  expect([further.getValue(key), getAttempt(further)]).toEqual(['b', attempt(2)]);
  expect([inside.getValue(key), around.getValue(key)]).toEqual(['a', 'a']);
  const less = further.deleteValue(key);
  expect([less.getValue(key), getAttempt(less)]).toEqual([undefined, attempt(2)]);
  const nested = withAttempt(further, attempt(3));
  expect([nested.getValue(key), getAttempt(nested)]).toEqual(['b', attempt(3)]);
  expect(getAttempt(nested.deleteValue(own))).toBeUndefined();
  expect(getAttempt(nested.setValue(own, attempt(9)))).toEqual(attempt(9));
  expect(getAttempt(around)).toBeUndefined();
});
