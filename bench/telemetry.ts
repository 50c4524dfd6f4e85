import * as otel from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';
import { AlwaysOffSampler, AlwaysOnSampler, BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import type { Pipeline } from 'seaworthy';
import type { TelemetryOptions } from 'seaworthy/otel';
import { five } from './cases.ts';
import type { Variant } from './measure.ts';

/** What is switched on. */
interface Signals {
  readonly metrics: boolean;
  readonly traces: 'none' | 'sampled' | 'unsampled';
}

/** Every combination that is measured, by the name of its row. */
export const signals: Readonly<Record<string, Signals>> = {
  'metrics only': { metrics: true, traces: 'none' },
  'metrics, traces unsampled': { metrics: true, traces: 'unsampled' },
  'metrics and traces': { metrics: true, traces: 'sampled' },
};

const noop = async () => 1;

/** The same five policies without telemetry, with ours, and with what tells the same by hand: a span per policy, a counter per event, two durations. */
export function compared(on: Signals): readonly [off: Variant, ours: Variant, naive: Variant] {
  otel.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  const providers = providersOf(on);
  const off = five('off', false);
  const ours = five('ours', { ...providers, logs: false, metrics: on.metrics, traces: on.traces !== 'none' });
  const instrumented = byHand(five('naive', false), providers);
  return [
    { name: 'telemetry off', call: () => off.execute(noop) },
    { name: 'ours', call: () => ours.execute(noop) },
    { name: 'by hand', call: () => instrumented(noop) },
  ];
}

type Providers = Pick<TelemetryOptions, 'meterProvider' | 'tracerProvider'>;

function providersOf({ metrics, traces }: Signals): Providers {
  const sampler = traces === 'sampled' ? new AlwaysOnSampler() : new AlwaysOffSampler();
  // Exporting is the reader's own cost and the same for all.
  const exporter = {
    export: (_: unknown, done: (r: { code: number }) => void) => done({ code: 0 }),
    shutdown: async () => {},
  };
  return {
    ...(metrics && { meterProvider: new MeterProvider({ readers: [new ManualReader()] }) }),
    ...(traces !== 'none' && {
      tracerProvider: new TracerProvider({ sampler, spanProcessors: [new BatchSpanProcessor({ exporter })] }),
    }),
  };
}

class ManualReader extends MetricReader {
  protected override async onShutdown(): Promise<void> {}
  protected override async onForceFlush(): Promise<void> {}
}

const policies = ['fallback', 'retry', 'circuit_breaker', 'bulkhead', 'timeout'];

function byHand(pipe: Pipeline<number>, { meterProvider, tracerProvider }: Providers) {
  const tracer = tracerProvider?.getTracer('by-hand');
  const meter = meterProvider?.getMeter('by-hand');
  const active = meter?.createUpDownCounter('active');
  const events = meter?.createCounter('policy.executions');
  const durations = meter?.createHistogram('duration', { unit: 's' });
  const attempts = meter?.createHistogram('attempt.duration', { unit: 's' });

  const counted = async (fn: () => Promise<number>) => {
    const start = performance.now();
    active?.add(1, { 'app.pipeline.name': 'naive' });
    const value = await pipe.execute(async () => {
      const begun = performance.now();
      const answer = await fn();
      attempts?.record((performance.now() - begun) / 1000, {
        'app.pipeline.name': 'naive',
        'app.attempt.kind': 'initial',
        'app.outcome': 'success',
      });
      return answer;
    });
    for (const policy of policies)
      events?.add(1, { 'app.pipeline.name': 'naive', 'app.policy.name': policy, 'app.policy.result': 'success' });
    active?.add(-1, { 'app.pipeline.name': 'naive' });
    durations?.record((performance.now() - start) / 1000, { 'app.pipeline.name': 'naive', 'app.outcome': 'success' });
    return value;
  };
  if (tracer === undefined) return counted;

  const spanned = (name: string, run: () => Promise<number>) =>
    tracer.startActiveSpan(name, async (span) => {
      span.setAttribute('app.pipeline.name', 'naive');
      try {
        const value = await run();
        span.setAttribute('app.outcome', 'success');
        return value;
      } finally {
        span.end();
      }
    });
  return (fn: () => Promise<number>) =>
    spanned('execute', () =>
      policies.reduceRight<() => Promise<number>>(
        (inner, policy) => () => spanned(policy, inner),
        () => counted(fn),
      )(),
    );
}
