import { readFileSync } from 'node:fs';
import * as otel from '@opentelemetry/api';
import type { LogRecord, Point, Span } from './sdk.ts';

/** What an attribute may be: the name of a type, or every value there is. */
type Values = string | readonly string[];

interface Shape {
  readonly required: Readonly<Record<string, Values>>;
  readonly optional?: Readonly<Record<string, Values>>;
}

/** The file operators rely on. */
export interface Contract {
  readonly scope: string;
  readonly buckets: readonly number[];
  readonly errorTypes: readonly string[];
  readonly statusDescriptions: readonly string[];
  readonly spans: Readonly<Record<string, Shape & { readonly kind: string }>>;
  readonly links: Readonly<Record<string, string>>;
  readonly othersSpans: Readonly<Record<string, { readonly optional: Readonly<Record<string, Values>> }>>;
  readonly metrics: Readonly<Record<string, Shape & { readonly kind: string; readonly unit: string }>>;
  readonly logs: Readonly<Record<string, Shape & { readonly severity: Readonly<Record<string, string>> }>>;
}

export const contract: Contract = JSON.parse(readFileSync(new URL('contract.json', import.meta.url), 'utf8'));

/** What came out of a real SDK: spans of ours and of the application, every metric, every log event. */
export interface Emitted {
  readonly spans: readonly Span[];
  readonly points: readonly Point[];
  readonly records: readonly LogRecord[];
}

type Attributes = Readonly<Record<string, unknown>>;

/** Messages of errors that are none of ours begin with this where the contract is driven. */
export const FOREIGN = 'foreign: ';

const OUTCOME = 'seaworthy.outcome';
const title = (name: string) => name.replace(/ \S+$/, ' {pipeline}');
const text = (description: string) => description.replace(/ \d+(?:\.\d+)? ms$/, ' {n} ms');
const severities: Readonly<Record<string, number>> = { INFO: 9, WARN: 13 };
const distinct = (all: readonly string[]) => [...new Set(all)];

/** Everything emitted that is not in the file, or not as the file says. */
export function unexpected(file: Contract, { spans, points, records }: Emitted): string[] {
  const ours = spans.filter(isOurs);
  return distinct([
    ...ours.flatMap((span) => wrongSpan(file, span)),
    ...spans.filter((span) => !isOurs(span)).flatMap((span) => wrongOther(file, span)),
    ...points.flatMap((point) => wrongPoint(file, point)),
    ...records.flatMap((record) => wrongRecord(file, record)),
  ]);
}

/** Everything in the file that was not emitted. */
export function neverCame(file: Contract, { spans, points, records }: Emitted): string[] {
  const ours = spans.filter(isOurs);
  const gone: string[] = [];
  for (const [name, shape] of Object.entries(file.spans))
    gone.push(...missing(name, shape, attributesOf(ours.filter((span) => title(span.name) === name))));
  for (const [kind, { optional }] of Object.entries(file.othersSpans)) {
    const theirs = spans.filter((span) => !isOurs(span) && otel.SpanKind[span.kind] === kind);
    gone.push(...missing(`${kind} spans`, { required: {}, optional }, attributesOf(theirs)));
  }
  for (const [name, shape] of Object.entries(file.metrics))
    gone.push(...missing(name, shape, attributesOf(points.filter((point) => point.name === name))));
  for (const [name, shape] of Object.entries(file.logs)) {
    const told = records.filter(({ eventName }) => eventName === name);
    gone.push(...missing(name, shape, attributesOf(told)));
    const states = new Set(told.map(({ attributes }) => attributes['seaworthy.circuit_breaker.state']));
    gone.push(...lacking(Object.keys(shape.severity), states).map((state) => `${name}: nobody told of ${state}`));
  }
  const linked = new Set(ours.filter(({ links }) => links.length > 0).map(({ name }) => title(name)));
  gone.push(...lacking(Object.keys(file.links), linked).map((name) => `${name} was never linked`));
  const said = new Set(ours.map(({ status }) => text(status.message ?? '')));
  gone.push(...lacking(file.statusDescriptions, said).map((words) => `nobody said "${words}"`));
  const types = new Set(ours.map(({ attributes }) => attributes['error.type']));
  gone.push(...lacking(file.errorTypes, types).map((type) => `error.type=${type} was never emitted`));
  return gone;
}

function isOurs({ instrumentationScope }: Span): boolean {
  return instrumentationScope.name !== 'app';
}

function attributesOf(all: readonly { readonly attributes: Attributes }[]): Attributes[] {
  return all.map(({ attributes }) => attributes);
}

function lacking(wanted: readonly string[], found: ReadonlySet<unknown>): string[] {
  return wanted.filter((each) => !found.has(each));
}

function wrongSpan(file: Contract, span: Span): string[] {
  const name = title(span.name);
  const shape = file.spans[name];
  if (shape === undefined) return [`span "${span.name}" is not in the file`];
  const { attributes, status, links, events, kind, instrumentationScope } = span;
  const found = violations(file, name, shape, attributes);
  if (instrumentationScope.name !== file.scope) found.push(`${name}: scope ${instrumentationScope.name}`);
  if (otel.SpanKind[kind] !== shape.kind) found.push(`${name}: kind ${otel.SpanKind[kind]}`);
  if (events.length > 0) found.push(`${name}: has span events`);
  if (links.length > 0 && file.links[name] === undefined) found.push(`${name}: has links`);
  if (status.code === otel.SpanStatusCode.OK) found.push(`${name}: status OK`);
  if ((status.code === otel.SpanStatusCode.ERROR) !== 'error.type' in attributes)
    found.push(`${name}: ERROR and error.type must come together`);
  if ('seaworthy.retry.delay' in attributes !== (attributes['seaworthy.attempt.kind'] === 'retry'))
    found.push(`${name}: a delay belongs to each retry and to nothing else`);
  const { message } = status;
  if (message !== undefined && !message.startsWith(FOREIGN) && !file.statusDescriptions.includes(text(message)))
    found.push(`${name}: description "${message}" is not in the file`);
  return found;
}

/** Nothing of ours on spans of others but what the file says. */
function wrongOther(file: Contract, { kind, attributes }: Span): string[] {
  const name = otel.SpanKind[kind] as string;
  return violations(
    file,
    `${name} spans`,
    { required: {}, optional: file.othersSpans[name]?.optional ?? {} },
    attributes,
  );
}

function wrongPoint(file: Contract, { name, scope, kind, unit, attributes, boundaries }: Point): string[] {
  const shape = file.metrics[name];
  if (shape === undefined) return [`metric ${name} is not in the file`];
  const found = violations(file, name, shape, attributes);
  if (!scope.startsWith(`${file.scope}@`)) found.push(`${name}: scope ${scope}`);
  if (kind !== shape.kind || unit !== shape.unit) found.push(`${name}: is a ${kind} of ${unit}`);
  if (boundaries !== undefined && boundaries.join() !== file.buckets.join())
    found.push(`${name}: buckets ${boundaries}`);
  return found;
}

function wrongRecord(file: Contract, record: LogRecord): string[] {
  const { eventName = '', severityText = '', severityNumber, attributes, body, instrumentationScope } = record;
  const shape = file.logs[eventName];
  if (shape === undefined) return [`log event ${eventName} is not in the file`];
  const found = violations(file, eventName, shape, attributes);
  const severity = shape.severity[String(attributes['seaworthy.circuit_breaker.state'])] ?? '';
  if (severityText !== severity || severityNumber !== severities[severity])
    found.push(`${eventName}: is ${severityText} ${severityNumber}`);
  if (instrumentationScope.name !== file.scope) found.push(`${eventName}: scope ${instrumentationScope.name}`);
  if (body !== undefined) found.push(`${eventName}: has a body`);
  return found;
}

/** Everything in which `attributes` differs from `shape`. */
function violations(file: Contract, where: string, shape: Shape, attributes: Attributes): string[] {
  const { required, optional = {} } = shape;
  const found = Object.keys(required)
    .filter((key) => !(key in attributes))
    .map((key) => `${where}: ${key} is missing`);
  for (const [key, value] of Object.entries(attributes)) {
    const allowed = required[key] ?? optional[key];
    if (allowed === undefined) found.push(`${where}: ${key} is not in the file`);
    else if (!fits(file, allowed, value))
      found.push(`${where}: ${key} must be ${JSON.stringify(allowed)}, was ${JSON.stringify(value)}`);
  }
  if (OUTCOME in attributes && (attributes[OUTCOME] === 'failure') !== 'error.type' in attributes)
    found.push(`${where}: an error.type belongs to each failure and to nothing else`);
  return found;
}

function fits(file: Contract, allowed: Values, value: unknown): boolean {
  if (typeof allowed !== 'string') return allowed.includes(value as string);
  if (allowed === 'int') return Number.isInteger(value);
  if (allowed === 'string[]') return Array.isArray(value) && value.every((item) => typeof item === 'string');
  if (allowed !== 'word') return typeof value === allowed;
  if (typeof value !== 'string') return false;
  // Ours are written so; what others call their errors is not, where the contract is driven.
  return /^[a-z_]+$/.test(value)
    ? file.errorTypes.includes(value)
    : /^(?:_OTHER|[A-Z][A-Z0-9_]{2,40}|[A-Za-z_$][\w$.-]{0,60}|[1-5]\d\d)$/.test(value);
}

/** Every key, and every value of a list, that never came. */
function missing(where: string, { required, optional = {} }: Shape, all: readonly Attributes[]): string[] {
  if (all.length === 0) return [`${where} was never emitted`];
  return Object.entries({ ...required, ...optional }).flatMap(([key, allowed]) => {
    const seen = new Set(all.filter((attributes) => key in attributes).map((attributes) => attributes[key]));
    if (seen.size === 0) return [`${where}: ${key} was never emitted`];
    if (typeof allowed === 'string') return [];
    return lacking(allowed, seen).map((value) => `${where}: ${key}=${value} was never emitted`);
  });
}
