import { unawaited } from '../algorithms/unawaited.ts';
import { soon } from '../ports/turn.ts';
import type { PolicyState } from '../telemetry/snapshot.ts';
import type { Call } from './call.ts';
import { interrupt } from './interrupt.ts';
import { callable, check, flag, isPlain, needed, policyName, shape, show } from './options.ts';
import { type DropReason, type Policy, Stage } from './policy.ts';
import { type CallContext, Work } from './work.ts';

/** Runs what is inside the policy and answers how that ended. `signal` ends it early: running work is told, waiting work given up. */
export type Next<R = any> = (signal?: AbortSignal) => Promise<R>;

/** A policy as one middleware function. */
export interface AroundOptions<Alt> {
  /** What it is, in `snake_case`. */
  readonly kind: string;
  /** @default the kind, behind the pipeline's name */
  readonly name?: string | undefined;
  /** Gets the call and what is inside; whatever it answers is the answer. It may call `next` never, once or several times. */
  readonly around: (call: CallContext, next: Next) => Promise<Alt> | Alt;
  /** Whether it may call `next` more than once; attempts are then counted and traced inside it. @default false */
  readonly repeats?: boolean | undefined;
  /** Counts and state of your own for `snapshot()`. */
  readonly snapshot?: (() => Readonly<Record<string, unknown>>) | undefined;
}

/**
 * Makes a policy from one middleware function, for authors who do not count nanoseconds; the frame keeps its guarantees
 * around it. A middleware that answers something of its own beside what `next()` brings says so: `policy<Mine>({ ... })`.
 * Throws a `TypeError` for bad options.
 */
export function policy<Alt = never>(options: AroundOptions<Alt>): Policy<unknown extends Alt ? never : Alt> {
  check('create policy', options, {
    kind: needed(
      shape(
        'lower-case letters, digits and "_"',
        (value) => typeof value === 'string' && /^[a-z][a-z0-9_]{0,39}$/.test(value),
      ),
    ),
    name: policyName,
    around: needed(callable),
    repeats: flag,
    snapshot: callable,
  });
  const { kind, name, around, repeats = false, snapshot } = options;
  return {
    kind,
    name,
    stage: () => new AroundStage(around as AroundOptions<unknown>['around'], repeats),
    ...(snapshot !== undefined && { snapshot: (): PolicyState => ({ ...answered(snapshot()), kind: 'custom' }) }),
  };
}

/** What an author's snapshot answered. */
function answered(state: unknown): object {
  if (isPlain(state)) return state;
  unawaited(state);
  throw new TypeError(`snapshot must answer an object, received ${show(state)}`);
}

/** What one `next()` waits for. */
interface Inner {
  readonly fork: Call;
  /** Whether the middleware's own signal has asked what is inside to stop. */
  told: boolean;
  settle(ok: boolean, result: unknown): void;
}

/** One run of the middleware. */
interface Run {
  readonly work: Work;
  readonly inners: Map<Call, Inner>;
  /** Whether it has gone inwards before. */
  again: boolean;
}

class AroundStage extends Stage {
  override readonly repeats: boolean;
  private readonly around: AroundOptions<unknown>['around'];

  constructor(around: AroundOptions<unknown>['around'], repeats: boolean) {
    super();
    this.around = around;
    this.repeats = repeats;
  }

  override enter(call: Call): void {
    call.capture(); // It may change the context for what is inside, where the first function's promise is made.
    const work = new Work(call, this, this.attemptOf(call));
    const run: Run = { work, inners: new Map(), again: false };
    call.memo[this.slot] = run;
    const next: Next = (signal) => this.next(call, run, signal);
    work.start(() => this.around(work, next), undefined);
  }

  private next(call: Call, run: Run, signal: AbortSignal | undefined): Promise<unknown> {
    const { work, inners } = run;
    const answer = new Promise((resolve, reject) => {
      if (call.at !== this.index || call.work !== work)
        return reject(
          work.signal.aborted ? work.signal.reason : new Error('next() was called after the call had ended'),
        );
      if (signal?.aborted === true) return reject(signal.reason);
      if (call.stopping) return reject(work.signal.reason);
      const fork = call.fork(this);
      const stop = () => {
        // The echo of the call's own end, which reaches what is inside by `drop`, and says why.
        if (call.work !== work) return;
        inner.told = true;
        this.stop(inner, signal!.reason);
      };
      const inner: Inner = {
        fork,
        told: false,
        settle: (ok, result) => {
          inners.delete(fork);
          signal?.removeEventListener('abort', stop);
          // The middleware that gave the signal speaks first: its own error must win over the echo of its abort.
          if (ok) resolve(result);
          else if (inner.told) soon(() => reject(result));
          else reject(result);
        },
      };
      inners.set(fork, inner);
      signal?.addEventListener('abort', stop);
      // How long it waited before it goes inwards once more is its own affair.
      if (run.again && this.repeats) this.execution(call).watch?.repeats('retry', 0);
      run.again = true;
      fork.guarded(() => this.inner.enter(fork));
    });
    // Whether anybody looks at it is the middleware's business; a call given up meanwhile is no unhandled rejection.
    answer.catch(() => {});
    return answer;
  }

  /** Tells what is inside to stop: work that runs may still answer, as a cooperative timeout wants; a wait has nothing to answer. */
  private stop({ fork, settle }: Inner, reason: unknown): void {
    fork.stopping = true;
    const { work } = fork;
    if (work === null) {
      interrupt(fork, this.index, 'timed_out', reason, this);
      settle(false, reason);
      return;
    }
    work.abort(reason);
    // A middleware that gave no signal of its own to what is inside it cannot pass this one on.
    const { stage } = work;
    if (stage instanceof AroundStage)
      for (const inner of [...stage.run(fork).inners.values()]) stage.stop(inner, reason);
  }

  private run(call: Call): Run {
    return call.memo[this.slot] as Run;
  }

  override succeed(fork: Call, value: unknown): void {
    fork.at = -1;
    this.run(fork).inners.get(fork)!.settle(true, value);
  }

  override fail(fork: Call, error: unknown): void {
    fork.at = -1;
    this.run(fork).inners.get(fork)!.settle(false, error);
  }

  override returned(call: Call, value: unknown): void {
    this.leave(call, 'lost');
    this.pass(call, value);
  }

  override threw(call: Call, error: unknown): void {
    this.leave(call, 'lost');
    this.raise(call, error);
  }

  override drop(call: Call, why: DropReason): void {
    this.leave(call, why);
  }

  /** Gives up what still runs inside: the middleware has answered without it, or the call ended elsewhere. */
  private leave(call: Call, why: DropReason): void {
    const { work, inners } = this.run(call);
    if (inners.size === 0) return;
    for (const inner of [...inners.values()]) {
      const reason = inner.told ? inner.fork.work?.signal.reason : why === 'lost' ? notNeeded() : work.signal.reason;
      interrupt(inner.fork, this.index, inner.told ? 'timed_out' : why, reason, this);
      inner.settle(false, reason);
    }
  }
}

let shared: Error | undefined;

/** One shared reason: a new error would capture a stack for every call that did not need it any more. */
function notNeeded(): Error {
  shared ??= Object.assign(new Error('not needed any more'), { name: 'AbortError' });
  return shared;
}
