/**
 * The files of observability/: `npm run observability` writes dashboard, rules, promtool's cases and the table of its
 * README.md from observability/source.ts. With `--check` it only looks, and exits with 1 when one is out of date. A query
 * about anything that tests/adapters/otel/contract.json does not list is an error either way.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  ALERTS,
  type Alert,
  type Asked,
  asked,
  CASES,
  type Case,
  CHOICES,
  OPENINGS,
  type Panel,
  prometheusName,
  RECORDED,
  type Recorded,
  ROWS,
  runbook,
  Series,
  STATES,
  type Suffix,
} from '../observability/source.ts';

interface Contract {
  readonly metrics: Readonly<Record<string, Shape | undefined>>;
}
interface Shape {
  readonly required: Readonly<Record<string, string | readonly string[]>>;
  readonly optional?: Readonly<Record<string, string | readonly string[]>>;
}

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string) => readFileSync(`${root}${path}`, 'utf8');

/** Both spellings of the durations, and the file of each. */
export const SPELLINGS = [
  { suffix: '_seconds', file: 'prometheus-rules.yml' },
  { suffix: '', file: 'prometheus-rules-no-suffix.yml' },
] as const satisfies readonly { suffix: Suffix; file: string }[];

/** Every file that is written, by its path from the root. */
export function files(): Record<string, string> {
  const written: Record<string, string> = { 'observability/grafana-dashboard.json': json(dashboard()) };
  for (const { suffix, file } of SPELLINGS) {
    written[`observability/${file}`] = rules(new Series(suffix), file);
    written[`observability/tests/${file}`] = cases(new Series(suffix), file);
  }
  written['observability/README.md'] = withTable(read('observability/README.md'));
  check(asked);
  return written;
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

const datasource = { type: 'prometheus', uid: '${datasource}' };

function dashboard(): object {
  let id = 0;
  let y = 0;
  const panels: object[] = [];
  for (const row of ROWS) {
    const repeated = row.repeat === undefined ? {} : { repeat: row.repeat };
    panels.push({
      id: ++id,
      type: 'row',
      title: row.title,
      collapsed: false,
      panels: [],
      ...repeated,
      gridPos: { h: 1, w: 24, x: 0, y: y++ },
    });
    let x = 0;
    let tallest = 0;
    for (const panel of row.panels) {
      if (x + panel.width > 24) {
        y += tallest;
        x = tallest = 0;
      }
      const height = panel.kind === 'stat' ? 4 : 7;
      panels.push({ id: ++id, ...drawn(panel), gridPos: { h: height, w: panel.width, x, y } });
      x += panel.width;
      tallest = Math.max(tallest, height);
    }
    y += tallest;
  }
  return {
    title: 'seaworthy',
    uid: 'seaworthy',
    description: 'What the resilience policies of Node services do. Written by npm run observability.',
    tags: ['seaworthy', 'resilience'],
    // That of Grafana 10; later ones bring it up to date as they load it.
    schemaVersion: 38,
    version: 1,
    editable: true,
    graphTooltip: 1,
    refresh: '30s',
    time: { from: 'now-1h', to: 'now' },
    timezone: '',
    templating: { list: variables() },
    annotations: {
      list: [
        {
          name: 'Circuits opened',
          datasource,
          enable: true,
          iconColor: 'red',
          expr: OPENINGS.expr,
          step: '',
          titleFormat: OPENINGS.legend,
        },
      ],
    },
    links: [],
    panels,
  };
}

function variables(): object[] {
  const choice = (name: keyof typeof CHOICES) => ({
    name,
    label: name[0]!.toUpperCase() + name.slice(1),
    type: 'query',
    datasource,
    definition: CHOICES[name],
    query: { query: CHOICES[name], refId: name },
    // When the time range changes: pipelines come and go.
    refresh: 2,
    sort: 1,
    multi: true,
    includeAll: true,
    allValue: '.*',
    current: { selected: true, text: ['All'], value: ['$__all'] },
  });
  const spellings = { either: '(_seconds)?', _seconds: '_seconds', none: '()' };
  return [
    { name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus', current: {} },
    choice('pipeline'),
    choice('policy'),
    {
      name: 'suffix',
      label: 'Unit suffix',
      description: 'What Prometheus writes after the names of durations. Choose one where both are stored.',
      type: 'custom',
      query: Object.entries(spellings)
        .map(([text, value]) => `${text} : ${value}`)
        .join(', '),
      options: Object.entries(spellings).map(([text, value], i) => ({ selected: i === 0, text, value })),
      current: { selected: true, text: 'either', value: spellings.either },
      multi: false,
      includeAll: false,
    },
  ];
}

const colors: Readonly<Record<(typeof STATES)[number], string>> = {
  closed: 'green',
  disabled: 'blue',
  half_open: 'yellow',
  open: 'red',
  isolated: 'purple',
};

function drawn({ title, description, kind, unit, targets }: Panel): object {
  const type = { stat: 'stat', lines: 'timeseries', stacked: 'timeseries', states: 'state-timeline' }[kind];
  const states = STATES.map((state, code) => [code, { text: state, color: colors[state], index: code }]);
  const custom = {
    stat: {},
    lines: { fillOpacity: 0, showPoints: 'never' },
    stacked: { fillOpacity: 40, showPoints: 'never', stacking: { mode: 'normal', group: 'A' } },
    states: { fillOpacity: 80, lineWidth: 0 },
  }[kind];
  const options = {
    stat: {
      reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
      graphMode: 'area',
      colorMode: 'value',
    },
    lines: { legend: { displayMode: 'list', placement: 'bottom' }, tooltip: { mode: 'multi', sort: 'desc' } },
    stacked: { legend: { displayMode: 'list', placement: 'bottom' }, tooltip: { mode: 'multi', sort: 'desc' } },
    states: { showValue: 'never', mergeValues: true, legend: { displayMode: 'list', placement: 'bottom' } },
  }[kind];
  return {
    type,
    title,
    description,
    datasource,
    fieldConfig: {
      defaults: {
        unit: unit === 'x' ? 'none' : unit,
        min: 0,
        ...(unit === 'x' && { min: 1, decimals: 2 }),
        ...(unit === 'percentunit' && kind !== 'stat' && { max: 1 }),
        color: { mode: kind === 'states' || kind === 'stat' ? 'thresholds' : 'palette-classic' },
        ...(kind === 'states' && { mappings: [{ type: 'value', options: Object.fromEntries(states) }] }),
        thresholds: { mode: 'absolute', steps: [{ color: kind === 'stat' ? 'text' : 'green', value: null }] },
        custom,
      },
      overrides: [],
    },
    options,
    targets: targets.map(({ expr, legend }, i) => ({
      refId: 'ABCDEFGH'[i],
      datasource,
      editorMode: 'code',
      expr,
      legendFormat: legend,
      range: true,
      instant: false,
    })),
  };
}

const groups = { recorded: 'seaworthy-recorded', alerts: 'seaworthy-alerts' };

function rules(series: Series, file: string): string {
  return [
    '# Written by npm run observability from observability/source.ts.',
    `# Durations are spelled ${spelling(file)}; observability/README.md says who spells them so.`,
    'groups:',
    `  - name: ${groups.recorded}`,
    '    rules:',
    ...RECORDED.flatMap((rule) => recorded(rule, series)),
    `  - name: ${groups.alerts}`,
    '    rules:',
    ...ALERTS.flatMap((alert) => alerting(alert, series)),
    '',
  ].join('\n');
}

function spelling(file: string): string {
  const { suffix } = SPELLINGS.find((one) => one.file === file)!;
  return `${prometheusName('pipeline', suffix)}_count`;
}

function recorded({ record, expr, about }: Recorded, series: Series): string[] {
  return [
    ...(about?.split('\n').map((line) => `      # ${line}`) ?? []),
    `      - record: ${record}`,
    '        expr: |-',
    ...expr(series)
      .split('\n')
      .map((line) => `          ${line}`),
  ];
}

function alerting(alert: Alert, series: Series): string[] {
  return [
    `      - alert: ${alert.alert}`,
    '        expr: |-',
    ...alert
      .expr(series)
      .split('\n')
      .map((line) => `          ${line}`),
    ...(alert.for === undefined ? [] : [`        for: ${alert.for}`]),
    '        labels:',
    `          severity: ${alert.severity}`,
    '        annotations:',
    ...Object.entries(annotations(alert)).map(([name, text]) => `          ${name}: ${quoted(text)}`),
  ];
}

function annotations({ alert, summary, description }: Alert): Record<string, string> {
  return { summary, description, runbook_url: runbook(alert) };
}

/** A YAML scalar in which nothing is special but the quote. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** What promtool reads: JSON, which YAML is made of, a line per case and step. */
function cases(series: Series, file: string): string {
  return [
    '# Written by npm run observability from observability/cases.ts, for promtool test rules.',
    `rule_files: [../${file}]`,
    'evaluation_interval: 1m',
    // Left to itself, promtool takes them in another order each time.
    `group_eval_order: [${groups.recorded}, ${groups.alerts}]`,
    'tests:',
    ...CASES.flatMap((one) => [
      `  - name: ${quoted(`${one.alert}: ${one.when}`)}`,
      `    interval: ${one.interval ?? '1m'}`,
      '    input_series:',
      ...Object.entries(one.input(series)).flatMap(([name, values]) => [
        `      - series: ${quoted(name)}`,
        `        values: ${quoted(values)}`,
      ]),
      '    alert_rule_test:',
      `      - eval_time: ${one.at}`,
      `        alertname: ${one.alert}`,
      ...expected(one),
    ]),
    '',
  ].join('\n');
}

function expected({ alert: name, fires }: Case): string[] {
  if (fires === undefined) return ['        exp_alerts: []'];
  const alert = ALERTS.find((one) => one.alert === name);
  if (alert === undefined) throw new Error(`A case is about ${name}, and there is no such alert`);
  const filled = Object.entries(annotations(alert)).map(([key, text]) => [
    key,
    text
      .replace(/\{\{ \$labels\.(\w+) \}\}/g, (_, wanted: string) => fires.labels[wanted] ?? '')
      .replace(/\{\{ \$value[^}]*\}\}/g, () => fires.value),
  ]);
  return [
    '        exp_alerts:',
    '          - exp_labels:',
    ...Object.entries({ severity: alert.severity, ...fires.labels }).map(
      ([key, value]) => `              ${key}: ${quoted(value)}`,
    ),
    '            exp_annotations:',
    ...filled.map(([key = '', text = '']) => `              ${key}: ${quoted(text)}`),
  ];
}

const [start, end] = ['<!-- alerts -->', '<!-- /alerts -->'];

function withTable(readme: string): string {
  const [before, after] = [readme.indexOf(start), readme.indexOf(end)];
  if (before < 0 || after < before) throw new Error(`observability/README.md has no ${start} followed by ${end}`);
  const table = [
    '| alert | severity | fires on | for | why these numbers |',
    '|---|---|---|---|---|',
    ...ALERTS.map(
      ({ alert, severity, fires, why, for: held }) =>
        `| [${alert}](../${runbook(alert)}) | ${severity} | ${fires} | ${held ?? 'at once'} | ${why} |`,
    ),
  ];
  return `${readme.slice(0, before + start.length)}\n${table.join('\n')}\n${readme.slice(after)}`;
}

/** Throws an `Error` naming everything the queries ask for and the contract does not have. */
export function check(queries: readonly Asked[]): void {
  const { metrics }: Contract = JSON.parse(read('tests/adapters/otel/contract.json'));
  const wrong = queries.flatMap(({ metric, key, word }) => {
    const shapes = metric === undefined ? Object.values(metrics) : [metrics[metric]];
    if (shapes.includes(undefined)) return [`${metric} is no metric`];
    if (key === undefined) return [];
    const values = shapes
      .map((shape) => ({ ...shape?.required, ...shape?.optional })[key])
      .find((one) => one !== undefined);
    if (values === undefined) return [`${metric ?? 'no metric'} has ${metric === undefined ? '' : 'no '}${key}`];
    return word === undefined || typeof values === 'string' || values.includes(word)
      ? []
      : [`${metric}: ${key} is never ${word}`];
  });
  if (wrong.length > 0) throw new Error(`Not in tests/adapters/otel/contract.json:\n${[...new Set(wrong)].join('\n')}`);
}

if (import.meta.main) {
  for (const [path, text] of Object.entries(files())) {
    if (!process.argv.includes('--check')) writeFileSync(`${root}${path}`, text);
    else if (text !== read(path)) {
      console.error(`${path} is out of date. Run npm run observability.`);
      process.exitCode = 1;
    }
  }
}
