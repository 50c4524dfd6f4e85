import type { Clock, Timer } from '../ports/clock.ts';
import { warn } from '../ports/report.ts';
import { type Idle, sweepSoon } from './idle.ts';

/** How late, in milliseconds, a timer must be for us to think that the event loop was blocked. */
const STALL_MS = 10;

/** One deadline in a list. */
export class Deadline {
  /** Milliseconds on the clock. */
  due = 0;
  previous: Deadline | null = null;
  next: Deadline | null = null;
  /** Its length in milliseconds. */
  readonly ms: number;
  /** What it is about. */
  readonly subject: unknown;
  /** Its own timer, when it stands in no list. */
  timer: Timer | null = null;
  private readonly fire: (deadline: Deadline) => void;

  constructor(fire: (deadline: Deadline) => void, subject: unknown, ms: number) {
    this.fire = fire;
    this.subject = subject;
    this.ms = ms;
  }

  /** Time is up; what that throws must not stop the others. */
  expire(): void {
    try {
      this.fire(this);
    } catch (bug) {
      warn('A timeout threw outside of user code, which is a bug.', bug);
    }
  }
}

/**
 * All deadlines of one length behind one timer: with equal lengths, first come is first due, so a linked list is a
 * sorted queue and adding or removing is a few writes (Varghese and Lauck 1987, scheme 2). Never early. When the timer
 * itself is late the event loop was blocked, and answers may lie unread in the sockets: one more turn delivers them
 * before anything is timed out.
 */
export class DeadlineList implements Idle {
  sweeping = false;
  private readonly clock: Clock;
  /** Their length in milliseconds. */
  readonly ms: number;
  private readonly holds: boolean;
  private first: Deadline | null = null;
  private last: Deadline | null = null;
  private timer: Timer | null = null;
  private graced = false;
  private readonly tick = (): void => this.ring();

  /** Without `holds` a process that has nothing else to do may exit before they are due. */
  constructor(clock: Clock, ms: number, holds = true) {
    this.clock = clock;
    this.ms = ms;
    this.holds = holds;
  }

  add(deadline: Deadline): void {
    deadline.due = this.clock.now() + this.ms;
    const { last } = this;
    deadline.previous = last;
    if (last === null) this.first = deadline;
    else last.next = deadline;
    this.last = deadline;
    if (this.timer === null) this.arm(this.ms);
  }

  remove(deadline: Deadline): void {
    const { previous, next } = deadline;
    if (previous === null) {
      // Fired ones are out already.
      if (this.first !== deadline) return;
      this.first = next;
    } else previous.next = next;
    if (next === null) this.last = previous;
    else next.previous = previous;
    deadline.previous = deadline.next = null;
    if (this.first === null) sweepSoon(this);
  }

  private arm(ms: number): void {
    this.timer?.cancel();
    this.timer = this.clock.after(ms, this.tick);
    if (!this.holds) this.timer.unref();
  }

  private ring(): void {
    this.timer = null;
    if (this.first === null) {
      this.graced = false;
      return;
    }
    const now = this.clock.now();
    const late = now - this.first.due;
    if (late > STALL_MS && !this.graced) {
      this.graced = true;
      this.arm(0);
      return;
    }
    this.graced = false;
    while (this.first !== null && this.first.due <= now) {
      const deadline: Deadline = this.first;
      this.remove(deadline);
      deadline.expire();
    }
    // User code run by what expired may have armed it for a deadline of its own, which is later than what remains.
    if (this.first === null) return;
    this.arm(this.first.due - now);
  }

  /** Nobody has waited for a whole turn: no timer is left behind. */
  sweep(): void {
    if (this.first !== null) return;
    this.timer?.cancel();
    this.timer = null;
    this.graced = false;
  }
}

/** One deadline of its own length, with the same grace; for lengths that differ from call to call. */
export function deadlineIn(clock: Clock, deadline: Deadline): Timer {
  deadline.due = clock.now() + deadline.ms;
  let timer = clock.after(deadline.ms, () => {
    if (clock.now() - deadline.due > STALL_MS) timer = clock.after(0, () => deadline.expire());
    else deadline.expire();
  });
  return { cancel: () => timer.cancel(), ref: () => timer.ref(), unref: () => timer.unref() };
}
