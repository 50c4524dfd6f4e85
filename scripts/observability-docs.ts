/**
 * Writes the parts of docs/observability.md that are read from the code: the trees from a run, the tables from
 * tests/adapters/otel/contract.json. `node scripts/observability-docs.ts` rewrites them, with `--check` it only says
 * whether they are up to date. A path takes another file for the document.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { prometheusName } from '../observability/series.ts';
import { ErrorTypes } from '../src/adapters/otel/error-type.ts';
import { Ledger } from '../src/adapters/otel/ledger.ts';
import { BUCKETS, HISTOGRAMS, METRICS, OTHER } from '../src/adapters/otel/names.ts';
import { mostStreams } from '../src/adapters/otel/series.ts';
import { attributeTexts, logTexts, metricTexts, spanTexts, statusTexts } from './observability-texts.ts';
import { type Trees, trees } from './observability-trees.ts';

type Values = string | readonly string[];
interface Shape {
  readonly required: Readonly<Record<string, Values>>;
  readonly optional?: Readonly<Record<string, Values>>;
}
export interface Contract {
  readonly errorTypes: readonly string[];
  readonly statusDescriptions: readonly string[];
  readonly spans: Readonly<Record<string, Shape & { readonly kind: string }>>;
  /** By kind of span: what we write on spans that are not ours. */
  readonly othersSpans: Readonly<Record<string, Partial<Shape>>>;
  readonly metrics: Readonly<Record<string, Shape & { readonly kind: Kind; readonly unit: string }>>;
  readonly logs: Readonly<Record<string, Shape & { readonly severity: Readonly<Record<string, string>> }>>;
}
type Kind = 'histogram' | 'counter' | 'up_down' | 'gauge';

const contractFile = new URL('../tests/adapters/otel/contract.json', import.meta.url);

export const contract = (): Contract => JSON.parse(readFileSync(contractFile, 'utf8'));

/** What the document's parts must be, by the name in their `<!-- generated: name -->`. */
export async function parts(said = contract()): Promise<Record<string, string>> {
  const { scenes, atStart } = await trees();
  return {
    ...Object.fromEntries(Object.entries(scenes).map(([name, text]) => [name, `\`\`\`text\n${text}\n\`\`\``])),
    spans: spans(said),
    attributes: attributes(said, atStart),
    metrics: metrics(said),
    'prometheus names': prometheusNames(said),
    logs: logs(said),
    'error types': list(said.errorTypes),
    'status descriptions': statusDescriptions(said),
    buckets: `${BUCKETS.map((boundary) => `\`${boundary}\``).join(' ')} (seconds)`,
    caps: caps(),
  };
}

/** `document` with its parts replaced. Throws where a part is not known, or is nowhere. */
export function fill(document: string, made: Readonly<Record<string, string>>): string {
  const used = new Set<string>();
  const filled = document.replace(
    /(<!-- generated: (.+?) -->)[\s\S]*?(<!-- \/generated -->)/g,
    (_, begin: string, name: string, end: string) => {
      const text = made[name];
      if (text === undefined) throw new Error(`docs/observability.md: nothing makes the part "${name}".`);
      used.add(name);
      return `${begin}\n\n${text}\n\n${end}`;
    },
  );
  const missing = Object.keys(made).filter((name) => !used.has(name));
  if (missing.length > 0) throw new Error(`docs/observability.md: has no place for ${missing.join(', ')}.`);
  return filled;
}

/** Both spellings of each metric's name in Prometheus, before what a histogram is parted into. */
export function spellings({ metrics }: Contract): { name: string; kind: Kind; plain: string; suffixed: string }[] {
  return Object.entries(metrics).map(([name, { kind }]) => {
    const id = idOf(name);
    return { name, kind, plain: prometheusName(id, ''), suffixed: prometheusName(id, '_seconds') };
  });
}

function spans({ spans }: Contract): string {
  const rows = Object.entries(spans).map(([name, { kind }]) => [`\`${name}\``, kind, text(spanTexts, name)]);
  return table(['span', 'kind', 'when'], rows);
}

const instruments = { ...METRICS, ...HISTOGRAMS };

function idOf(name: string): keyof typeof instruments {
  const found = Object.entries(instruments).find(([, instrument]) => instrument.name === name);
  if (found === undefined) throw new Error(`${name} is in contract.json and not in src/adapters/otel/names.ts.`);
  return found[0] as keyof typeof instruments;
}

/** Every attribute once, whatever carries it. */
function attributes({ spans, othersSpans, metrics, logs }: Contract, atStart: Trees['atStart']): string {
  const onSpans = Object.values(spans);
  const elsewhere = [...Object.values(metrics), ...Object.values(logs), ...Object.values(othersSpans)];
  const keys = new Set([...onSpans, ...elsewhere].flatMap((shape) => Object.keys(all(shape))));
  const rows = [...keys].map((key) => {
    const ours = valuesOf(onSpans, key);
    const theirs = valuesOf(elsewhere, key).filter((value) => !ours.includes(value));
    const more = ours.length === 0 ? list(theirs) : theirs.length === 0 ? '' : `; not on spans: ${list(theirs)}`;
    const where = Object.entries(spans).map(([name, shape]) => {
      if (!(key in all(shape))) return '';
      return atStart.get(name)?.has(key) ? 'start' : key in shape.required ? 'always' : 'some';
    });
    const others = [
      Object.values(metrics).some((shape) => key in all(shape)) ? 'metrics' : '',
      Object.values(logs).some((shape) => key in all(shape)) ? 'log' : '',
      ...Object.entries(othersSpans).map(([kind, shape]) => (key in all(shape) ? `other ${kind} spans` : '')),
    ].filter((place) => place !== '');
    return [`\`${key}\``, `${list(ours)}${more}`, ...where, others.join(', '), text(attributeTexts, key)];
  });
  return table(
    ['attribute', 'values', ...Object.keys(spans).map((name) => `\`${name.split(' ')[0]}\``), 'also on', 'says'],
    rows,
  );
}

function metrics({ metrics }: Contract): string {
  const rows = Object.entries(metrics).map(([name, shape]) => {
    const optional = Object.keys(shape.optional ?? {}).map((key) => `\`${short(key)}\` (some)`);
    const carried = [...Object.keys(shape.required).map((key) => `\`${short(key)}\``), ...optional].join(', ');
    const instrument = { histogram: 'histogram', counter: 'counter', up_down: 'up-down counter', gauge: 'gauge' }[
      shape.kind
    ];
    const observable = shape.kind === 'histogram' ? instrument : `observable ${instrument}`;
    return [
      `\`${name}\``,
      observable,
      `\`${shape.unit}\``,
      carried,
      `${instruments[idOf(name)].description} ${text(metricTexts, name)}`,
    ];
  });
  return table(['metric', 'instrument', 'unit', 'attributes', 'tells'], rows);
}

function prometheusNames(said: Contract): string {
  const rows = spellings(said).map(({ kind, plain, suffixed }) => {
    const parts = kind === 'histogram' ? '`_bucket`, `_sum`, `_count`' : '';
    const type = kind === 'up_down' ? 'gauge' : kind;
    return [`\`${plain}\``, suffixed === plain ? 'the same' : `\`${suffixed}\``, type, parts];
  });
  return table(['from the JS `PrometheusExporter`', 'where units are added', 'type', 'and then'], rows);
}

function logs({ logs }: Contract): string {
  const rows = Object.entries(logs).map(([name, { severity, required, optional = {} }]) => [
    `\`${name}\``,
    Object.entries(severity)
      .map(([state, level]) => `\`${state}\` ${level}`)
      .join(', '),
    [
      ...Object.keys(required).map((key) => `\`${key}\``),
      ...Object.keys(optional).map((key) => `\`${key}\` (some)`),
    ].join(', '),
    text(logTexts, name),
  ]);
  return table(['event name', 'severity, by the state entered', 'attributes', 'when'], rows);
}

function statusDescriptions({ statusDescriptions }: Contract): string {
  return table(
    ['description', 'means'],
    statusDescriptions.map((said) => [`\`${said}\``, text(statusTexts, said)]),
  );
}

/** Measured on the code, which is where the limits are. */
function caps(): string {
  const ledger = new Ledger();
  const errors = new ErrorTypes('docs');
  return table(
    ['of these', 'at most'],
    [
      ['pipeline names', `${admitted((i) => ledger.pipelineNames.admit(`n${i}`))}`],
      ['policy names', `${admitted((i) => ledger.policyNames.admit(`n${i}`))}`],
      [
        'foreign error types of one pipeline (our own always pass)',
        `${admitted((i) => errors.of(Object.assign(new Error(), { name: `E${i}` }), undefined))}`,
      ],
      ['streams of one instrument', `${mostStreams}`],
    ],
  );
}

function admitted(admit: (i: number) => string): number {
  for (let i = 0; i < 100_000; i++) if (admit(i) === OTHER) return i;
  throw new Error('there is no limit');
}

const all = ({ required, optional }: Partial<Shape>) => ({ ...required, ...optional });
const short = (key: string) => key.replace('seaworthy.', '');
const list = (values: readonly string[]) => values.map(shown).join(', ');

function shown(value: string): string {
  return value === 'word' ? '[error type](#error-types)' : /^(string|int|number)/.test(value) ? value : `\`${value}\``;
}

function valuesOf(shapes: readonly Partial<Shape>[], key: string): string[] {
  return [...new Set(shapes.flatMap((shape) => all(shape)[key] ?? []))];
}

function text(texts: Readonly<Record<string, string>>, name: string): string {
  const found = texts[name];
  if (found === undefined) throw new Error(`Say in scripts/observability-texts.ts what "${name}" is.`);
  return found;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `|${cells.map((cell) => (cell === '' ? ' ' : ` ${cell} `)).join('|')}|`;
  return [line(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values, positionals } = parseArgs({ options: { check: { type: 'boolean' } }, allowPositionals: true });
  const [file = fileURLToPath(new URL('../docs/observability.md', import.meta.url))] = positionals;
  const before = readFileSync(file, 'utf8');
  const after = fill(before, await parts());
  if (before === after) console.log('docs/observability.md is up to date.');
  else if (values.check !== true) writeFileSync(file, after);
  else {
    console.error('docs/observability.md is out of date. Run node scripts/observability-docs.ts.');
    process.exitCode = 1;
  }
}
