import type { PolicyEvent } from '../telemetry/events.ts';
import type { CallInfo, Observer, SpanEnd, SpanName } from '../telemetry/observer.ts';

/** What a recorded event happened in. */
export interface RecordedIn {
  readonly pipeline: string;
  /** The same in every event of one execution. */
  readonly executionId: string;
  /** The attempt that ran, from 1; 0 before the first. */
  readonly attempt: number;
  readonly key: string | undefined;
}

/** One thing that happened: what a policy did, or the start or end of an execution, an attempt or a fallback. */
export type Recorded = RecordedIn &
  (
    | PolicyEvent
    | { readonly type: 'start'; readonly span: SpanName }
    | ({ readonly type: 'end'; readonly span: SpanName } & Omit<SpanEnd, 'attempts'>)
  );

/** An observer that keeps what it hears, oldest first. */
export interface Recorder extends Observer {
  /** Everything, in order; an array of its own each time. */
  readonly events: readonly Recorded[];
  /** The types alone, in order, with the span's name for a start or an end: `['start execution', 'retry', ...]`. */
  readonly types: readonly string[];
  /** The events of one type. */
  of<T extends Recorded['type']>(type: T): readonly Extract<Recorded, { readonly type: T }>[];
  starts(span: SpanName): readonly Extract<Recorded, { readonly type: 'start' }>[];
  ends(span: SpanName): readonly Extract<Recorded, { readonly type: 'end' }>[];
  /** Forgets everything. */
  clear(): void;
}

/**
 * An observer for tests: give it to a pipeline's `observers` and look at what the policies said. It asks for nothing that
 * would not be there without it, so attempts are recorded where something in the pipeline repeats.
 *
 * ```ts
 * const heard = recorder();
 * await pipeline('users', [retry({ backoff: 0 })], { observers: [heard] }).execute(script('fail', 'ok'));
 * heard.of('retry');            // [{ type: 'retry', retry: 1, delayMs: 0, error, executionId: 'users-1', ... }]
 * heard.ends('attempt');        // two: a failure and a success
 * ```
 */
export function recorder(): Recorder {
  let events: Recorded[] = [];
  const keep = (what: object, call: CallInfo) => {
    const { pipeline, executionId, attempt, key } = call;
    // What an event says of its own key is more exact than the call's.
    events.push({ pipeline, executionId, attempt, key, ...what } as Recorded);
  };
  const of = <T extends Recorded['type']>(type: T) =>
    events.filter((event): event is Extract<Recorded, { readonly type: T }> => event.type === type);
  return {
    get events() {
      return [...events];
    },
    get types() {
      return events.map((event) => ('span' in event ? `${event.type} ${event.span}` : event.type));
    },
    of,
    starts: (span) => of('start').filter((event) => event.span === span),
    ends: (span) => of('end').filter((event) => event.span === span),
    clear() {
      events = [];
    },
    event: keep,
    start: (span, call) => keep({ type: 'start', span }, call),
    end: (span, _token, { outcome, error, errorType, durationMs, rejected }, call) =>
      keep({ type: 'end', span, outcome, error, errorType, durationMs, rejected }, call),
  };
}
