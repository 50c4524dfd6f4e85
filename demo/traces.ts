import { type Link, SpanKind, SpanStatusCode } from '@opentelemetry/api';
import type { ReadableSpan, SpanProcessor } from '@opentelemetry/sdk-trace';

/** A call worth looking at: one that went well, one that a retry saved, one that the open circuit kept from being made. */
export type Telling = 'healthy' | 'retried' | 'shortCircuited';

/** A span with what happened inside it, as plain JSON. */
export interface SpanNode {
  readonly name: string;
  readonly kind: string;
  readonly status: string;
  readonly message: string | undefined;
  /** Milliseconds after the start of the trace. */
  readonly startMs: number;
  readonly durationMs: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  /** Ids of the spans it points to. */
  readonly links: readonly string[];
  readonly children: readonly SpanNode[];
}

/** What became of all the spans. */
export interface TraceReport {
  readonly total: number;
  readonly byName: Readonly<Record<string, number>>;
  readonly trees: Readonly<Partial<Record<Telling, SpanNode>>>;
}

/** Counts every span that ends, and keeps the first whole trace of each telling kind. */
export class TellingTraces implements SpanProcessor {
  private readonly open = new Map<string, ReadableSpan[]>();
  private byName: Record<string, number> = {};
  private trees: Partial<Record<Telling, SpanNode>> = {};
  private total = 0;

  onStart(span: ReadableSpan): void {
    if (span.parentSpanContext === undefined) this.open.set(span.spanContext().traceId, []);
  }

  onEnd(span: ReadableSpan): void {
    this.total++;
    this.byName[span.name] = (this.byName[span.name] ?? 0) + 1;
    const { traceId } = span.spanContext();
    const spans = this.open.get(traceId);
    if (spans === undefined) return;
    spans.push(span);
    if (span.parentSpanContext !== undefined) return;
    this.open.delete(traceId);
    const telling = whatItTells(spans);
    if (telling !== undefined) this.trees[telling] ??= treeOf(span, span, spans);
  }

  /** Starts again from nothing. */
  forget(): void {
    this.open.clear();
    this.byName = {};
    this.trees = {};
    this.total = 0;
  }

  report(): TraceReport {
    return { total: this.total, byName: this.byName, trees: this.trees };
  }

  forceFlush(): Promise<void> {
    return Promise.resolve();
  }

  shutdown(): Promise<void> {
    return Promise.resolve();
  }
}

function whatItTells(spans: readonly ReadableSpan[]): Telling | undefined {
  const execution = spans.find(({ name }) => name.startsWith('execute '));
  if (execution === undefined) return undefined;
  const outcome = execution.attributes['seaworthy.outcome'];
  const requests = spans.filter(({ kind }) => kind === SpanKind.CLIENT).length;
  if (outcome === 'success') return requests === 1 ? 'healthy' : requests === 2 ? 'retried' : undefined;
  const reason = execution.attributes['seaworthy.fallback.reason'];
  return outcome === 'fallback' && reason === 'circuit_open' && requests === 0 ? 'shortCircuited' : undefined;
}

function treeOf(span: ReadableSpan, root: ReadableSpan, spans: readonly ReadableSpan[]): SpanNode {
  const { spanId } = span.spanContext();
  return {
    name: span.name,
    kind: SpanKind[span.kind],
    status: SpanStatusCode[span.status.code],
    message: span.status.message,
    startMs: milliseconds(span.startTime) - milliseconds(root.startTime),
    durationMs: milliseconds(span.duration),
    attributes: { ...span.attributes },
    links: span.links.map(({ context }: Link) => context.spanId),
    children: spans
      .filter(({ parentSpanContext }) => parentSpanContext?.spanId === spanId)
      .sort((a, b) => milliseconds(a.startTime) - milliseconds(b.startTime))
      .map((child) => treeOf(child, root, spans)),
  };
}

function milliseconds([seconds, nanoseconds]: readonly [number, number]): number {
  return seconds * 1e3 + nanoseconds / 1e6;
}
