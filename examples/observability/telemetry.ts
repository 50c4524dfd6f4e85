// The OpenTelemetry SDK, as a service sets it up: loaded before everything else by `node --import ./telemetry.ts`.
// Where telemetry goes is the environment's choice; with none of these variables there is no SDK, and nothing is measured.
//
//   OTEL_SERVICE_NAME             what the service is called, quotes unless said
//   OTEL_EXPORTER_OTLP_ENDPOINT   traces, metrics and logs by OTLP/HTTP, say http://127.0.0.1:4318
//   OTEL_METRIC_EXPORT_INTERVAL   milliseconds between two exports of the metrics, 60000 unless said
//   PROMETHEUS_PORT               metrics to be scraped from http://127.0.0.1:{port}/metrics
//   PROMETHEUS_UNIT_SUFFIX        `true` spells durations as a collector does: seaworthy_pipeline_duration_seconds
import * as otel from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-http';
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-http';
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { UndiciInstrumentation } from '@opentelemetry/instrumentation-undici';
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';
import { type IMetricReader, MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { resendCountProcessor } from 'seaworthy/otel';

const {
  OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
  OTEL_METRIC_EXPORT_INTERVAL: interval = '60000',
  PROMETHEUS_PORT: port,
  PROMETHEUS_UNIT_SUFFIX: suffix,
  OTEL_SERVICE_NAME: service = 'quotes',
} = process.env;

otel.diag.setLogger(new otel.DiagConsoleLogger(), otel.DiagLogLevel.WARN);

const resource = defaultResource().merge(resourceFromAttributes({ 'service.name': service }));
const providers: { shutdown(): Promise<void> }[] = [];
const readers: IMetricReader[] = [];

if (endpoint !== undefined) {
  const tracerProvider = new TracerProvider({
    resource,
    spanProcessors: [resendCountProcessor(), new BatchSpanProcessor({ exporter: new OTLPTraceExporter() })],
  });
  const loggerProvider = new LoggerProvider({
    resource,
    processors: [new BatchLogRecordProcessor({ exporter: new OTLPLogExporter() })],
  });
  readers.push(
    new PeriodicExportingMetricReader({
      exporter: new OTLPMetricExporter(),
      exportIntervalMillis: Number(interval),
      exportTimeoutMillis: Math.min(Number(interval), 30_000),
    }),
  );
  // What puts the spans of `fetch` under the attempt they belong to.
  otel.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  otel.trace.setGlobalTracerProvider(tracerProvider);
  otel.logs.setGlobalLoggerProvider(loggerProvider);
  providers.push(tracerProvider, loggerProvider);
}

if (port !== undefined) readers.push(new PrometheusExporter({ host: '127.0.0.1', port: Number(port) }));

if (readers.length > 0) {
  const durations = ['pipeline', 'attempt', 'concurrency.queue'].map((what) => `seaworthy.${what}.duration`);
  const views = durations.map((name) => ({ instrumentName: name, name: `${name}_seconds` }));
  const meterProvider = new MeterProvider({ resource, readers, views: suffix === 'true' ? views : [] });
  otel.metrics.setGlobalMeterProvider(meterProvider);
  providers.push(meterProvider);
  new UndiciInstrumentation();
}

/** Sends what is left; call it last. */
export async function stopTelemetry(): Promise<void> {
  await Promise.all(providers.map((provider) => provider.shutdown()));
}
