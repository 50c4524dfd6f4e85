import * as otel from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http';
import { UndiciInstrumentation } from '@opentelemetry/instrumentation-undici';
import type { LoggerProvider } from '@opentelemetry/sdk-logs';
import { AggregationType, type IMetricReader, MeterProvider } from '@opentelemetry/sdk-metrics';
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { circuitBreaker, pipeline, retry, timeout } from 'seaworthy';
import { getAttempt, resendCountProcessor } from 'seaworthy/otel';

/** The code of docs/observability.md: each region is a block of it, and is run by docs.test.ts. */

export function injected(tracerProvider: TracerProvider, meterProvider: MeterProvider, loggerProvider: LoggerProvider) {
  // #region injected
  const orders = pipeline('orders', [retry(), circuitBreaker(), timeout(2_000)], {
    telemetry: { tracerProvider, meterProvider, loggerProvider },
  });
  // #endregion
  return orders;
}

export function off() {
  // #region off
  const silent = pipeline('silent', [retry()], { telemetry: false });
  const measured = pipeline('measured', [retry()], { telemetry: { traces: false, logs: false } });
  const brief = pipeline('brief', [retry()], { telemetry: { attemptSpans: 'never' } }); // one span per call
  // #endregion
  return [silent, measured, brief];
}

export function besideHttp() {
  // #region http
  const tracerProvider = new TracerProvider({
    spanProcessors: [resendCountProcessor(), new BatchSpanProcessor({ exporter: new OTLPTraceExporter() })],
  });
  otel.trace.setGlobalTracerProvider(tracerProvider);
  const instrumentations = [new UndiciInstrumentation(), new HttpInstrumentation()]; // fetch, node:http
  // #endregion
  return { tracerProvider, instrumentations };
}

/** What a logger adds to each of its lines. */
export function logFields() {
  // #region attempt
  const { pipeline: name, attempt } = getAttempt(otel.context.active()) ?? {};
  // #endregion
  return { name, attempt };
}

export function buckets(meterProvider?: MeterProvider) {
  // #region buckets
  const telemetry = { durationBuckets: [0.05, 0.1, 0.2, 0.3, 0.5, 1, 3] }; // seconds; an objective of 300 ms is one of them
  // #endregion
  return pipeline('search', [timeout(3_000)], { telemetry: { ...telemetry, meterProvider } });
}

export function exponential(reader: IMetricReader) {
  // #region exponential
  const meterProvider = new MeterProvider({
    readers: [reader],
    views: [
      { instrumentName: 'seaworthy.*.duration', aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM } },
      { instrumentName: 'seaworthy.late', aggregation: { type: AggregationType.DROP } },
    ],
  });
  // #endregion
  return meterProvider;
}
