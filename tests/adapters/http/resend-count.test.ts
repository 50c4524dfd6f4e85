import * as otel from '@opentelemetry/api';
import { expect, test } from 'vitest';
import { resilientFetch } from '../../../src/adapters/http/fetch.ts';
import { resendCountProcessor } from '../../../src/adapters/otel/index.ts';
import { pipeline, retry, timeout } from '../../../src/index.ts';
import { register, tracesSdk, withoutComplaints } from '../otel/sdk.ts';

withoutComplaints();

test('http.request.resend_count reaches the client span of fetch', async () => {
  const sdk = tracesSdk({ processors: [resendCountProcessor()] });
  register({ tracerProvider: sdk.provider });
  let sent = 0;
  // What the instrumentation of a client does: it knows of one request at a time.
  const instrumented = async () => {
    const status = ++sent < 3 ? 503 : 200;
    otel.trace.getTracer('http').startSpan(`GET ${status}`, { kind: otel.SpanKind.CLIENT }).end();
    return new Response(null, { status });
  };
  const send = resilientFetch(pipeline('api', [retry({ backoff: 1 }), timeout(1_000)]), instrumented);
  expect((await send('http://x/')).status).toBe(200);
  const clients = sdk.spans().filter(({ kind }) => kind === otel.SpanKind.CLIENT);
  expect(clients.map(({ name, attributes }) => [name, attributes['http.request.resend_count']])).toEqual([
    ['GET 503', undefined],
    ['GET 503', 1],
    ['GET 200', 2],
  ]);
  await sdk.provider.shutdown();
});
