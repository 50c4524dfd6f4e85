import type { Clock } from '../ports/clock.ts';
import type { Random } from '../ports/random.ts';
import { warn } from '../ports/report.ts';
import type { PolicyEvent } from '../telemetry/events.ts';
import type { PolicyState } from '../telemetry/snapshot.ts';
import type { AttemptScope } from './attempt-scope.ts';
import type { Call } from './call.ts';
import type { ErrorOrigin } from './errors.ts';
import { type Attempt, attemptsOf, type Execution, Watch } from './execution.ts';
import type { ExecutionScope } from './scope.ts';
import type { Work } from './work.ts';

/**
 * What a pipeline runs: made once, it may hold state (a circuit, a budget) and sit in several pipelines. Ours and a
 * user's own are the same kind of object; whoever does not care for nanoseconds makes one with `policy({ around })`.
 */
export interface Policy<Alt = never> {
  /** What it is, in `snake_case`: `retry`. */
  readonly kind: string;
  /** What an operator reads; without one it is `pipeline/kind`. Needed when it sits in several pipelines. */
  readonly name?: string | undefined;
  /** Type only, never set: what it may answer in place of the function's own result. */
  readonly _alt?: readonly [Alt];
  /** True when a call that has a place in it can take it from itself further inside (a slot, a probe): it may stand in a chain only once. */
  readonly limits?: boolean;
  /** Asked once per place in a pipeline. */
  stage(host: Host): Stage;
  /** Counts and state for `snapshot()` and the metrics. */
  snapshot?(): PolicyState;
}

/** What a policy gets to know of the place it is put in. */
export interface Host {
  readonly pipeline: string;
  /** Full name of the policy here. */
  readonly policy: string;
  readonly clock: Clock;
  readonly random: Random;
  /** Rejections carry a stack, for development. */
  readonly stackTraces: boolean;
}

/** Why a call ended elsewhere: the caller gave up, an outer timeout or deadline passed, another attempt won. */
export type DropReason = 'cancelled' | 'timed_out' | 'lost';

/**
 * A policy's place in one pipeline. A call walks inwards through the stages and comes back out. After `enter` a stage
 * hears of exactly one end, `succeed`, `fail` or `drop`, and speaks in four words, `proceed`, `again`, `pass` and
 * `raise`, each of which is lost unless the call stands at this stage: user code can end a call in the middle of any method.
 *
 * The stages of this package write the hops of nearly all calls out where they are taken, `proceed`, `pass` and some `raise`:
 * in one shared method V8 sees every class of stage and looks each property up by hash, which costs more than the stages.
 * They ask where the call stands only after user code, and leave `heard` alone, which changes where a call turns.
 */
export abstract class Stage {
  /** Memo slots a call keeps for this stage, from `this.slot` on; all `undefined` at `enter`. */
  readonly slots: number = 1;
  /** True for a stage that may run what is inside it more than once. */
  readonly repeats: boolean = false;
  /** True for a stage that turns failures into values and so may answer when the deadline has passed. */
  readonly rescues: boolean = false;
  /** True for a stage that wants `started`. */
  readonly timesWork: boolean = false;
  /** True for the frame's own stages, which no name of a policy means. */
  readonly frame: boolean = false;

  // Its place, set once by the pipeline.
  index = -1;
  outerIndex = -2;
  slot = -1;
  /** The first memo slot behind its own. */
  nextSlot = 0;
  /** Where a call goes inwards: the next stage that does something there. */
  inner!: Stage;
  innerIndex = 0;
  outer!: Stage;
  /** Full name, for errors and events. */
  label = '';
  scope!: ExecutionScope;
  /** The attempts of its pipeline, when it stands inside them. */
  attempts: AttemptScope | null = null;

  /** On the way in: `proceed`, or answer at once with `pass` or `raise`. */
  enter(call: Call): void {
    this.proceed(call);
  }

  /** On the way out with a value. */
  succeed(call: Call, value: unknown): void {
    this.pass(call, value);
  }

  /** On the way out with an error. */
  fail(call: Call, error: unknown): void {
    this.raise(call, error);
  }

  /** The call ended elsewhere: give back what you hold. `reason` is the caller's, or the error of the timeout outside. */
  drop(_call: Call, _why: DropReason, _reason: unknown): void {}

  /** A wait of this stage is over. */
  resume(_call: Call, _value: unknown): void {}

  /** User code that this stage started has ended well. */
  returned(call: Call, value: unknown, _work: Work): void {
    this.pass(call, value);
  }

  /** User code that this stage started has failed. */
  threw(call: Call, error: unknown, _work: Work): void {
    this.raise(call, error);
  }

  /** A user function inside is about to be called; `now` is milliseconds on the clock. Only where `timesWork` says so. */
  started(_call: Call, _now: number): void {}

  /** Work that this stage had abandoned has ended; a stage with a count of its own counts there. */
  late(): void {
    this.scope.pipeline.cells.late++;
  }

  /** Whether the call only waits here for its turn. */
  queues(_call: Call): boolean {
    return false;
  }

  /** When this stage will end the call, on the pipeline's clock, else `Infinity`. */
  due(_call: Call): number {
    return Number.POSITIVE_INFINITY;
  }

  /** Inwards. */
  proceed(call: Call): void {
    if (call.at !== this.index) return;
    call.at = this.innerIndex;
    call.heard = false;
    this.inner.enter(call);
  }

  /** Inwards anew, with what the stages inside kept forgotten. */
  again(call: Call): void {
    if (call.at !== this.index) return;
    call.forgetInside(this);
    this.proceed(call);
  }

  /** Outwards with a value. Where user code has ended the call, nobody will get it. */
  pass(call: Call, value: unknown): void {
    if (call.at !== this.index) return call.discard(value);
    call.at = this.outerIndex;
    call.heard = true;
    this.outer.succeed(call, value);
  }

  /** Outwards with an error. */
  raise(call: Call, error: unknown): void {
    if (call.at !== this.index) return;
    call.at = this.outerIndex;
    call.heard = true;
    this.outer.fail(call, error);
  }

  /** The execution of this stage's own pipeline that the call is in. */
  execution(call: Call): Execution {
    return this.scope.of(call);
  }

  /** What somebody watches of it: the attempt it stands in, else the execution; `null` where nobody does. */
  watched(call: Call): Attempt | Watch | null {
    return this.attempts?.of(call) ?? this.scope.of(call).watch;
  }

  /** The number of the attempt it stands in, else of the one that runs or ran last; from 1. */
  attemptOf(call: Call): number {
    return this.attempts?.numberOf(call) ?? (attemptsOf(this.scope.of(call)) || 1);
  }

  /** True when somebody listens to policy events; build none otherwise. */
  heardBy(call: Call): boolean {
    const { watch } = this.scope.of(call);
    return watch !== null && watch.interest === 2;
  }

  /** Tells the observers; ask `heardBy` first where building the event costs something. */
  tell(call: Call, event: PolicyEvent): void {
    const about = this.watched(call) ?? new Watch(this.scope.of(call), 0, Number.NaN);
    this.scope.pipeline.observers.event(event, about, about.tokens);
  }

  /** User code that may not matter has thrown: it is reported once per place, and the call goes on. */
  fault(call: Call, where: string, error: unknown): void {
    warn(`${this.label}: ${where} threw; the call went on without it.`, error);
    if (this.heardBy(call)) this.tell(call, { type: 'fault', policy: this.label, where, error });
  }

  /** Who speaks, for an error. */
  origin(call: Call, cause?: unknown): ErrorOrigin {
    return { policy: this.label, pipeline: this.scope.pipeline.name, key: call.options.key, cause };
  }
}
