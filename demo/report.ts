import type { PipelineSnapshot } from 'seaworthy';
import type { LoadResult, RouteTotals } from './load.ts';
import { type Sample, sum } from './prometheus.ts';
import type { Outage, ServiceResult } from './service.ts';
import type { Phase } from './timetable.ts';
import type { SpanNode, Telling } from './traces.ts';
import { type Paint, wait } from './view.ts';

/** What all three observers of the run count. */
export interface CallTotals {
  readonly calls: number;
  readonly success: number;
  readonly fallback: number;
  readonly failure: number;
}

/** What only the library can know. */
export interface PolicyTotals {
  readonly retries: number;
  readonly rejected: number;
  readonly transitions: number;
}

/** Everything the checks judge. */
export interface Findings {
  readonly load: CallTotals & { readonly longest: number };
  readonly snapshot: CallTotals & PolicyTotals;
  readonly metrics: CallTotals & PolicyTotals;
  /** Spans of executions. */
  readonly executeSpans: number;
  /** Attempts as counted around the base fetch, in the whole run. */
  readonly attempts: number;
  readonly outage: Outage;
  readonly deadlineMs: number;
  readonly budget: number;
}

/** Something the demo promises. */
export interface Check {
  readonly promise: string;
  readonly holds: boolean;
  /** The numbers behind it. */
  readonly detail: string;
}

/** Milliseconds of HTTP and of a busy machine that a user may wait on top of the deadline. */
const graceMs = 50;

/** Judges the run. */
export function checks({
  load,
  snapshot,
  metrics,
  executeSpans,
  attempts,
  outage,
  deadlineMs,
  budget,
}: Findings): Check[] {
  const apart = [
    ...(['calls', 'success', 'fallback', 'failure'] as const)
      .filter((key) => load[key] !== snapshot[key] || load[key] !== metrics[key])
      .map((key) => `${key}: load generator ${load[key]}, snapshot() ${snapshot[key]}, metrics ${metrics[key]}`),
    ...(['retries', 'rejected', 'transitions'] as const)
      .filter((key) => snapshot[key] !== metrics[key])
      .map((key) => `${key}: snapshot() ${snapshot[key]}, metrics ${metrics[key]}`),
  ];
  if (executeSpans !== load.calls) apart.push(`execute spans: ${executeSpans} of ${load.calls} calls`);
  const most = 1.1 * outage.calls + budget + outage.probes;
  const perCall = load.calls === 0 ? 0 : attempts / load.calls;
  return [
    {
      promise: 'No user saw an error, in any phase',
      holds: load.calls > 0 && load.failure === 0,
      detail: `${load.failure} of ${load.calls} calls failed`,
    },
    {
      promise: `No user waited longer than the total deadline of ${deadlineMs} ms plus ${graceMs} ms`,
      holds: load.longest <= deadlineMs + graceMs,
      detail: `the longest wait was ${load.longest.toFixed(0)} ms`,
    },
    {
      promise: 'While the upstream was down it was not made to work for nothing',
      holds: outage.calls > 0 && outage.attempts <= most,
      detail: `${outage.attempts} attempts for ${outage.calls} calls; allowed: 1.1 x ${outage.calls} + budget ${budget} + probes ${outage.probes} = ${most.toFixed(0)}`,
    },
    {
      promise: 'In the whole run at most 1.25 attempts per call',
      holds: perCall <= 1.25,
      detail: `${attempts} attempts for ${load.calls} calls: ${perCall.toFixed(2)}`,
    },
    {
      promise: 'Load generator, snapshot(), metrics and spans agree exactly',
      holds: apart.length === 0,
      detail:
        apart.length === 0
          ? 'calls, success, fallback, failure, retries, rejected, transitions, execute spans'
          : apart.join('; '),
    },
  ];
}

/** Every promise, with the numbers below. */
export function checkLines(results: readonly Check[], paint: Paint): string[] {
  return results.flatMap(({ promise, holds, detail }) => [
    `  ${holds ? paint('green', 'kept  ') : paint('red', 'BROKEN')}  ${promise}`,
    `          ${paint('dim', detail)}`,
  ]);
}

/** The totals in a snapshot. */
export function fromSnapshot({ calls, outcomes, rejections, policies }: PipelineSnapshot): CallTotals & PolicyTotals {
  const all = (counts: Readonly<Record<string, number>>) =>
    Object.values(counts).reduce((total, count) => total + count, 0);
  const totals = { retries: 0, rejected: all(rejections), transitions: 0 };
  for (const policy of policies) {
    if (policy.kind === 'retry') totals.retries += policy.attempts;
    if (policy.kind === 'circuit_breaker') totals.transitions += all(policy.transitions);
    if ('rejections' in policy) totals.rejected += all(policy.rejections as Record<string, number>);
  }
  return { calls, success: outcomes.success, fallback: outcomes.fallback, failure: outcomes.failure, ...totals };
}

/** The totals in a scrape. */
export function fromMetrics(samples: readonly Sample[], pipeline: string): CallTotals & PolicyTotals {
  const calls = (outcome?: string) =>
    sum(
      samples,
      'seaworthy_pipeline_duration_count',
      (labels) =>
        labels['seaworthy_pipeline_name'] === pipeline &&
        (outcome === undefined || labels['seaworthy_outcome'] === outcome),
    );
  // What the pipeline itself turns away is counted under its own name.
  const policies = (metric: string) =>
    sum(samples, metric, ({ seaworthy_policy_name: policy = '' }) => `${policy}/`.startsWith(`${pipeline}/`));
  return {
    calls: calls(),
    success: calls('success'),
    fallback: calls('fallback'),
    failure: calls('failure'),
    retries: policies('seaworthy_retry_attempts_total'),
    rejected: policies('seaworthy_rejections_total'),
    transitions: policies('seaworthy_circuit_breaker_transitions_total'),
  };
}

/** The last line of the demo. */
export function summary({ load, snapshot }: Findings, spans: number, plain: CallTotals): string {
  const { calls, success, fallback, failure } = load;
  const { retries, rejected, transitions } = snapshot;
  return JSON.stringify({
    calls,
    success,
    fallback,
    failure,
    retries,
    rejected,
    transitions,
    spans,
    plainFetch: { success: plain.success, failure: plain.failure },
  });
}

/** The three totals side by side. */
export function totalsTable({ load, snapshot, metrics }: Findings): string[] {
  const keys = ['calls', 'success', 'fallback', 'failure', 'retries', 'rejected', 'transitions'] as const;
  const rows: [string, Readonly<Partial<Record<(typeof keys)[number], number>>>][] = [
    ['load generator', load],
    ['snapshot()', snapshot],
    ['Prometheus', metrics],
  ];
  return table(
    ['', ...keys],
    rows.map(([who, totals]) => [who, ...keys.map((key) => String(totals[key] ?? '-'))]),
  );
}

/** Phase by phase, with and without protection. */
export function phaseTable(phases: readonly Phase[], { phases: of, totals }: LoadResult): string[] {
  const row = (label: string, ours: RouteTotals, plain: RouteTotals) => [
    label,
    String(ours.calls),
    String(ours.success),
    String(ours.fallback),
    String(ours.failure),
    wait(ours.longest),
    String(plain.success),
    String(plain.failure),
    wait(plain.longest),
  ];
  return [
    `${' '.repeat(40)}seaworthy${' '.repeat(22)}plain fetch`,
    ...table(
      ['phase', 'calls', 'success', 'fallback', 'errors', 'longest', 'success', 'errors', 'longest'],
      [
        ...phases.map(({ health }, index) => row(health, of.protected[index]!, of.plain[index]!)),
        row('all', totals.protected, totals.plain),
      ],
    ),
  ];
}

/** What each policy did, in a sentence. */
export function deeds({ snapshot, attempts }: ServiceResult): string[] {
  const lines = snapshot.policies.map((policy): [string, string] => {
    const name = policy.name.split('/').at(-1)!;
    switch (policy.kind) {
      case 'fallback':
        return [name, `answered ${plural(policy.executions.success, 'call')} from the cache`];
      case 'retry': {
        const { success_after_retry: saved, budget_exhausted: refused } = policy.executions;
        return [
          name,
          `tried again ${plural(policy.attempts, 'time')} and saved ${plural(saved, 'call')}; its budget said no ${plural(refused, 'time')}`,
        ];
      }
      case 'circuit_breaker': {
        const { transitions, rejections } = policy;
        const turnedAway = rejections.circuit_open ?? 0;
        return [
          name,
          `opened ${plural(transitions.open, 'time')}, turned ${plural(turnedAway, 'call')} away before they were made, closed ${plural(transitions.closed, 'time')}`,
        ];
      }
      case 'bulkhead': {
        const { bulkhead_full: full = 0, queue_timeout: expired = 0 } = policy.rejections;
        return [name, `let ${policy.limit} calls through at a time and turned ${plural(full + expired, 'call')} away`];
      }
      case 'timeout': {
        // The outer one is about whole calls, the inner one about attempts.
        const what = name.endsWith('#2') ? 'attempt' : 'call';
        return [name, policy.timeouts === 0 ? `no ${what} took so long` : `cut ${plural(policy.timeouts, what)} short`];
      }
      default:
        return [name, ''];
    }
  });
  lines.push(['together', `${plural(attempts, 'request')} sent for ${plural(snapshot.calls, 'call')}`]);
  const longest = Math.max(...lines.map(([name]) => name.length));
  return lines.map(([name, deed]) => `  ${name.padEnd(longest)}  ${deed}`);
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

const titles: Readonly<Record<Telling, string>> = {
  healthy: 'A call that went well',
  retried: 'A call that a retry saved: the user saw neither the failure nor the second try',
  shortCircuited: 'A call that was never made: the circuit was open, and the fallback answered at once',
};

/** The span trees of the telling calls, at most `width` wide; what did not occur is said. */
export function traceLines(trees: Readonly<Partial<Record<Telling, SpanNode>>>, width: number, paint: Paint): string[] {
  return (Object.keys(titles) as Telling[]).flatMap((telling) => {
    const tree = trees[telling];
    const lines = tree === undefined ? ['(there was none in this run)'] : treeLines(tree, width - 4, paint);
    return ['', `  ${paint('cyan', titles[telling])}`, ...lines.map((text) => `    ${text}`)];
  });
}

/** A span tree as an operator would see it: a line per span, its attributes below. */
export function treeLines(root: SpanNode, width: number, paint: Paint): string[] {
  const lines: string[] = [];
  const visit = (node: SpanNode, stem: string, lead: string) => {
    const status = node.status === 'ERROR' ? paint('red', `ERROR${node.message ? ` "${node.message}"` : ''}`) : '';
    const times = `+${node.startMs.toFixed(0)} ms, took ${node.durationMs.toFixed(1)} ms`;
    lines.push(`${stem}${paint('bold', node.name)}  ${node.kind}  ${times}  ${status}`.trimEnd());
    const below = `${lead}${node.children.length > 0 ? '│' : ' '}  `;
    for (const text of wrap(facts(node), width - below.length)) lines.push(`${below}${paint('dim', text)}`);
    node.children.forEach((child, index) => {
      const isLast = index === node.children.length - 1;
      visit(child, `${lead}${isLast ? '└─ ' : '├─ '}`, `${lead}${isLast ? '   ' : '│  '}`);
    });
  };
  visit(root, '', '');
  return lines;
}

function facts({ attributes, links }: SpanNode): string[] {
  return [
    ...Object.entries(attributes)
      .filter(([key]) => !untold.has(key))
      .map(([key, value]) => `${key}=${typeof value === 'number' ? Number(value.toFixed(3)) : value}`),
    ...links.map((id) => `link: span ${id}, which opened the circuit`),
  ];
}

/** The same on every span: it would drown the rest. */
const untold = new Set(['seaworthy.pipeline.name', 'seaworthy.pipeline.policies', 'server.port']);

/** Whole facts per line, as many as fit. */
function wrap(texts: readonly string[], width: number): string[] {
  const lines: string[] = [];
  for (const text of texts) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 2 + text.length <= width) lines[lines.length - 1] = `${last}  ${text}`;
    else lines.push(text);
  }
  return lines;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]!.length)));
  const text = (row: readonly string[]) =>
    `  ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join('  ')}`;
  return [text(head), ...rows.map(text)];
}
