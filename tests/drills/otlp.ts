import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The files of a run, in its folder. */
export const files = { traces: 'traces.jsonl', metrics: 'metrics.jsonl' } as const;

/** A span, flat. */
export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly name: string;
  readonly kind: string;
  readonly status: string;
  /** Milliseconds since 1970. */
  readonly start: number;
  /** Seconds. */
  readonly duration: number;
  readonly span: Attributes;
  readonly resource: Attributes;
}

export type Attributes = Readonly<Record<string, string | number | boolean>>;

/** A series as Prometheus would keep it. */
export interface Series {
  readonly labels: Readonly<Record<string, string>>;
  /** Milliseconds since 1970, and the value. */
  readonly samples: (readonly [at: number, value: number])[];
}

/** What an operator has: spans and series, read from the files of one run. */
export interface Telemetry {
  readonly spans: readonly Span[];
  readonly series: readonly Series[];
}

/** `_seconds` by OpenTelemetry's rules for Prometheus; the JavaScript exporter's `/metrics` leaves units out. */
export type Spelling = 'with units' | 'without units';

/** Reads the files in `folder`. */
export function read(folder: string, spelling: Spelling = 'with units'): Telemetry {
  const lines = (file: string) =>
    readFileSync(join(folder, file), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line));
  return { spans: lines(files.traces).flatMap(spansOf), series: seriesOf(lines(files.metrics), spelling) };
}

interface Keyed {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}

function attributesOf(keyed: readonly Keyed[] = []): Attributes {
  return Object.fromEntries(
    keyed.map(({ key, value }) => {
      const [[type, plain] = []] = Object.entries(value);
      return [key, type === 'intValue' ? Number(plain) : type === 'arrayValue' ? JSON.stringify(plain) : plain];
    }),
  ) as Attributes;
}

const kinds = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'];
const statuses = ['unset', 'ok', 'error'];

function spansOf(request: any): Span[] {
  return request.resourceSpans.flatMap((owner: any) => {
    const resource = attributesOf(owner.resource.attributes);
    return owner.scopeSpans.flatMap((scope: any) =>
      scope.spans.map((span: any) => {
        const start = BigInt(span.startTimeUnixNano);
        return {
          traceId: span.traceId,
          spanId: span.spanId,
          parentSpanId: span.parentSpanId || undefined,
          name: span.name,
          kind: kinds[span.kind ?? 0]!,
          status: statuses[span.status?.code ?? 0]!,
          start: Number(start / 1_000_000n),
          duration: Number(BigInt(span.endTimeUnixNano) - start) / 1e9,
          span: attributesOf(span.attributes),
          resource,
        };
      }),
    );
  });
}

/**
 * Series by OpenTelemetry's rules for Prometheus: what a collector, or Prometheus' own OTLP receiver, makes of a metric. The
 * `service.name` becomes `job`.
 */
function seriesOf(requests: any[], spelling: Spelling): Series[] {
  const series = new Map<string, Series>();
  const units = spelling === 'with units';
  const put = (name: string, labels: Record<string, string>, at: number, value: number) => {
    const all = { __name__: name, ...labels };
    const key = JSON.stringify(Object.entries(all).sort(([a], [b]) => (a < b ? -1 : 1)));
    let one = series.get(key);
    if (one === undefined) series.set(key, (one = { labels: all, samples: [] }));
    one.samples.push([at, value]);
  };
  for (const owner of requests.flatMap((request) => request.resourceMetrics)) {
    const job = String(attributesOf(owner.resource.attributes)['service.name']);
    for (const metric of owner.scopeMetrics.flatMap((scope: any) => scope.metrics)) {
      const base = legal(metric.name) + (units && metric.unit === 's' ? '_seconds' : '');
      const { dataPoints } = metric.sum ?? metric.gauge ?? metric.histogram;
      for (const point of dataPoints) {
        const labels: Record<string, string> = { job };
        for (const [key, value] of Object.entries(attributesOf(point.attributes))) labels[legal(key)] = String(value);
        const at = Number(BigInt(point.timeUnixNano) / 1_000_000n);
        if (metric.histogram === undefined) {
          const ratio = units && metric.gauge !== undefined && metric.unit === '1';
          const suffix = metric.sum?.isMonotonic ? '_total' : ratio ? '_ratio' : '';
          put(base + suffix, labels, at, Number(point.asDouble ?? point.asInt));
          continue;
        }
        put(`${base}_count`, labels, at, Number(point.count));
        put(`${base}_sum`, labels, at, point.sum);
        let below = 0;
        point.bucketCounts.forEach((count: number | string, i: number) => {
          below += Number(count);
          put(`${base}_bucket`, { ...labels, le: String(point.explicitBounds[i] ?? '+Inf') }, at, below);
        });
      }
    }
  }
  return [...series.values()];
}

function legal(name: string): string {
  return name.replaceAll(/[^a-zA-Z0-9_]/g, '_');
}
