import type { Service } from './service.ts';

/** Settings of the service under which the story goes as told, also on a slow machine. */
export const settings = { TIMEOUT_MS: '1500', BREAK_MS: '3000', OTEL_METRIC_EXPORT_INTERVAL: '200' };

/** One request; answers its status and body. */
export async function ask(service: Service, path: string): Promise<{ status: number; body: any }> {
  const response = await fetch(`${service.url}/${path}`);
  const text = await response.text();
  return { status: response.status, body: response.ok ? JSON.parse(text) : text };
}

/** An outage and what follows, always the same: {@link counted} says what it leaves behind. */
export async function play(service: Service, whileOpen: () => Promise<void>): Promise<void> {
  const { upstream } = service;
  await ask(service, 'quote/a');
  for (let i = 0; i < 4; i++) await ask(service, 'stock/a');
  await upstream.set(['slow', 'healthy'], 10_000);
  await ask(service, 'quote/b'); // times out, and is there the second time
  await upstream.set('failing');
  await ask(service, 'quote/c'); // the second attempt opens the circuit, the third meets it
  await ask(service, 'quote/d'); // turned away
  await ask(service, 'stock/e'); // three attempts, none succeeds
  await whileOpen();
  await upstream.set('healthy');
  while ((await circuit(service)) === 'open') await new Promise((resolve) => setTimeout(resolve, 20));
  await ask(service, 'quote/f'); // closes the circuit
  await upstream.set('slow', 700);
  await Promise.all([...'123456789'].map((item) => ask(service, `quote/${item}`))); // 4 run, 4 wait, 1 is too many
}

async function circuit(service: Service): Promise<string> {
  const { body } = await ask(service, 'snapshot');
  return body[0].policies.find((policy: { kind: string }) => policy.kind === 'circuit_breaker').state;
}

/** One metric, the values of its attributes in the order of their keys, and what it stands at; of histograms the count. */
export const counted: Readonly<Record<string, number>> = {
  'pipeline.duration success prices': 11,
  'pipeline.duration fallback prices': 3,
  'pipeline.duration 503 failure stock': 1,
  'pipeline.duration success stock': 4,
  'pipeline.duration success signatures': 14,
  'attempt.duration initial success prices': 10,
  'attempt.duration timeout initial failure prices': 1,
  'attempt.duration retry success prices': 1,
  'attempt.duration 503 initial failure prices': 1,
  'attempt.duration 503 retry failure prices': 1,
  'attempt.duration initial success stock': 4,
  'attempt.duration 503 initial failure stock': 1,
  'attempt.duration 503 retry failure stock': 2,
  'concurrency.queue.duration prices/bulkhead': 4,
  'rejections prices/circuit_breaker circuit_open': 2,
  'rejections prices/bulkhead bulkhead_full': 1,
  'timeouts prices/timeout': 1,
  'late prices/timeout': 1,
  'retry.executions prices/retry success': 10,
  'retry.executions prices/retry success_after_retry': 1,
  'retry.executions prices/retry not_retryable': 3,
  'retry.executions stock/retry success': 4,
  'retry.executions stock/retry exhausted': 1,
  'retry.attempts prices/retry': 3,
  'retry.attempts stock/retry': 2,
  'retry.budget.limit prices/retry': 100,
  'retry.budget.limit stock/retry': 100,
  'fallback.executions success prices/fallback': 3,
  'circuit_breaker.status closed prices/circuit_breaker': 1,
  'circuit_breaker.status closed stock/circuit_breaker': 1,
  'circuit_breaker.transitions open prices/circuit_breaker': 1,
  'circuit_breaker.transitions half_open prices/circuit_breaker': 1,
  'circuit_breaker.transitions closed prices/circuit_breaker': 1,
  'circuit_breaker.executions success prices/circuit_breaker': 11,
  'circuit_breaker.executions failure prices/circuit_breaker': 3,
  'circuit_breaker.executions ignored prices/circuit_breaker': 1,
  'circuit_breaker.executions rejected prices/circuit_breaker': 2,
  'circuit_breaker.executions success stock/circuit_breaker': 4,
  'circuit_breaker.executions failure stock/circuit_breaker': 3,
  'concurrency.limit prices/bulkhead bulkhead': 4,
  'concurrency.limit stock/bulkhead bulkhead': 4,
  'concurrency.limit signatures/bulkhead bulkhead': 16,
  'concurrency.queue.limit prices/bulkhead bulkhead': 4,
  'concurrency.queue.limit stock/bulkhead bulkhead': 4,
  'concurrency.queue.limit signatures/bulkhead bulkhead': 100,
};

/** Metrics that stand at 0 in the end, each with a stream that says so. */
export const idle: readonly string[] = [
  'execution.active prices',
  'concurrency.usage prices/bulkhead bulkhead',
  'concurrency.queue.usage prices/bulkhead bulkhead',
  'concurrency.leaked prices/bulkhead',
  'circuit_breaker.status open prices/circuit_breaker',
  'circuit_breaker.transitions isolated prices/circuit_breaker',
  'rejections prices draining',
];
