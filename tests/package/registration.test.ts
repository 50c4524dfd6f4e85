import { describe, expect, it } from 'vitest';
import { consumer, node, type Workspace } from './consumer.ts';

/*
 * OpenTelemetry is silent when it is joined wrongly: two copies of its API, an instrument made too early, the other module
 * format's copy. So these tests count what arrives in a real SDK, in a process of its own for each way of joining.
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
  { application: 'an ES module under --require', args: ['--require', './preload.cjs', 'app.mjs'] },
];

const moments = ['before the import', 'after the import', 'after the first call'] as const;

/** Calls each application makes once the SDK is there. */
const calls = 3;

describe.each(sdks)('$name', (sdk) => {
  describe.each(applications)('in $application', ({ args }) => {
    it.each(moments)('registered %s: each call makes its spans and is measured', async (moment) => {
      const { spans, metrics, heard } = await run(sdk, args, moment);
      expect(heard).toEqual([]);

      const executions = spans.filter(({ name }) => name === 'execute users');
      const attempts = spans.filter(({ name }) => name === 'attempt users');
      expect(spans).toHaveLength(2 * calls);
      expect(executions).toHaveLength(calls);
      expect(attempts.map(({ parent }) => parent)).toEqual(executions.map(({ id }) => id));

      expect(total(metrics, 'seaworthy.pipeline.duration')).toBe(calls);
      expect(total(metrics, 'seaworthy.attempt.duration')).toBe(calls);
      // Histograms begin with the SDK; counters also tell what happened before it.
      expect(total(metrics, 'seaworthy.retry.executions')).toBe(moment === 'after the first call' ? calls + 1 : calls);
    });
  });

  it('without metrics, makes the same spans', async () => {
    const { spans, metrics, heard } = await run(sdk, ['app.mjs'], 'before the import', 'traces');
    expect(heard).toEqual([]);
    expect(spans).toHaveLength(2 * calls);
    expect(metrics).toEqual([]);
  });

  it('without traces, measures the same calls', async () => {
    const { spans, metrics, heard } = await run(sdk, ['app.mjs'], 'before the import', 'metrics');
    expect(heard).toEqual([]);
    expect(spans).toEqual([]);
    expect(total(metrics, 'seaworthy.pipeline.duration')).toBe(calls);
  });

  it('never registered, says nothing and warns of nothing', async () => {
    expect(await run(sdk, ['app.mjs'], 'never')).toEqual({ spans: [], metrics: [], heard: [] });
  });
});

interface Answer {
  readonly spans: readonly { readonly id: string; readonly parent?: string; readonly name: string }[];
  readonly metrics: readonly Metric[];
  /** Warnings and errors of OpenTelemetry and of Node. */
  readonly heard: readonly string[];
}

interface Metric {
  readonly name: string;
  readonly points: readonly { readonly value: number }[];
}

async function run(sdk: Sdk, args: readonly string[], moment: string, signals = 'traces and metrics'): Promise<Answer> {
  const packages = ['sdk-metrics', 'context-async-hooks', sdk.trace.split('/')[1]].map(
    (name) => `@opentelemetry/${name}`,
  );
  const directory = consumer('registration', packages, sdk.workspace);
  const env = { MOMENT: moment, SIGNALS: signals, TRACE_SDK: sdk.trace };
  const { code, output, errors } = await node(directory, ['--require', './diagnostics.cjs', ...args], env);
  expect(code, errors).toBe(0);
  return JSON.parse(output);
}

/** The sum of every point of one instrument: observations of a histogram, or what a counter counted. */
function total(metrics: readonly Metric[], name: string): number | undefined {
  return metrics.find((metric) => metric.name === name)?.points.reduce((sum, { value }) => sum + value, 0);
}
