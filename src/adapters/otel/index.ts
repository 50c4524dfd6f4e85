/**
 * OpenTelemetry. Every pipeline reports through the global providers without being told to; this subpath is for those who
 * pass their own, or join other instrumentation to ours. Importing it has no effect.
 */
export {
  type AttemptInfo,
  getAttempt,
  type ResendCountProcessor,
  resendCountProcessor,
  type StartedSpan,
} from './attempt.ts';
export type { Logger, LoggerProvider } from './binding.ts';
export type { HistogramValue } from './histogram.ts';
export { otelObserver } from './observer.ts';
export type { TelemetryOptions } from './options.ts';
export {
  type CollectionResult,
  type HistogramMetric,
  type MetricProducer,
  type MetricProducerOptions,
  metricProducer,
  type Resource,
  type ScopeMetrics,
} from './producer.ts';
