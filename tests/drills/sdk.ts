import type * as otel from '@opentelemetry/api';
import { JsonMetricsSerializer, JsonTraceSerializer } from '@opentelemetry/otlp-transformer';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import {
  InMemorySpanExporter,
  ParentBasedSampler,
  SimpleSpanProcessor,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { TelemetryOptions } from 'seaworthy/otel';

/** One process: its SDKs, and what it exported so far. */
export interface Service {
  /** For pipelines. */
  readonly telemetry: TelemetryOptions;
  /** For spans of the application and of its HTTP instrumentation. */
  readonly tracer: otel.Tracer;
  /** Exports the metrics as they are now. */
  scrape(): Promise<void>;
  /** Lines of OTLP/JSON, as a collector's file exporter writes them. */
  lines(): { readonly traces: readonly string[]; readonly metrics: readonly string[] };
  shutdown(): Promise<void>;
}

/** One trace in so many is kept, as services do. */
const sampled = 1 / 5;
/** Spans per request of an exporter. */
const batch = 512;

/**
 * SDKs that read the time from `now` (milliseconds since 1970) and ids from `random`. The SDKs themselves know the machine's
 * clock only, so spans are started and ended with a time of ours and exported points are dated anew.
 */
export function service(name: string, now: () => number, random: () => number): Service {
  const began = now();
  const resource = resourceFromAttributes({ 'service.name': name });
  const ended = new InMemorySpanExporter();
  const traces = new TracerProvider({
    resource,
    idGenerator: { generateTraceId: () => hex(random, 32), generateSpanId: () => hex(random, 16) },
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(sampled) }),
    spanProcessors: [new SimpleSpanProcessor({ exporter: ended })],
  });
  const points = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const meters = new MeterProvider({
    resource,
    readers: [new PeriodicExportingMetricReader({ exporter: points, exportIntervalMillis: 2 ** 31 - 1 })],
  });
  const tracerProvider = onClock(traces, now);
  const metrics: string[] = [];
  return {
    telemetry: { tracerProvider, meterProvider: meters, logs: false },
    tracer: tracerProvider.getTracer('http'),
    async scrape() {
      await meters.forceFlush();
      for (const exported of points.getMetrics()) {
        for (const { metrics } of exported.scopeMetrics)
          for (const point of metrics.flatMap(
            ({ dataPoints }) => dataPoints as { startTime: unknown; endTime: unknown }[],
          ))
            Object.assign(point, { startTime: hrTime(began), endTime: hrTime(now()) });
        metrics.push(text(JsonMetricsSerializer.serializeRequest(exported)));
      }
      points.reset();
    },
    lines() {
      const spans = ended.getFinishedSpans();
      const requests = Array.from({ length: Math.ceil(spans.length / batch) }, (_, i) =>
        text(JsonTraceSerializer.serializeRequest(spans.slice(i * batch, (i + 1) * batch))),
      );
      return { traces: requests, metrics };
    },
    async shutdown() {
      await traces.shutdown();
      await meters.shutdown();
    },
  };
}

function onClock(provider: otel.TracerProvider, now: () => number): otel.TracerProvider {
  return {
    getTracer(...scope) {
      const tracer = provider.getTracer(...scope);
      return {
        startSpan(name, options, context) {
          const span = tracer.startSpan(name, { ...options, startTime: hrTime(now()) }, context);
          const end = span.end.bind(span);
          span.end = () => end(hrTime(now()));
          return span;
        },
        startActiveSpan() {
          throw new Error('Nobody needs it here');
        },
      };
    },
  };
}

function hrTime(ms: number): otel.HrTime {
  const whole = Math.floor(ms / 1000);
  return [whole, Math.round((ms - whole * 1000) * 1000) * 1000];
}

function hex(random: () => number, digits: number): string {
  let text = '';
  while (text.length < digits)
    text += Math.floor(random() * 2 ** 32)
      .toString(16)
      .padStart(8, '0');
  return text;
}

function text(bytes: Uint8Array | undefined): string {
  if (bytes === undefined) throw new Error('The serializer had nothing to say');
  return new TextDecoder().decode(bytes);
}
