import { unawaited } from '../algorithms/unawaited.ts';
import type { Timer } from '../ports/clock.ts';
import { warn } from '../ports/report.ts';
import type { Seat } from './cancellation.ts';
import type { OwnDeadline } from './deadlines.ts';
import { type AsyncContext, capture } from './context.ts';
import type { RunOptions } from './execute-options.ts';
import { type Interruption, interrupt, NOWHERE } from './interrupt.ts';
import { outcomeOf } from './outcome.ts';
import type { Stage } from './policy.ts';
import type { ExecutionScope } from './scope.ts';
import type { Work } from './work.ts';

/** The caller's function. */
export type Fn = (work: Work) => unknown;

/**
 * One execution on its way through the stages of a pipeline: where it stands, what the stages keep for it, which user
 * code runs for it, and how the caller hears of the end. Only the frame writes here; one small object with a fixed shape.
 */
export class Call {
  readonly stages: readonly Stage[];
  readonly fn: Fn;
  readonly options: RunOptions;
  /** The caller's call; a fork of it, made by a stage that runs what is inside it beside itself, has a parent. */
  readonly root: Call;
  readonly parent: Call | null;
  /** The stage that forked this call; a fork ends there. */
  readonly base: number;
  readonly memo: unknown[];
  /** Nobody classifies: errors are failures and values successes. */
  readonly plain: boolean;

  /** Index of the stage it stands at. */
  at: number;
  /** Whether that stage has already heard how what is inside it ended. */
  heard = false;
  /** Fences stale waits: each wait and each interruption is another turn. */
  turn = 0;
  timer: Timer | null = null;
  /** The user code that runs for it now. */
  work: Work | null = null;
  /** A middleware has told what is inside it to stop: what runs may still answer, but nothing new begins. */
  stopping = false;
  /** Times the caller's function was called for it, forks included. */
  invoked = 0;
  /** An interruption asked for while one is under way. */
  queued: Interruption | null = null;

  // Of the root alone: work, and the way home.
  /** Runs of user code so far: the function, a fallback, a middleware. */
  started = 0;
  /** Abandoned work that still runs. */
  orphans: Work[] | null = null;
  /** Milliseconds on the clock at which the caller's `timeoutMs` is over. */
  deadline: number | null = null;
  alarm: OwnDeadline | null = null;
  context: AsyncContext | null = null;
  /** Its place behind the caller's signal. */
  seat: Seat | null = null;
  private readonly asOutcome: boolean;
  private ended: 'pending' | 'value' | 'failure' = 'pending';
  private result: unknown = undefined;
  /** While the outward run happens inside the function's own promise chain, which then carries the result. */
  private chained = false;
  promise: Promise<unknown> | null = null;
  resolve: ((value: unknown) => void) | null = null;
  reject: ((error: unknown) => void) | null = null;

  constructor(
    stages: readonly Stage[],
    memo: unknown[],
    fn: Fn,
    options: RunOptions,
    asOutcome: boolean,
    parent: Call | null,
    base: number,
  ) {
    this.stages = stages;
    this.memo = memo;
    this.fn = fn;
    this.options = options;
    this.asOutcome = asOutcome;
    this.parent = parent;
    this.root = parent === null ? this : parent.root;
    this.base = base;
    this.plain = options.classify === undefined && (stages[0] as ExecutionScope).plain;
    this.at = base + 1;
  }

  /** The same call once more, for what is inside `stage`. It comes back to that stage, as itself. */
  fork(stage: Stage): Call {
    const fork = new Call(this.stages, this.memo.slice(), this.fn, this.options, false, this, stage.index);
    fork.memo.fill(undefined, stage.nextSlot);
    fork.at = stage.innerIndex;
    return fork;
  }

  /** Runs `step` as the frame does: what an author's stage throws ends the call, gives back what others hold, and is reported. */
  guarded(step: () => void): void {
    try {
      step();
    } catch (bug) {
      this.broken(bug);
    }
  }

  broken(bug: unknown): void {
    warn('A policy threw outside of user code, which is a bug in it; the call was given up.', bug);
    interrupt(this.root, NOWHERE, 'lost', bug, null);
  }

  /** The caller gives up: ends the call with the caller's own reason, wherever it is. */
  cancel(reason: unknown): void {
    this.run(() => interrupt(this, NOWHERE, 'cancelled', reason, null));
  }

  /** Remembers the caller's async context, for what a shared timer or somebody else's abort will start. */
  capture(): void {
    this.root.context ??= capture();
  }

  /** Runs `step` in the caller's own async context when that was remembered. */
  run(step: () => void): void {
    const context = this.root.context;
    if (context === null) this.guarded(step);
    else context.runInAsyncScope(() => this.guarded(step));
  }

  /** Gives a value that nobody will get back to the caller's `onDiscard`. */
  discard(value: unknown): void {
    const failed = (error: unknown) => warn('onDiscard threw.', error);
    try {
      unawaited(this.options.onDiscard?.(value), failed);
    } catch (error) {
      failed(error);
    }
  }

  /** The outermost stage has answered, or the call was given up. */
  finish(ok: boolean, result: unknown): void {
    if (this.ended !== 'pending') return;
    this.seat?.hub.leave(this.seat);
    this.alarm?.cancel();
    this.ended = ok ? 'value' : 'failure';
    this.result = result;
    // Settling a promise twice costs more than a whole stage, so exactly one of the two ways home is taken.
    if (!this.chained && this.promise !== null) this.deliver();
  }

  private deliver(): void {
    if (this.asOutcome) this.resolve!(outcomeOf(this.ended === 'value', this.result));
    else if (this.ended === 'value') this.resolve!(this.result);
    else this.reject!(this.result);
  }

  /** Makes the caller's promise. */
  open(): void {
    if (this.promise !== null) return;
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    // The function may have ended the call itself before it answered with a promise.
    if (this.ended !== 'pending') this.deliver();
  }

  /** Sends it inwards. */
  begin(): void {
    try {
      this.stages[0]!.enter(this);
    } catch (bug) {
      this.broken(bug);
    }
  }

  /** The caller's promise, where the function's own end has not made it. */
  settlement(): Promise<unknown> {
    if (this.ended === 'pending') this.open();
    if (this.promise !== null) return this.promise;
    if (this.asOutcome) return Promise.resolve(outcomeOf(this.ended === 'value', this.result));
    return this.ended === 'value' ? Promise.resolve(this.result) : Promise.reject(this.result);
  }

  /**
   * Runs the way out inside a function's own promise chain and answers for that chain: the result when the call has
   * ended with it, else a promise that never settles, because something else will end the call. V8 follows such a
   * chain, which keeps the caller's `at async` frames in the stack of the user's error.
   */
  chain(work: Work, ok: boolean, result: unknown): unknown {
    const late = this.ended !== 'pending';
    this.chained = !late;
    work.end(ok, result);
    this.chained = false;
    if (late || this.ended === 'pending') return new Promise(() => {});
    if (this.asOutcome) return outcomeOf(this.ended === 'value', this.result);
    if (this.ended === 'value') return this.result;
    throw this.result;
  }
}
