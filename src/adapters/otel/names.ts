/**
 * The words operators read: every name here is public API. `tests/adapters/otel/contract.json` lists them with the
 * values they may take, and a test drives every policy down every path against that file.
 */

/** Name of the instrumentation scope. */
export const SCOPE = 'seaworthy';

/** What stands in for a name or an error type once there are too many of them. */
export const OTHER = '_OTHER';

export const PIPELINE_NAME = 'seaworthy.pipeline.name';
export const PIPELINE_POLICIES = 'seaworthy.pipeline.policies';
export const POLICY_NAME = 'seaworthy.policy.name';
const POLICY_TYPE = 'seaworthy.policy.type';
export const OUTCOME = 'seaworthy.outcome';
export const ERROR_TYPE = 'error.type';
export const ATTEMPT_COUNT = 'seaworthy.attempt.count';
export const ATTEMPT_NUMBER = 'seaworthy.attempt.number';
export const ATTEMPT_KIND = 'seaworthy.attempt.kind';
export const RETRY_DELAY = 'seaworthy.retry.delay';
export const RETRY_RESULT = 'seaworthy.retry.result';
export const FALLBACK_REASON = 'seaworthy.fallback.reason';
const FALLBACK_RESULT = 'seaworthy.fallback.result';
export const REJECTION_REASON = 'seaworthy.rejection.reason';
export const TIMEOUT_DURATION = 'seaworthy.timeout.duration';
export const QUEUE_DURATION = 'seaworthy.concurrency.queue.duration';
export const CIRCUIT_STATE = 'seaworthy.circuit_breaker.state';
export const CIRCUIT_PREVIOUS_STATE = 'seaworthy.circuit_breaker.previous_state';
const CIRCUIT_RESULT = 'seaworthy.circuit_breaker.result';
export const CIRCUIT_FAILURE_RATIO = 'seaworthy.circuit_breaker.failure_ratio';
export const RESEND_COUNT = 'http.request.resend_count';

/** The log event told when a circuit changes its state. */
export const CIRCUIT_STATE_CHANGE = 'seaworthy.circuit_breaker.state_change';

/** Bucket boundaries of the durations, in seconds: those of HTTP's convention, with 1 and 2.5 ms and 30 s added. */
export const BUCKETS: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30,
];

/** A metric of counts and states, read from the cells at collection. */
export interface ObservableMetric {
  readonly name: string;
  readonly kind: 'counter' | 'up_down' | 'gauge';
  readonly unit: string;
  readonly description: string;
  /** Key of the attribute that names whose value it is. */
  readonly owner: typeof PIPELINE_NAME | typeof POLICY_NAME;
  /** Key of a second attribute, where there is one. */
  readonly detail?: string;
  /** How instances of one name come together; a ratio of two is not their sum. */
  readonly merge?: 'max';
}

const p = PIPELINE_NAME;
const q = POLICY_NAME;

/** Every observable metric; the instruments of a meter are made from this table. */
export const METRICS = {
  active: {
    name: 'seaworthy.execution.active',
    kind: 'up_down',
    unit: '{execution}',
    owner: p,
    description: 'Executions running or waiting now.',
  },
  rejections: {
    name: 'seaworthy.rejections',
    kind: 'counter',
    unit: '{rejection}',
    owner: q,
    detail: REJECTION_REASON,
    description: 'Calls turned away before the function was called.',
  },
  timeouts: {
    name: 'seaworthy.timeouts',
    kind: 'counter',
    unit: '{timeout}',
    owner: q,
    description: 'Calls whose time was up.',
  },
  late: {
    name: 'seaworthy.late',
    kind: 'counter',
    unit: '{execution}',
    owner: q,
    description: 'Work that ended after it had been abandoned.',
  },
  retryExecutions: {
    name: 'seaworthy.retry.executions',
    kind: 'counter',
    unit: '{execution}',
    owner: q,
    detail: RETRY_RESULT,
    description: 'Calls through a retry, by how they ended.',
  },
  retryAttempts: {
    name: 'seaworthy.retry.attempts',
    kind: 'counter',
    unit: '{attempt}',
    owner: q,
    description: 'Attempts after the first.',
  },
  retryBudgetLimit: {
    name: 'seaworthy.retry.budget.limit',
    kind: 'gauge',
    unit: '{token}',
    owner: q,
    description: 'Tokens a retry budget holds when it is full.',
  },
  retryBudgetRemaining: {
    name: 'seaworthy.retry.budget.remaining',
    kind: 'gauge',
    unit: '{token}',
    owner: q,
    description: 'Tokens left in a retry budget.',
  },
  fallbackExecutions: {
    name: 'seaworthy.fallback.executions',
    kind: 'counter',
    unit: '{execution}',
    owner: q,
    detail: FALLBACK_RESULT,
    description: 'Calls a fallback answered, or failed to.',
  },
  circuitStatus: {
    name: 'seaworthy.circuit_breaker.status',
    kind: 'up_down',
    unit: '1',
    owner: q,
    detail: CIRCUIT_STATE,
    description: 'One for the state a circuit breaker is in, zero for the others.',
  },
  circuitTransitions: {
    name: 'seaworthy.circuit_breaker.transitions',
    kind: 'counter',
    unit: '{transition}',
    owner: q,
    detail: CIRCUIT_STATE,
    description: 'Changes of state, by the state entered.',
  },
  circuitExecutions: {
    name: 'seaworthy.circuit_breaker.executions',
    kind: 'counter',
    unit: '{execution}',
    owner: q,
    detail: CIRCUIT_RESULT,
    description: 'Calls as a circuit breaker counted them.',
  },
  circuitFailureRatio: {
    name: CIRCUIT_FAILURE_RATIO,
    kind: 'gauge',
    unit: '1',
    owner: q,
    merge: 'max',
    description: 'Share of failures in the window; absent below the minimum number of calls.',
  },
  concurrencyUsage: {
    name: 'seaworthy.concurrency.usage',
    kind: 'up_down',
    unit: '{execution}',
    owner: q,
    detail: POLICY_TYPE,
    description: 'Slots taken.',
  },
  concurrencyLimit: {
    name: 'seaworthy.concurrency.limit',
    kind: 'up_down',
    unit: '{execution}',
    owner: q,
    detail: POLICY_TYPE,
    description: 'Slots there are.',
  },
  queueUsage: {
    name: 'seaworthy.concurrency.queue.usage',
    kind: 'up_down',
    unit: '{execution}',
    owner: q,
    detail: POLICY_TYPE,
    description: 'Calls waiting for a slot.',
  },
  queueLimit: {
    name: 'seaworthy.concurrency.queue.limit',
    kind: 'up_down',
    unit: '{execution}',
    owner: q,
    detail: POLICY_TYPE,
    description: 'Calls that may wait for a slot.',
  },
  leaked: {
    name: 'seaworthy.concurrency.leaked',
    kind: 'counter',
    unit: '{execution}',
    owner: q,
    description: 'Slots given up before the work that held them had ended.',
  },
} as const satisfies Record<string, ObservableMetric>;

/** Key of {@link METRICS}. */
export type MetricId = keyof typeof METRICS;

/** The histograms: one record per call, per attempt, and per call that waited. */
export const HISTOGRAMS = {
  pipeline: {
    name: 'seaworthy.pipeline.duration',
    unit: 's',
    description: 'Duration of executions, waits and retries included.',
  },
  attempt: {
    name: 'seaworthy.attempt.duration',
    unit: 's',
    description: 'Duration of attempts that reached the function, in pipelines that repeat it.',
  },
  queue: {
    name: QUEUE_DURATION,
    unit: 's',
    description: 'Time calls waited for a slot; calls that did not wait are left out.',
  },
} as const;

/** Key of {@link HISTOGRAMS}. */
export type HistogramId = keyof typeof HISTOGRAMS;
