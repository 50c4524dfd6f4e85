import { Ring, type Ringed } from '../algorithms/ring.ts';
import { type Beginning, beginning, begunAt, type Clock, era, type Timer } from '../ports/clock.ts';
import { warn } from '../ports/report.ts';
import { type Idle, sweepSoon } from '../ports/turn.ts';

/** How late, in milliseconds, a timer must be for us to think that the event loop was blocked. */
const STALL_MS = 10;

/** One deadline in a list; every call with a timeout has one, so it is as small as can be. */
export class Deadline<T = unknown> implements Ringed<Deadline<T>> {
  /** When its time began. */
  readonly since: Beginning;
  /** What it is about. */
  readonly subject: T;
  previous: Deadline<T> | null = null;
  next: Deadline<T> | null = null;

  constructor(subject: T, since: Beginning) {
    this.since = since;
    this.subject = subject;
  }
}

/** Time is up; what that throws must not stop the others. */
function fired<T>(fire: (subject: T) => void, subject: T): void {
  try {
    fire(subject);
  } catch (bug) {
    warn('A timeout threw outside of user code, which is a bug.', bug);
  }
}

/**
 * All deadlines of one length behind one timer: with equal lengths, first come is first due, so a linked list is a
 * sorted queue and adding or removing is a few writes (Varghese and Lauck 1987, scheme 2). Never early. When the timer
 * itself is late the event loop was blocked, and answers may lie unread in the sockets: one more turn delivers them
 * before anything is timed out.
 */
export class DeadlineList<T> implements Idle {
  sweeping = false;
  private readonly clock: Clock;
  /** Their length in milliseconds. */
  readonly ms: number;
  private readonly fire: (subject: T) => void;
  private readonly holds: boolean;
  private readonly waiting = new Ring<Deadline<T>>();
  private timer: Timer | null = null;
  /** The era of that timer; 0 without one. */
  private armedIn = 0;
  private graced = false;
  private readonly tick = (): void => this.ring();

  /** `fire` hears of each that is due. Without `holds` a process that has nothing else to do may exit before that. */
  constructor(clock: Clock, ms: number, fire: (subject: T) => void, holds = true) {
    this.clock = clock;
    this.ms = ms;
    this.fire = fire;
    this.holds = holds;
  }

  /** A deadline from now on, to be removed when it does not matter any more. */
  add(subject: T): Deadline<T> {
    const deadline = new Deadline(subject, beginning(this.clock));
    this.waiting.add(deadline);
    if (this.armedIn !== era) this.start(deadline);
    return deadline;
  }

  remove(deadline: Deadline<T>): void {
    this.waiting.remove(deadline);
    if (this.waiting.empty) sweepSoon(this);
  }

  /** `added` is the first of all, or the first since somebody has replaced the timers. */
  private start(added: Deadline<T>): void {
    const first = this.waiting.first!;
    // What was added is due `ms` from now.
    this.arm(first === added ? this.ms : this.ms - (this.dueOf(added) - this.dueOf(first)));
  }

  /** When that is, in milliseconds on the clock. */
  dueOf({ since }: Deadline<T>): number {
    return begunAt(since) + this.ms;
  }

  private arm(ms: number): void {
    this.timer?.cancel();
    this.timer = this.clock.after(ms, this.tick);
    this.armedIn = era;
    if (!this.holds) this.timer.unref();
  }

  private disarm(): void {
    this.timer = null;
    this.armedIn = 0;
  }

  private ring(): void {
    this.disarm();
    let { first } = this.waiting;
    if (first === null) {
      this.graced = false;
      return;
    }
    const now = this.clock.now();
    const late = now - this.dueOf(first);
    if (late > STALL_MS && !this.graced) {
      this.graced = true;
      this.arm(0);
      return;
    }
    this.graced = false;
    for (; first !== null && this.dueOf(first) <= now; first = this.waiting.first) {
      this.remove(first);
      fired(this.fire, first.subject);
    }
    // User code run by what expired may have armed it for a deadline of its own, which is later than what remains.
    if (first !== null) this.arm(this.dueOf(first) - now);
  }

  /** Nobody has waited for a whole turn: no timer is left behind. */
  sweep(): void {
    if (!this.waiting.empty) return;
    this.timer?.cancel();
    this.disarm();
    this.graced = false;
  }
}

/** One deadline of its own length, with the same grace; for lengths that differ from call to call. */
export class OwnDeadline {
  /** Milliseconds on the clock. */
  readonly due: number;
  private timer: Timer;

  constructor(clock: Clock, ms: number, fire: () => void) {
    this.due = clock.now() + ms;
    this.timer = clock.after(ms, () => {
      if (clock.now() - this.due > STALL_MS) this.timer = clock.after(0, () => fired(fire, undefined));
      else fired(fire, undefined);
    });
  }

  cancel(): void {
    this.timer.cancel();
  }
}
