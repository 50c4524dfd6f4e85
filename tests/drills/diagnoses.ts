import type { Telemetry } from './otlp.ts';
import { promql, type Sample } from './promql.ts';
import { type MetricsQuery, metrics, type TracesQuery, traces } from './queries.ts';
import { traceql } from './traceql.ts';

/** The only way of a diagnosis to the run: the documented queries, asked of the files. */
export interface Operator {
  metrics(query: MetricsQuery): readonly Sample[];
  /** Over the last two minutes, or two of the minutes `before` the trouble. */
  traces(query: TracesQuery, when?: 'before'): readonly Sample[];
}

/**
 * One who looks at `telemetry` at a moment (milliseconds since 1970). `spelt` rewrites a query for backends that name metrics
 * in another way.
 */
export function operator(telemetry: Telemetry, at: number, spelt = (query: string) => query): Operator {
  const minutes = (ago: number) => at - ago * 60_000;
  return {
    metrics: (query) => promql(spelt(metrics[query]), telemetry.series, at),
    traces: (query, when) =>
      when === 'before'
        ? traceql(traces[query], telemetry.spans, minutes(5), minutes(3) - 1_000)
        : traceql(traces[query], telemetry.spans, minutes(2), at),
  };
}

const pipelineName = ({ labels }: Sample) => labels.seaworthy_pipeline_name ?? labels['span.seaworthy.pipeline.name']!;
const policyName = ({ labels }: Sample) => labels.seaworthy_policy_name!;
/** `payments/retry` belongs to `payments`, unless somebody gave the policy a name of its own. */
const pipelineOf = (sample: Sample) => policyName(sample).replace(/\/[^/]+$/, '');
const host = ({ labels }: Sample) => labels['span.server.address']!;

/** What most attempts of a pipeline fail with. */
function mainError(ask: Operator, pipeline: string): string {
  const errors = ask.metrics('errors').filter((error) => pipelineName(error) === pipeline);
  const most = errors.reduce((a, b) => (b.value > a.value ? b : a), errors[0]!);
  return most?.labels.error_type ?? 'nothing';
}

/** How many times as slow each host has become. */
function slowdowns(ask: Operator): { host: string; times: number }[] {
  const before = new Map(ask.traces('hostLatency', 'before').map((sample) => [host(sample), sample.value]));
  return ask
    .traces('hostLatency')
    .map((sample) => ({ host: host(sample), times: sample.value / (before.get(host(sample)) ?? sample.value) }));
}

const samePlace = (one: Sample) => (other: Sample) =>
  pipelineName(other) === pipelineName(one) &&
  other.labels['resource.service.name'] === one.labels['resource.service.name'] &&
  host(other) === host(one);

/** By incident: what it finds, in the words of the answer; nothing where it is not this incident. */
export const diagnoses: Readonly<Record<string, (ask: Operator) => readonly string[]>> = {
  'slow dependency'(ask) {
    const pipelines = ask.metrics('slower').map((slow) => `"${pipelineName(slow)}"`);
    const hosts = slowdowns(ask).filter(({ times }) => times > 3);
    if (pipelines.length === 0 || hosts.length === 0) return [];
    return hosts.map(
      ({ host, times }) =>
        `${host} answers ${times.toFixed(0)} times as slowly as before, and calls of ${pipelines.join(', ')} with it`,
    );
  },

  'hard down'(ask) {
    const failing = new Set(ask.metrics('failing').map(pipelineName));
    return ask
      .metrics('noAnswer')
      .map(pipelineName)
      .filter((pipeline) => failing.has(pipeline))
      .map((pipeline) => `"${pipeline}" gets no answer at all: ${mainError(ask, pipeline)}`);
  },

  flapping(ask) {
    const misjudged = new Set(ask.traces('clientErrors').map(pipelineName));
    return ask
      .metrics('upAndDown')
      .filter((circuit) => !misjudged.has(pipelineOf(circuit)))
      .map(
        (circuit) =>
          `"${policyName(circuit)}" opens and closes again and again: ${mainError(ask, pipelineOf(circuit))}`,
      );
  },

  'retry storm from a caller'(ask) {
    const all = ask.traces('executions');
    const hit = ask.traces('belowRetries').filter((below) => below.value > 0.3 * all.find(samePlace(below))!.value);
    const amplified = ask.metrics('amplification');
    return ask
      .traces('whoseRetries')
      .filter((caller) =>
        amplified.some(
          (pipeline) =>
            pipelineName(pipeline) === pipelineName(caller) &&
            pipeline.labels.job === caller.labels['resource.service.name'],
        ),
      )
      .flatMap((caller) =>
        ask
          .metrics('load')
          .filter((load) =>
            hit.some(
              (below) =>
                pipelineName(below) === pipelineName(load) && below.labels['resource.service.name'] === load.labels.job,
            ),
          )
          .map(
            (load) =>
              `retries of "${pipelineName(caller)}" in ${caller.labels['resource.service.name']} are the load on "${pipelineName(load)}" in ${load.labels.job}`,
          ),
      );
  },

  'exhausted budget'(ask) {
    const opened = new Set(ask.metrics('opened').map(pipelineOf));
    const low = new Set(ask.metrics('budgetLow').map(policyName));
    return ask
      .metrics('budgetExhausted')
      .filter((retry) => low.has(policyName(retry)) && !opened.has(pipelineOf(retry)))
      .map((retry) => `"${policyName(retry)}" has spent its budget: ${mainError(ask, pipelineOf(retry))}`);
  },

  'saturated bulkhead'(ask) {
    if (slowdowns(ask).some(({ times }) => times > 1.5)) return [];
    return ask
      .metrics('saturated')
      .map((bulkhead) => `"${policyName(bulkhead)}" has all its slots taken, and the other side is as fast as before`);
  },

  'one bad host of three'(ask) {
    const failures = ask.traces('failuresByHost');
    const shares = ask.traces('attemptsByHost').map((all) => ({
      pipeline: pipelineName(all),
      host: host(all),
      share: (failures.find(samePlace(all))?.value ?? 0) / all.value,
    }));
    return shares
      .filter(({ share }) => share > 0.8)
      .filter((bad) => {
        const others = shares.filter(({ pipeline, host }) => pipeline === bad.pipeline && host !== bad.host);
        return others.length > 0 && others.every(({ share }) => share < 0.2);
      })
      .map(({ pipeline, host }) => `${host} is the one bad host of "${pipeline}"`);
  },

  'timeouts too tight'(ask) {
    const limits = new Map(ask.traces('limits').map((limit) => [pipelineName(limit), limit.value]));
    const usually = new Map(ask.metrics('usually').map((usual) => [pipelineName(usual), usual.value]));
    return ask
      .metrics('timeouts')
      .map(pipelineName)
      .filter((pipeline) => usually.get(pipeline)! > (limits.get(pipeline) ?? Infinity))
      .map((pipeline) => `"${pipeline}" gives up after ${limits.get(pipeline)} s, which its calls took before as well`);
  },

  'fallback hiding an outage'(ask) {
    const silent = new Set(ask.metrics('noAnswer').map(pipelineName));
    return ask
      .metrics('fallback')
      .map(pipelineName)
      .filter((pipeline) => silent.has(pipeline))
      .map((pipeline) => `"${pipeline}" is answered by its fallback alone: ${mainError(ask, pipeline)}`);
  },

  'wrong classification'(ask) {
    const opened = new Set(ask.metrics('opened').map(pipelineOf));
    const statuses = ask.traces('clientStatuses').map(({ labels }) => labels['span.http.response.status_code']);
    return ask
      .traces('clientErrors')
      .filter((error) => opened.has(pipelineName(error)))
      .map(
        (error) =>
          `"${pipelineName(error)}" counts answers ${statuses.join(', ')} as failures: ${error.labels['span.error.type']}`,
      );
  },
};
