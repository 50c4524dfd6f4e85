import type { PipelineSnapshot, PolicyState } from '../../telemetry/snapshot.ts';
import { METRICS, type MetricId, type ObservableMetric } from './names.ts';

/** One number on its way into a metric: whose it is, and the value of the metric's second attribute. */
export interface Cell {
  readonly name: string;
  readonly detail: string | undefined;
  value: number;
}

/** Takes one number; names come last because most metrics have no detail. */
export type Put = (metric: MetricId, value: number, detail?: string) => void;

/** What a pipeline itself has to say, under its name as `seaworthy.pipeline.name`. */
export function pipelineCells(snapshot: PipelineSnapshot, put: Put): void {
  put('active', snapshot.active);
}

/** What a pipeline did by itself, under its own name as `seaworthy.policy.name`: the caller's deadline, draining, abandoned work. */
export function pipelineAsPolicyCells(snapshot: PipelineSnapshot, put: Put): void {
  put('late', snapshot.late);
  put('timeouts', snapshot.timeouts);
  record('rejections', snapshot.rejections, put);
}

/** What a policy has to say, by its kind. A user's own policy has no metrics of ours. */
export function policyCells(state: PolicyState, put: Put): void {
  switch (state.kind) {
    case 'timeout':
      put('timeouts', state.timeouts);
      put('late', state.late);
      return record('rejections', state.rejections, put);
    case 'retry':
      record('retryExecutions', state.executions, put);
      put('retryAttempts', state.attempts);
      if (state.budget === null) return;
      put('retryBudgetLimit', state.budget.limit);
      return put('retryBudgetRemaining', state.budget.remaining);
    case 'circuit_breaker':
      // Every state is there with its zero, so that an alert sees the first opening too.
      for (const name of Object.keys(state.transitions)) put('circuitStatus', name === state.state ? 1 : 0, name);
      record('circuitTransitions', state.transitions, put);
      record('circuitExecutions', state.executions, put);
      record('rejections', state.rejections, put);
      if (state.failureRatio !== null) put('circuitFailureRatio', state.failureRatio);
      return;
    case 'bulkhead':
      put('concurrencyUsage', state.active, state.kind);
      put('concurrencyLimit', state.limit, state.kind);
      put('queueUsage', state.queued, state.kind);
      put('queueLimit', state.queueLimit, state.kind);
      put('leaked', state.leaked);
      return record('rejections', state.rejections, put);
    case 'fallback':
      if (state.timeouts !== undefined) put('timeouts', state.timeouts);
      if (state.late !== undefined) put('late', state.late);
      return record('fallbackExecutions', state.executions, put);
    case 'custom':
      return;
    default:
      // A new kind of policy does not compile before it is named here.
      state satisfies never;
  }
}

function record(metric: MetricId, counts: Readonly<Record<string, number | undefined>>, put: Put): void {
  for (const detail of Object.keys(counts)) put(metric, counts[detail] ?? 0, detail);
}

/** Numbers by metric, name and detail; what has the same three comes together. */
export class Totals {
  private readonly metrics: Map<MetricId, Map<string, Cell>>;
  private readonly countersOnly: boolean;

  /** `countersOnly` leaves out states, which end with who was in them. */
  constructor(countersOnly = false) {
    this.metrics = new Map();
    this.countersOnly = countersOnly;
  }

  add(metric: MetricId, name: string, detail: string | undefined, value: number): void {
    // Infinity means no limit, and NaN nothing: neither is a number a backend could draw.
    if (!Number.isFinite(value) || (this.countersOnly && METRICS[metric].kind !== 'counter')) return;
    let cells = this.metrics.get(metric);
    if (cells === undefined) this.metrics.set(metric, (cells = new Map()));
    const key = detail === undefined ? name : `${name}\n${detail}`;
    const cell = cells.get(key);
    if (cell === undefined) cells.set(key, { name, detail, value });
    else
      cell.value =
        (METRICS[metric] as ObservableMetric).merge === 'max' ? Math.max(cell.value, value) : cell.value + value;
  }

  /** Takes numbers for `name`. */
  under(name: string): Put {
    return (metric, value, detail) => this.add(metric, name, detail, value);
  }

  /** The cells of one metric, by a key that is the same in every `Totals`. */
  of(metric: MetricId): ReadonlyMap<string, Cell> {
    return this.metrics.get(metric) ?? none;
  }

  addAll(other: Totals, sign: 1 | -1 = 1): void {
    for (const [metric, cells] of other.metrics)
      for (const { name, detail, value } of cells.values()) this.add(metric, name, detail, sign * value);
  }
}

const none: ReadonlyMap<string, Cell> = new Map();
