import { OUTCOME, PIPELINE_NAME, POLICY_NAME, METRICS } from '../src/adapters/otel/names.ts';
import { label, type Series } from './series.ts';

/** A series computed beforehand, because several alerts read it or because users are to change it. */
export interface Recorded {
  readonly record: string;
  readonly expr: (series: Series) => string;
  /** A comment above the rule. */
  readonly about?: string;
}

export interface Alert {
  readonly alert: string;
  /** `critical` wakes somebody, `warning` is for working hours, `info` for whoever looks. */
  readonly severity: 'critical' | 'warning' | 'info';
  readonly expr: (series: Series) => string;
  /** How long it must hold; absent where the expression looks back far enough itself. */
  readonly for?: string;
  /** For the table of README.md: when it fires, and why these numbers. */
  readonly fires: string;
  readonly why: string;
  readonly summary: string;
  readonly description: string;
}

/** The share of calls that may fail, where nothing else is recorded. */
const errorBudget = 0.001;
/** Seconds that one answer in a hundred may take longer than, where nothing else is recorded. A boundary of the histogram, so the quantile is exact there. */
const latencyLimit = 1;
/** Calls per second below which a share says little: thirty in five minutes. */
const fewCalls = 0.1;
/** Failures below which a budget is not worth an alert, whatever their share. */
const fewFailures = 10;

const byPipeline = `by (job, ${label(PIPELINE_NAME)})`;
const byPolicy = `by (job, ${label(POLICY_NAME)})`;
const pipeline = `{{ $labels.${label(PIPELINE_NAME)} }} in {{ $labels.job }}`;
const policy = `{{ $labels.${label(POLICY_NAME)} }} in {{ $labels.job }}`;
const percent = '{{ $value | humanizePercentage }}';

const STATE = METRICS.circuitStatus.detail;
const RETRY_RESULT = METRICS.retryExecutions.detail;

/** Calls that ended in an answer or a failure: the caller's own aborts and what is classified as ignored are no calls here. */
const judged = ['success', 'fallback', 'failure'] as const;

const budget = 'job_pipeline:seaworthy_error_budget:ratio';
const limit = 'job_pipeline:seaworthy_latency_limit:seconds';
const calls = 'job_pipeline:seaworthy_calls:rate5m';
const p99 = 'job_pipeline:seaworthy_answers:p99_5m';
const failures = (window: Window) => `job_pipeline:seaworthy_failures:ratio_rate${window}`;

type Window = (typeof windows)[number];
const windows = ['5m', '30m', '1h', '6h', '3d'] as const;

const rate = (selector: string, window: string, by: string) => `sum ${by} (rate(${selector}[${window}]))`;

/** Both windows burn the budget so many times too fast: the long one says that it matters, the short one that it still goes on. */
const burns = (long: Window, short: Window, times: number) =>
  `${failures(long)} > ${times} * ${budget} and ${failures(short)} > ${times} * ${budget}`;
const enough = (series: Series, window: string) =>
  `sum ${byPipeline} (increase(${series.count('pipeline', { [OUTCOME]: 'failure' })}[${window}])) >= ${fewFailures}`;

export const RECORDED: readonly Recorded[] = [
  {
    record: budget,
    about: `The share of calls that may fail: change it here. A pipeline of its own budget is taken out of this one by
{${label(PIPELINE_NAME)}!="checkout"} and gets a rule of the same name with {${label(PIPELINE_NAME)}="checkout"}.`,
    expr: (series) => `${errorBudget} * group ${byPipeline} (${series.of('active')})`,
  },
  {
    record: limit,
    about: 'Seconds that at most one answer in a hundred may take longer than. To be changed in the same way.',
    expr: (series) => `${latencyLimit} * group ${byPipeline} (${series.of('active')})`,
  },
  { record: calls, expr: (series) => rate(series.count('pipeline', { [OUTCOME]: judged }), '5m', byPipeline) },
  {
    record: p99,
    expr: (series) =>
      `histogram_quantile(0.99, sum by (job, ${label(PIPELINE_NAME)}, le) (rate(${series.bucket('pipeline', { [OUTCOME]: ['success', 'fallback'] })}[5m])))`,
  },
  ...windows.map((window) => ({
    record: failures(window),
    expr: (series: Series) =>
      `${rate(series.count('pipeline', { [OUTCOME]: 'failure' }), window, byPipeline)}\n/\n${rate(series.count('pipeline', { [OUTCOME]: judged }), window, byPipeline)}`,
  })),
];

export const ALERTS: readonly Alert[] = [
  {
    alert: 'SeaworthyErrorBudgetBurnFast',
    severity: 'critical',
    expr: (series) =>
      `(\n  ${burns('1h', '5m', 14.4)}\n  or\n  ${burns('6h', '30m', 6)}\n)\nand\n${enough(series, '1h')}`,
    for: '2m',
    fires: `failures above 14.4 x the budget over 1 h and 5 min, or above 6 x over 6 h and 30 min, and at least ${fewFailures} failures in the hour`,
    why: 'a budget for 30 days loses 2 % in an hour, or 5 % in six; two minutes keep a single restart quiet',
    summary: `Calls of ${pipeline} fail fast enough to spend the error budget`,
    description: `${percent} of the calls that ended in an answer or a failure have failed. At this rate the error budget of 30 days is gone within five.`,
  },
  {
    alert: 'SeaworthyErrorBudgetBurnSlow',
    severity: 'warning',
    expr: (series) => `${burns('3d', '6h', 1)}\nand\n${enough(series, '6h')}`,
    for: '1h',
    fires: `failures above the budget over 3 d and 6 h, and at least ${fewFailures} failures in six hours`,
    why: 'the budget will not last for its 30 days; nothing that has to be mended at night',
    summary: `Calls of ${pipeline} fail more often than the error budget allows`,
    description: `${percent} of the calls of the last three days have failed, and it goes on.`,
  },
  {
    alert: 'SeaworthyLatencyHigh',
    severity: 'warning',
    expr: () => `${p99} > ${limit}\nand\n${calls} > ${fewCalls}`,
    for: '10m',
    fires: `the 99th percentile of answers above ${latencyLimit} s, at more than ${fewCalls} calls per second`,
    why: 'one second is where people notice; ten minutes outlast a deployment and a cold cache',
    summary: `Answers of ${pipeline} are slow`,
    description: 'One call in a hundred takes longer than {{ $value | humanizeDuration }}, waits and retries included.',
  },
  {
    alert: 'SeaworthyCircuitOpen',
    severity: 'warning',
    // An open circuit is half-open at every probe, so a single look would not find it open each time.
    expr: (series) => `count ${byPolicy} (max_over_time(${series.of('circuitStatus', { [STATE]: 'open' })}[2m]) > 0)`,
    for: '3m',
    fires: 'a circuit was open within the last 2 min, in any process',
    why: 'three minutes are more than one opening alone is visible for, so it has opened again',
    summary: `Circuit breaker ${policy} is open`,
    description: 'It turns calls away in {{ $value }} process(es), because what it guards keeps failing.',
  },
  {
    alert: 'SeaworthyCircuitFlapping',
    severity: 'warning',
    expr: (series) => `max ${byPolicy} (increase(${series.of('circuitTransitions', { [STATE]: 'closed' })}[15m])) > 3`,
    fires: 'a circuit of one process closed more than 3 times in 15 min',
    why: 'each closing followed an opening; one outage closes a circuit once',
    summary: `Circuit breaker ${policy} opens and closes again and again`,
    description: 'One process has closed it {{ $value | printf "%.0f" }} times in 15 minutes.',
  },
  {
    alert: 'SeaworthyCircuitHeld',
    severity: 'info',
    expr: (series) =>
      `max by (job, ${label(POLICY_NAME)}, ${label(STATE)}) (${series.of('circuitStatus', { [STATE]: ['isolated', 'disabled'] })}) > 0`,
    for: '1h',
    fires: 'a circuit is isolated or disabled',
    why: 'longer than most incidents have somebody at the keyboard: it was forgotten',
    summary: `Circuit breaker ${policy} is held by hand`,
    description: `It has been {{ $labels.${label(STATE)} }} for an hour in at least one process.`,
  },
  {
    alert: 'SeaworthyFallbackServed',
    severity: 'warning',
    expr: (series) =>
      `${rate(series.count('pipeline', { [OUTCOME]: 'fallback' }), '5m', byPipeline)}\n/\n${calls}\n> 0.05\nand\n${calls} > ${fewCalls}`,
    for: '5m',
    fires: `fallbacks answer more than 5 % of the calls, at more than ${fewCalls} calls per second`,
    why: 'no other alert sees it, because these calls do not fail; below 5 % it is what fallbacks are for',
    summary: `Fallbacks answer for ${pipeline}`,
    description: `${percent} of the calls got the fallback's answer in place of the real one.`,
  },
  {
    alert: 'SeaworthyRetryStorm',
    severity: 'warning',
    expr: (series) =>
      `${rate(series.of('retryAttempts'), '5m', byPolicy)}\n/\n${rate(series.of('retryExecutions'), '5m', byPolicy)}\n> 0.2\nand\n${rate(series.of('retryAttempts'), '5m', byPolicy)} > 1`,
    for: '5m',
    fires: 'more than 0.2 retries per call, and more than 1 retry per second',
    why: 'from ten calls per second on the default budget pays for less in the long run: it is off, larger, or spends its reserve',
    summary: `Retries of ${policy} add load to what is failing`,
    description: '{{ $value | printf "%.2f" }} retries for each call.',
  },
  {
    alert: 'SeaworthyRetryBudgetExhausted',
    severity: 'warning',
    expr: (series) =>
      `${rate(series.of('retryExecutions', { [RETRY_RESULT]: 'budget_exhausted' }), '5m', byPolicy)}\n/\n${rate(series.of('retryExecutions'), '5m', byPolicy)}\n> 0.01`,
    for: '5m',
    fires: 'more than 1 % of the calls were not retried because the retry budget was empty',
    why: 'the reserve is gone and failures reach the callers; five minutes pass over a short dip',
    summary: `The retry budget of ${policy} is empty`,
    description: `${percent} of the calls failed without the retry they could have had.`,
  },
  {
    alert: 'SeaworthyBulkheadSaturated',
    severity: 'warning',
    expr: (series) =>
      `max ${byPolicy} (avg_over_time(${series.of('concurrencyUsage')}[2m]) / avg_over_time(${series.of('concurrencyLimit')}[2m])) > 0.9`,
    for: '5m',
    fires: 'more than 90 % of the slots of one process taken, on average over 2 min',
    why: 'calls wait or are turned away next; bursts are averaged out',
    summary: `Bulkhead ${policy} is nearly full`,
    description: `${percent} of the slots are taken in the fullest process.`,
  },
  {
    alert: 'SeaworthySlotsLeaked',
    severity: 'warning',
    expr: (series) => `sum ${byPolicy} (increase(${series.of('leaked')}[15m])) > 0`,
    fires: 'a slot was given up within the last 15 min while its work still ran',
    why: 'never happens to functions that heed their signal; more runs now than the limit says',
    summary: `Abandoned work of ${policy} does not end`,
    description: '{{ $value | printf "%.0f" }} slots were freed in 15 minutes although the work in them had not ended.',
  },
];

/** Where the page of an alert stands, from the root of a repository. */
export function runbook(alert: string): string {
  return `docs/runbooks/${alert}.md`;
}
