import { beforeAll, describe, expect, it } from 'vitest';
import { consumer, node, type Workspace } from './consumer.ts';

/*
 * OpenTelemetry is silent when it is joined wrongly: two copies of its API, an instrument made too early, the other module
 * format's copy. So these tests count what arrives in a real SDK, for each way of joining.
 */

interface Sdk {
  readonly name: string;
  readonly workspace: Workspace;
  readonly trace: string;
}

const sdks: Sdk[] = [
  { name: 'API 1.9 and SDK 2', workspace: 'tests/sdk2', trace: '@opentelemetry/sdk-trace-base' },
  { name: 'API 1.10 and SDK 3', workspace: '.', trace: '@opentelemetry/sdk-trace' },
];

const applications = [
  { application: 'an ES module', args: ['app.mjs'] },
  { application: 'CommonJS', args: ['app.cjs'] },
  { application: 'an ES module under a CommonJS --require', args: ['--require', './preload.cjs', 'app.mjs'] },
];

const moments = ['before the import', 'after the import', 'after the first call'] as const;
const signals = ['traces', 'metrics', 'traces and metrics'] as const;
const cells = moments.flatMap((moment) => signals.map((signals) => ({ moment, signals })));

/** Calls each application makes under each SDK; there is one more while there is none. */
const calls = 3;

/** What an SDK got to know. */
interface Told {
  readonly spans: readonly { readonly id: string; readonly parent?: string; readonly name: string }[];
  readonly metrics: readonly { readonly name: string; readonly points: readonly { readonly value: number }[] }[];
}

interface Answer {
  readonly moment: string;
  readonly signals: string;
  /** The SDK of the given moment, then two that took its place; the second was shut down before the third. */
  readonly first?: Told;
  readonly second?: Told;
  readonly third?: Told;
  /** What the first knows when the second has had its calls, and the spans of the second when the third has. */
  readonly firstLater?: Told;
  readonly secondLater?: Told['spans'];
  /** Warnings and errors of OpenTelemetry and of Node. */
  readonly heard: readonly string[];
}

/** By SDK and application; all at a time, because most of each is waiting for files. */
const answers = new Map<string, Answer[]>();

beforeAll(async () => {
  const runs = sdks.flatMap((sdk) =>
    applications.map(async ({ application, args }) => {
      answers.set(`${sdk.name} ${application}`, await run(sdk, args));
    }),
  );
  await Promise.all(runs);
}, 120_000);

describe.each(sdks)('$name', (sdk) => {
  describe.each(applications)('in $application', ({ application }) => {
    function told(moment: string, signals = ''): Required<Answer> {
      const answer = answers
        .get(`${sdk.name} ${application}`)
        ?.find((each) => each.moment === moment && each.signals === signals);
      expect(answer?.heard).toEqual([]);
      return answer as Required<Answer>;
    }

    it.each(cells)('$signals registered $moment: each call arrives once', ({ moment, signals }) => {
      const { first } = told(moment, signals);
      expectSpans(first, signals);
      // Histograms begin with the SDK; counters also tell what happened before it.
      expectCounts(first, signals, moment === 'after the first call' ? calls + 1 : calls);
    });

    it.each(cells)('$signals registered $moment, and again: the new SDK has all, the old one nothing more', (cell) => {
      const { moment, signals } = cell;
      const { first, second, third, firstLater, secondLater } = told(moment, signals);
      const before = (moment === 'after the first call' ? calls + 1 : calls) + 1;
      expectSpans(second, signals);
      expectCounts(second, signals, before + calls);
      expectSpans(third, signals);
      expectCounts(third, signals, before + 2 * calls);
      expectSpans(firstLater, signals);
      expectCounts(firstLater, signals, before - 1);
      expect(firstLater.spans).toEqual(first.spans);
      // What was shut down has let its spans go.
      expect(secondLater).toEqual([]);
    });

    it('never registered: nothing is said, nobody is warned', () => {
      expect(told('never')).toEqual({ moment: 'never', signals: '', heard: [] });
    });
  });
});

function expectSpans({ spans }: Told, signals: string): void {
  const executions = spans.filter(({ name }) => name === 'execute users');
  const attempts = spans.filter(({ name }) => name === 'attempt users');
  expect(executions).toHaveLength(signals.includes('traces') ? calls : 0);
  expect(attempts.map(({ parent }) => parent)).toEqual(executions.map(({ id }) => id));
  expect(spans).toHaveLength(executions.length + attempts.length);
}

function expectCounts({ metrics }: Told, signals: string, counted: number): void {
  if (!signals.includes('metrics')) return expect(metrics).toEqual([]);
  /** Every point of one instrument: observations of a histogram, or what a counter counted. */
  const total = (name: string) =>
    metrics.find((metric) => metric.name === name)?.points.reduce((sum, { value }) => sum + value, 0);
  expect(total('seaworthy.pipeline.duration')).toBe(calls);
  expect(total('seaworthy.attempt.duration')).toBe(calls);
  expect(total('seaworthy.retry.executions')).toBe(counted);
  expect(total('seaworthy.execution.active')).toBe(0);
}

/** Every cell of one application on one SDK: one process, and in it one thread per cell. */
async function run(sdk: Sdk, args: readonly string[]): Promise<Answer[]> {
  const packages = ['sdk-metrics', 'context-async-hooks', sdk.trace.split('/')[1]].map(
    (name) => `@opentelemetry/${name}`,
  );
  const directory = consumer('registration', packages, sdk.workspace);
  const all = [...cells, { moment: 'never', signals: '' }].map((cell) => ({
    MOMENT: cell.moment,
    SIGNALS: cell.signals,
  }));
  const { code, output, errors } = await node(directory, ['cells.mjs', ...args], {
    CELLS: JSON.stringify(all),
    TRACE_SDK: sdk.trace,
  });
  expect(code, errors).toBe(0);
  return output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}
