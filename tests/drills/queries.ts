/**
 * The queries of `docs/drills.md`, as an operator types them. Metrics are asked at the moment he looks; the search over traces
 * covers the last two minutes, or where it is asked for `before`, two minutes before the trouble began.
 */
export const metrics = {
  /** Pipelines whose attempts take three times as long as three minutes ago, by the median in seconds. */
  slower: `
histogram_quantile(0.5, sum by (seaworthy_pipeline_name, le) (
  rate(seaworthy_attempt_duration_seconds_bucket{seaworthy_outcome="success"}[2m])))
> 3 * histogram_quantile(0.5, sum by (seaworthy_pipeline_name, le) (
  rate(seaworthy_attempt_duration_seconds_bucket{seaworthy_outcome="success"}[2m] offset 3m)))`,

  /** Pipelines that got no good answer at all, though they asked. */
  noAnswer: `
sum by (seaworthy_pipeline_name) (increase(seaworthy_attempt_duration_seconds_count[2m])) > 0
unless
sum by (seaworthy_pipeline_name) (increase(seaworthy_attempt_duration_seconds_count{seaworthy_outcome="success"}[2m])) > 0`,

  /** What attempts failed with, a minute's worth. */
  errors: `
sum by (seaworthy_pipeline_name, error_type) (
  rate(seaworthy_attempt_duration_seconds_count{seaworthy_outcome="failure"}[2m])) * 60`,

  /** The share of calls that failed for those who made them. */
  failing: `
sum by (seaworthy_pipeline_name) (rate(seaworthy_pipeline_duration_seconds_count{seaworthy_outcome="failure"}[2m]))
/ sum by (seaworthy_pipeline_name) (rate(seaworthy_pipeline_duration_seconds_count[2m])) > 0.05`,

  /** The share of calls that a fallback answered. */
  fallback: `
sum by (seaworthy_pipeline_name) (rate(seaworthy_pipeline_duration_seconds_count{seaworthy_outcome="fallback"}[2m]))
/ sum by (seaworthy_pipeline_name) (rate(seaworthy_pipeline_duration_seconds_count[2m])) > 0.5`,

  /** Circuits that opened. */
  opened: `
sum by (seaworthy_policy_name) (
  increase(seaworthy_circuit_breaker_transitions_total{seaworthy_circuit_breaker_state="open"}[2m])) > 0`,

  /** Circuits that opened and closed at least three times. */
  upAndDown: `
sum by (seaworthy_policy_name) (
  increase(seaworthy_circuit_breaker_transitions_total{seaworthy_circuit_breaker_state="open"}[2m])) > 2.5
and
sum by (seaworthy_policy_name) (
  increase(seaworthy_circuit_breaker_transitions_total{seaworthy_circuit_breaker_state="closed"}[2m])) > 2.5`,

  /** Pipelines that are called half as often again as three minutes ago, in calls a second. */
  load: `
sum by (job, seaworthy_pipeline_name) (rate(seaworthy_pipeline_duration_seconds_count[2m]))
> 1.5 * sum by (job, seaworthy_pipeline_name) (rate(seaworthy_pipeline_duration_seconds_count[2m] offset 3m))`,

  /** Attempts per call, where they are more than one and a half. */
  amplification: `
sum by (job, seaworthy_pipeline_name) (rate(seaworthy_attempt_duration_seconds_count[2m]))
/ sum by (job, seaworthy_pipeline_name) (rate(seaworthy_pipeline_duration_seconds_count[2m])) > 1.5`,

  /** Retries whose calls failed for want of a token: the share, where it is above a twentieth. */
  budgetExhausted: `
sum by (seaworthy_policy_name) (rate(seaworthy_retry_executions_total{seaworthy_retry_result="budget_exhausted"}[2m]))
/ sum by (seaworthy_policy_name) (rate(seaworthy_retry_executions_total[2m])) > 0.05`,

  /** Budgets that were never more than a third full. */
  budgetLow: `
max_over_time(seaworthy_retry_budget_remaining[2m]) / seaworthy_retry_budget_limit < 0.34`,

  /** Bulkheads with every slot taken, and calls turned away for it. */
  saturated: `
max_over_time(seaworthy_concurrency_usage[2m]) / seaworthy_concurrency_limit >= 1
and on (seaworthy_policy_name)
sum by (seaworthy_policy_name) (
  increase(seaworthy_rejections_total{seaworthy_rejection_reason=~"bulkhead_full|queue_timeout"}[2m])) > 0`,

  /** The share of attempts that timed out. */
  timeouts: `
sum by (seaworthy_pipeline_name) (rate(seaworthy_attempt_duration_seconds_count{error_type="timeout"}[2m]))
/ sum by (seaworthy_pipeline_name) (rate(seaworthy_attempt_duration_seconds_count[2m])) > 0.05`,

  /** What nine of ten good attempts took three minutes ago, in seconds. */
  usually: `
histogram_quantile(0.9, sum by (seaworthy_pipeline_name, le) (
  rate(seaworthy_attempt_duration_seconds_bucket{seaworthy_outcome="success"}[2m] offset 3m)))`,
} as const;

/** See {@link metrics}. */
export const traces = {
  /** How fast each host answers, in seconds; what waits in our queues is not in it. */
  hostLatency: `
{ kind = client && status != error } | avg_over_time(duration) by (span.server.address)`,

  /** Attempts by the host the caller named; \`attributes: { 'server.address': host }\` puts it there. */
  attemptsByHost: `
{ name =~ "attempt .+" && span.server.address != nil }
| count_over_time() by (span.seaworthy.pipeline.name, span.server.address)`,

  /** Those of them that failed. */
  failuresByHost: `
{ name =~ "attempt .+" && span.server.address != nil && status = error }
| count_over_time() by (span.seaworthy.pipeline.name, span.server.address)`,

  /** Whose retries stand above executions, and in which service. */
  whoseRetries: `
{ name =~ "execute .+" } << { name =~ "attempt .+" && span.seaworthy.attempt.kind = "retry" }
| count_over_time() by (resource.service.name, span.seaworthy.pipeline.name)`,

  /** Executions that stand below a retry. */
  belowRetries: `
{ name =~ "attempt .+" && span.seaworthy.attempt.kind = "retry" } >> { name =~ "execute .+" }
| count_over_time() by (resource.service.name, span.seaworthy.pipeline.name)`,

  /** All executions. */
  executions: `
{ name =~ "execute .+" } | count_over_time() by (resource.service.name, span.seaworthy.pipeline.name)`,

  /** The limit that timed-out attempts ran into, in seconds. */
  limits: `
{ name =~ "attempt .+" && span.error.type = "timeout" }
| max_over_time(span.seaworthy.timeout.duration) by (span.seaworthy.pipeline.name)`,

  /** Attempts that count as failures although the server answered that the request was at fault. */
  clientErrors: `
{ kind = client && span.http.response.status_code >= 400 && span.http.response.status_code < 500
  && span.http.response.status_code != 408 && span.http.response.status_code != 425
  && span.http.response.status_code != 429 }
< { name =~ "attempt .+" && span.seaworthy.outcome = "failure" }
| count_over_time() by (span.seaworthy.pipeline.name, span.error.type) > 5`,

  /** Which statuses those were. */
  clientStatuses: `
{ name =~ "attempt .+" && span.seaworthy.outcome = "failure" }
> { kind = client && span.http.response.status_code >= 400 && span.http.response.status_code < 500
  && span.http.response.status_code != 408 && span.http.response.status_code != 425
  && span.http.response.status_code != 429 }
| count_over_time() by (span.http.response.status_code)`,
} as const;

/** Name of a query over metrics. */
export type MetricsQuery = keyof typeof metrics;
/** Name of a query over traces. */
export type TracesQuery = keyof typeof traces;
