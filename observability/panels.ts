import { ATTEMPT_KIND, ERROR_TYPE, METRICS, OUTCOME, PIPELINE_NAME, POLICY_NAME } from '../src/adapters/otel/names.ts';
import { label, Series, type Where } from './series.ts';

export interface Target {
  readonly expr: string;
  /** `{{label}}` is replaced by Grafana. */
  readonly legend: string;
}

export interface Panel {
  readonly title: string;
  /** Shown behind the panel's i: what to read from it. */
  readonly description: string;
  readonly kind: 'stat' | 'lines' | 'stacked' | 'states';
  /** Grafana's name of the unit. */
  readonly unit: 'reqps' | 'percentunit' | 's' | 'short' | 'x';
  /** Of 24 columns. */
  readonly width: number;
  readonly targets: readonly Target[];
}

export interface Row {
  readonly title: string;
  /** Repeated for every value of this variable. */
  readonly repeat?: 'pipeline';
  readonly panels: readonly Panel[];
}

const series = new Series('${suffix}');

const P = label(PIPELINE_NAME);
const Q = label(POLICY_NAME);
const STATE = METRICS.circuitStatus.detail;
const REASON = METRICS.rejections.detail;

const inPipeline = { [PIPELINE_NAME]: { matches: '$pipeline' } } as const;
/** What a policy is called unless it was given a name; the pipeline itself counts under its own. */
const ofPipeline = { [POLICY_NAME]: { matches: '($pipeline)(/.*)?' } } as const;
const inPolicy = { [POLICY_NAME]: { matches: '$policy' } } as const;

const judged = ['success', 'fallback', 'failure'] as const;
const answers = ['success', 'fallback'] as const;

const rate = (selector: string) => `rate(${selector}[$__rate_interval])`;
const sum = (inner: string, ...by: string[]) =>
  by.length === 0 ? `sum(${inner})` : `sum by (${by.join(', ')}) (${inner})`;

/** The share of calls with that outcome; 0 where there was none, because its series comes with the first. */
function share(outcome: 'failure' | 'fallback', ...by: string[]): string {
  const all = sum(rate(series.count('pipeline', { ...inPipeline, [OUTCOME]: judged })), ...by);
  const some = sum(rate(series.count('pipeline', { ...inPipeline, [OUTCOME]: outcome })), ...by);
  return `(${some} or 0 * ${all}) / ${all}`;
}

function quantiles(bucket: string, ...by: string[]): Target[] {
  return [0.5, 0.9, 0.99].map((quantile) => ({
    expr: `histogram_quantile(${quantile}, ${sum(rate(bucket), 'le', ...by)})`,
    legend: [...by.map((name) => `{{${name}}}`), `p${quantile * 100}`].join(' '),
  }));
}

function status(state: Where<'circuitStatus'>[typeof STATE]): string {
  return series.of('circuitStatus', { ...inPolicy, ...(state !== undefined && { [STATE]: state }) });
}

/** What a circuit's state is drawn as; of several circuits of one name the worst is shown. */
export const STATES = ['closed', 'disabled', 'half_open', 'open', 'isolated'] as const;
const stateCode = STATES.map((state, code) => `${code} * (${status(state)} > bool 0)`).join(' or ');

const answered = series.bucket('pipeline', { ...inPipeline, [OUTCOME]: answers });

export const ROWS: readonly Row[] = [
  {
    title: 'At a glance',
    panels: [
      {
        title: 'Calls',
        description: 'Calls per second of the chosen pipelines. Nested pipelines count a call at each level.',
        kind: 'stat',
        unit: 'reqps',
        width: 4,
        targets: [{ expr: sum(rate(series.count('pipeline', inPipeline))), legend: 'calls' }],
      },
      {
        title: 'Failed',
        description:
          'Share of the calls that ended in a failure. The caller’s aborts and ignored outcomes are left out.',
        kind: 'stat',
        unit: 'percentunit',
        width: 4,
        targets: [{ expr: share('failure'), legend: 'failed' }],
      },
      {
        title: 'Answered by a fallback',
        description: 'These did not fail, and did not get the real answer either.',
        kind: 'stat',
        unit: 'percentunit',
        width: 4,
        targets: [{ expr: share('fallback'), legend: 'fallback' }],
      },
      {
        title: 'p99 of answers',
        description:
          'One answer in a hundred took longer. Failures are left out: those at an open circuit take no time.',
        kind: 'stat',
        unit: 's',
        width: 4,
        targets: [{ expr: `histogram_quantile(0.99, ${sum(rate(answered), 'le')})`, legend: 'p99' }],
      },
      {
        title: 'Circuits not closed',
        description: 'Open, half-open or isolated circuit breakers, over all processes.',
        kind: 'stat',
        unit: 'short',
        width: 4,
        targets: [{ expr: sum(status(['open', 'half_open', 'isolated'])), legend: 'circuits' }],
      },
      {
        title: 'Running now',
        description: 'Calls running or waiting, over all processes.',
        kind: 'stat',
        unit: 'short',
        width: 4,
        targets: [{ expr: sum(series.of('active', inPipeline)), legend: 'running' }],
      },
      {
        title: 'Calls by pipeline',
        description: 'Calls per second.',
        kind: 'lines',
        unit: 'reqps',
        width: 8,
        targets: [{ expr: sum(rate(series.count('pipeline', inPipeline)), P), legend: `{{${P}}}` }],
      },
      {
        title: 'Failed by pipeline',
        description: 'Share of the calls.',
        kind: 'lines',
        unit: 'percentunit',
        width: 8,
        targets: [{ expr: share('failure', P), legend: `{{${P}}}` }],
      },
      {
        title: 'p99 of answers by pipeline',
        description: 'One answer in a hundred took longer.',
        kind: 'lines',
        unit: 's',
        width: 8,
        targets: [{ expr: `histogram_quantile(0.99, ${sum(rate(answered), 'le', P)})`, legend: `{{${P}}}` }],
      },
    ],
  },
  {
    title: 'Pipeline $pipeline',
    repeat: 'pipeline',
    panels: [
      {
        title: 'Volume by outcome',
        description: 'Calls per second, by how they ended for the caller.',
        kind: 'stacked',
        unit: 'reqps',
        width: 8,
        targets: [
          { expr: sum(rate(series.count('pipeline', inPipeline)), label(OUTCOME)), legend: `{{${label(OUTCOME)}}}` },
        ],
      },
      {
        title: 'Failed and degraded',
        description: 'Share of the calls that failed, and of those a fallback answered.',
        kind: 'lines',
        unit: 'percentunit',
        width: 8,
        targets: [
          { expr: share('failure'), legend: 'failed' },
          { expr: share('fallback'), legend: 'fallback' },
        ],
      },
      {
        title: 'Latency of answers',
        description: 'Whole calls: waits, retries and fallbacks included. Failures are left out.',
        kind: 'lines',
        unit: 's',
        width: 8,
        targets: quantiles(answered),
      },
      {
        title: 'Turned away',
        description:
          'Per second, before the function was called: short-circuited, bulkhead full, waited too long, too little time left.',
        kind: 'stacked',
        unit: 'reqps',
        width: 8,
        targets: [
          { expr: sum(rate(series.of('rejections', ofPipeline)), label(REASON)), legend: `{{${label(REASON)}}}` },
        ],
      },
      {
        title: 'Timeouts and late work',
        description:
          'Timeouts per second, and abandoned work that ended afterwards. Nearly as much late work as timeouts: the answers come, just too late.',
        kind: 'lines',
        unit: 'reqps',
        width: 8,
        targets: [
          { expr: sum(rate(series.of('timeouts', ofPipeline)), Q), legend: `timeouts {{${Q}}}` },
          { expr: sum(rate(series.of('late', ofPipeline)), Q), legend: `late {{${Q}}}` },
        ],
      },
      {
        title: 'Failures by error type',
        description: 'Per second; error.type as on the spans.',
        kind: 'stacked',
        unit: 'reqps',
        width: 8,
        targets: [
          {
            expr: sum(rate(series.count('pipeline', { ...inPipeline, [OUTCOME]: 'failure' })), label(ERROR_TYPE)),
            legend: `{{${label(ERROR_TYPE)}}}`,
          },
        ],
      },
      {
        title: 'Attempts',
        description: 'Per second, of pipelines that retry; attempts that were turned away are left out.',
        kind: 'stacked',
        unit: 'reqps',
        width: 8,
        targets: [
          {
            expr: sum(rate(series.count('attempt', inPipeline)), label(ATTEMPT_KIND), label(OUTCOME)),
            legend: `{{${label(ATTEMPT_KIND)}}} {{${label(OUTCOME)}}}`,
          },
        ],
      },
      {
        title: 'Latency of attempts',
        description:
          'Every attempt that reached the function, failed ones and timeouts included: how the other side does.',
        kind: 'lines',
        unit: 's',
        width: 8,
        targets: quantiles(series.bucket('attempt', inPipeline)),
      },
      {
        title: 'Running',
        description: 'Calls running or waiting, over all processes.',
        kind: 'lines',
        unit: 'short',
        width: 8,
        targets: [{ expr: sum(series.of('active', inPipeline)), legend: 'running' }],
      },
    ],
  },
  {
    title: 'Circuit breakers ($policy)',
    panels: [
      {
        title: 'Circuit state',
        description: 'By process. Of several circuits of one name the worst is shown.',
        kind: 'states',
        unit: 'short',
        width: 24,
        targets: [{ expr: `max by (${Q}, instance) (${stateCode})`, legend: `{{${Q}}} {{instance}}` }],
      },
      {
        title: 'Calls through circuit breakers',
        description: 'Per second, as the breaker counted them; rejected are the short-circuited ones.',
        kind: 'stacked',
        unit: 'reqps',
        width: 8,
        targets: [
          {
            expr: sum(rate(series.of('circuitExecutions', inPolicy)), Q, label(METRICS.circuitExecutions.detail)),
            legend: `{{${Q}}} {{${label(METRICS.circuitExecutions.detail)}}}`,
          },
        ],
      },
      {
        title: 'Failure ratio in the window',
        description:
          'What the circuit opens by, of the process where it is highest. Nothing below the minimum number of calls.',
        kind: 'lines',
        unit: 'percentunit',
        width: 8,
        targets: [{ expr: `max by (${Q}) (${series.of('circuitFailureRatio', inPolicy)})`, legend: `{{${Q}}}` }],
      },
      {
        title: 'Circuit transitions',
        description: 'Changes of state, by the state entered, over all processes.',
        kind: 'stacked',
        unit: 'short',
        width: 8,
        targets: [
          {
            expr: sum(`increase(${series.of('circuitTransitions', inPolicy)}[$__rate_interval])`, Q, label(STATE)),
            legend: `{{${Q}}} {{${label(STATE)}}}`,
          },
        ],
      },
    ],
  },
  {
    title: 'Retries ($policy)',
    panels: [
      {
        title: 'Retry rate',
        description: 'Attempts after the first, per second.',
        kind: 'lines',
        unit: 'reqps',
        width: 6,
        targets: [{ expr: sum(rate(series.of('retryAttempts', inPolicy)), Q), legend: `{{${Q}}}` }],
      },
      {
        title: 'Amplification',
        description: 'Attempts per call: 1 is no retry at all.',
        kind: 'lines',
        unit: 'x',
        width: 6,
        targets: [
          {
            expr: `1 + ${sum(rate(series.of('retryAttempts', inPolicy)), Q)} / ${sum(rate(series.of('retryExecutions', inPolicy)), Q)}`,
            legend: `{{${Q}}}`,
          },
        ],
      },
      {
        title: 'How retried calls ended',
        description:
          'Per second. success_after_retry is what retries are for; budget_exhausted and deadline were not retried any more.',
        kind: 'stacked',
        unit: 'reqps',
        width: 6,
        targets: [
          {
            expr: sum(rate(series.of('retryExecutions', inPolicy)), Q, label(METRICS.retryExecutions.detail)),
            legend: `{{${Q}}} {{${label(METRICS.retryExecutions.detail)}}}`,
          },
        ],
      },
      {
        title: 'Retry budget left',
        description: 'Share of the tokens, in the process that has least.',
        kind: 'lines',
        unit: 'percentunit',
        width: 6,
        targets: [
          {
            expr: `min by (${Q}) (${series.of('retryBudgetRemaining', inPolicy)} / ${series.of('retryBudgetLimit', inPolicy)})`,
            legend: `{{${Q}}}`,
          },
        ],
      },
    ],
  },
  {
    title: 'Bulkheads ($policy)',
    panels: [
      {
        title: 'Concurrency',
        description: 'Slots in use and their limit, over all processes.',
        kind: 'lines',
        unit: 'short',
        width: 6,
        targets: [
          { expr: sum(series.of('concurrencyUsage', inPolicy), Q), legend: `in use {{${Q}}}` },
          { expr: sum(series.of('concurrencyLimit', inPolicy), Q), legend: `limit {{${Q}}}` },
        ],
      },
      {
        title: 'Slots taken',
        description: 'Share of the limit, in the fullest process.',
        kind: 'lines',
        unit: 'percentunit',
        width: 6,
        targets: [
          {
            expr: `max by (${Q}) (${series.of('concurrencyUsage', inPolicy)} / ${series.of('concurrencyLimit', inPolicy)})`,
            legend: `{{${Q}}}`,
          },
        ],
      },
      {
        title: 'Queue',
        description:
          'Calls waiting for a slot and how many may, over all processes. No limit is drawn where there is none.',
        kind: 'lines',
        unit: 'short',
        width: 6,
        targets: [
          { expr: sum(series.of('queueUsage', inPolicy), Q), legend: `waiting {{${Q}}}` },
          { expr: sum(series.of('queueLimit', inPolicy), Q), legend: `limit {{${Q}}}` },
        ],
      },
      {
        title: 'Time in the queue',
        description: 'Of the calls that had to wait and got a slot.',
        kind: 'lines',
        unit: 's',
        width: 6,
        targets: quantiles(series.bucket('queue', inPolicy), Q),
      },
      {
        title: 'Turned away by policy',
        description: 'Per second, before the function was called.',
        kind: 'stacked',
        unit: 'reqps',
        width: 12,
        targets: [
          {
            expr: sum(rate(series.of('rejections', inPolicy)), Q, label(REASON)),
            legend: `{{${Q}}} {{${label(REASON)}}}`,
          },
        ],
      },
      {
        title: 'Leaked slots',
        description: 'Slots given up before the work in them had ended, because it did not heed its signal.',
        kind: 'lines',
        unit: 'short',
        width: 12,
        targets: [{ expr: sum(`increase(${series.of('leaked', inPolicy)}[$__rate_interval])`, Q), legend: `{{${Q}}}` }],
      },
    ],
  },
  {
    title: 'Timeouts and fallbacks ($policy)',
    panels: [
      {
        title: 'Timeouts by policy',
        description: 'Calls per second whose time was up.',
        kind: 'lines',
        unit: 'reqps',
        width: 8,
        targets: [{ expr: sum(rate(series.of('timeouts', inPolicy)), Q), legend: `{{${Q}}}` }],
      },
      {
        title: 'Late work by policy',
        description: 'Work per second that ended after it had been abandoned.',
        kind: 'lines',
        unit: 'reqps',
        width: 8,
        targets: [{ expr: sum(rate(series.of('late', inPolicy)), Q), legend: `{{${Q}}}` }],
      },
      {
        title: 'Fallbacks',
        description: 'Per second: answered, or failed themselves.',
        kind: 'stacked',
        unit: 'reqps',
        width: 8,
        targets: [
          {
            expr: sum(rate(series.of('fallbackExecutions', inPolicy)), Q, label(METRICS.fallbackExecutions.detail)),
            legend: `{{${Q}}} {{${label(METRICS.fallbackExecutions.detail)}}}`,
          },
        ],
      },
    ],
  },
];

/** What the variables `pipeline` and `policy` offer. */
export const CHOICES = {
  pipeline: `label_values(${series.of('active')}, ${P})`,
  // Every policy has some metric of its own, and no metric is one of every policy.
  policy: `label_values({${Q}!=""}, ${Q})`,
} as const;

/** Marks drawn into every panel. */
export const OPENINGS: Target = {
  expr: `${sum(`increase(${series.of('circuitTransitions', { ...inPolicy, [STATE]: ['open', 'isolated'] })}[$__rate_interval])`, Q)} > 0`,
  legend: `${'{{'}${Q}}} opened`,
};
