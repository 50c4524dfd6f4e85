import { type Waiter, WaitQueue } from './wait-queue.ts';

/** A place in the queue for a slot. */
export class Ticket implements Waiter {
  prev: Waiter | undefined = undefined;
  next: Waiter | undefined = undefined;
  queue: object | undefined = undefined;
  state: 'waiting' | 'granted' | 'expired' = 'waiting';
  /** When the wait began, in milliseconds of the caller's clock. */
  readonly since: number;
  private readonly wake: () => void;

  constructor(wake: () => void, since: number) {
    this.wake = wake;
    this.since = since;
  }

  /** The wait is over, one way or the other. */
  end(state: 'granted' | 'expired'): void {
    this.state = state;
    this.wake();
  }
}

/**
 * A counting semaphore with a queue that cannot be overtaken: a slot that becomes free is, in the same turn, the next
 * waiter's, so a newcomer finds none and nobody who was accepted is turned away later (Java's fair `Semaphore`; the
 * barging of cockatiel's bulkhead is C-15 in research/javascript.md).
 */
export class Slots {
  limit: number;
  /** The most that may wait. */
  readonly queueLimit: number;
  active = 0;
  /** Kept by work that was abandoned and still runs; part of `active`. */
  held = 0;
  /** Turned away because the queue was full, because the wait was too long, and slots given up before their work had ended. */
  full = 0;
  expired = 0;
  leaked = 0;
  private readonly line = new WaitQueue<Ticket>();

  constructor(limit: number, queueLimit: number) {
    this.limit = limit;
    this.queueLimit = queueLimit;
  }

  /** How many wait. */
  get queued(): number {
    return this.line.size;
  }

  /** Takes a slot if one is free and nobody waits for it. */
  take(): boolean {
    if (this.active >= this.limit || this.line.size > 0) return false;
    this.active++;
    return true;
  }

  /** Whether nobody more may wait; a yes counts as one turned away. */
  refuses(): boolean {
    if (this.line.size < this.queueLimit) return false;
    this.full++;
    return true;
  }

  /** Takes a place in the queue, ended by `wake`; ask {@link refuses} first. `now` in milliseconds. */
  wait(wake: () => void, now: number): Ticket {
    const ticket = new Ticket(wake, now);
    this.line.push(ticket);
    return ticket;
  }

  /** The wait was too long. */
  expire(ticket: Ticket): void {
    if (!this.line.remove(ticket)) return;
    this.expired++;
    ticket.end('expired');
  }

  /** The waiter has gone. One that was granted a slot before its turn came passes it on. */
  withdraw(ticket: Ticket): void {
    if (ticket.state === 'granted') this.release();
    else this.line.remove(ticket);
  }

  /** Gives a slot back. */
  release(): void {
    this.active--;
    this.grant();
  }

  /** Changes the limit; more slots are granted at once, fewer take effect as slots come back. */
  resize(limit: number): void {
    this.limit = limit;
    this.grant();
  }

  private grant(): void {
    while (this.active < this.limit) {
      const ticket = this.line.shift();
      if (ticket === undefined) return;
      this.active++;
      ticket.end('granted');
    }
  }
}
