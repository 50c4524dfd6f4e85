/// <reference lib="esnext.disposable" preserve="true" />
import { adopt } from './adapters/cockatiel/adopt.ts';
import { otelObserver, type TelemetryOptions } from './adapters/otel/index.ts';
import { telemetryOptions } from './adapters/otel/options.ts';
import { type AltOf, Pipeline, type PipelineOptions, type Stackable } from './core/pipeline.ts';

export type { AroundOptions, Next } from './core/around.ts';
export { policy } from './core/around.ts';
// errors
export {
  BulkheadFullError,
  CircuitOpenError,
  DeadlineExceededError,
  DrainingError,
  type ErrorOrigin,
  isRejectedError,
  isResilienceError,
  isTimeoutError,
  RejectedError,
  ResilienceError,
  TimeoutError,
} from './core/errors.ts';
export type { DrainOptions } from './core/drain.ts';
export type { ExecuteOptions } from './core/execute-options.ts';
export type { Handle } from './core/handle.ts';
export type { Classify, Judgement, Outcome, Verdict, When } from './core/outcome.ts';
export type { AltOf, PipelineEvent, PipelineOptions, Stackable } from './core/pipeline.ts';
export type { Pipeline } from './core/pipeline.ts';
// what an author of a policy implements
export type { Call } from './core/call.ts';
export { type DropReason, type Host, type Policy, Stage } from './core/policy.ts';
export { snapshots } from './core/registry.ts';
export type { CallContext } from './core/work.ts';
export { type Bulkhead, type BulkheadOptions, bulkhead } from './policies/bulkhead.ts';
export type { CircuitControl } from './core/circuit-control.ts';
export {
  type CircuitBreaker,
  type CircuitBreakerOptions,
  circuitBreaker,
} from './policies/circuit-breaker.ts';
export { type FallbackOptions, fallback } from './policies/fallback.ts';
export { type RetryOptions, retry } from './policies/retry.ts';
export type { RetryInfo } from './core/retry-info.ts';
export { retryBudget, type SharedRetryBudget } from './core/shared-budget.ts';
export { type TimeoutOptions, timeout } from './policies/timeout.ts';
// ports
export type { Clock, Timer } from './ports/clock.ts';
export type { Random } from './ports/random.ts';
// what observers hear
export type { CircuitSnapshot, CircuitSnapshots } from './algorithms/circuit-state.ts';
export type { CircuitStateName, OutcomeName, PolicyEvent, RejectionReason, RetryResult } from './telemetry/events.ts';
export type { CallInfo, Interest, Observer, SpanEnd, SpanName } from './telemetry/observer.ts';
export type { PipelineSnapshot, PolicySnapshot, PolicyState } from './telemetry/snapshot.ts';
export type { TelemetryOptions } from './adapters/otel/index.ts';

/**
 * Makes a pipeline: calls run through `policies`, outermost first (ours, your own, other pipelines, cockatiel's). `name`
 * is what operators read. Throws a `TypeError` or `RangeError` that names everything wrong with the arguments.
 */
export function pipeline<const P extends readonly Stackable[]>(
  name: string,
  policies: P,
  options: PipelineOptions<TelemetryOptions> = {},
): Pipeline<AltOf<P[number]>> {
  return new Pipeline(name, policies, options, { observer: otelObserver, telemetry: telemetryOptions, adopt });
}
