import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { absent } from '../observability/prometheus.ts';
import { diagnoses, type Operator, operator } from './diagnoses.ts';
import { epochOf, healthy, type Incident, incidents, play, runs } from './incidents.ts';
import { files, read } from './otlp.ts';
import { type Archive, archive } from './prometheus.ts';
import { promql, type Sample } from './promql.ts';
import { type MetricsQuery, metrics, type TracesQuery, traces } from './queries.ts';
import { lookedAt } from './stand.ts';

const scratch = mkdtempSync(join(tmpdir(), 'seaworthy-drills-'));
const document = readFileSync(new URL('../../docs/drills.md', import.meta.url), 'utf8');
const metricsQueries = Object.keys(metrics) as MetricsQuery[];
const tracesQueries = Object.keys(traces) as TracesQuery[];

const folderOf = (run: Incident) => join(scratch, run.name.replaceAll(' ', '-'));
const whenLooked = (run: Incident) => epochOf(run) + lookedAt * 1000;
const telemetryOf = memo((run: Incident) => read(folderOf(run)));
const operatorOf = (run: Incident) => operator(telemetryOf(run), whenLooked(run));

/** What every diagnosis says to an operator, those that say nothing left out. */
function diagnosed(ask: Operator): Record<string, readonly string[]> {
  const found = Object.entries(diagnoses).map(([name, diagnose]) => [name, diagnose(ask)] as const);
  return Object.fromEntries(found.filter(([, answers]) => answers.length > 0));
}

/** What they should say to the operator of a run. */
function expected(run: Incident): Record<string, readonly string[]> {
  const also = Object.entries(run.also ?? {}).map(([name, answer]) => [name, [answer]]);
  return { ...(run !== healthy && { [run.name]: [run.answer] }), ...Object.fromEntries(also) };
}

beforeAll(async () => {
  for (const run of runs) {
    mkdirSync(folderOf(run));
    const exported = await play(run);
    for (const what of ['traces', 'metrics'] as const) writeFileSync(join(folderOf(run), files[what]), exported[what]);
  }
}, 300_000);

afterAll(() => rmSync(scratch, { recursive: true }));

describe('from the exported traces and metrics alone', () => {
  test.each(incidents)('$name: $answer', (incident) => {
    expect(diagnoses[incident.name]!(operatorOf(incident))).toEqual([incident.answer]);
  });

  test.each(runs)('$name: every other diagnosis says no, but for those that are true as well', (run) => {
    expect(diagnosed(operatorOf(run))).toEqual(expected(run));
  });

  test('there are ten incidents, each with its diagnosis', () => {
    expect(incidents).toHaveLength(10);
    expect(Object.keys(diagnoses)).toEqual(incidents.map(({ name }) => name));
  });

  test('every query finds something in some run, and on a good day only those that list what there is', () => {
    const lists = ['errors', 'usually', 'hostLatency', 'executions'];
    const found = new Set<string>();
    for (const run of runs) {
      const ask = operatorOf(run);
      const here = [
        ...metricsQueries.filter((query) => ask.metrics(query).length > 0),
        ...tracesQueries.filter((query) => ask.traces(query).length > 0),
      ];
      for (const query of here) found.add(query);
      if (run === healthy) expect(here.toSorted()).toEqual(lists.toSorted());
    }
    expect([...found].toSorted()).toEqual([...metricsQueries, ...tracesQueries].toSorted());
  });

  test('a diagnosis has no other way to a run than its files', () => {
    for (const file of ['diagnoses', 'queries', 'otlp', 'promql', 'traceql', 'tokens']) {
      const source = readFileSync(new URL(`${file}.ts`, import.meta.url), 'utf8');
      const imported = [...source.matchAll(/from '([^']+)'/g)].map(([, from]) => from);
      const allowed = /^(?:node:(?:fs|path)|\.\/(?:queries|otlp|promql|traceql|tokens)\.ts)$/;
      expect(imported.filter((from) => !allowed.test(from!))).toEqual([]);
    }
  });

  test('the names of the JavaScript Prometheus exporter, without units, answer as well', () => {
    for (const run of runs) {
      const spelt = (query: string) => query.replaceAll('_seconds', '');
      const ask = operator(read(folderOf(run), 'without units'), whenLooked(run), spelt);
      expect(diagnosed(ask), run.name).toEqual(expected(run));
    }
  });

  test.each(incidents.filter(({ name }) => /storm|classification/.test(name)))(
    '$name: a second play exports the same, byte by byte',
    async (run) => {
      const again = await play(run);
      for (const what of ['traces', 'metrics'] as const)
        expect(readFileSync(join(folderOf(run), files[what]), 'utf8') === again[what], what).toBe(true);
    },
    60_000,
  );

  test('another seed changes what is exported, and no answer', async () => {
    const run = incidents.find(({ name }) => name === 'exhausted budget')!;
    const folder = join(scratch, 'other-seed');
    mkdirSync(folder);
    const other = await play(run, 1);
    for (const what of ['traces', 'metrics'] as const) writeFileSync(join(folder, files[what]), other[what]);
    expect(readFileSync(join(folderOf(run), files.traces), 'utf8') === other.traces).toBe(false);
    expect(diagnosed(operator(read(folder), whenLooked(run)))).toEqual(expected(run));
  }, 60_000);
});

describe.skipIf(absent !== undefined && !process.env.CI)(`on a real Prometheus${absent ? `: ${absent}` : ''}`, () => {
  let prometheus: Archive;

  beforeAll(async () => {
    const folder = join(scratch, 'prometheus');
    mkdirSync(folder);
    prometheus = await archive(
      folder,
      runs.flatMap((run) => telemetryOf(run).series),
    );
  }, 120_000);

  afterAll(() => prometheus?.stop());

  test('every PromQL query gives the same as on the files', async () => {
    let samples = 0;
    for (const run of runs) {
      const { series } = telemetryOf(run);
      for (const query of metricsQueries) {
        const real = sorted(await prometheus.query(metrics[query], whenLooked(run)));
        const ours = sorted(promql(metrics[query], series, whenLooked(run)));
        expect(
          ours.map(({ labels }) => labels),
          `${query} of ${run.name}`,
        ).toEqual(real.map(({ labels }) => labels));
        ours.forEach(({ value }, i) => {
          const error = Math.abs(value - real[i]!.value) / Math.max(Math.abs(real[i]!.value), 1e-9);
          expect(error, `${query} of ${run.name}`).toBeLessThan(1e-9);
        });
        samples += real.length;
      }
    }
    expect(samples).toBeGreaterThan(runs.length * 4);
  });

  test.each(runs)('$name: with its answers the diagnoses are the same', async (run) => {
    const answers = new Map<string, readonly Sample[]>();
    for (const query of metricsQueries) answers.set(query, await prometheus.query(metrics[query], whenLooked(run)));
    const ask = { ...operatorOf(run), metrics: (query: MetricsQuery) => answers.get(query)! };
    expect(diagnosed(ask)).toEqual(expected(run));
  });
});

describe('docs/drills.md', () => {
  test('has every query as it runs, and no other', () => {
    const blocks = [...document.matchAll(/^```(promql|traceql)\n(.*?)^```/gms)].map(
      ([, kind, text]) => `${kind}: ${text}`,
    );
    const run = [
      ...Object.values(metrics).map((query) => `promql: ${query.trim()}\n`),
      ...Object.values(traces).map((query) => `traceql: ${query.trim()}\n`),
    ];
    expect(blocks.toSorted()).toEqual(run.toSorted());
  });

  test.each(incidents)(
    '$name: has the question, the answer, what is true as well, and every query that was asked',
    (incident) => {
      const heading = incident.name[0]!.toUpperCase() + incident.name.slice(1);
      const [, section] = document.split(new RegExp(`^## ${heading}\n(.*?)(?=^## )`, 'ms'));
      expect(section, `a section "## ${heading}"`).toBeDefined();
      const plain = section!.replaceAll(/\s+/g, ' ');
      expect(plain).toContain(incident.question);
      expect(plain).toContain(`\`${incident.answer}\``);
      for (const answer of Object.values(incident.also ?? {})) expect(plain).toContain(`\`${answer}\``);
      const asked = new Set<string>();
      const { metrics: one, traces: other } = operatorOf(incident);
      diagnoses[incident.name]!({
        metrics: (query) => (asked.add(query), one(query)),
        traces: (query, when) => (asked.add(query), other(query, when)),
      });
      const linked = [...section!.matchAll(/\(#([a-z]+)\)/g)].map(([, name]) => name!);
      expect([...new Set(linked)].toSorted()).toEqual([...asked].map((name) => name.toLowerCase()).toSorted());
    },
  );
});

function memo<K, V>(make: (key: K) => V): (key: K) => V {
  const made = new Map<K, V>();
  return (key) => made.get(key) ?? made.set(key, make(key)).get(key)!;
}

function sorted(samples: readonly Sample[]): Sample[] {
  const key = ({ labels }: Sample) => JSON.stringify(Object.entries(labels).toSorted());
  return samples.toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
}
