/** What people write when they instrument policies themselves: a span per policy, a counter per event, two durations. */
import * as otel from '@opentelemetry/api';
import type { Pipeline } from 'seaworthy';
import type { TelemetryOptions } from 'seaworthy/otel';

const policies = ['fallback', 'retry', 'circuit_breaker', 'bulkhead', 'timeout'];

/** Without providers it asks the global ones, as everybody does. */
export function byHand(
  pipe: Pipeline<number>,
  { meterProvider, tracerProvider }: Pick<TelemetryOptions, 'meterProvider' | 'tracerProvider'>,
): (fn: () => Promise<number>) => Promise<number> {
  const none = meterProvider === undefined && tracerProvider === undefined;
  const tracer = none ? otel.trace.getTracer('by-hand') : tracerProvider?.getTracer('by-hand');
  const meter = none ? otel.metrics.getMeter('by-hand') : meterProvider?.getMeter('by-hand');
  const counted = meter === undefined ? pipe.execute.bind(pipe) : withMetrics(pipe, meter);
  return tracer === undefined ? counted : withSpans(counted, tracer);
}

type Run = (fn: () => Promise<number>) => Promise<number>;

function withMetrics(pipe: Pipeline<number>, meter: otel.Meter): Run {
  const active = meter.createUpDownCounter('active');
  const events = meter.createCounter('policy.executions');
  const durations = meter.createHistogram('duration', { unit: 's' });
  const attempts = meter.createHistogram('attempt.duration', { unit: 's' });
  return async (fn) => {
    const start = performance.now();
    active.add(1, { 'app.pipeline.name': 'naive' });
    const value = await pipe.execute(async () => {
      const begun = performance.now();
      const answer = await fn();
      attempts.record((performance.now() - begun) / 1000, {
        'app.pipeline.name': 'naive',
        'app.attempt.kind': 'initial',
        'app.outcome': 'success',
      });
      return answer;
    });
    for (const policy of policies)
      events.add(1, { 'app.pipeline.name': 'naive', 'app.policy.name': policy, 'app.policy.result': 'success' });
    active.add(-1, { 'app.pipeline.name': 'naive' });
    durations.record((performance.now() - start) / 1000, { 'app.pipeline.name': 'naive', 'app.outcome': 'success' });
    return value;
  };
}

function withSpans(run: Run, tracer: otel.Tracer): Run {
  const spanned = (name: string, inner: () => Promise<number>) =>
    tracer.startActiveSpan(name, async (span) => {
      span.setAttribute('app.pipeline.name', 'naive');
      try {
        const value = await inner();
        span.setAttribute('app.outcome', 'success');
        return value;
      } finally {
        span.end();
      }
    });
  return (fn) =>
    spanned('execute', () =>
      policies.reduceRight<() => Promise<number>>(
        (inner, policy) => () => spanned(policy, inner),
        () => run(fn),
      )(),
    );
}

/** The least that a span around a call can cost: no attribute, no status, and it ends at once, which costs the same as later. */
export function spanAlone<R>(fn: () => R, tracerProvider: TelemetryOptions['tracerProvider']): () => R {
  const tracer = (tracerProvider ?? otel.trace).getTracer('alone');
  return () => {
    const span = tracer.startSpan('call');
    const answer = otel.context.with(otel.trace.setSpan(otel.context.active(), span), fn);
    span.end();
    return answer;
  };
}
