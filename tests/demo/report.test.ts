import { describe, expect, it } from 'vitest';
import { parse } from '../../demo/prometheus.ts';
import {
  checkLines,
  checks,
  deeds,
  type Findings,
  fromMetrics,
  fromSnapshot,
  phaseTable,
  summary,
  totalsTable,
  traceLines,
  treeLines,
} from '../../demo/report.ts';
import { timetable } from '../../demo/timetable.ts';
import type { SpanNode } from '../../demo/traces.ts';
import { noPaint } from '../../demo/view.ts';
import { bulkhead, circuitBreaker, fallback, pipeline, retry, timeout } from 'seaworthy';

const totals = { calls: 100, success: 90, fallback: 10, failure: 0 };
const policies = { retries: 5, rejected: 8, transitions: 3 };
const good: Findings = {
  load: { ...totals, longest: 600 },
  snapshot: { ...totals, ...policies },
  metrics: { ...totals, ...policies },
  executeSpans: 100,
  attempts: 97,
  outage: { calls: 20, attempts: 6, probes: 3 },
  deadlineMs: 1_000,
  budget: 10,
};
const broken = (change: Partial<Findings>) =>
  checks({ ...good, ...change })
    .filter(({ holds }) => !holds)
    .map(({ promise, detail }) => `${promise} (${detail})`);

describe('the checks', () => {
  it('hold in a good run', () => {
    expect(broken({})).toEqual([]);
  });

  it('notice an error that a user saw', () => {
    const seen = { ...totals, success: 89, failure: 1 };
    const same = { ...seen, ...policies };
    expect(broken({ load: { ...seen, longest: 600 }, snapshot: same, metrics: same })).toEqual([
      expect.stringMatching(/^No user saw an error.*1 of 100 calls failed/),
    ]);
  });

  it('notice a user who waited too long, to the millisecond', () => {
    expect(broken({ load: { ...totals, longest: 1_050 } })).toEqual([]);
    expect(broken({ load: { ...totals, longest: 1_050.5 } })).toEqual([
      expect.stringMatching(/^No user waited longer/),
    ]);
  });

  it('notice an upstream that was not left alone, and an outage that never was', () => {
    expect(broken({ outage: { calls: 20, attempts: 35, probes: 3 } })).toEqual([]);
    expect(broken({ outage: { calls: 20, attempts: 36, probes: 3 } })).toHaveLength(1);
    expect(broken({ outage: { calls: 0, attempts: 0, probes: 0 } })).toHaveLength(1);
  });

  it('notice too many attempts', () => {
    expect(broken({ attempts: 125 })).toEqual([]);
    expect(broken({ attempts: 126 })).toHaveLength(1);
  });

  it('say who disagrees about what', () => {
    expect(broken({ metrics: { ...good.metrics, success: 91 } })).toEqual([
      expect.stringContaining('success: load generator 90, snapshot() 90, metrics 91'),
    ]);
    expect(broken({ snapshot: { ...good.snapshot, retries: 6 } })).toEqual([
      expect.stringContaining('retries: snapshot() 6, metrics 5'),
    ]);
    expect(broken({ executeSpans: 99 })).toEqual([expect.stringContaining('execute spans: 99 of 100 calls')]);
  });

  it('do not hold for a run in which nothing happened', () => {
    expect(broken({ load: { calls: 0, success: 0, fallback: 0, failure: 0, longest: 0 } }).length).toBeGreaterThan(0);
  });

  it('are printed with their numbers', () => {
    const text = checkLines(checks({ ...good, attempts: 126 }), noPaint).join('\n');
    expect(text.match(/kept/g)).toHaveLength(4);
    expect(text).toMatch(/BROKEN {2}In the whole run.*\n.*126 attempts for 100 calls: 1.26/);
  });
});

describe('the totals', () => {
  it('come from a snapshot, whichever policy counted them', async () => {
    using guarded = pipeline('demo', [
      fallback({ to: { value: 0 } }),
      retry({ maxRetries: 1, backoff: 0 }),
      circuitBreaker({ consecutiveFailures: 2, breakMs: 60_000 }),
      bulkhead({ limit: 1 }),
    ]);
    await guarded.execute(() => 1);
    for (let call = 0; call < 2; call++) await guarded.execute(() => Promise.reject(new Error('no')));
    expect(fromSnapshot(guarded.snapshot())).toEqual({
      calls: 3,
      success: 1,
      fallback: 2,
      failure: 0,
      retries: 1,
      rejected: 1,
      transitions: 1,
    });
  });

  it('come from a scrape, of that pipeline alone', () => {
    const text = [
      'seaworthy_pipeline_duration_count{seaworthy_pipeline_name="demo",seaworthy_outcome="success"} 7',
      'seaworthy_pipeline_duration_count{seaworthy_pipeline_name="demo",seaworthy_outcome="fallback"} 2',
      'seaworthy_pipeline_duration_count{seaworthy_pipeline_name="demo",seaworthy_outcome="failure",error_type="503"} 1',
      'seaworthy_pipeline_duration_count{seaworthy_pipeline_name="demo-2",seaworthy_outcome="success"} 50',
      'seaworthy_retry_attempts_total{seaworthy_policy_name="demo/retry"} 3',
      'seaworthy_retry_attempts_total{seaworthy_policy_name="demo-2/retry"} 50',
      'seaworthy_rejections_total{seaworthy_policy_name="demo",seaworthy_rejection_reason="draining"} 1',
      'seaworthy_rejections_total{seaworthy_policy_name="demo/bulkhead",seaworthy_rejection_reason="bulkhead_full"} 4',
      'seaworthy_circuit_breaker_transitions_total{seaworthy_policy_name="demo/circuit_breaker",seaworthy_circuit_breaker_state="open"} 2',
    ].join('\n');
    expect(fromMetrics(parse(text), 'demo')).toEqual({
      calls: 10,
      success: 7,
      fallback: 2,
      failure: 1,
      retries: 3,
      rejected: 5,
      transitions: 2,
    });
  });

  it('stand side by side', () => {
    const [head, ...rows] = totalsTable(good);
    expect(head).toMatch(/calls +success +fallback +failure +retries +rejected +transitions/);
    expect(rows.map((row) => row.trim().split(/ {2,}/))).toEqual([
      ['load generator', '100', '90', '10', '0', '-', '-', '-'],
      ['snapshot()', '100', '90', '10', '0', '5', '8', '3'],
      ['Prometheus', '100', '90', '10', '0', '5', '8', '3'],
    ]);
  });

  it('end up in one line of JSON', () => {
    expect(JSON.parse(summary(good, 412, { ...totals, success: 60, failure: 40 }))).toEqual({
      ...totals,
      ...policies,
      spans: 412,
      plainFetch: { success: 60, failure: 40 },
    });
  });
});

it('says what the users saw phase by phase', () => {
  const phases = timetable(26);
  const route = { ...totals, p50: 20, p99: 30, longest: 1_500 };
  const lines = phaseTable(phases, {
    totals: { protected: route, plain: route },
    phases: { protected: phases.map(() => route), plain: phases.map(() => route) },
    latestMs: 1,
    loopDelayMs: 1,
  });
  expect(lines).toHaveLength(2 + phases.length + 1);
  expect(lines[3]!.trim().split(/ {2,}/)).toEqual(['slow', '100', '90', '10', '0', '1.50 s', '90', '0', '1.50 s']);
});

it('says what every policy did', async () => {
  using guarded = pipeline('demo', [
    fallback({ to: { value: 0 } }),
    timeout(1_000),
    retry(),
    circuitBreaker(),
    bulkhead({ limit: 3 }),
    timeout(100),
  ]);
  await guarded.execute(() => 1);
  const none = { calls: 0, attempts: 0, probes: 0 };
  const text = deeds({
    snapshot: guarded.snapshot(),
    traces: { total: 0, byName: {}, trees: {} },
    attempts: 1,
    outage: none,
  });
  expect(text.map((line) => line.trim().split(/ {2,}/))).toEqual([
    ['fallback', 'answered 0 calls from the cache'],
    ['timeout', 'no call took so long'],
    ['retry', 'tried again 0 times and saved 0 calls; its budget said no 0 times'],
    ['circuit_breaker', 'opened 0 times, turned 0 calls away before they were made, closed 0 times'],
    ['bulkhead', 'let 3 calls through at a time and turned 0 calls away'],
    ['timeout#2', 'no attempt took so long'],
    ['together', '1 request sent for 1 call'],
  ]);
});

describe('span trees', () => {
  const node = (name: string, of: Partial<SpanNode> = {}): SpanNode => ({
    name,
    kind: 'INTERNAL',
    status: 'UNSET',
    message: undefined,
    startMs: 0,
    durationMs: 1,
    attributes: {},
    links: [],
    children: [],
    ...of,
  });
  const tree = node('GET /items', {
    kind: 'SERVER',
    children: [
      node('execute demo', {
        attributes: { 'seaworthy.outcome': 'fallback', 'seaworthy.pipeline.name': 'demo' },
        children: [
          node('attempt demo', {
            status: 'ERROR',
            message: 'circuit open',
            attributes: { 'error.type': 'circuit_open' },
            links: ['0123456789abcdef'],
          }),
          node('fallback demo', { startMs: 0.6 }),
        ],
      }),
    ],
  });

  it('show who is inside whom, with attributes, status and links', () => {
    expect(treeLines(tree, 100, noPaint)).toEqual([
      'GET /items  SERVER  +0 ms, took 1.0 ms',
      '└─ execute demo  INTERNAL  +0 ms, took 1.0 ms',
      '   │  seaworthy.outcome=fallback',
      '   ├─ attempt demo  INTERNAL  +0 ms, took 1.0 ms  ERROR "circuit open"',
      '   │     error.type=circuit_open  link: span 0123456789abcdef, which opened the circuit',
      '   └─ fallback demo  INTERNAL  +1 ms, took 1.0 ms',
    ]);
  });

  it('keep to the width they are given', () => {
    for (const text of treeLines(tree, 70, noPaint)) expect(text.length).toBeLessThanOrEqual(70);
  });

  it('are there for three calls, or it is said that one is missing', () => {
    const text = traceLines({ shortCircuited: tree }, 100, noPaint).join('\n');
    expect(text.match(/there was none in this run/g)).toHaveLength(2);
    expect(text).toContain('execute demo');
  });
});
