import type { OutcomeName } from '../telemetry/events.ts';
import type { CallInfo, Interest, SpanEnd } from '../telemetry/observer.ts';
import type { Call } from './call.ts';
import type { Judgement } from './outcome.ts';
import type { ExecutionScope } from './scope.ts';

/** Why there is an attempt. */
export type AttemptKind = CallInfo['attemptKind'];

/** What is known of an execution, or of one attempt, only because somebody watches. */
export class Watch {
  /** Milliseconds on the pipeline's clock. */
  readonly startedAt: number;
  /** What the observers made of it. */
  tokens: unknown[] | undefined = undefined;

  constructor(startedAt: number) {
    this.startedAt = startedAt;
  }
}

/** One execution of one pipeline, nested ones included: what telemetry tells calls apart by. */
export class Execution implements CallInfo {
  readonly call: Call;
  readonly scope: ExecutionScope;
  /** Its neighbours among those that run. */
  previous: Execution | null = null;
  next: Execution | null = null;
  /** Attempts that were counted so far, which they are only where something repeats. */
  counted = 0;
  /** Set by a stage that answered in place of the function. */
  rescued = false;
  /** Whether the function was called at all. */
  called = false;
  interest: Interest = 0;
  watch: Watch | null = null;
  /** What the next attempt will be; `null` is the initial one. */
  again: { readonly kind: AttemptKind; readonly delayMs: number } | null = null;
  private id = '';

  constructor(call: Call, scope: ExecutionScope) {
    this.call = call;
    this.scope = scope;
  }

  /** What the observers made of it. */
  get tokens(): unknown[] | undefined {
    return this.watch?.tokens;
  }

  /** What a value that was judged so makes of an execution or an attempt. */
  endedAs({ verdict }: Judgement): OutcomeName {
    return this.rescued && verdict !== 'failure' ? 'fallback' : verdict;
  }

  /** How often the function has been tried. */
  get attempt(): number {
    return this.counted || (this.called ? 1 : 0);
  }

  get executionId(): string {
    const { name, cells } = this.scope.pipeline;
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
    return this.scope.pipeline.name;
  }

  get key(): string | undefined {
    return this.call.options.key;
  }

  get attributes(): Readonly<Record<string, string | number | boolean>> | undefined {
    return this.call.options.attributes;
  }

  get deadline(): number {
    return this.call.root.deadline ?? Number.POSITIVE_INFINITY;
  }
}

/** One attempt of an execution that somebody watches; several may run at a time. */
export class Attempt extends Watch implements CallInfo {
  readonly execution: Execution;
  readonly attempt: number;
  readonly attemptKind: AttemptKind;
  readonly retryDelayMs: number;
  /** Whether the function was called in it. */
  called = false;

  constructor(execution: Execution, startedAt: number) {
    super(startedAt);
    this.execution = execution;
    this.attempt = execution.attempt;
    this.attemptKind = execution.attemptKind;
    this.retryDelayMs = execution.retryDelayMs;
  }

  get interest(): Interest {
    return this.execution.interest;
  }

  get executionId(): string {
    return this.execution.executionId;
  }

  get pipeline(): string {
    return this.execution.pipeline;
  }

  get key(): string | undefined {
    return this.execution.key;
  }

  get attributes(): Readonly<Record<string, string | number | boolean>> | undefined {
    return this.execution.attributes;
  }

  get deadline(): number {
    return this.execution.deadline;
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
  return { outcome, error, errorType: judged?.errorType, durationMs, attempts, rejected: !called, ...failing };
}
