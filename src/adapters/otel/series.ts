import * as otel from '@opentelemetry/api';
import type { OutcomeName } from '../../telemetry/events.ts';
import type { CallInfo } from '../../telemetry/observer.ts';
import { ErrorTypes } from './error-type.ts';
import type { Histogram } from './histogram.ts';
import { ATTEMPT_KIND, ERROR_TYPE, OTHER, OUTCOME, PIPELINE_NAME } from './names.ts';

/** The streams of one histogram: an SDK drops what comes after 2,000 of them, so we stop before. */
export const mostStreams = 1500;

/** Admits so many different names, and calls the rest {@link OTHER}. */
export class Names {
  private readonly what: string;
  private readonly most: number;
  private readonly admitted: Set<string>;
  private warned: boolean;

  constructor(what: string, most: number) {
    this.what = what;
    this.most = most;
    this.admitted = new Set();
    this.warned = false;
  }

  admit(name: string): string {
    if (name === OTHER || this.admitted.has(name)) return name;
    if (this.admitted.size < this.most) {
      this.admitted.add(name);
      return name;
    }
    if (!this.warned) {
      this.warned = true;
      otel.diag.warn(`seaworthy: more than ${this.most} ${this.what}; further ones are reported as ${OTHER}.`);
    }
    return OTHER;
  }
}

/** Counts the streams of one histogram over all pipelines. */
export class Room {
  private readonly metric: string;
  private taken: number;

  constructor(metric: string) {
    this.metric = metric;
    this.taken = 0;
  }

  take(): boolean {
    if (this.taken === mostStreams) {
      this.taken++;
      otel.diag.warn(`seaworthy: ${this.metric} has ${mostStreams} streams; further ones are reported under ${OTHER}.`);
    }
    if (this.taken > mostStreams) return false;
    this.taken++;
    return true;
  }
}

/** One stream of a histogram. */
export class Stream {
  /** Made once and frozen: the SDK keeps a reference, and a changed one would rewrite old points. */
  readonly attributes: Readonly<Record<string, string>>;
  /** Its numbers, where a metric producer keeps them. */
  kept: Histogram | undefined = undefined;

  constructor(attributes: Record<string, string>) {
    this.attributes = Object.freeze(attributes);
  }
}

/** The streams of one histogram that differ in how things ended. */
class OutcomeSeries {
  private readonly fixed: Readonly<Record<string, string>>;
  private readonly room: Room | undefined;
  private readonly overflow: OutcomeSeries | undefined;
  private readonly made: Map<string, Stream>;
  /** That of nearly all calls, without a look into the map. */
  private success: Stream | undefined;

  constructor(fixed: Readonly<Record<string, string>>, room?: Room, overflow?: OutcomeSeries) {
    this.fixed = fixed;
    this.room = room;
    this.overflow = overflow;
    this.made = new Map();
    this.success = undefined;
  }

  of(outcome: OutcomeName, errorType: string | undefined): Stream {
    if (outcome === 'success') return (this.success ??= this.make(outcome, undefined));
    // Error types only come with failures, so the two never meet in one key.
    const key = errorType ?? outcome;
    let stream = this.made.get(key);
    if (stream === undefined) this.made.set(key, (stream = this.make(outcome, errorType)));
    return stream;
  }

  private make(outcome: OutcomeName, errorType: string | undefined): Stream {
    if (this.room?.take() === false && this.overflow !== undefined)
      return this.overflow.of(outcome, errorType && OTHER);
    const attributes = {
      ...this.fixed,
      [OUTCOME]: outcome,
      ...(errorType !== undefined && { [ERROR_TYPE]: errorType }),
    };
    // In the order in which an SDK sorts them for each record.
    return new Stream(Object.fromEntries(Object.entries(attributes).sort(([a], [b]) => (a < b ? -1 : 1))));
  }
}

type AttemptKind = CallInfo['attemptKind'];

/** The histogram streams of one pipeline name, and the error types it has had. */
export class PipelineSeries {
  readonly errorTypes: ErrorTypes;
  readonly execution: OutcomeSeries;
  private readonly initial: OutcomeSeries;
  private readonly retry: OutcomeSeries;
  private readonly hedge: OutcomeSeries;

  constructor(name: string, executions: Room, attempts: Room, overflow?: PipelineSeries) {
    const fixed = { [PIPELINE_NAME]: name };
    const of = (kind: AttemptKind) =>
      new OutcomeSeries({ ...fixed, [ATTEMPT_KIND]: kind }, overflow && attempts, overflow?.attempt(kind));
    this.errorTypes = new ErrorTypes(name);
    this.execution = new OutcomeSeries(fixed, overflow && executions, overflow?.execution);
    this.initial = of('initial');
    this.retry = of('retry');
    this.hedge = of('hedge');
  }

  attempt(kind: AttemptKind): OutcomeSeries {
    return kind === 'initial' ? this.initial : this[kind];
  }
}
