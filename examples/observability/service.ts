// A small service that quotes prices. It asks an upstream for prices and stock, and signs quotes itself.
//
//   GET /quote/{item}   answers also while the upstream does not: with the list price
//   GET /stock/{item}   answers 503 then
//   GET /snapshot       counts and states as JSON
import { pbkdf2 } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import * as otel from '@opentelemetry/api';
import { bulkhead, circuitBreaker, fallback, pipeline, retry, timeout } from 'seaworthy';
import { resilientFetch } from 'seaworthy/fetch';
import { stopTelemetry } from './telemetry.ts';

const { PORT = '3000', UPSTREAM_URL = 'http://127.0.0.1:4000', TIMEOUT_MS = '300', BREAK_MS = '5000' } = process.env;

const circuit = { failureRatio: 0.5, minimumCalls: 5, windowMs: 10_000, breakMs: Number(BREAK_MS), halfOpenCalls: 1 };

const prices = pipeline('prices', [
  fallback(() => Response.json({ cents: 100, list: true })),
  retry({ maxRetries: 2, backoff: 30 }),
  circuitBreaker(circuit),
  bulkhead({ limit: 4, queue: 4, maxWaitMs: 2_000 }),
  timeout(Number(TIMEOUT_MS)),
]);
const stock = pipeline('stock', [
  timeout(10_000),
  retry({ maxRetries: 2, backoff: 30 }),
  circuitBreaker(circuit),
  bulkhead({ limit: 4, queue: 4, maxWaitMs: 2_000 }),
  timeout({ ms: Number(TIMEOUT_MS), name: 'stock/attempt' }),
]);
const signatures = pipeline('signatures', [bulkhead({ limit: 16, queue: 100 }), timeout(5_000)]);

const getPrice = resilientFetch(prices);
const getStock = resilientFetch(stock);
const digest = promisify(pbkdf2);
const sign = (text: string) =>
  signatures.execute(async () => (await digest(text, 'not a secret', 1_000, 16, 'sha256')).toString('hex'));

async function answer(path: string): Promise<unknown> {
  const [, what, item] = path.split('/');
  if (what === 'quote') {
    const price = (await (await getPrice(`${UPSTREAM_URL}/prices/${item}`)).json()) as object;
    return { ...price, signature: await sign(JSON.stringify(price)) };
  }
  if (what === 'stock') {
    const response = await getStock(`${UPSTREAM_URL}/stock/${item}`);
    if (response.ok) return response.json();
    await response.body?.cancel();
    throw new Error(`stock answered ${response.status}`);
  }
  if (what === 'snapshot') return [prices, stock, signatures].map((one) => one.snapshot());
  return undefined;
}

const tracer = otel.trace.getTracer('quotes');

const server = createServer((request, response) =>
  // In a real service @opentelemetry/instrumentation-http makes this span.
  tracer.startActiveSpan(`${request.method} ${request.url}`, { kind: otel.SpanKind.SERVER }, async (span) => {
    try {
      const body = await answer(request.url!);
      response.statusCode = body === undefined ? 404 : 200;
      response.end(JSON.stringify(body));
    } catch (error) {
      response.writeHead(503).end(String(error));
    }
    span.setAttribute('http.response.status_code', response.statusCode);
    span.end();
  }),
);

server.listen(Number(PORT), '127.0.0.1', () => {
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  console.log(`service on ${url}`);
  process.send?.({ url });
});

process.once('SIGTERM', async () => {
  server.close();
  await Promise.all([prices, stock, signatures].map((one) => one.drain({ timeoutMs: 10_000 })));
  server.closeAllConnections();
  await stopTelemetry();
  if (process.connected) process.disconnect();
});
