import type { Call } from './call.ts';
import { type AsyncContext, capture } from './context.ts';
import { dueBefore } from './deadline.ts';
import { because, isTimeoutError } from './errors.ts';
import type { Attempt, Watch } from './execution.ts';
import { follow } from './home.ts';
import type { Giver } from './interrupt.ts';
import type { Stage } from './policy.ts';

/** What the user's function sees of its call. The members are getters: destructure or pass the object, `{ ...call }` does not carry `signal`. */
export interface CallContext {
  /** Aborted on timeout, on cancellation and when another attempt won, with the error or reason as `signal.reason`; never by us after a success. */
  readonly signal: AbortSignal;
  /** 1 for the first try. */
  readonly attempt: number;
  /** Milliseconds until the nearest deadline or timeout around this call, else `Infinity`; may be negative. */
  readonly remainingMs: number;
  /** Name of the pipeline. */
  readonly pipeline: string;
  /** The partition the call is in. */
  readonly key: string | undefined;
}

/** That a run of user code was told to stop, and perhaps given up. */
interface Stop {
  readonly reason: unknown;
  /** Who gave it up; `null` is the caller, or nobody yet. */
  by: Giver | null;
  /** What it was given up in; the call itself may be in another attempt, or a nested execution, by the time it ends. */
  about: Attempt | Watch | null;
  /** Who waits for its end. */
  readonly waiting: (() => void)[];
}

/**
 * One run of user code for a call (the function, a fallback, an `around`): what that code sees, the fence for its late
 * answer, and the orphan when it was abandoned, in one object.
 */
export class Work implements CallContext {
  readonly call: Call;
  /** The stage that started it and hears how it ended. */
  readonly stage: Stage;
  /** Counts the runs of user code for a call; 0 before it starts. */
  serial = 0;
  readonly attempt: number;
  private stop: Stop | null = null;
  private controller: AbortController | null = null;
  private context: AsyncContext | null = null;

  constructor(call: Call, stage: Stage, attempt: number) {
    this.call = call;
    this.stage = stage;
    this.attempt = attempt;
  }

  get signal(): AbortSignal {
    if (this.controller === null) {
      this.controller = new AbortController();
      // The abort may come from a shared timer, and its listeners are this caller's code.
      this.context = capture();
      if (this.stop !== null) this.controller.abort(this.stop.reason);
    }
    return this.controller.signal;
  }

  get remainingMs(): number {
    const { call, stage } = this;
    const due = Math.min(dueBefore(call, stage.index), stage.due(call));
    return due === Number.POSITIVE_INFINITY ? due : due - stage.scope.clock.now();
  }

  get pipeline(): string {
    return this.stage.scope.pipeline.name;
  }

  get key(): string | undefined {
    return this.call.options.key;
  }

  /** For a logger: what the user may see of it, and nothing behind that. */
  toJSON(): object {
    const { pipeline, key, attempt, remainingMs } = this;
    return { pipeline, key, attempt, remainingMs };
  }

  /** Tells the user's code to stop, without giving it up. */
  abort(reason: unknown): void {
    if (this.stop !== null) return;
    this.stop = { reason, by: null, about: null, waiting: [] };
    this.tell(reason);
  }

  /** Nobody waits for it any more; `by` gave it up, `null` is the caller. */
  abandon(reason: unknown, by: Giver | null): void {
    const { call, stage, stop } = this;
    const { root } = call;
    // Where the first is pushed into an empty list, V8 makes room for 17.
    if (root.orphans === null) root.orphans = [this];
    else root.orphans.push(this);
    this.stop = { reason: stop === null ? reason : stop.reason, by, about: stage.watched(call), waiting: [] };
    if (stop === null) this.tell(reason);
  }

  private tell(reason: unknown): void {
    const { controller } = this;
    if (controller !== null) this.context!.runInAsyncScope(() => controller.abort(reason));
  }

  /** Whether `call`, or a fork of it, started this. */
  belongsTo(call: Call): boolean {
    for (let own: Call | null = this.call; own !== null; own = own.parent) if (own === call) return true;
    return false;
  }

  /** Runs `then` when it has really ended; asked of abandoned work only. */
  whenOver(then: () => void): void {
    this.stop!.waiting.push(then);
  }

  /** Starts `body` and brings its end to the stage, in the caller's own async context; `token` is what telemetry made for it. */
  start(body: (work: Work) => unknown, token: unknown): void {
    const { call } = this;
    this.serial = ++call.root.started;
    call.work = this;
    let answer: unknown;
    try {
      answer = token === undefined ? body(this) : this.within(body, token);
      if (isThenable(answer)) return this.follow(answer);
    } catch (error) {
      this.end(false, error);
      return;
    }
    this.end(true, answer);
  }

  /** Apart, because a closure in `start` would cost every call a scope object. */
  private within(body: (work: Work) => unknown, token: unknown): unknown {
    return this.stage.scope.within(token, () => body(this));
  }

  private follow(answer: PromiseLike<unknown>): void {
    // A foreign thenable may answer twice, or throw: a native promise in between makes an honest one of it.
    const native = answer.then === Promise.prototype.then && answer.constructor === Promise;
    const promise = native ? (answer as Promise<unknown>) : new Promise((resolve) => resolve(answer));
    follow(this.call.root, this, promise);
  }

  /** The user's code has ended: its stage hears of it, unless nobody waits for it any more. */
  end(ok: boolean, result: unknown): void {
    const { call, stage } = this;
    if (call.work !== this) return this.late(ok, result);
    call.work = null;
    try {
      if (ok) stage.returned(call, result, this);
      else stage.threw(call, result, this);
    } catch (bug) {
      call.broken(bug);
    }
  }

  /** The answer of abandoned work: it moves nothing but what was held for it. */
  private late(ok: boolean, result: unknown): void {
    const { call, stage } = this;
    const { by, reason, about, waiting } = this.stop!;
    const orphans = call.root.orphans;
    const at = orphans?.indexOf(this) ?? -1;
    if (at >= 0) orphans!.splice(at, 1);
    const scope = stage.scope;
    if (by !== null) by.late();
    else scope.pipeline.cells.late++;
    const policy = by?.label ?? scope.pipeline.name;
    if (about?.interest === 2)
      scope.pipeline.observers.event(
        ok ? { type: 'late', policy, value: result } : { type: 'late', policy, error: result },
        about,
        about.tokens,
      );
    if (ok) call.discard(result);
    // The function's own abort error belongs to the timeout that asked for it, unless it came too late to matter.
    else if (isTimeoutError(reason)) because(reason, result);
    for (const then of waiting) call.guarded(then);
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    (typeof value === 'object' || typeof value === 'function') &&
    value !== null &&
    typeof (value as PromiseLike<unknown>).then === 'function'
  );
}
