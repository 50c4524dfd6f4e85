import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import * as otel from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus';
import { InMemoryLogRecordExporter, LoggerProvider, SimpleLogRecordProcessor } from '@opentelemetry/sdk-logs';
import {
  AggregationTemporality,
  DataPointType,
  InMemoryMetricExporter,
  MeterProvider,
  type MetricProducer,
  type MetricReader,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import {
  InMemorySpanExporter,
  type Sampler,
  SimpleSpanProcessor,
  type SpanProcessor,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { afterEach, beforeEach, expect } from 'vitest';

/** A finished span, as an exporter sees it. */
export type Span = ReturnType<InMemorySpanExporter['getFinishedSpans']>[number];

/** A log record, as an exporter sees it. */
export type LogRecord = ReturnType<InMemoryLogRecordExporter['getFinishedLogRecords']>[number];

/** One exported stream, flat. */
export interface Point {
  readonly name: string;
  readonly kind: 'counter' | 'up_down' | 'gauge' | 'histogram';
  readonly unit: string;
  readonly scope: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  /** The count of a histogram. */
  readonly value: number;
  readonly boundaries?: readonly number[];
}

/** A meter provider whose metrics can be read. */
export function metricsSdk(metricProducers: MetricProducer[] = []) {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 1e7, metricProducers });
  const provider = new MeterProvider({ readers: [reader] });
  return {
    provider,
    async collect(): Promise<Point[]> {
      exporter.reset();
      await provider.forceFlush();
      return (
        exporter
          .getMetrics()
          .flatMap((resource) => resource.scopeMetrics)
          // What SDKs say of themselves.
          .filter(({ scope }) => !scope.name.startsWith('@opentelemetry/'))
          .flatMap(({ scope, metrics }) =>
            metrics.flatMap(({ descriptor, dataPointType, dataPoints, ...rest }) =>
              dataPoints.map((point) => {
                const histogram =
                  dataPointType === DataPointType.HISTOGRAM
                    ? (point.value as { count: number; buckets: { boundaries: number[] } })
                    : undefined;
                const monotonic = 'isMonotonic' in rest && rest.isMonotonic;
                const kind = histogram
                  ? 'histogram'
                  : dataPointType === DataPointType.GAUGE
                    ? 'gauge'
                    : monotonic
                      ? 'counter'
                      : 'up_down';
                return {
                  name: descriptor.name,
                  kind,
                  unit: descriptor.unit,
                  scope: `${scope.name}@${scope.version}`,
                  attributes: point.attributes,
                  value: histogram ? histogram.count : (point.value as number),
                  ...(histogram && { boundaries: histogram.buckets.boundaries }),
                } as Point;
              }),
            ),
          )
      );
    },
  };
}

/** A meter provider that can be scraped. The exporter's own server takes port 0 for its default, so that files would meet. */
export async function prometheusSdk(...others: MetricReader[]) {
  return prometheusWith([], ...others);
}

/** The same, with metrics of others in the scrape. */
export async function prometheusWith(metricProducers: MetricProducer[], ...others: MetricReader[]) {
  const exporter = new PrometheusExporter({ preventServerStart: true, metricProducers });
  const provider = new MeterProvider({ readers: [exporter, ...others] });
  const server = createServer((request, response) => exporter.getMetricsRequestHandler(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    provider,
    async scrape(): Promise<string> {
      const response = await fetch(`http://127.0.0.1:${port}/metrics`);
      expect(response.status).toBe(200);
      return response.text();
    },
    async close(): Promise<void> {
      await provider.shutdown();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A tracer provider whose spans can be read, in the order they ended. */
export function tracesSdk(options: { sampler?: Sampler; processors?: SpanProcessor[] } = {}) {
  const exporter = new InMemorySpanExporter();
  const provider = new TracerProvider({
    ...(options.sampler && { sampler: options.sampler }),
    spanProcessors: [...(options.processors ?? []), new SimpleSpanProcessor({ exporter })],
  });
  return { provider, spans: () => exporter.getFinishedSpans(), reset: () => exporter.reset() };
}

/** A logger provider whose records can be read. */
export function logsSdk() {
  const exporter = new InMemoryLogRecordExporter();
  const provider = new LoggerProvider({ processors: [new SimpleLogRecordProcessor({ exporter })] });
  return { provider, records: () => exporter.getFinishedLogRecords() };
}

/** Collects what the API and the SDK complain about; a double end or a write after the end shows up here. */
export function listenToDiag(): string[] {
  const heard: string[] = [];
  const hear = (...args: unknown[]) => void heard.push(args.map(String).join(' '));
  otel.diag.setLogger(
    { error: hear, warn: hear, info() {}, debug() {}, verbose() {} },
    { logLevel: otel.DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
  return heard;
}

/** For a whole test file: forgets every global after each test, and no test may have made the API or the SDK complain. */
export function withoutComplaints(): void {
  let heard: string[];
  beforeEach(() => {
    heard = listenToDiag();
  });
  afterEach(() => {
    unregister();
    expect(heard).toEqual([]);
  });
}

/** Registers what is given, and a context manager. */
export function register(sdk: {
  tracerProvider?: otel.TracerProvider;
  meterProvider?: otel.MeterProvider;
  loggerProvider?: LoggerProvider;
}): void {
  otel.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  if (sdk.tracerProvider) otel.trace.setGlobalTracerProvider(sdk.tracerProvider);
  if (sdk.meterProvider) otel.metrics.setGlobalMeterProvider(sdk.meterProvider);
  if (sdk.loggerProvider) otel.logs.setGlobalLoggerProvider(sdk.loggerProvider);
}

/** Forgets every global. */
export function unregister(): void {
  otel.trace.disable();
  otel.metrics.disable();
  otel.logs.disable();
  otel.context.disable();
  otel.diag.disable();
}

/** The one value of a stream, `undefined` when it is not exported. */
export function valueOf(
  points: readonly Point[],
  name: string,
  attributes: Readonly<Record<string, unknown>> = {},
): number | undefined {
  const found = points.filter(
    (point) =>
      point.name === name && Object.entries(attributes).every(([key, value]) => point.attributes[key] === value),
  );
  if (found.length > 1) throw new Error(`${name} has ${found.length} streams with ${JSON.stringify(attributes)}`);
  return found[0]?.value;
}
