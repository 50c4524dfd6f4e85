import * as otel from '@opentelemetry/api';
import { RESEND_COUNT } from './names.ts';

/** Which attempt of which pipeline some code runs in. */
export interface AttemptInfo {
  readonly pipeline: string;
  /** From 1. */
  readonly attempt: number;
  readonly kind: 'initial' | 'retry' | 'hedge';
  /** Milliseconds on the pipeline's monotonic clock at which the caller's deadline passes, else `Infinity`. */
  readonly deadline: number;
}

/** Stays in this process: baggage would leave it in the headers of the next request. */
const KEY = /* @__PURE__ */ otel.createContextKey('seaworthy.attempt');

/**
 * A context with an attempt in it. It stands in front of another one instead of being a copy of that: the API copies
 * every value a context has to add one, and this is done for each attempt of each call.
 */
class AttemptContext implements otel.Context {
  readonly behind: otel.Context;
  private readonly attempt: AttemptInfo;

  constructor(behind: otel.Context, attempt: AttemptInfo) {
    this.behind = behind;
    this.attempt = attempt;
  }

  getValue(key: symbol): unknown {
    return key === KEY ? this.attempt : this.behind.getValue(key);
  }

  setValue(key: symbol, value: unknown): otel.Context {
    const behind = this.behind.setValue(key, value);
    return key === KEY ? behind : new AttemptContext(behind, this.attempt);
  }

  deleteValue(key: symbol): otel.Context {
    const behind = this.behind.deleteValue(key);
    return key === KEY ? behind : new AttemptContext(behind, this.attempt);
  }
}

/** `context` with the attempt in it. */
export function withAttempt(context: otel.Context, attempt: AttemptInfo): otel.Context {
  return new AttemptContext(context instanceof AttemptContext ? context.behind : context, attempt);
}

/**
 * The attempt that code with this context runs in, `undefined` outside of a pipeline and while no tracing SDK is
 * registered. For span processors and for other instrumentation; your own function gets `attempt` from its call context.
 */
export function getAttempt(context: otel.Context): AttemptInfo | undefined {
  return context.getValue(KEY) as AttemptInfo | undefined;
}

/** The part of an SDK's span that {@link resendCountProcessor} touches. */
export interface StartedSpan {
  readonly kind: otel.SpanKind;
  readonly attributes?: Readonly<Record<string, unknown>>;
  setAttribute(key: string, value: number): unknown;
}

/** Has the shape of a span processor of SDK 2 and 3. */
export interface ResendCountProcessor {
  onStart(span: StartedSpan, context: otel.Context): void;
  onEnd(): void;
  forceFlush(): Promise<void>;
  shutdown(): Promise<void>;
}

/** Clients that are no HTTP clients say so when their span starts. */
const otherProtocol = /^(?:db|rpc|messaging)\./;

/**
 * A span processor that sets `http.request.resend_count` on the CLIENT spans of repeated attempts. HTTP instrumentation
 * cannot know that it is called for a second time, and this library does not reach its spans. Put it before the
 * exporting one: `new TracerProvider({ spanProcessors: [resendCountProcessor(), new BatchSpanProcessor(...)] })`.
 */
export function resendCountProcessor(): ResendCountProcessor {
  return {
    onStart(span, context) {
      if (span.kind !== otel.SpanKind.CLIENT) return;
      const attempt = getAttempt(context);
      if (attempt === undefined || attempt.attempt < 2) return;
      if (Object.keys(span.attributes ?? {}).some((key) => otherProtocol.test(key))) return;
      span.setAttribute(RESEND_COUNT, attempt.attempt - 1);
    },
    onEnd() {},
    forceFlush: () => Promise.resolve(),
    shutdown: () => Promise.resolve(),
  };
}
