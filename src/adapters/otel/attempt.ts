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

/** The API's own key of the active span, seen by letting it set one. */
let spanKey: symbol | undefined;

function learnSpanKey(span: otel.Span): symbol | undefined {
  const watcher: otel.Context = {
    getValue: () => undefined,
    setValue: (key) => {
      spanKey = key;
      return watcher;
    },
    deleteValue: () => watcher,
  };
  otel.trace.setSpan(watcher, span);
  return spanKey;
}

/**
 * A context with an attempt, and perhaps a span, in it. It stands in front of another one instead of being a copy of that:
 * the API copies every value a context has to add one, and this is done for each attempt of each call.
 */
class AttemptContext implements otel.Context {
  readonly behind: otel.Context;
  readonly attempt: AttemptInfo | undefined;
  readonly span: otel.Span | undefined;

  constructor(behind: otel.Context, attempt: AttemptInfo | undefined, span: otel.Span | undefined) {
    this.behind = behind;
    this.attempt = attempt;
    this.span = span;
  }

  getValue(key: symbol): unknown {
    if (key === spanKey && this.span !== undefined) return this.span;
    if (key === KEY && this.attempt !== undefined) return this.attempt;
    return this.behind.getValue(key);
  }

  setValue(key: symbol, value: unknown): otel.Context {
    return this.before(this.behind.setValue(key, value), key);
  }

  deleteValue(key: symbol): otel.Context {
    return this.before(this.behind.deleteValue(key), key);
  }

  /** What this one has, but for `key`, in front of another context. */
  private before(behind: otel.Context, key: symbol): otel.Context {
    const attempt = key === KEY ? undefined : this.attempt;
    const span = key === spanKey ? undefined : this.span;
    return attempt === undefined && span === undefined ? behind : new AttemptContext(behind, attempt, span);
  }
}

/** `context` with an attempt and a span in it; what is `undefined` stays as it is there. */
export function contextWith(
  context: otel.Context,
  attempt: AttemptInfo | undefined,
  span: otel.Span | undefined,
): otel.Context {
  if (span !== undefined && (spanKey ?? learnSpanKey(span)) === undefined)
    return contextWith(otel.trace.setSpan(context, span), attempt, undefined);
  if (attempt === undefined && span === undefined) return context;
  if (!(context instanceof AttemptContext)) return new AttemptContext(context, attempt, span);
  return new AttemptContext(context.behind, attempt ?? context.attempt, span ?? context.span);
}

/**
 * The attempt that code with this context runs in, `undefined` outside of a pipeline and while no tracing SDK is
 * registered. For span processors and for other instrumentation; your own function gets `attempt` from its call context.
 */
export function getAttempt(context: otel.Context): AttemptInfo | undefined {
  const attempt = context.getValue(KEY) as AttemptInfo | undefined;
  // Only now that somebody gets it: it costs more than the rest of an attempt.
  return attempt && Object.freeze(attempt);
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
