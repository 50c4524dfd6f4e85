import * as otel from '@opentelemetry/api';
import type { CallInfo, PipelineInfo, SpanEnd, SpanName } from '../../telemetry/observer.ts';
import { type AttemptInfo, contextWith } from './attempt.ts';
import { describe } from './error-type.ts';
import * as names from './names.ts';

/**
 * What `start` answers: the span, and the context that code inside it runs in. Only spans of ours are ever written to,
 * and none after its end: a function abandoned by a timeout may settle, and tell, much later.
 */
export class Scope {
  readonly name: SpanName;
  readonly tracer: otel.Tracer;
  readonly parent: Scope | undefined;
  /** `undefined` when no span was wanted here (`attemptSpans: 'never'`). */
  readonly span: otel.Span | undefined;
  private readonly around: otel.Context;
  private readonly attempt: AttemptInfo | undefined;
  private inside: otel.Context | undefined;
  private ended: boolean;

  constructor(
    name: SpanName,
    tracer: otel.Tracer,
    parent: Scope | undefined,
    span: otel.Span | undefined,
    around: otel.Context,
    attempt: AttemptInfo | undefined,
  ) {
    this.name = name;
    this.tracer = tracer;
    this.parent = parent;
    this.span = span;
    this.around = around;
    this.attempt = attempt;
    this.inside = undefined;
    this.ended = false;
  }

  /** The context of what runs in here; the caller's own one where the span adds nothing to it. */
  get context(): otel.Context {
    return (this.inside ??= this.enter());
  }

  /** False when running in {@link context} would change nothing. */
  get changesContext(): boolean {
    return this.context !== this.around;
  }

  /** Attempts speak of themselves, the rest is about the execution around them. */
  get execution(): Scope {
    return this.parent === undefined ? this : this.parent.execution;
  }

  /** Only while it runs and somebody will see it. */
  get recording(): otel.Span | undefined {
    return !this.ended && this.span?.isRecording() === true ? this.span : undefined;
  }

  set(key: string, value: string | number): void {
    this.recording?.setAttribute(key, value);
  }

  /** Ends the span, if it has not ended. */
  end(): void {
    if (this.ended) return;
    this.ended = true;
    this.span?.end();
  }

  private enter(): otel.Context {
    const { span } = this;
    // A suppressed span is invalid, and a no-op tracer hands back its parent's: neither may hide what is there.
    if (span !== undefined && !span.isRecording() && addsNothing(span.spanContext(), this.around)) return this.around;
    return contextWith(this.around, this.attempt, span);
  }
}

function addsNothing(own: otel.SpanContext, around: otel.Context): boolean {
  // Whether the rest of an ID is well formed costs as much as starting the span.
  if (own.traceId === otel.INVALID_TRACEID || own.spanId === otel.INVALID_SPANID) return true;
  return own === otel.trace.getSpanContext(around);
}

type Attributes = Record<string, string | number | boolean>;

/** Starts and ends the spans of one pipeline. */
export class Spans {
  private readonly user: PipelineInfo['attributes'];
  private readonly titles: Readonly<Record<SpanName, string>>;
  /** What each says at its start, so that samplers see it. */
  private readonly own: Readonly<Record<SpanName, Readonly<Attributes>>>;
  /** Those of a call without attributes of its own, and of its first attempt. */
  private readonly options: Readonly<Record<SpanName, otel.SpanOptions>>;
  private readonly policies: string[];
  private readonly messages: boolean;
  private readonly attempts: boolean;

  constructor(info: PipelineInfo, messages: boolean, attempts: boolean) {
    this.user = info.attributes;
    this.messages = messages;
    this.attempts = attempts;
    this.titles = {
      execution: `execute ${info.name}`,
      attempt: `attempt ${info.name}`,
      fallback: `fallback ${info.name}`,
    };
    const pipeline = { [names.PIPELINE_NAME]: info.name };
    this.policies = Object.freeze(info.policies.map((policy) => policy.kind)) as string[];
    this.own = {
      execution: pipeline,
      attempt: { ...pipeline, [names.ATTEMPT_NUMBER]: 1, [names.ATTEMPT_KIND]: 'initial' },
      fallback: pipeline,
    };
    this.options = {
      execution: spanOptions({ ...info.attributes, ...this.own.execution }),
      attempt: spanOptions({ ...info.attributes, ...this.own.attempt }),
      fallback: spanOptions({ ...info.attributes, ...this.own.fallback }),
    };
  }

  execution(tracer: otel.Tracer, call: CallInfo, parent: Scope | undefined): Scope {
    const around = parent === undefined ? otel.context.active() : parent.context;
    const span = tracer.startSpan(this.titles.execution, this.withUser('execution', call), around);
    // Not for samplers: an SDK checks and copies a list twice for a span that starts with it, seen or not.
    if (span.isRecording()) span.setAttribute(names.PIPELINE_POLICIES, this.policies);
    return new Scope('execution', tracer, undefined, span, around, attemptInfo(call));
  }

  attempt(call: CallInfo, parent: Scope): Scope {
    const around = parent.context;
    // One whose execution nobody sees is not seen either, and what is asked in it has that for its parent.
    const seen = this.attempts && parent.span?.isRecording() === true;
    const span = seen ? parent.tracer.startSpan(this.titles.attempt, this.attemptOptions(call), around) : undefined;
    const left = parent.span !== undefined && !parent.changesContext;
    return new Scope('attempt', parent.tracer, parent, span, around, left ? undefined : attemptInfo(call));
  }

  /** It keeps the attempt it stands in, if any: what a fallback asks is asked for the first time. */
  fallback(call: CallInfo, parent: Scope): Scope {
    const around = parent.context;
    const span = parent.tracer.startSpan(this.titles.fallback, this.withUser('fallback', call), around);
    return new Scope('fallback', parent.tracer, parent, span, around, undefined);
  }

  /** Never OK, which belongs to the application, and no error on a span whose failure somebody handled. */
  end(scope: Scope, end: SpanEnd, errorType: string | undefined): void {
    try {
      const span = scope.recording;
      if (span !== undefined) this.write(span, scope.name, end, errorType);
    } finally {
      scope.end();
    }
  }

  private write(span: otel.Span, name: SpanName, end: SpanEnd, errorType: string | undefined): void {
    if (name !== 'fallback') span.setAttribute(names.OUTCOME, end.outcome);
    if (name === 'execution') span.setAttribute(names.ATTEMPT_COUNT, end.attempts);
    if (errorType === undefined) return;
    span.setAttribute(names.ERROR_TYPE, errorType);
    const message = describe(end.error, this.messages);
    span.setStatus(
      message === undefined ? { code: otel.SpanStatusCode.ERROR } : { code: otel.SpanStatusCode.ERROR, message },
    );
  }

  private attemptOptions(call: CallInfo): otel.SpanOptions {
    if (call.attempt === 1 && call.attemptKind === 'initial') return this.withUser('attempt', call);
    const attributes: Attributes = {
      ...this.user,
      ...call.attributes,
      ...this.own.attempt,
      [names.ATTEMPT_NUMBER]: call.attempt,
      [names.ATTEMPT_KIND]: call.attemptKind,
    };
    if (call.attemptKind === 'retry') attributes[names.RETRY_DELAY] = call.retryDelayMs / 1000;
    return { kind: otel.SpanKind.INTERNAL, attributes };
  }

  /** The prepared options, unless this call brought attributes of its own; those never replace ours. */
  private withUser(name: SpanName, call: CallInfo): otel.SpanOptions {
    if (call.attributes === undefined) return this.options[name];
    return spanOptions({ ...this.user, ...call.attributes, ...this.own[name] });
  }
}

function spanOptions(attributes: otel.Attributes): otel.SpanOptions {
  return Object.freeze({ kind: otel.SpanKind.INTERNAL, attributes: Object.freeze(attributes) });
}

function attemptInfo(call: CallInfo): AttemptInfo {
  return {
    pipeline: call.pipeline,
    attempt: Math.max(call.attempt, 1),
    kind: call.attemptKind,
    deadline: call.deadline,
  };
}
