import type { CallInfo, Observer, PipelineInfo, PolicyInfo, SpanEnd } from '../../../src/telemetry/observer.ts';
import type { PipelineSnapshot, PolicyState } from '../../../src/telemetry/snapshot.ts';
import { otelObserver, type TelemetryOptions } from '../../../src/adapters/otel/index.ts';

/** The counts of a policy that can be changed, as a policy's own cells are. */
export type Policy = PolicyInfo & { state: PolicyState };

let made = 0;

/** A name no other test has: what is registered for the global providers lives as long as the process. */
export function fresh(prefix = 'p'): string {
  return `${prefix}${++made}`;
}

export function breaker(name: string): Policy & { state: Extract<PolicyState, { kind: 'circuit_breaker' }> } {
  const state = {
    kind: 'circuit_breaker' as const,
    state: 'closed' as const,
    transitions: { closed: 0, open: 0, half_open: 0, isolated: 0, disabled: 0 },
    executions: { success: 0, failure: 0, ignored: 0, rejected: 0 },
    rejections: { circuit_open: 0, circuit_isolated: 0 },
    failureRatio: null,
    circuits: 1,
  };
  return { name, kind: 'circuit_breaker', identity: {}, state };
}

export function bulkhead(name: string, active = 0): Policy & { state: Extract<PolicyState, { kind: 'bulkhead' }> } {
  const state = {
    kind: 'bulkhead' as const,
    active,
    limit: 4,
    queued: 0,
    queueLimit: 8,
    held: 0,
    leaked: 0,
    rejections: { bulkhead_full: 0, queue_timeout: 0 },
  };
  return { name, kind: 'bulkhead', identity: {}, state };
}

export function timeout(name: string, timeouts = 0): Policy & { state: { timeouts: number } } {
  return {
    name,
    kind: 'timeout',
    identity: {},
    state: { kind: 'timeout', timeouts, late: 0, rejections: { deadline_exceeded: 0 } },
  };
}

interface Setup {
  readonly name?: string;
  readonly policies?: readonly Policy[];
  readonly repeats?: boolean;
  readonly telemetry?: TelemetryOptions;
  readonly attributes?: PipelineInfo['attributes'];
}

/** Apart from what knows the handle: closures of one function share one scope, and `info` must not keep the handle. */
function behind({ name = fresh(), policies = [], repeats = false, attributes }: Setup) {
  const counts = { active: 0, late: 0, timeouts: 0, rejections: { deadline_exceeded: 0, draining: 0 } };
  const info: PipelineInfo = {
    name,
    policies,
    repeats,
    attributes,
    dateOf: (at) => new Date(at),
    snapshot: (): PipelineSnapshot => ({
      name,
      calls: 0,
      outcomes: { success: 0, fallback: 0, failure: 0, cancelled: 0, ignored: 0 },
      attempts: 0,
      attemptsPerCall: 0,
      ...counts,
      last10s: { calls: 0, failures: 0 },
      latency: null,
      policies: policies.map((policy) => ({ name: policy.name, bypassed: false, ...policy.state })),
    }),
  };
  return { info, counts };
}

/** A pipeline as an observer sees one, driven by hand. It is its own handle: keep it as a user would. */
export function fakePipeline(setup: Setup = {}) {
  const { info, counts } = behind(setup);
  return new FakePipeline(info, counts, setup.telemetry);
}

class FakePipeline {
  readonly name: string;
  readonly counts: ReturnType<typeof behind>['counts'];
  readonly observer: Required<Observer>;

  constructor(info: PipelineInfo, counts: FakePipeline['counts'], telemetry: TelemetryOptions | undefined) {
    this.name = info.name;
    this.counts = counts;
    this.observer = otelObserver(telemetry)(info, this) as Required<Observer>;
  }

  call(more: Partial<CallInfo> = {}): CallInfo {
    return {
      executionId: 'x-1',
      pipeline: this.name,
      attempt: 0,
      attemptKind: 'initial',
      retryDelayMs: 0,
      key: undefined,
      attributes: undefined,
      deadline: Number.POSITIVE_INFINITY,
      ...more,
    };
  }
}

/** How something ended. */
export function ended(outcome: SpanEnd['outcome'], more: Partial<SpanEnd> = {}): SpanEnd {
  return { outcome, error: undefined, errorType: undefined, durationMs: 12, attempts: 1, rejected: false, ...more };
}
