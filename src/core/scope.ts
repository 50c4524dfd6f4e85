import { count } from '../algorithms/counts.ts';
import { type Clock, coarse } from '../ports/clock.ts';
import type { OutcomeName } from '../telemetry/events.ts';
import type { Interest, SpanEnd } from '../telemetry/observer.ts';
import type { Call } from './call.ts';
import { armDeadline } from './deadline.ts';
import { noOptions } from './execute-options.ts';
import { attemptsOf, endedAs, type Execution, NestedExecution, spanEnd, Watch } from './execution.ts';
import type { Giver } from './interrupt.ts';
import { judge } from './judge.ts';
import type { Judgement } from './outcome.ts';
import { type PipelineCore, refuse } from './pipeline-core.ts';
import { type DropReason, Stage } from './policy.ts';

/** Opens and closes an execution: the outermost stage of every pipeline. */
export class ExecutionScope extends Stage {
  override readonly frame = true;
  override readonly slots: number;
  readonly pipeline: PipelineCore;
  readonly clock: Clock;
  private readonly nested: boolean;
  /** Of the outermost: the stage that hears of the deadline, which is the last leading fallback, or this. */
  guard = 0;
  /** Who gives work up at the deadline. */
  readonly deadline: Giver;

  constructor(pipeline: PipelineCore, clock: Clock, nested: boolean) {
    super();
    this.pipeline = pipeline;
    this.clock = clock;
    this.nested = nested;
    this.slots = nested ? 1 : 0;
    this.scope = this;
    this.deadline = { label: `${pipeline.name}/deadline`, late: () => this.late() };
  }

  of(call: Call): Execution {
    return this.nested ? (call.memo[this.slot] as Execution) : call.root;
  }

  /** The function is called for it: counted. Answers whether somebody watches. */
  called(call: Call): boolean {
    const execution = this.of(call);
    execution.called = true;
    this.pipeline.cells.attempts++;
    return execution.watch !== null;
  }

  override enter(call: Call): void {
    const { pipeline } = this;
    if (this.nested && pipeline.disposed) return this.raise(call, refuse(pipeline, call.fn));
    const execution = this.nested ? this.open(call) : call;
    if (call.options !== noOptions && !this.nested) armDeadline(call, this);
    const { cells } = pipeline;
    cells.calls++;
    cells.active++;
    const interest = pipeline.interest();
    if (interest !== 0 || pipeline.latency !== undefined) this.watch(call, execution, interest);
    if (call.options !== noOptions && this.stillborn(call)) return;
    if (call.at !== this.index) return;
    call.at = this.innerIndex;
    this.inner.enter(call);
  }

  private open(call: Call): Execution {
    const execution = new NestedExecution(call, this);
    this.pipeline.running.add(execution);
    return (call.memo[this.slot] = execution);
  }

  private watch(call: Call, execution: Execution, interest: Interest): void {
    const watch = new Watch(execution, interest, this.clock.now());
    execution.watch = watch;
    if (interest === 0) return;
    // What a nested execution began in. Only the first observer, OpenTelemetry's, is the same in every pipeline.
    const parents = this.nested ? this.outer.watched(call)?.tokens?.slice(0, 1) : undefined;
    watch.tokens = this.pipeline.observers.start('execution', watch, parents);
  }

  /** Ends a call whose signal had aborted before it began. */
  private stillborn(call: Call): boolean {
    const { signal } = call.options;
    if (this.nested || signal?.aborted !== true) return false;
    call.cancel(signal.reason);
    return true;
  }

  override succeed(call: Call, value: unknown): void {
    const execution = this.of(call);
    if (call.plain) this.close(execution, execution.rescued ? 'fallback' : 'success', undefined, undefined);
    else this.weigh(call, execution, value);
    if (call.at !== this.index) return call.discard(value);
    call.at = this.outerIndex;
    this.outer.succeed(call, value);
  }

  private weigh(call: Call, execution: Execution, value: unknown): void {
    const judged = judge(this, call, undefined, true, value);
    // A predicate may have ended the call just now.
    const outcome = call.at === this.index ? endedAs(execution, judged) : 'cancelled';
    this.close(execution, outcome, undefined, judged, outcome === 'failure' ? { value } : undefined);
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

  private close(
    execution: Execution,
    outcome: OutcomeName,
    error: unknown,
    judged: Judgement | undefined,
    failing?: Pick<SpanEnd, 'value'>,
  ): void {
    const { pipeline } = this;
    const now = coarse(this.clock);
    if (pipeline.recent.due(now)) pipeline.note(now);
    pipeline.running.remove(execution);
    if (--pipeline.cells.active === 0 && pipeline.disposed) pipeline.rest();
    count(pipeline.cells.outcomes, outcome);
    if (execution.watch !== null) this.report(execution, execution.watch, outcome, error, judged, failing);
  }

  private report(
    execution: Execution,
    watch: Watch,
    outcome: OutcomeName,
    error: unknown,
    judged: Judgement | undefined,
    failing: Pick<SpanEnd, 'value'> | undefined,
  ): void {
    const { pipeline } = this;
    const { startedAt, tokens, interest } = watch;
    const durationMs = watch.now(execution.call, this.clock) - startedAt;
    pipeline.latency?.record(durationMs);
    if (interest === 0) return;
    const end = spanEnd(outcome, error, judged, durationMs, attemptsOf(execution), execution.called, failing);
    pipeline.observers.end('execution', tokens, end, watch);
  }

  /** Runs user code inside what the observers made for it. */
  within(tokens: unknown, run: () => unknown): unknown {
    return this.pipeline.observers.within(tokens as unknown[], run);
  }
}
