// What an operator sees of one call: the span tree, printed by an exporter of our own, and a few metrics.
import * as otel from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import { InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { bulkhead, circuitBreaker, fallback, pipeline, retry, timeout } from 'seaworthy';

// #region readme
// Once, where the process starts; in a service with OTLP exporters, or by @opentelemetry/sdk-node.
const spans = new InMemorySpanExporter();
const metrics = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
const reader = new PeriodicExportingMetricReader({ exporter: metrics });
otel.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
otel.trace.setGlobalTracerProvider(
  new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter: spans })] }),
);
otel.metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
// #endregion

const payments = pipeline('payments', [
  fallback(() => 'queued for later'),
  retry({ maxRetries: 1, backoff: 30 }),
  circuitBreaker(),
  bulkhead({ limit: 32 }),
  timeout(150),
]);

// The application's own spans stand where they belong, also after a timeout.
const app = otel.trace.getTracer('app');
const post = (milliseconds: number) =>
  app.startActiveSpan('POST', { kind: otel.SpanKind.CLIENT }, async (span) => {
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
    span.end();
    return 'paid';
  });

await app.startActiveSpan('GET /checkout', { kind: otel.SpanKind.SERVER }, async (span) => {
  console.log(await payments.execute(({ attempt }) => post(attempt === 1 ? 500 : 5)));
  span.end();
});
await app.startActiveSpan('GET /checkout', { kind: otel.SpanKind.SERVER }, async (span) => {
  const unreachable = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
  console.log(await payments.execute(() => Promise.reject(unreachable)));
  span.end();
});

await new Promise((resolve) => setTimeout(resolve, 400)); // the POST that was too slow
console.log(`\n${tree(spans.getFinishedSpans())}\n`);

await reader.forceFlush();
for (const { descriptor, dataPoints } of metrics
  .getMetrics()
  .flatMap((resource) => resource.scopeMetrics.flatMap((scope) => scope.metrics)))
  if (/retry\.executions|circuit_breaker\.executions|timeouts$/.test(descriptor.name))
    for (const { attributes, value } of dataPoints)
      if (value !== 0)
        console.log(
          descriptor.name,
          value,
          Object.entries(attributes)
            .map(([key, word]) => `${key}=${word}`)
            .join(' '),
        );
await reader.shutdown();

/** The spans as a tree, children in the order they began in, with status and the attributes that tell most. */
function tree(all: readonly ReadableSpan[], parent?: string, indent = ''): string {
  const shown = [
    'seaworthy.outcome',
    'seaworthy.attempt.count',
    'seaworthy.attempt.number',
    'seaworthy.attempt.kind',
    'seaworthy.retry.delay',
    'error.type',
  ];
  const children = all.filter((span) => span.parentSpanContext?.spanId === parent);
  children.sort(({ startTime: a }, { startTime: b }) => a[0] - b[0] || a[1] - b[1]);
  return children
    .map((span, i) => {
      const last = i === children.length - 1;
      const facts = shown
        .filter((key) => key in span.attributes)
        .map((key) => `${key.replace('seaworthy.', '')}=${span.attributes[key]}`);
      const line = `${indent}${parent === undefined ? '' : last ? '└─ ' : '├─ '}${span.name}`.padEnd(26);
      const text =
        `${line} ${otel.SpanKind[span.kind].padEnd(8)} ${otel.SpanStatusCode[span.status.code].padEnd(5)} ${facts.join('  ')}`.trimEnd();
      const below = tree(all, span.spanContext().spanId, parent === undefined ? '' : indent + (last ? '   ' : '│  '));
      return below === '' ? text : `${text}\n${below}`;
    })
    .join('\n');
}
