import { unawaited } from '../algorithms/unawaited.ts';
import type { Call } from '../core/call.ts';
import { type Deadline, DeadlineList, OwnDeadline } from '../core/deadlines.ts';
import { DeadlineExceededError, TimeoutError, withoutStack } from '../core/errors.ts';
import { interrupt, isInside } from '../core/interrupt.ts';
import { callable, check, either, limitMs, needed, policyName, shape, show } from '../core/options.ts';
import { type DropReason, type Host, type Policy, Stage } from '../core/policy.ts';
import { afterWork } from '../core/sleep.ts';
import { type CallContext, Work } from '../core/work.ts';

/** Options of {@link timeout}. */
export interface TimeoutOptions {
  /** Milliseconds above 0, or a function of the call; `Infinity` or `undefined` from it is none, 0 and less is out of time at once. */
  readonly ms: number | ((call: CallContext) => number | undefined);
  /** Settle when time is up whatever the function does, or abort it and wait until it has ended. @default 'abandon' */
  readonly mode?: 'abandon' | 'cooperative' | undefined;
  /** Milliseconds to take when the function of `ms` throws or answers nonsense. @default none */
  readonly fallbackMs?: number | undefined;
  /** @default `pipeline/timeout` */
  readonly name?: string | undefined;
}

const rules = {
  ms: /* @__PURE__ */ needed(/* @__PURE__ */ either(limitMs, callable)),
  mode: /* @__PURE__ */ shape('"abandon" or "cooperative"', (value) => value === 'abandon' || value === 'cooperative'),
  fallbackMs: limitMs,
  name: policyName,
};

/**
 * Ends what is inside it after `ms` milliseconds with a {@link TimeoutError}, which is also the reason of the function's
 * signal. Inside a retry it limits one attempt, outside it everything, waits included. Throws a `RangeError` or
 * `TypeError` for bad options.
 */
export function timeout(options: TimeoutOptions['ms'] | TimeoutOptions): Policy {
  const given = typeof options === 'object' ? options : { ms: options };
  check('create timeout', given, rules);
  const { ms, mode = 'abandon', fallbackMs = Number.POSITIVE_INFINITY, name } = given;
  const counts = { timeouts: 0, late: 0, exceeded: 0 };
  return {
    kind: 'timeout',
    name,
    stage: (host) => new TimeoutStage(ms, fallbackMs, mode === 'cooperative', counts, host),
    snapshot: () => ({
      kind: 'timeout',
      timeouts: counts.timeouts,
      late: counts.late,
      rejections: { deadline_exceeded: counts.exceeded },
    }),
  };
}

class TimeoutStage extends Stage {
  /** Its deadline, and in cooperative mode how many user functions the call had started before. */
  override readonly slots: number;
  private readonly ms: TimeoutOptions['ms'];
  private readonly fallbackMs: number;
  private readonly cooperative: boolean;
  private readonly counts: { timeouts: number; late: number; exceeded: number };
  private readonly host: Host;
  /** All calls of one fixed length share a timer; none where they have no limit or one of their own. */
  private readonly list: DeadlineList<Call> | undefined;

  constructor(
    ms: TimeoutOptions['ms'],
    fallbackMs: number,
    cooperative: boolean,
    counts: TimeoutStage['counts'],
    host: Host,
  ) {
    super();
    this.ms = ms;
    this.fallbackMs = fallbackMs;
    this.cooperative = cooperative;
    this.slots = cooperative ? 2 : 1;
    this.counts = counts;
    this.host = host;
    this.list =
      typeof ms === 'number' && ms !== Number.POSITIVE_INFINITY
        ? new DeadlineList(host.clock, ms, (call) => this.expire(call, ms))
        : undefined;
  }

  override enter(call: Call): void {
    const { list } = this;
    if (this.cooperative) call.memo[this.slot + 1] = call.root.started;
    if (list === undefined) return this.ask(call);
    call.memo[this.slot] = list.add(call);
    call.at = this.innerIndex;
    this.inner.enter(call);
  }

  /** The length is a function of the call, or none. */
  private ask(call: Call): void {
    if (typeof this.ms === 'number') return this.proceed(call);
    let ms = this.fallbackMs;
    try {
      const answer: unknown = this.ms(new Work(call, this, this.attemptOf(call)));
      unawaited(answer);
      if (answer === undefined) ms = Number.POSITIVE_INFINITY;
      else if (typeof answer === 'number' && !Number.isNaN(answer)) ms = answer;
      else throw new TypeError(`ms must answer milliseconds or undefined, received ${show(answer)}`);
    } catch (error) {
      this.fault(call, 'ms', error);
    }
    // It may have ended the call just now, and nobody would disarm it.
    if (call.at !== this.index) return;
    if (ms === Number.POSITIVE_INFINITY) return this.proceed(call);
    if (ms <= 0) return this.refuse(call, ms);
    call.memo[this.slot] = new OwnDeadline(this.host.clock, ms, () => this.expire(call, ms));
    this.proceed(call);
  }

  private refuse(call: Call, remainingMs: number): void {
    this.counts.exceeded++;
    if (this.heardBy(call)) this.tell(call, { type: 'rejected', policy: this.label, reason: 'deadline_exceeded' });
    this.raise(
      call,
      withoutStack(this.host.stackTraces, () => new DeadlineExceededError(remainingMs, this.origin(call))),
    );
  }

  private expire(call: Call, timeoutMs: number): void {
    call.run(() => {
      // It may have ended on the way here.
      if (!isInside(call, this.index)) return;
      const error = withoutStack(this.host.stackTraces, () => new TimeoutError(timeoutMs, this.origin(call)));
      this.counts.timeouts++;
      if (this.heardBy(call)) this.tell(call, { type: 'timeout', policy: this.label, timeoutMs });
      interrupt(call, this.index, 'timed_out', error, this, () => this.over(call, error));
    });
  }

  /** What ran inside has been given up. */
  private over(call: Call, error: TimeoutError): void {
    if (!this.cooperative) return this.raise(call, error);
    const { turn } = call;
    // Nothing of the call runs but what is being waited for; the caller can still give up.
    afterWork(call, call.memo[this.slot + 1] as number, () => call.turn === turn && this.raise(call, error));
  }

  private disarm(call: Call): void {
    const deadline = call.memo[this.slot];
    if (deadline === undefined) return;
    if (this.list !== undefined) this.list.remove(deadline as Deadline<Call>);
    else (deadline as OwnDeadline).cancel();
  }

  override succeed(call: Call, value: unknown): void {
    this.disarm(call);
    call.at = this.outerIndex;
    this.outer.succeed(call, value);
  }

  override fail(call: Call, error: unknown): void {
    this.disarm(call);
    call.at = this.outerIndex;
    this.outer.fail(call, error);
  }

  override drop(call: Call, _why: DropReason): void {
    this.disarm(call);
  }

  override late(): void {
    this.counts.late++;
  }

  override due(call: Call): number {
    const deadline = call.memo[this.slot];
    if (deadline === undefined) return Number.POSITIVE_INFINITY;
    return this.list === undefined ? (deadline as OwnDeadline).due : this.list.dueOf(deadline as Deadline<Call>);
  }
}
