import { existsSync, globSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import { describe, expect, it } from 'vitest';
import { ALERTS, asked, prometheusName, RECORDED, runbook, Series, STATES } from '../../observability/source.ts';
import { check, files, SPELLINGS } from '../../scripts/observability.ts';
import { HISTOGRAMS, METRICS, type MetricId } from '../../src/adapters/otel/names.ts';

const root = new URL('../../', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');

type Values = string | readonly string[];
interface Shape {
  readonly kind: string;
  readonly unit: string;
  readonly required: Readonly<Record<string, Values>>;
  readonly optional?: Readonly<Record<string, Values>>;
}
const contract: {
  readonly metrics: Readonly<Record<string, Shape>>;
  readonly spans: Readonly<Record<string, Shape>>;
  readonly logs: Readonly<Record<string, Shape>>;
} = JSON.parse(read('tests/adapters/otel/contract.json'));

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly repeat?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string; readonly refId: string }[];
}
const dashboard: {
  readonly panels: readonly Panel[];
  readonly schemaVersion: number;
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly query: string | { query: string } }[];
  };
  readonly annotations: { readonly list: readonly { readonly expr: string }[] };
} = JSON.parse(read('observability/grafana-dashboard.json'));

const panels = dashboard.panels.filter(({ type }) => type !== 'row');
const drawn = panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ where: title, expr })));
const inDashboard = [
  ...drawn,
  ...dashboard.templating.list
    .map(({ name, query }) => ({ where: `$${name}`, expr: typeof query === 'string' ? query : query.query }))
    .filter(({ expr }) => expr.startsWith('label_values(')),
  ...dashboard.annotations.list.map(({ expr }) => ({ where: 'annotation', expr })),
];

/** The expressions of a rules file, with the rule each belongs to. */
function inRules(file: string): { where: string; expr: string }[] {
  const blocks = read(`observability/${file}`).matchAll(/- (?:alert|record): (\S+)\n +expr: \|-\n((?: {10}.*\n)+)/g);
  return [...blocks].map(([, where = '', expr = '']) => ({ where, expr }));
}

/** The contract's metrics by what Prometheus calls them, which is written anew here: the generator's own way could be wrong. */
function spelled(suffix: string): ReadonlyMap<string, Shape> {
  return new Map(
    Object.entries(contract.metrics).flatMap(([name, shape]) => {
      const base = name.replaceAll('.', '_') + (shape.unit === 's' ? suffix : '');
      const names = shape.kind === 'histogram' ? [`${base}_bucket`, `${base}_count`, `${base}_sum`] : [base];
      return names.map((one): [string, Shape] => [shape.kind === 'counter' ? `${one}_total` : one, shape]);
    }),
  );
}

const added = ['job', 'instance', 'le'];

/** What a query asks for and Prometheus will never have. */
function unknown({ where, expr }: { where: string; expr: string }, suffix: string): string[] {
  const metrics = spelled(suffix);
  const labels = new Map<string, Values>();
  for (const { required, optional } of metrics.values())
    for (const [key, values] of Object.entries({ ...required, ...optional }))
      labels.set(key.replaceAll('.', '_'), values);
  const wrong: string[] = [];
  let rest = expr.replaceAll('${suffix}', suffix).replace(/^label_values\((.*), (\w+)\)$/, '$1 by ($2)');
  rest = rest.replace(/\b(?:by|without|on) \(([^)]*)\)/g, (_, list: string) => {
    wrong.push(...list.split(', ').filter((name) => !labels.has(name) && !added.includes(name)));
    return '';
  });
  rest = rest.replace(/\w+:[\w:]+/g, (name) => {
    if (!RECORDED.some(({ record }) => record === name)) wrong.push(name);
    return '';
  });
  for (const [whole, plain, inside = ''] of rest.matchAll(/(seaworthy_\w+)?\{([^{}]*)\}|seaworthy_\w+/g)) {
    const matchers = [...inside.matchAll(/(\w+)(=~|!?=)"([^"]*)"/g)].map(([, key = '', , value = '']) => [key, value]);
    const name = plain ?? (whole.includes('{') ? matchers.find(([key]) => key === '__name__')?.[1] : whole);
    const shape = name === undefined ? undefined : metrics.get(name);
    if (name !== undefined && shape === undefined) wrong.push(name);
    const known = Object.entries({ ...shape?.required, ...shape?.optional });
    for (const [key = '', value = ''] of matchers) {
      if (key === '__name__') continue;
      const values =
        shape === undefined
          ? labels.get(key)
          : known.find(([attribute]) => attribute.replaceAll('.', '_') === key)?.[1];
      if (values === undefined) wrong.push(`${name ?? ''}{${key}}`);
      else if (typeof values !== 'string')
        wrong.push(
          ...value
            .split('|')
            .filter((word) => !values.includes(word))
            .map((word) => `${key}="${word}"`),
        );
    }
  }
  return wrong.map((what) => `${where}: ${what}`);
}

describe('the shipped files', () => {
  it.each(Object.entries(files()))('%s is what npm run observability writes', (path, text) => {
    expect(read(path), `${path} is out of date: npm run observability`).toBe(text);
  });

  it.each(SPELLINGS)('the dashboard asks for what is emitted, durations spelled "$suffix"', ({ suffix }) => {
    expect(inDashboard.length).toBeGreaterThan(40);
    expect(inDashboard.flatMap((query) => unknown(query, suffix))).toEqual([]);
  });

  it.each(SPELLINGS)('$file asks for what is emitted', ({ suffix, file }) => {
    const rules = inRules(file);
    expect(rules.map(({ where }) => where).sort()).toEqual(
      [...ALERTS.map(({ alert }) => alert), ...RECORDED.map(({ record }) => record)].sort(),
    );
    expect(rules.flatMap((rule) => unknown(rule, suffix))).toEqual([]);
  });

  it('the generator refuses a metric, an attribute and a value that the contract does not list', () => {
    expect(() => check(asked)).not.toThrow();
    expect(() => check([{ metric: 'seaworthy.retries' }])).toThrow('seaworthy.retries is no metric');
    const metric = 'seaworthy.pipeline.duration';
    expect(() => check([{ metric, key: 'seaworthy.policy.name' }])).toThrow(`${metric} has no seaworthy.policy.name`);
    expect(() => check([{ key: 'seaworthy.retry' }])).toThrow('no metric has seaworthy.retry');
    expect(() => check([{ metric, key: 'seaworthy.outcome', word: 'lost' }])).toThrow(
      'seaworthy.outcome is never lost',
    );
  });

  it('a query about a metric, an attribute or a value that is not emitted does not compile', () => {
    const series = new Series('');
    const before = asked.length;
    // @ts-expect-error: no such metric
    expect(() => series.of('retries')).toThrow();
    // @ts-expect-error: the pipelines' metrics have no policy
    series.of('active', { 'seaworthy.policy.name': 'x' });
    // @ts-expect-error: no such outcome
    series.count('pipeline', { 'seaworthy.outcome': 'lost' });
    asked.length = before;
  });

  it('metrics are spelled as the exporter for Prometheus spells them', async () => {
    const reader = new PrometheusExporter({ preventServerStart: true });
    const meter = new MeterProvider({ readers: [reader] }).getMeter('seaworthy');
    for (const { name, unit, kind } of Object.values(METRICS)) {
      if (kind === 'counter') meter.createCounter(name, { unit }).add(1);
      else if (kind === 'up_down') meter.createUpDownCounter(name, { unit }).add(1);
      else meter.createGauge(name, { unit }).record(1);
    }
    for (const { name, unit } of Object.values(HISTOGRAMS)) meter.createHistogram(name, { unit }).record(1);
    const { resourceMetrics } = await reader.collect();
    const text = new PrometheusSerializer().serialize(resourceMetrics);
    const families = [...text.matchAll(/^# TYPE (seaworthy_\w+)/gm)].map(([, name]) => name);
    const ids = [...Object.keys(METRICS), ...Object.keys(HISTOGRAMS)] as MetricId[];
    expect(ids.map((id) => prometheusName(id, '')).sort()).toEqual(families.sort());
  });
});

describe('the dashboard', () => {
  it('draws every metric there is', () => {
    const all = drawn.map(({ expr }) => expr.replaceAll('${suffix}', '')).join('\n');
    const missing = Object.entries(contract.metrics)
      .filter(([name, { kind }]) => {
        const base = name.replaceAll('.', '_') + (kind === 'counter' ? '_total' : '');
        return !new RegExp(`\\b${base}(?:_bucket|_count)?\\b`).test(all);
      })
      .map(([name]) => `${name} is on no panel: add it to observability/panels.ts`);
    expect(missing).toEqual([]);
  });

  it('defines every variable it uses, and uses every one it defines', () => {
    const text = JSON.stringify(dashboard);
    const used = new Set([...text.matchAll(/\$\{?([a-z]\w*)/g)].map(([, name]) => name));
    expect([...used].sort()).toEqual(dashboard.templating.list.map(({ name }) => name).sort());
    expect(dashboard.templating.list.map(({ name }) => name)).toEqual(['datasource', 'pipeline', 'policy', 'suffix']);
  });

  it('gives every panel an id and a place of its own, and every pipeline a row', () => {
    const { panels: all } = dashboard;
    expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
    expect(new Set(panels.map(({ title }) => title)).size).toBe(panels.length);
    const taken = new Set<string>();
    for (const { title, gridPos } of all) {
      expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(taken.has(`${x} ${y}`), `${title} lies over another panel`).toBe(false);
          taken.add(`${x} ${y}`);
        }
    }
    expect(all.filter(({ repeat }) => repeat !== undefined).map(({ type, repeat }) => `${type} by ${repeat}`)).toEqual([
      'row by pipeline',
    ]);
  });

  it('has a word and a colour for every state of a circuit', () => {
    const states = contract.metrics['seaworthy.circuit_breaker.status']?.required['seaworthy.circuit_breaker.state'];
    expect([...STATES].sort()).toEqual([...(states as string[])].sort());
  });
});

describe('the runbooks', () => {
  const pages = globSync('docs/runbooks/*.md', { cwd: root.pathname });
  const titles = new Set(panels.map(({ title }) => title));
  const spoken = new Set(
    [contract.metrics, contract.spans, contract.logs].flatMap((part) =>
      Object.entries(part).flatMap(([name, { required, optional }]) => [
        name,
        ...Object.keys({ ...required, ...optional }),
      ]),
    ),
  );

  it('are one per alert, and none without one', () => {
    expect(pages.map((page) => basename(page, '.md')).sort()).toEqual(ALERTS.map(({ alert }) => alert).sort());
    for (const { file } of SPELLINGS)
      expect([...read(`observability/${file}`).matchAll(/runbook_url: '(.*)'/g)].map(([, path]) => path)).toEqual(
        ALERTS.map(({ alert }) => runbook(alert)),
      );
  });

  it.each(pages)('%s says what it means, what to look at, what to do and when to silence it', (page) => {
    const text = read(page);
    expect([...text.matchAll(/^#+ (.*)$/gm)].map(([, title]) => title)).toEqual([
      basename(page, '.md'),
      'What it means',
      'What to look at',
      'What to do',
      'When to silence it',
    ]);
    expect(text).toMatch(/^- Traces: /m);
    expect(text).toMatch(/^- `snapshot\(\)`/m);
  });

  it.each(pages)('%s names panels, attributes and pages that exist', (page) => {
    const text = read(page);
    const bold = [...text.matchAll(/\*\*(.+?)\*\*/g)].map(([, title = '']) => title);
    expect(bold.length).toBeGreaterThan(0);
    expect(bold.filter((title) => !titles.has(title))).toEqual([]);
    const attributes = [...text.matchAll(/`(seaworthy\.[\w.]+)/g)].map(([, name = '']) => name);
    expect(attributes.filter((name) => !spoken.has(name))).toEqual([]);
    const links = [...text.matchAll(/\]\((\S+?)\)/g)].map(([, target = '']) => target);
    expect(links.filter((target) => !existsSync(new URL(target, new URL(page, root))))).toEqual([]);
  });
});
