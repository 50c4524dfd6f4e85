import type { OutcomeName } from '../telemetry/events.ts';
import type { CallInfo, Interest, SpanEnd } from '../telemetry/observer.ts';
import type { Call } from './call.ts';
import type { Judgement } from './outcome.ts';
import type { PipelineCore } from './pipeline-core.ts';

/** One execution of one pipeline, nested ones included: what telemetry tells calls apart by. */
export class Execution implements CallInfo {
  private readonly call: Call;
  private readonly core: PipelineCore;
  attempt = 0;
  attemptKind: 'initial' | 'retry' | 'hedge' = 'initial';
  retryDelayMs = 0;
  /** Set by a stage that answered in place of the function. */
  rescued = false;
  /** Whether the function was called at all, and in the attempt that runs. */
  called = false;
  attemptCalled = false;
  interest: Interest = 0;
  /** Negative when nobody wanted to know. */
  startedAt = -1;
  /** What the observers made of the execution, and of the attempt that runs. */
  tokens: unknown[] | undefined = undefined;
  attemptTokens: unknown[] | undefined = undefined;
  private id = '';

  constructor(call: Call, core: PipelineCore) {
    this.call = call;
    this.core = core;
  }

  /** What the observers made of the attempt that runs, for what stands inside it, else of the execution. */
  tokensOf(inAttempt: boolean): unknown[] | undefined {
    return (inAttempt ? this.attemptTokens : undefined) ?? this.tokens;
  }

  /** What a value that was judged so makes of an execution or an attempt. */
  endedAs({ verdict }: Judgement): OutcomeName {
    return this.rescued && verdict !== 'failure' ? 'fallback' : verdict;
  }

  get executionId(): string {
    if (this.id === '') this.id = `${this.core.name}-${++this.core.cells.ids}`;
    return this.id;
  }

  get pipeline(): string {
    return this.core.name;
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

/** What the observers hear of the end of an execution, or of the attempt that runs. */
export function spanEnd(
  execution: Execution,
  outcome: OutcomeName,
  error: unknown,
  judged: Judgement | undefined,
  durationMs: number,
  called: boolean,
): SpanEnd {
  const attempts = execution.attempt || (execution.called ? 1 : 0);
  return { outcome, error, errorType: judged?.errorType, durationMs, attempts, rejected: !called };
}
