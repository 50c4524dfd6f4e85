/**
 * The service the users talk to. Both of its routes ask the upstream: `/protected` through `resilientFetch`, `/plain`
 * with `fetch` as it is. It has real OpenTelemetry SDKs, as an application would, and a Prometheus endpoint.
 */
import { createServer, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { context, diag, DiagLogLevel, metrics, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import { TracerProvider } from '@opentelemetry/sdk-trace';
import type { CircuitStateName, PipelineSnapshot } from 'seaworthy';
import { resilientFetch } from 'seaworthy/fetch';
import { resendCountProcessor } from 'seaworthy/otel';
import { protection } from './policies.ts';
import { serve } from './processes.ts';
import { fullSeconds } from './timetable.ts';
import { TellingTraces, type TraceReport } from './traces.ts';

export type ToService =
  | { readonly type: 'open'; readonly upstreamPort: number; readonly seconds: number }
  /** The warm-up is over: what comes now counts. */
  | { readonly type: 'begin' }
  | { readonly type: 'finish' };

export type FromService =
  | { readonly type: 'ready'; readonly port: number; readonly metricsPort: number }
  | { readonly type: 'now'; readonly status: ServiceStatus }
  | { readonly type: 'result'; readonly result: ServiceResult };

/** How the pipeline is doing. */
export interface ServiceStatus {
  readonly retries: number;
  readonly circuit: CircuitStateName;
  readonly active: number;
}

/** From the first refused connection to the first good answer after it. */
export interface Outage {
  readonly calls: number;
  /** Attempts that reached the base fetch. */
  readonly attempts: number;
  /** Calls that the half-open circuit let in. */
  readonly probes: number;
}

export interface ServiceResult {
  readonly snapshot: PipelineSnapshot;
  readonly traces: TraceReport;
  /** Attempts that reached the base fetch, in the whole run. */
  readonly attempts: number;
  readonly outage: Outage;
}

const silent = { info() {}, debug() {}, verbose() {} };
const traces = new TellingTraces();
const exporter = new PrometheusExporter({ preventServerStart: true });
diag.setLogger({ ...silent, error: console.error, warn: console.error }, DiagLogLevel.WARN);
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
trace.setGlobalTracerProvider(new TracerProvider({ spanProcessors: [resendCountProcessor(), traces] }));
metrics.setGlobalMeterProvider(new MeterProvider({ readers: [exporter] }));
const tracer = trace.getTracer('demo');

let attempts = 0;
let outageIs: 'to come' | 'now' | 'over' = 'to come';
const outage = { calls: 0, attempts: 0, probes: 0 };
let finish = () => {};

const { send } = serve<ToService, FromService>((message) => {
  switch (message.type) {
    case 'open':
      return void open(message.upstreamPort, message.seconds);
    case 'begin':
      attempts = 0;
      return traces.forget();
    case 'finish':
      return finish();
  }
});

async function open(upstreamPort: number, seconds: number): Promise<void> {
  const upstream = `http://127.0.0.1:${upstreamPort}`;
  const { pipeline, breaker } = protection(seconds / fullSeconds);
  const resilient = resilientFetch(pipeline, counted);
  const rehearsed = resilientFetch(protection(1, 'warm-up').pipeline, counted);
  pipeline.subscribe((event) => {
    if (event.type === 'circuit_admission' && event.state === 'half_open' && outageIs === 'now') outage.probes++;
  });

  const routes: Record<string, (response: ServerResponse) => Promise<void>> = {
    '/protected': (response) => {
      if (outageIs === 'now') outage.calls++;
      return traced(response, () => resilient(`${upstream}/protected`));
    },
    '/plain': (response) => answer(response, () => fetch(`${upstream}/plain`)),
    // The first calls of a process are slow for reasons that no policy can help.
    '/warm-up': async (response) => {
      await fetch(`${upstream}/warm-up`).then((came) => came.text());
      await traced(response, () => rehearsed(`${upstream}/warm-up`));
    },
    // Long enough that those who ask at the same time need a connection each.
    '/hold': async (response) => void setTimeout(() => response.end(), 100),
  };
  const port = await listen((request, response) => {
    const route = routes[request.url ?? ''];
    if (route === undefined) response.writeHead(404).end();
    else void route(response);
  });
  const metricsPort = await listen((request, response) => exporter.getMetricsRequestHandler(request, response));
  send({ type: 'ready', port, metricsPort });

  const reporter = setInterval(() => {
    const snapshot = pipeline.snapshot();
    send({
      type: 'now',
      status: { retries: retriesOf(snapshot), circuit: breaker.forKey(upstream).state, active: snapshot.active },
    });
  }, 250);
  finish = () => {
    clearInterval(reporter);
    send({ type: 'result', result: { snapshot: pipeline.snapshot(), traces: traces.report(), attempts, outage } });
  };
}

/** The base fetch: counts what is really sent, and makes the span that an HTTP client's own instrumentation would. */
const counted: typeof fetch = async (input, init) => {
  attempts++;
  if (outageIs === 'now') outage.attempts++;
  const url = new URL(input instanceof Request ? input.url : input);
  const span = tracer.startSpan('GET', { kind: SpanKind.CLIENT, attributes: { 'server.port': Number(url.port) } });
  try {
    const response = await fetch(input, init);
    if (response.ok && outageIs === 'now') outageIs = 'over';
    span.setAttribute('http.response.status_code', response.status);
    if (response.status >= 400)
      span.setAttribute('error.type', String(response.status)).setStatus({ code: SpanStatusCode.ERROR });
    return response;
  } catch (error) {
    const type = codeOf(error);
    if (type === 'ECONNREFUSED' && outageIs === 'to come') outageIs = 'now';
    span.setAttribute('error.type', type).setStatus({ code: SpanStatusCode.ERROR });
    throw error;
  } finally {
    span.end();
  }
};

/** The same inside the span that a server's own instrumentation would make. */
function traced(response: ServerResponse, ask: () => Promise<Response>): Promise<void> {
  return tracer.startActiveSpan('GET /items', { kind: SpanKind.SERVER }, async (span) => {
    await answer(response, ask);
    span.setAttribute('http.response.status_code', response.statusCode).end();
  });
}

/** Passes on what came from upstream, and 502 when nothing did. */
async function answer(response: ServerResponse, ask: () => Promise<Response>): Promise<void> {
  try {
    const came = await ask();
    const body = await came.text();
    response.writeHead(came.status, { 'x-answered-by': came.headers.get('x-answered-by') ?? 'upstream' }).end(body);
  } catch {
    response.writeHead(502).end();
  }
}

function retriesOf({ policies }: PipelineSnapshot): number {
  return policies.reduce((sum, policy) => sum + (policy.kind === 'retry' ? policy.attempts : 0), 0);
}

/** fetch wraps the socket's error in one without a code. */
function codeOf(error: unknown): string {
  const { code, cause, name } = error as { code?: unknown; cause?: { code?: unknown }; name?: unknown };
  return [cause?.code, code, name].find((word) => typeof word === 'string') ?? '_OTHER';
}

function listen(listener: RequestListener): Promise<number> {
  const server = createServer(listener);
  // Longer than the demo: a connection closed for being idle would be an error that nobody made.
  server.keepAliveTimeout = 120_000;
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}
