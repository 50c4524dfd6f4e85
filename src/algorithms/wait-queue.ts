/**
 * A first-in-first-out queue whose waiters carry their own links, so that one who gives up in the middle (an abort, an
 * expired wait) leaves in O(1) and its place is free at once: an array would search and shift. The classic intrusive
 * list, as in Linux's `list_head` and Node's own timer lists.
 */

/** What stands in a queue: three fields, all `undefined` outside of one, set by the queue alone. */
export interface Waiter {
  /** The waiter in front. */
  prev: Waiter | undefined;
  /** The waiter behind. */
  next: Waiter | undefined;
  /** Where it stands, at most one queue at a time. */
  queue: object | undefined;
}

/** Waiters, first come first served. */
export class WaitQueue<T extends Waiter> {
  private head: Waiter | undefined;
  private tail: Waiter | undefined;
  private count: number;

  constructor() {
    this.head = undefined;
    this.tail = undefined;
    this.count = 0;
  }

  /** How many are waiting. */
  get size(): number {
    return this.count;
  }

  /** The one whose turn is next, left in its place. */
  get first(): T | undefined {
    return this.head as T | undefined;
  }

  /** Puts a waiter at the end; one that stands in a queue already is an author's mistake and throws. */
  push(waiter: T): void {
    if (waiter.queue !== undefined) throw new Error('A waiter stands in one queue at a time, and once in it.');
    waiter.queue = this;
    waiter.prev = this.tail;
    waiter.next = undefined;
    if (this.tail === undefined) this.head = waiter;
    else this.tail.next = waiter;
    this.tail = waiter;
    this.count++;
  }

  /** Takes the one that has waited longest. */
  shift(): T | undefined {
    const waiter = this.head as T | undefined;
    if (waiter !== undefined) this.remove(waiter);
    return waiter;
  }

  /** Takes this waiter out, wherever it stands; `false` when it does not stand here (any more). */
  remove(waiter: T): boolean {
    if (waiter.queue !== this) return false;
    const { prev, next } = waiter;
    if (prev === undefined) this.head = next;
    else prev.next = next;
    if (next === undefined) this.tail = prev;
    else next.prev = prev;
    waiter.queue = undefined;
    waiter.prev = undefined;
    waiter.next = undefined;
    this.count--;
    return true;
  }
}
