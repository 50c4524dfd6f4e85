/**
 * What calls look like in a trace, printed from what a real SDK exported: `node scripts/observability-trees.ts`. Time is
 * virtual, so the same calls always make the same text.
 */
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import * as otel from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { InMemoryLogRecordExporter, LoggerProvider, SimpleLogRecordProcessor } from '@opentelemetry/sdk-logs';
import {
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
  type SpanProcessor,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { bulkhead, circuitBreaker, fallback, pipeline, retry, timeout } from '../src/index.ts';
import { type Script, script, virtualClock } from '../src/testing/index.ts';

export interface Trees {
  /** The text of each scene, by its name. */
  readonly scenes: Readonly<Record<string, string>>;
  /** Attributes that our spans had when they began, which is what a sampler sees: by span title, `execute {pipeline}`. */
  readonly atStart: ReadonlyMap<string, ReadonlySet<string>>;
}

type Logs = ReturnType<InMemoryLogRecordExporter['getFinishedLogRecords']>;

/** Makes the calls. The caller's context manager is taken away: what stands inside what is the point of a tree. */
export async function trees(): Promise<Trees> {
  const begun: ReadableSpan[] = [];
  const atStart = new Map<string, Set<string>>();
  const first: SpanProcessor = {
    onStart(span) {
      begun.push(span);
      if (span.instrumentationScope.name !== 'seaworthy') return;
      const title = span.name.replace(/ .*/, ' {pipeline}');
      const seen = atStart.get(title) ?? new Set();
      for (const key of Object.keys(span.attributes)) seen.add(key);
      atStart.set(title, seen);
    },
    onEnd() {},
    forceFlush: () => Promise.resolve(),
    shutdown: () => Promise.resolve(),
  };
  const exporter = new InMemorySpanExporter();
  const tracerProvider = new TracerProvider({ spanProcessors: [first, new SimpleSpanProcessor({ exporter })] });
  const logExporter = new InMemoryLogRecordExporter();
  const loggerProvider = new LoggerProvider({ processors: [new SimpleLogRecordProcessor({ exporter: logExporter })] });
  otel.context.disable();
  otel.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  try {
    const traces = await calls(tracerProvider, loggerProvider);
    const finished = new Set(exporter.getFinishedSpans().map((span) => span.spanContext().spanId));
    const open = begun.filter((span) => !finished.has(span.spanContext().spanId)).map(({ name }) => name);
    if (open.length > 0) throw new Error(`never ended: ${open.join(', ')}`);
    const logs = logExporter.getFinishedLogRecords();
    const scenes = Object.entries(traces).map(([name, trace]) => [name, draw(trace, begun, logs)]);
    return { scenes: Object.fromEntries(scenes), atStart };
  } finally {
    otel.context.disable();
  }
}

/** Answers the trace of each scene. */
async function calls(tracerProvider: TracerProvider, loggerProvider: LoggerProvider): Promise<Record<string, string>> {
  const app = tracerProvider.getTracer('app');
  const clock = virtualClock();
  const options = { clock, random: () => 0.5, telemetry: { tracerProvider, loggerProvider, metrics: false } };
  const policies = [
    retry({ maxRetries: 1, backoff: 30 }),
    circuitBreaker({ consecutiveFailures: 2, halfOpenCalls: 1, breakMs: 5_000 }),
    bulkhead({ limit: 32 }),
    timeout(150),
  ] as const;
  const payments = pipeline('payments', [fallback(() => 'queued for later'), ...policies], options);
  const prices = pipeline('prices', [timeout(500), circuitBreaker(), bulkhead({ limit: 1, queue: 10 })], options);
  const traces: Record<string, string> = {};

  /** The application's client, with a span as instrumentation of an HTTP client makes one. */
  function send(server: Script<unknown>, context: { readonly signal: AbortSignal }): Promise<unknown> {
    return app.startActiveSpan('POST', { kind: otel.SpanKind.CLIENT }, async (span) => {
      try {
        return await server(context);
      } catch (error) {
        span.setStatus({ code: otel.SpanStatusCode.ERROR });
        throw error;
      } finally {
        span.end();
      }
    });
  }

  async function scene(name: string, call: () => Promise<unknown>): Promise<void> {
    const done = app.startActiveSpan('GET /checkout', { kind: otel.SpanKind.SERVER }, async (span) => {
      traces[name] = span.spanContext().traceId;
      await call().catch(() => {});
      span.end();
    });
    await clock.advance(1_000);
    await done;
  }

  const refused = { error: Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }) };
  const pay = (server: Script<unknown>) => () => payments.execute((call) => send(server, call));
  await scene('healthy', pay(script.with(clock, 'ok')));
  await scene('retried', pay(script.with(clock, 'hang', 'ok')));
  await scene('opened', pay(script.with(clock, refused)));
  await scene('short-circuited', pay(script.with(clock, 'ok')));
  await clock.advance(5_000);
  await scene('recovered', pay(script.with(clock, 'ok')));
  const leaving = new AbortController();
  await scene('cancelled', () => {
    clock.after(20, () => leaving.abort());
    return payments.execute((call) => send(script.with(clock, 'hang'), call), leaving.signal);
  });
  const slow = script.with(clock, { delayMs: 40, then: 'ok' }, refused);
  const before = prices.execute((call) => send(slow, call));
  await scene('failed', () => prices.execute((call) => send(slow, call)));
  await before;
  return traces;
}

/** The name of the span says these, or all calls of a pipeline have the same. */
const left = ['seaworthy.pipeline.name', 'seaworthy.pipeline.policies', 'seaworthy.policy.name'];

/** One trace: each span with its kind and status, below it what it says, and the log events in its context. */
function draw(trace: string, begun: readonly ReadableSpan[], logs: Logs): string {
  const spans = begun.filter((span) => span.spanContext().traceId === trace);
  const lines: string[] = [];

  function below(parent: string | undefined, indent: string): void {
    const children = spans.filter((span) => span.parentSpanContext?.spanId === parent);
    for (const [i, span] of children.entries()) {
      const { spanId } = span.spanContext();
      const last = i === children.length - 1;
      const [branch, trunk] = parent === undefined ? ['', ''] : last ? ['└─ ', '   '] : ['├─ ', '│  '];
      const { code, message } = span.status;
      const said = message === undefined ? '' : `  "${message}"`;
      lines.push(
        `${(indent + branch + span.name).padEnd(28)} ${otel.SpanKind[span.kind].padEnd(8)}  ${otel.SpanStatusCode[code]}${said}`,
      );
      const leaf = !spans.some((child) => child.parentSpanContext?.spanId === spanId);
      const margin = `${indent}${trunk}${leaf ? '   ' : '│  '}  `;
      for (const [key, value] of Object.entries(span.attributes))
        if (!left.includes(key)) lines.push(`${margin}${key} = ${value}`);
      for (const { context } of span.links) lines.push(`${margin}link to ${describe(context, trace, begun)}`);
      for (const log of logs.filter((record) => record.spanContext?.spanId === spanId)) {
        lines.push(`${margin}log ${log.severityText} ${log.eventName}`);
        for (const [key, value] of Object.entries(log.attributes))
          if (!left.includes(key)) lines.push(`${margin}  ${key} = ${value}`);
      }
      below(spanId, indent + trunk);
    }
  }

  below(undefined, '');
  return lines.join('\n');
}

function describe(context: otel.SpanContext, trace: string, begun: readonly ReadableSpan[]): string {
  const target = begun.find((span) => span.spanContext().spanId === context.spanId);
  if (target === undefined) throw new Error(`a link leads to ${context.spanId}, which is no span of these calls`);
  const number = target.attributes['seaworthy.attempt.number'];
  return `"${target.name}"${number === undefined ? '' : ` ${number}`} of ${context.traceId === trace ? 'this trace' : 'another trace'}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  for (const [name, text] of Object.entries((await trees()).scenes)) console.log(`${name}\n\n${text}\n`);
