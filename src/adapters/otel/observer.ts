import * as otel from '@opentelemetry/api';
import type { PolicyEvent } from '../../telemetry/events.ts';
import type { CallInfo, Interest, Observer, ObserverFactory, PipelineInfo, SpanEnd } from '../../telemetry/observer.ts';
import { followLogger, followMeter, followTracer, registrations } from './binding.ts';
import { logStateChange, openerOf, rememberOpener } from './circuits.ts';
import { type Collector, ledgerOf } from './collector.ts';
import { ErrorTypes } from './error-type.ts';
import { reportFault } from './fault.ts';
import * as names from './names.ts';
import { checkOptions, type TelemetryOptions } from './options.ts';
import type { PipelineSeries } from './series.ts';
import { Scope, Spans } from './spans.ts';

/**
 * Makes the observer that speaks OpenTelemetry. Every pipeline has one unless `telemetry` is `false`. Throws a `TypeError`
 * for bad options.
 */
export function otelObserver(options: TelemetryOptions = {}): ObserverFactory {
  checkOptions(options);
  return (info, handle) => observe(info, handle, options);
}

function observe(info: PipelineInfo, handle: object, options: TelemetryOptions): Observer {
  const { attemptSpans = 'auto', statusMessage = true, durationBuckets } = options;
  const { policies } = info;
  const tracers = options.traces === false ? off : followTracer(options.tracerProvider);
  const meters = options.metrics === false ? off : followMeter(options.meterProvider);
  const loggers = options.logs === false ? off : followLogger(options.loggerProvider);
  const ledger = options.metrics === false ? undefined : ledgerOf(options.meterProvider);
  const member = ledger?.add(info, handle, durationBuckets);
  const spans = new Spans(info, statusMessage, attemptSpans !== 'never');

  let tracer: otel.Tracer | undefined;
  let collector: Collector | undefined;
  let series: PipelineSeries | undefined;
  let errorTypes: ErrorTypes | undefined;

  const global = options.tracerProvider === undefined && options.meterProvider === undefined;
  let seen = -1;
  let faulty = false;
  let wish: Interest = 0;

  /** Asked for every call. */
  function interest(): Interest {
    if (!global) return bind();
    const now = registrations();
    if (now === seen) return wish;
    faulty = false;
    wish = bind();
    // One that has thrown is asked again for the next call.
    if (!faulty) seen = now;
    return wish;
  }

  function bind(): Interest {
    tracer = provided(tracers);
    collector = provided(meters);
    return tracer !== undefined ? 2 : collector !== undefined ? 1 : 0;
  }

  function provided<T>(ask: () => T): T | undefined {
    try {
      return ask();
    } catch (error) {
      faulty = true;
      reportFault('a provider', error);
      return undefined;
    }
  }

  function typeOf(error: unknown, word: string | undefined): string {
    if (ledger !== undefined) errorTypes = (series ??= ledger.seriesOf(info.name)).errorTypes;
    return (errorTypes ??= new ErrorTypes(info.name)).of(error, word);
  }

  function record(name: 'execution' | 'attempt', end: SpanEnd, errorType: string | undefined, call: CallInfo): void {
    if (collector === undefined || ledger === undefined) return;
    series ??= ledger.seriesOf(info.name);
    const seconds = end.durationMs / 1000;
    if (name === 'execution')
      return collector.durations.record('pipeline', seconds, series.execution.of(end.outcome, errorType));
    // A call that was turned away at once says nothing of how long attempts take.
    if (!info.repeats || end.rejected) return;
    collector.durations.record('attempt', seconds, series.attempt(call.attemptKind).of(end.outcome, errorType));
  }

  function changed(event: Extract<PolicyEvent, { type: 'circuit_state' }>, scope: Scope | undefined): void {
    rememberOpener(policies, event, scope?.span);
    const logger = loggers();
    if (logger === undefined) return;
    const blamed = event.error !== undefined || event.errorType !== undefined;
    const errorType = blamed ? typeOf(event.error, event.errorType) : undefined;
    logStateChange(logger, event, errorType, (at) => info.dateOf(at), scope?.context ?? otel.context.active());
  }

  function tell(event: PolicyEvent, call: CallInfo, scope: Scope | undefined): void {
    switch (event.type) {
      case 'circuit_admission':
        return scope?.set(names.CIRCUIT_STATE, event.state);
      case 'circuit_state':
        return changed(event, scope);
      case 'rejected': {
        const span = scope?.recording;
        if (span === undefined) return;
        span.setAttribute(names.REJECTION_REASON, event.reason);
        const context = event.reason === 'circuit_open' ? openerOf(policies, event.policy, call.key) : undefined;
        if (context !== undefined) span.addLink({ context });
        return;
      }
      case 'dequeued':
        scope?.set(names.QUEUE_DURATION, event.waitedMs / 1000);
        if (ledger !== undefined)
          collector?.durations.record('queue', event.waitedMs / 1000, ledger.queueStream(event.policy));
        return;
      case 'timeout':
        return scope?.set(names.TIMEOUT_DURATION, event.timeoutMs / 1000);
      case 'retry_result':
        return scope?.execution.set(names.RETRY_RESULT, event.result);
      case 'fallback':
        return scope?.execution.set(names.FALLBACK_REASON, typeOf(event.error, event.errorType));
      case 'retry':
      case 'leaked':
      case 'late':
      case 'fault':
      case 'bypass':
        return;
      default:
        // A new event does not compile before it is named here.
        event satisfies never;
    }
  }

  // The SDK may be there already: then every series exists, at 0, before the first call.
  bind();
  guarded('the histograms', () => collector?.checkBuckets(info.name, durationBuckets));

  return {
    attempts: attemptSpans === 'always',
    interest,
    start(name, call, parent) {
      const outer = parent instanceof Scope ? parent : undefined;
      if (name === 'execution') return tracer && spans.execution(tracer, call, outer);
      return outer && (name === 'attempt' ? spans.attempt(call, outer) : spans.fallback(call, outer));
    },
    end(name, token, end, call) {
      const errorType = end.outcome === 'failure' ? typeOf(end.error, end.errorType) : undefined;
      try {
        if (token instanceof Scope) spans.end(token, end, errorType);
      } finally {
        if (name !== 'fallback') record(name, end, errorType, call);
      }
    },
    event(event, call, token) {
      tell(event, call, token instanceof Scope ? token : undefined);
    },
    within(token, run) {
      return token instanceof Scope && token.changesContext ? within(token.context, run) : run();
    },
    dispose() {
      if (member !== undefined) ledger?.release(member);
    },
  };
}

/** A context manager that throws must neither lose the call nor run it twice. */
function within<T>(context: otel.Context, run: () => T): T {
  let state: 'before' | 'inside' | 'after' = 'before';
  let value: T | undefined;
  try {
    return otel.context.with(context, () => {
      state = 'inside';
      value = run();
      state = 'after';
      return value;
    });
  } catch (error) {
    // The compiler does not see the assignments of the callback.
    const reached = state as 'before' | 'inside' | 'after';
    if (reached === 'inside') throw error;
    reportFault('the context manager', error);
    return reached === 'after' ? (value as T) : run();
  }
}

function guarded(where: string, run: () => void): void {
  try {
    run();
  } catch (error) {
    reportFault(where, error);
  }
}

function off(): undefined {
  return undefined;
}
