import { Slots, type Ticket } from '../algorithms/slots.ts';
import type { Call } from '../core/call.ts';
import { deadlineExceeded } from '../core/deadline.ts';
import { type Deadline, DeadlineList } from '../core/deadlines.ts';
import { BulkheadFullError, withoutStack } from '../core/errors.ts';
import { releaseAfterWork } from '../core/held-slot.ts';
import { check, either, fields, flag, limitMs, needed, number, policyName } from '../core/options.ts';
import { oneClock } from '../core/one-clock.ts';
import { type DropReason, type Host, type Policy, Stage } from '../core/policy.ts';
import { park } from '../core/sleep.ts';
import { systemClock } from '../ports/clock.ts';

/** Options of {@link bulkhead}. */
export interface BulkheadOptions {
  /** Calls admitted at a time. */
  readonly limit: number;
  /** Calls that may wait for a slot. @default 0 */
  readonly queue?: number | undefined;
  /** Milliseconds a call may wait. @default 1_000 */
  readonly maxWaitMs?: number | undefined;
  /** Keep the slot of an abandoned call until its work has ended, but at most `maxMs` milliseconds. @default { maxMs: 60_000 } */
  readonly holdUntilSettled?: { readonly maxMs: number } | boolean | undefined;
  /** @default `pipeline/bulkhead` */
  readonly name?: string | undefined;
}

/** A bulkhead, with its numbers. */
export interface Bulkhead extends Policy {
  /** Slots taken now. */
  readonly active: number;
  /** Calls waiting now. */
  readonly queued: number;
  /** Slots held by work that was abandoned and still runs; part of `active`. */
  readonly held: number;
  /** Changes the limit; more slots start waiting calls at once, fewer take effect as calls end. */
  resize(limit: number): void;
}

const limitRule = /* @__PURE__ */ number(1, undefined, { whole: true, infinite: true });
const maxMs = /* @__PURE__ */ needed(/* @__PURE__ */ number(0, undefined, { infinite: true }));
const rules = {
  limit: /* @__PURE__ */ needed(limitRule),
  queue: /* @__PURE__ */ number(0, undefined, { whole: true, infinite: true }),
  maxWaitMs: limitMs,
  holdUntilSettled: /* @__PURE__ */ either(flag, /* @__PURE__ */ fields({ maxMs })),
  name: policyName,
};

/**
 * Admits at most `limit` calls at a time and lets at most `queue` wait, first come first served. A slot is held until the
 * work has really ended, also when the caller has long been told that it timed out: the other side is still busy with it.
 * Throws a `RangeError` or `TypeError` for bad options.
 */
export function bulkhead(options: BulkheadOptions): Bulkhead {
  check('create bulkhead', options, rules);
  const { limit, queue = 0, maxWaitMs = 1_000, holdUntilSettled = { maxMs: 60_000 }, name } = options;
  const holdMs =
    holdUntilSettled === false ? 0 : holdUntilSettled === true ? Number.POSITIVE_INFINITY : holdUntilSettled.maxMs;
  const slots = new Slots(limit, queue);
  const home = oneClock('a bulkhead', systemClock);
  return {
    kind: 'bulkhead',
    name,
    limits: true,
    stage(host) {
      home.adopt(host);
      return new BulkheadStage(slots, maxWaitMs, holdMs, host);
    },
    get active() {
      return slots.active;
    },
    get queued() {
      return slots.queued;
    },
    get held() {
      return slots.held;
    },
    resize(limit) {
      check('resize bulkhead', { limit }, { limit: needed(limitRule) });
      slots.resize(limit);
    },
    snapshot: () => ({
      kind: 'bulkhead',
      active: slots.active,
      limit: slots.limit,
      queued: slots.queued,
      queueLimit: slots.queueLimit,
      held: slots.held,
      leaked: slots.leaked,
      rejections: { bulkhead_full: slots.full, queue_timeout: slots.expired },
    }),
  };
}

/** A place in the queue, and when the wait is too long. */
interface Waiting {
  readonly ticket: Ticket;
  readonly deadline: Deadline<Ticket> | undefined;
}

/** What a call that holds a slot keeps, in place of its place in the queue: how many user functions it had started by then. */
type Seat = number;

class BulkheadStage extends Stage {
  private readonly pool: Slots;
  private readonly holdMs: number;
  private readonly host: Host;
  private readonly waits: DeadlineList<Ticket> | undefined;
  private readonly holds: DeadlineList<() => void> | undefined;

  constructor(pool: Slots, maxWaitMs: number, holdMs: number, host: Host) {
    super();
    this.pool = pool;
    this.holdMs = holdMs;
    this.host = host;
    this.waits = listOf(maxWaitMs, (ticket) => pool.expire(ticket), true);
    // The call has long been answered; only its slot waits, and for that no process stays.
    this.holds = listOf(holdMs, (free) => free(), false);

    function listOf<T>(ms: number, fire: (subject: T) => void, holds: boolean): DeadlineList<T> | undefined {
      return ms === Number.POSITIVE_INFINITY ? undefined : new DeadlineList(host.clock, ms, fire, holds);
    }
  }

  override enter(call: Call): void {
    if (this.pool.take()) this.seat(call);
    else this.queue(call);
  }

  private seat(call: Call): void {
    call.memo[this.slot] = call.root.started satisfies Seat;
    call.at = this.innerIndex;
    this.inner.enter(call);
  }

  private queue(call: Call): void {
    const { pool } = this;
    if (pool.refuses()) return this.reject(call, 'bulkhead_full');
    const now = this.host.clock.now();
    const left = (call.root.deadline ?? Number.POSITIVE_INFINITY) - now;
    if (left <= 0) return this.raise(call, deadlineExceeded(this, call, left));
    const ticket = pool.wait(park(call, this), now);
    call.memo[this.slot] = { ticket, deadline: this.waits?.add(ticket) } satisfies Waiting;
  }

  override queues(call: Call): boolean {
    return typeof call.memo[this.slot] === 'object';
  }

  override resume(call: Call): void {
    const { ticket, deadline } = call.memo[this.slot] as Waiting;
    if (ticket.state === 'expired') return this.reject(call, 'queue_timeout');
    if (deadline !== undefined) this.waits!.remove(deadline);
    if ((this.execution(call).watch?.interest ?? 0) !== 0) {
      const waitedMs = this.host.clock.now() - ticket.since;
      this.tell(call, { type: 'dequeued', policy: this.label, waitedMs });
    }
    // A listener may have ended the call, which has given the slot back.
    if (call.at === this.index) this.seat(call);
  }

  private reject(call: Call, reason: 'bulkhead_full' | 'queue_timeout'): void {
    const { limit, queueLimit } = this.pool;
    if (this.heardBy(call)) this.tell(call, { type: 'rejected', policy: this.label, reason });
    const make = () => new BulkheadFullError(reason, limit, queueLimit, this.origin(call));
    this.raise(call, withoutStack(this.host.stackTraces, make));
  }

  override succeed(call: Call, value: unknown): void {
    this.leave(call);
    if (call.at !== this.index) return call.discard(value);
    call.at = this.outerIndex;
    this.outer.succeed(call, value);
  }

  override fail(call: Call, error: unknown): void {
    this.leave(call);
    this.raise(call, error);
  }

  override drop(call: Call, _why: DropReason): void {
    const kept = call.memo[this.slot] as Waiting | Seat | undefined;
    // Turned away, and a listener ended the call when it heard of that.
    if (kept === undefined) return;
    if (typeof kept === 'number') return this.leave(call);
    if (kept.deadline !== undefined) this.waits!.remove(kept.deadline);
    this.pool.withdraw(kept.ticket);
  }

  private leave(call: Call): void {
    if (call.root.orphans === null || this.holdMs === 0) this.pool.release();
    else this.hold(call, call.memo[this.slot] as Seat);
  }

  private hold(call: Call, since: number): void {
    releaseAfterWork(call, since, this.pool, this.holds, () => {
      call.run(() => this.heardBy(call) && this.tell(call, { type: 'leaked', policy: this.label }));
    });
  }
}
