import type { Clock } from '../ports/clock.ts';
import type { OutcomeName } from '../telemetry/events.ts';
import type { CallInfo, Interest, SpanEnd } from '../telemetry/observer.ts';
import type { Call } from './call.ts';
import type { Judgement } from './outcome.ts';
import type { ExecutionScope } from './scope.ts';

/** Why there is an attempt. */
export type AttemptKind = CallInfo['attemptKind'];

interface Again {
  readonly kind: AttemptKind;
  readonly delayMs: number;
}

/** What a pipeline keeps of one execution of it. That of the outermost pipeline is the call itself, one object less. */
export interface Execution {
  readonly call: Call;
  readonly scope: ExecutionScope;
  /** Its neighbours among those that run; `next` is undefined while it is not among them. */
  previous: Execution | null;
  next: Execution | null | undefined;
  /** Attempts that were counted so far, which they are only where something repeats. */
  counted: number;
  /** Whether the function was called at all. */
  called: boolean;
  /** Set by a stage that answered in place of the function. */
  rescued: boolean;
  /** What is known of it because somebody watches. */
  watch: Watch | null;
}

/** That of a pipeline inside another. */
export class NestedExecution implements Execution {
  readonly call: Call;
  readonly scope: ExecutionScope;
  previous: Execution | null = null;
  next: Execution | null | undefined = undefined;
  counted = 0;
  called = false;
  rescued = false;
  watch: Watch | null = null;

  constructor(call: Call, scope: ExecutionScope) {
    this.call = call;
    this.scope = scope;
  }
}

/** How often the function has been tried. */
export function attemptsOf({ counted, called }: Execution): number {
  return counted || (called ? 1 : 0);
}

/** What a value that was judged so makes of an execution or its attempt. */
export function endedAs({ rescued }: Execution, { verdict }: Judgement): OutcomeName {
  return rescued && verdict !== 'failure' ? 'fallback' : verdict;
}

/** What observers are told calls apart by: an execution that somebody watches. */
export class Watch implements CallInfo {
  readonly execution: Execution;
  readonly interest: Interest;
  /** Milliseconds on the pipeline's clock. */
  readonly startedAt: number;
  /** What the observers made of it. */
  tokens: unknown[] | undefined = undefined;
  /** A reading of the clock, and how much user code had been started by then. */
  private reading: number;
  private started: number;
  /** What the attempt that runs or comes next repeats, and how; `null` in the initial one. */
  again: Again | null = null;
  private id = '';

  constructor(execution: Execution, interest: Interest, startedAt: number) {
    this.execution = execution;
    this.interest = interest;
    this.startedAt = startedAt;
    this.reading = startedAt;
    this.started = execution.call.root.started;
  }

  /**
   * Milliseconds on the clock, asked when something of `call` begins or ends: one reading serves all that does so in one
   * synchronous run, where that is certain. Around a fork a middleware may go on unseen, and so may a stage of an author's.
   */
  now(call: Call, clock: Clock): number {
    const { root } = call;
    if (call !== this.execution.call || (root.promise !== null && !root.chained)) return clock.now();
    if (root.started !== this.started) {
      this.started = root.started;
      this.reading = clock.now();
    }
    return this.reading;
  }

  /** There will be another attempt. */
  repeats(kind: AttemptKind, delayMs: number): void {
    this.again = { kind, delayMs };
  }

  get attempt(): number {
    return attemptsOf(this.execution);
  }

  get executionId(): string {
    const { name, cells } = this.execution.scope.pipeline;
    if (this.id === '') this.id = `${name}-${++cells.ids}`;
    return this.id;
  }

  get attemptKind(): AttemptKind {
    return this.again?.kind ?? 'initial';
  }

  get retryDelayMs(): number {
    return this.again?.delayMs ?? 0;
  }

  get pipeline(): string {
    return this.execution.scope.pipeline.name;
  }

  get key(): string | undefined {
    return this.execution.call.options.key;
  }

  get attributes(): Readonly<Record<string, string | number | boolean>> | undefined {
    return this.execution.call.options.attributes;
  }

  get deadline(): number {
    return this.execution.call.root.deadline ?? Number.POSITIVE_INFINITY;
  }
}

/** One attempt of such an execution; several may run at a time. */
export class Attempt implements CallInfo {
  readonly watch: Watch;
  readonly startedAt: number;
  readonly attempt: number;
  /** How often the function had been called when it began. */
  readonly invoked: number;
  private readonly again: Again | null;
  tokens: unknown[] | undefined = undefined;

  constructor(watch: Watch, startedAt: number, invoked: number) {
    this.watch = watch;
    this.startedAt = startedAt;
    this.attempt = watch.attempt;
    this.invoked = invoked;
    this.again = watch.again;
  }

  get attemptKind(): AttemptKind {
    return this.again?.kind ?? 'initial';
  }

  get retryDelayMs(): number {
    return this.again?.delayMs ?? 0;
  }

  get interest(): Interest {
    return this.watch.interest;
  }

  get executionId(): string {
    return this.watch.executionId;
  }

  get pipeline(): string {
    return this.watch.pipeline;
  }

  get key(): string | undefined {
    return this.watch.key;
  }

  get attributes(): Readonly<Record<string, string | number | boolean>> | undefined {
    return this.watch.attributes;
  }

  get deadline(): number {
    return this.watch.deadline;
  }
}

/** What the observers hear of the end of an execution (`attempts` so far) or of an attempt (its number). */
export function spanEnd(
  outcome: OutcomeName,
  error: unknown,
  judged: Judgement | undefined,
  durationMs: number,
  attempts: number,
  called: boolean,
  failing?: Pick<SpanEnd, 'value'>,
): SpanEnd {
  const end = { outcome, error, errorType: judged?.errorType, durationMs, attempts, rejected: !called };
  return failing === undefined ? end : { ...end, ...failing };
}
