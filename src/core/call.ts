import { unawaited } from '../algorithms/unawaited.ts';
import type { Timer } from '../ports/clock.ts';
import { warn } from '../ports/report.ts';
import type { Seat } from './cancellation.ts';
import type { OwnDeadline } from './deadlines.ts';
import { type AsyncContext, capture } from './context.ts';
import type { RunOptions } from './execute-options.ts';
import type { Execution, Watch } from './execution.ts';
import { type Interruption, interrupt, NOWHERE } from './interrupt.ts';
import { wake } from './home.ts';
import type { Outcome } from './outcome.ts';
import type { Stage } from './policy.ts';
import type { ExecutionScope } from './scope.ts';
import type { Work } from './work.ts';

/** The caller's function. */
export type Fn = (work: Work) => unknown;

/**
 * One execution on its way through the stages of a pipeline: where it stands, what the stages keep for it, which user
 * code runs for it, and how the caller hears of the end. Only the frame writes here; one small object with a fixed shape.
 */
export class Call implements Execution {
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

  // Of the root alone: the execution of the outermost pipeline, work, and the way home.
  previous: Execution | null = null;
  next: Execution | null | undefined = undefined;
  counted = 0;
  called = false;
  rescued = false;
  watch: Watch | null = null;
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
  readonly asOutcome: boolean;
  ended = false;
  /** With a value, then. */
  ok = false;
  result: unknown = undefined;
  /** While the outward run happens inside a function's own promise chain, which then carries the result. */
  chained = false;
  /** The caller's. */
  promise: Promise<unknown> | null = null;
  /** While that depends on the first function's: goes on in the caller's async context before the function has ended. */
  wake: ((value: unknown) => void) | null = null;
  /** What it goes on with then. */
  steps: (() => void)[] | null = null;
  /** What is settled by hand: the caller's promise, or what that has come to depend on. */
  rest: Promise<unknown> | null = null;
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
    plain: boolean,
  ) {
    this.stages = stages;
    this.memo = memo;
    this.fn = fn;
    this.options = options;
    this.asOutcome = asOutcome;
    this.parent = parent;
    this.root = parent === null ? this : parent.root;
    this.base = base;
    this.plain = plain;
    this.at = base + 1;
  }

  get call(): Call {
    return this;
  }

  get scope(): ExecutionScope {
    return this.stages[0] as ExecutionScope;
  }

  /** The same call once more, for what is inside `stage`. It comes back to that stage, as itself. */
  fork(stage: Stage): Call {
    const fork = new Call(this.stages, this.memo.slice(), this.fn, this.options, false, this, stage.index, this.plain);
    fork.forgetInside(stage);
    fork.at = stage.innerIndex;
    return fork;
  }

  /** Forgets what the stages inside `stage` kept. In a loop, because `fill` would be a call into V8. */
  forgetInside({ nextSlot }: Stage): void {
    for (let slot = nextSlot; slot < this.memo.length; slot++) this.memo[slot] = undefined;
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

  /**
   * Runs `step` in the caller's own async context: at once where that was remembered or the call has not waited yet, a
   * microtask later where a function's promise holds it.
   */
  run(step: () => void): void {
    const { context } = this.root;
    const guarded = () => this.guarded(step);
    if (context !== null) context.runInAsyncScope(guarded);
    else if (!wake(this.root, guarded)) guarded();
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

  /** The same of an outcome that was to be answered in another way. */
  lose(outcome: Outcome): void {
    if (outcome.status === 'value') this.discard(outcome.value);
  }

  /** Sends it inwards. */
  begin(): void {
    try {
      this.stages[0]!.enter(this);
    } catch (bug) {
      this.broken(bug);
    }
  }
}
