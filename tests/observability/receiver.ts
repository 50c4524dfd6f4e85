import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';

/** A span as it arrived; attribute values are plain, times are nanoseconds. */
export interface WireSpan {
  readonly name: string;
  readonly kind: 'UNSPECIFIED' | 'INTERNAL' | 'SERVER' | 'CLIENT' | 'PRODUCER' | 'CONSUMER';
  readonly status: 'UNSET' | 'OK' | 'ERROR';
  /** The status description. */
  readonly message: string | undefined;
  readonly attributes: Attributes;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  /** Names of its events. */
  readonly events: readonly string[];
  readonly start: bigint;
  readonly end: bigint;
  readonly scope: string;
}

/** One stream of a metric in one export. */
export interface WirePoint {
  readonly name: string;
  readonly kind: 'counter' | 'up_down' | 'gauge' | 'histogram';
  readonly unit: string;
  readonly description: string;
  /** A gauge has none. */
  readonly temporality: 'cumulative' | 'delta' | undefined;
  readonly attributes: Attributes;
  /** The count of a histogram. */
  readonly value: number;
  /** Histograms only. */
  readonly sum?: number;
  readonly boundaries?: readonly number[];
  readonly counts?: readonly number[];
  readonly scope: string;
}

/** A log record as it arrived; its time is nanoseconds. */
export interface WireLog {
  readonly event: string;
  readonly severity: string;
  readonly body: unknown;
  readonly time: bigint;
  readonly attributes: Attributes;
  readonly traceId: string;
  readonly spanId: string;
  readonly scope: string;
}

type Attributes = Readonly<Record<string, unknown>>;

/** An OTLP/HTTP collector on loopback that keeps what it is sent. */
export interface Receiver {
  /** For `OTEL_EXPORTER_OTLP_ENDPOINT`. */
  readonly endpoint: string;
  readonly spans: WireSpan[];
  readonly logs: WireLog[];
  /** Exports of the metrics, oldest first. */
  readonly exports: WirePoint[][];
  /** What it did not understand; empty when all is well. */
  readonly faults: string[];
  /** Resolves as soon as `there` holds, and rejects when it does not within `ms`. */
  until(what: string, there: () => boolean, ms?: number): Promise<void>;
  close(): Promise<void>;
}

/** Starts one on a free port. */
export async function startReceiver(): Promise<Receiver> {
  const spans: WireSpan[] = [];
  const logs: WireLog[] = [];
  const exports: WirePoint[][] = [];
  const faults: string[] = [];
  const waiting = new Set<() => void>();

  const take: Readonly<Record<string, (body: any) => void>> = {
    '/v1/traces': (body) => void spans.push(...readSpans(body)),
    '/v1/metrics': (body) => void exports.push(readPoints(body)),
    '/v1/logs': (body) => void logs.push(...readLogs(body)),
  };

  const server = createServer(async (request, response) => {
    try {
      const store = take[request.url!];
      if (request.method !== 'POST' || store === undefined) throw new Error('no such signal');
      if (request.headers['content-type'] !== 'application/json')
        throw new Error(`not JSON: ${request.headers['content-type']}`);
      store(JSON.parse(await text(request)));
      response.setHeader('content-type', 'application/json').end('{}');
    } catch (error) {
      faults.push(`${request.method} ${request.url}: ${error}`);
      response.writeHead(400).end();
    }
    for (const look of waiting) look();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    logs,
    exports,
    faults,
    async until(what, there, ms = 15_000) {
      if (there()) return;
      await new Promise<void>((resolve, reject) => {
        const look = () => there() && done(resolve);
        const timer = setTimeout(() => done(() => reject(new Error(`${what}: not within ${ms} ms`))), ms);
        const done = (end: () => void) => {
          clearTimeout(timer);
          waiting.delete(look);
          end();
        };
        waiting.add(look);
      });
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function text(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  return (request.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes).toString();
}

const spanKinds = ['UNSPECIFIED', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'] as const;
const statuses = ['UNSET', 'OK', 'ERROR'] as const;
const temporalities = [undefined, 'delta', 'cumulative'] as const;

function readSpans({ resourceSpans }: any): WireSpan[] {
  return resourceSpans.flatMap(({ scopeSpans }: any) =>
    scopeSpans.flatMap(({ scope, spans }: any) =>
      spans.map((span: any) => ({
        name: span.name,
        kind: spanKinds[span.kind],
        status: statuses[span.status.code],
        message: span.status.message,
        attributes: plain(span.attributes),
        traceId: span.traceId,
        spanId: span.spanId,
        parentSpanId: span.parentSpanId,
        links: (span.links ?? []).map(({ traceId, spanId }: any) => ({ traceId, spanId })),
        events: (span.events ?? []).map(({ name }: any) => name),
        start: BigInt(span.startTimeUnixNano),
        end: BigInt(span.endTimeUnixNano),
        scope: scopeOf(scope),
      })),
    ),
  );
}

function readPoints({ resourceMetrics }: any): WirePoint[] {
  return resourceMetrics.flatMap(({ scopeMetrics }: any) =>
    scopeMetrics.flatMap(({ scope, metrics }: any) =>
      metrics.flatMap(({ name, unit, description, sum, gauge, histogram }: any) => {
        const { dataPoints, aggregationTemporality = 0, isMonotonic } = sum ?? gauge ?? histogram;
        const kind = histogram ? 'histogram' : gauge ? 'gauge' : isMonotonic ? 'counter' : 'up_down';
        const temporality = temporalities[aggregationTemporality];
        return dataPoints.map((point: any) => ({
          ...{ name, kind, unit, description, temporality },
          attributes: plain(point.attributes),
          value: Number(histogram ? point.count : (point.asInt ?? point.asDouble)),
          ...(histogram && {
            sum: point.sum,
            boundaries: point.explicitBounds,
            counts: point.bucketCounts.map(Number),
          }),
          scope: scopeOf(scope),
        }));
      }),
    ),
  );
}

function readLogs({ resourceLogs }: any): WireLog[] {
  return resourceLogs.flatMap(({ scopeLogs }: any) =>
    scopeLogs.flatMap(({ scope, logRecords }: any) =>
      logRecords.map((record: any) => ({
        event: record.eventName,
        severity: record.severityText,
        body: record.body && value(record.body),
        time: BigInt(record.timeUnixNano),
        attributes: plain(record.attributes),
        traceId: record.traceId,
        spanId: record.spanId,
        scope: scopeOf(scope),
      })),
    ),
  );
}

function scopeOf({ name, version }: { name: string; version?: string }): string {
  return `${name}@${version}`;
}

function plain(attributes: readonly { key: string; value: any }[] = []): Attributes {
  return Object.fromEntries(attributes.map((one) => [one.key, value(one.value)]));
}

function value({ stringValue, intValue, doubleValue, boolValue, arrayValue }: any): unknown {
  if (arrayValue) return arrayValue.values.map(value);
  return intValue === undefined ? (stringValue ?? doubleValue ?? boolValue) : Number(intValue);
}
