// Durations without the price of the SDK's histograms: a metric producer keeps them, and a reader collects them from it.
import * as otel from '@opentelemetry/api';
import {
  AggregationTemporality,
  DataPointType,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import { pipeline, retry, timeout } from 'seaworthy';
import { metricProducer } from 'seaworthy/otel';

const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE); // one of OTLP or PrometheusExporter in a service

// #region readme
// Once, where the process starts: every reader of the provider gets one.
const reader = new PeriodicExportingMetricReader({ exporter, metricProducers: [metricProducer()] });
otel.metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
// #endregion

const prices = pipeline('prices', [retry({ maxRetries: 1, backoff: 0 }), timeout(1_000)]);
for (let i = 1; i <= 100; i++)
  await prices.execute(({ attempt }) => (i % 10 === 0 && attempt === 1 ? Promise.reject(new TypeError('no')) : i));

await reader.forceFlush();
const metrics = exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics));
for (const metric of metrics) {
  const { name, unit } = metric.descriptor;
  if (metric.dataPointType === DataPointType.HISTOGRAM)
    for (const { attributes, value } of metric.dataPoints)
      console.log(name, unit, value.count, Object.values(attributes).join(' '));
  else if (name === 'seaworthy.retry.attempts') console.log(name, metric.dataPoints[0]?.value);
}
await reader.shutdown();
