import { type Clock, coarse } from '../ports/clock.ts';
import { warn } from '../ports/report.ts';
import type { OutcomeName, PolicyEvent } from '../telemetry/events.ts';
import type { Call } from './call.ts';
import { armDeadline } from './deadline.ts';
import { Execution, spanEnd } from './execution.ts';
import type { Giver } from './interrupt.ts';
import { judge } from './judge.ts';
import type { Judgement } from './outcome.ts';
import { type PipelineCore, refuse } from './pipeline-core.ts';
import { type DropReason, Stage } from './policy.ts';

/** Opens and closes an execution: the outermost stage of every pipeline. */
export class ExecutionScope extends Stage {
  override readonly frame = true;
  readonly pipeline: PipelineCore;
  readonly clock: Clock;
  private readonly nested: boolean;
  /** Of the outermost: whether no pipeline in the row classifies. */
  plain = false;
  /** Of the outermost: the stage that hears of the deadline, which is the last leading fallback, or this. */
  guard = 0;
  /** Who gives work up at the deadline. */
  readonly deadline: Giver;

  constructor(pipeline: PipelineCore, clock: Clock, nested: boolean) {
    super();
    this.pipeline = pipeline;
    this.clock = clock;
    this.nested = nested;
    this.scope = this;
    this.deadline = { label: `${pipeline.name}/deadline`, late: () => pipeline.cells.late++ };
  }

  of(call: Call): Execution {
    return call.memo[this.slot] as Execution;
  }

  override enter(call: Call): void {
    const { pipeline } = this;
    if (this.nested && pipeline.disposed) return this.raise(call, refuse(pipeline));
    const execution = new Execution(call, pipeline);
    call.memo[this.slot] = execution;
    const { signal, timeoutMs } = call.options;
    if (timeoutMs !== undefined && !this.nested) armDeadline(call, this, timeoutMs);
    pipeline.cells.calls++;
    pipeline.cells.active++;
    const interest = pipeline.interest();
    if (interest !== 0 || pipeline.timed) {
      execution.startedAt = this.clock.now();
      execution.interest = interest;
      if (interest !== 0) {
        if (interest === 2) call.capture();
        execution.tokens = pipeline.observers.start(
          'execution',
          execution,
          this.nested ? this.outerTokens(call) : undefined,
        );
      }
    }
    if (!this.nested && signal?.aborted === true) return call.cancel(signal.reason);
    if (call.at !== this.index) return;
    call.at = this.innerIndex;
    call.heard = false;
    this.inner.enter(call);
  }

  override succeed(call: Call, value: unknown): void {
    const execution = this.of(call);
    const judged = judge(this, call, undefined, true, value);
    // A predicate may have ended the call just now.
    this.close(execution, call.at === this.index ? execution.endedAs(judged) : 'cancelled', undefined, judged);
    if (call.at !== this.index) return;
    call.at--;
    call.heard = true;
    this.outer.succeed(call, value);
  }

  override fail(call: Call, error: unknown): void {
    const judged = judge(this, call, undefined, false, error);
    this.close(this.of(call), call.at === this.index ? judged.verdict : 'cancelled', error, judged);
    this.raise(call, error);
  }

  override drop(call: Call, why: DropReason, reason: unknown): void {
    // Outside of a fork nothing loses but a call that was given up because a policy has a bug.
    const failed = why === 'timed_out' || (why === 'lost' && call.parent === null);
    this.close(this.of(call), failed ? 'failure' : 'cancelled', failed ? reason : undefined, undefined);
  }

  private close(execution: Execution, outcome: OutcomeName, error: unknown, judged: Judgement | undefined): void {
    const { pipeline } = this;
    const now = coarse(this.clock);
    if (pipeline.recent.due(now)) pipeline.note(now);
    pipeline.cells.active--;
    pipeline.cells.outcomes[outcome]++;
    if (execution.interest === 0 && !(pipeline.timed && execution.startedAt >= 0)) return;
    const durationMs = this.clock.now() - execution.startedAt;
    pipeline.latency?.record(durationMs);
    if (execution.interest === 0) return;
    pipeline.observers.end(
      'execution',
      execution.tokens,
      spanEnd(execution, outcome, error, judged, durationMs, execution.called),
      execution,
    );
  }

  /** What a nested execution began in. Only the first observer, OpenTelemetry's, is the same in every pipeline. */
  private outerTokens(call: Call): unknown[] | undefined {
    const { outer } = this;
    return outer.execution(call).tokensOf(outer.inAttempt)?.slice(0, 1);
  }

  /** Brings an event to the observers, with the token of what it happened in. */
  announce(call: Call, event: PolicyEvent, inAttempt: boolean): void {
    const execution = this.of(call);
    this.pipeline.observers.event(event, execution, execution.tokensOf(inAttempt));
  }

  /** Reports user code that threw where that changes nothing. */
  faulted(call: Call, policy: string, where: string, error: unknown, inAttempt: boolean): void {
    warn(`${policy}: ${where} threw; the call went on without it.`, error);
    if (this.of(call).interest === 2) this.announce(call, { type: 'fault', policy, where, error }, inAttempt);
  }

  /** Runs user code inside what the observers made for it. */
  within(tokens: unknown, run: () => unknown): unknown {
    return this.pipeline.observers.within(tokens as unknown[], run);
  }
}
