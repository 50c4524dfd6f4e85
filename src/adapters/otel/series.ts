import * as otel from '@opentelemetry/api';
import type { OutcomeName } from '../../telemetry/events.ts';
import { ErrorTypes } from './error-type.ts';
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

/** Attribute objects made once and frozen: the SDK keeps a reference, and a changed one would rewrite old points. */
class OutcomeSeries {
  private readonly fixed: otel.Attributes;
  private readonly room: Room | undefined;
  private readonly overflow: OutcomeSeries | undefined;
  private readonly made: Map<string, otel.Attributes>;

  constructor(fixed: otel.Attributes, room?: Room, overflow?: OutcomeSeries) {
    this.fixed = fixed;
    this.room = room;
    this.overflow = overflow;
    this.made = new Map();
  }

  of(outcome: OutcomeName, errorType: string | undefined): otel.Attributes {
    // Error types only come with failures, so the two never meet in one key.
    const key = errorType ?? outcome;
    let attributes = this.made.get(key);
    if (attributes === undefined) this.made.set(key, (attributes = this.make(outcome, errorType)));
    return attributes;
  }

  private make(outcome: OutcomeName, errorType: string | undefined): otel.Attributes {
    if (this.room?.take() === false && this.overflow !== undefined)
      return this.overflow.of(outcome, errorType && OTHER);
    const attributes: otel.Attributes = { ...this.fixed, [OUTCOME]: outcome, [ERROR_TYPE]: errorType };
    // In the order in which an SDK sorts them for each record.
    const known = Object.entries(attributes).filter(([, value]) => value !== undefined);
    return Object.freeze(Object.fromEntries(known.sort(([a], [b]) => (a < b ? -1 : 1))));
  }
}

/** The histogram attributes of one pipeline name, and the error types it has had. */
export class PipelineSeries {
  readonly errorTypes: ErrorTypes;
  readonly execution: OutcomeSeries;
  private readonly attempts: Readonly<Record<'initial' | 'retry' | 'hedge', OutcomeSeries>>;

  constructor(name: string, executions: Room, attempts: Room, overflow?: PipelineSeries) {
    const fixed = { [PIPELINE_NAME]: name };
    const of = (kind: 'initial' | 'retry' | 'hedge') =>
      new OutcomeSeries({ ...fixed, [ATTEMPT_KIND]: kind }, overflow && attempts, overflow?.attempts[kind]);
    this.errorTypes = new ErrorTypes(name);
    this.execution = new OutcomeSeries(fixed, overflow && executions, overflow?.execution);
    this.attempts = { initial: of('initial'), retry: of('retry'), hedge: of('hedge') };
  }

  attempt(kind: 'initial' | 'retry' | 'hedge'): OutcomeSeries {
    return this.attempts[kind];
  }
}
