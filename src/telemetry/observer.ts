import type { OutcomeName, PolicyEvent } from './events.ts';
import type { PipelineSnapshot } from './snapshot.ts';

/** How much an observer wants to hear of a call: nothing, starts and ends with their durations, or every policy event too. */
export type Interest = 0 | 1 | 2;

/** What tells one call from another. Valid while the callback runs; read what you keep. */
export interface CallInfo {
  /** Unique in this process, and the same in every event of one execution. */
  readonly executionId: string;
  readonly pipeline: string;
  /** The attempt that runs or ran last, from 1; 0 before the first. */
  readonly attempt: number;
  /** Why there is this attempt. */
  readonly attemptKind: 'initial' | 'retry' | 'hedge';
  /** Milliseconds waited before this attempt; 0 for the first. */
  readonly retryDelayMs: number;
  readonly key: string | undefined;
  /** Attributes the caller gave for this call alone. */
  readonly attributes: Readonly<Record<string, string | number | boolean>> | undefined;
  /** Milliseconds on the pipeline's monotonic clock at which the deadline passes, else `Infinity`. */
  readonly deadline: number;
}

/** The three things that have a beginning and an end. */
export type SpanName = 'execution' | 'attempt' | 'fallback';

/** How one of them ended. */
export interface SpanEnd {
  readonly outcome: OutcomeName;
  /** The error, when there was one. */
  readonly error: unknown;
  /** There when it ended with a value that was judged a failure: that value. */
  readonly value?: unknown;
  /** The adapter's low-cardinality word for a failing value or error (an HTTP status), when it has one. */
  readonly errorType: string | undefined;
  /** Milliseconds. */
  readonly durationMs: number;
  /** Attempts so far (execution), or the number of this one. */
  readonly attempts: number;
  /** True when the user's function was not called. */
  readonly rejected: boolean;
}

/**
 * What telemetry looks like from inside: one object hears everything a pipeline does. Every method is optional, none can
 * change a call: what it throws is reported once and dropped.
 */
export interface Observer {
  /** True when it wants to hear of attempts also where nothing repeats. Read when the pipeline is made. */
  readonly attempts?: boolean;
  /** Asked once per execution; keep it cheap. Absent means 2. */
  interest?(): Interest;
  /** Something happened (told at interest 2; `dequeued` from 1, `circuit_state` always); `token` is what `start` answered for the attempt, else the execution, it happened in. */
  event?(event: PolicyEvent, call: CallInfo, token: unknown): void;
  /** Something began; the answer (a span, say) comes back in `end`, `event` and `within`. `parent` is the token of what it began in. */
  start?(name: SpanName, call: CallInfo, parent: unknown): unknown;
  /** It ended: exactly once per `start`. */
  end?(name: SpanName, token: unknown, end: SpanEnd, call: CallInfo): void;
  /** Runs user code with `token` as its surroundings (an active span); must call `run` exactly once and return what it returns. */
  within?<T>(token: unknown, run: () => T): T;
  /** The pipeline was disposed of. */
  dispose?(): void;
}

/** One policy in one pipeline. */
export interface PolicyInfo {
  /** Full name, `pipeline/kind` unless it was named. */
  readonly name: string;
  readonly kind: string;
  /** The policy object itself: the same one when it sits in several pipelines. */
  readonly identity: object;
}

/** What an observer made for one pipeline gets to know of it. It does not keep the pipeline the user holds alive. */
export interface PipelineInfo {
  readonly name: string;
  /** Outermost first; index by index those of `snapshot().policies`. */
  readonly policies: readonly PolicyInfo[];
  /** True when it holds a policy that runs the function again. */
  readonly repeats: boolean;
  readonly attributes: Readonly<Record<string, string | number | boolean>> | undefined;
  /** Reads every count and state; cheap enough for each collection. */
  snapshot(): PipelineSnapshot;
  /** When `at`, a reading of the pipeline's clock such as an event's, was or will be by the calendar. */
  dateOf(at: number): Date;
}

/** Makes the observer of one pipeline; `handle` is what the user holds, to be referred to weakly only. */
export type ObserverFactory = (info: PipelineInfo, handle: object) => Observer;
