/**
 * A bounded map of per-key state (a circuit per host, say) without a timer: whoever asks for a key also sweeps a little.
 * Entries stand in a list by last use, so that the idle ones are at its head; one found busy there (an open circuit,
 * calls in flight) is set aside in a second list and not looked at again before it is needed, which keeps the cost of a
 * call flat however many are busy. After the second-chance page replacement (Corbató 1968) and 2Q's split lists.
 */
import { type Waiter, WaitQueue } from './wait-queue.ts';

/** The state of one key. It stands in the lists itself: an object of its own for that is half of an idle key. */
export interface Keyed extends Waiter {
  readonly key: string;
  /** In monotonic milliseconds; only the map writes it. */
  usedAt: number;
}

/** The rules of {@link KeyedStates}. */
export interface KeyedStatesRules<T extends Keyed> {
  /** Makes the state of a key seen for the first time, or again after it was forgotten. */
  make(key: string): T;
  /** Whether a state may be forgotten without harm. */
  evictable(state: T): boolean;
  /** Whether a state may not be forgotten at all: it stays, be there more than `max`. @default none */
  pinned?(state: T): boolean;
  /** The most keys held, pinned ones apart. */
  readonly max: number;
  /** An evictable state that nobody asked for in this many milliseconds is forgotten by and by. */
  readonly idleMs: number;
}

/** After a search found all busy it is not repeated for this many milliseconds, or a flood of keys would pay for one each. */
const searchEveryMs = 5;

/**
 * The state of each key, at most `max` of them. The longest unused evictable one makes room (one set aside as busy comes
 * last), and where all are busy, the longest unused of those that are not pinned.
 */
export class KeyedStates<T extends Keyed> {
  private readonly rules: KeyedStatesRules<T>;
  private readonly entries: Map<string, T>;
  /** By last use, longest ago first. */
  private readonly recent: WaitQueue<T>;
  /** Found busy when their turn had come, and not asked for since; longest ago first. */
  private readonly busy: WaitQueue<T>;
  private searchedAt: number;

  constructor(rules: KeyedStatesRules<T>) {
    this.rules = rules;
    this.entries = new Map();
    this.recent = new WaitQueue();
    this.busy = new WaitQueue();
    this.searchedAt = -Infinity;
  }

  /** How many keys are held. */
  get size(): number {
    return this.entries.size;
  }

  /** The state of `key`, made when there is none; `now` in monotonic milliseconds. */
  get(key: string, now: number): T {
    const known = this.entries.get(key);
    if (known === undefined) return this.add(key, now);
    known.usedAt = now;
    if (known.next !== undefined || known.queue !== this.recent) {
      this.leave(known);
      this.recent.push(known);
    }
    this.sweepRecent(now);
    return known;
  }

  /** The state of `key` if there is one; does not count as use. */
  peek(key: string): T | undefined {
    return this.entries.get(key);
  }

  /** Forgets a key, busy or not. */
  delete(key: string): boolean {
    const entry = this.entries.get(key);
    if (entry !== undefined) this.forget(entry);
    return entry !== undefined;
  }

  /** All states with their keys, in no order worth relying on. */
  *[Symbol.iterator](): IterableIterator<[key: string, state: T]> {
    yield* this.entries;
  }

  private add(key: string, now: number): T {
    // Made before anything moves: the factory may throw, or ask for a key itself, even for this one.
    const entry = this.rules.make(key);
    entry.usedAt = now;
    const sooner = this.entries.get(key);
    if (sooner !== undefined) return sooner;
    this.sweepRecent(now);
    this.sweepBusy(now);
    while (this.entries.size >= this.rules.max && this.makeRoom(now));
    this.entries.set(key, entry);
    this.recent.push(entry);
    return entry;
  }

  private sweepRecent(now: number): void {
    const oldest = this.recent.first;
    if (oldest === undefined || now - oldest.usedAt < this.rules.idleMs) return;
    if (this.rules.evictable(oldest)) this.forget(oldest);
    else this.setAside(oldest);
  }

  private sweepBusy(now: number): void {
    const oldest = this.busy.first;
    if (oldest === undefined || now - oldest.usedAt < this.rules.idleMs) return;
    if (this.rules.evictable(oldest)) {
      this.forget(oldest);
      return;
    }
    // Busy for so long is use as well, and it must not hide the idle ones behind it.
    oldest.usedAt = now;
    this.busy.remove(oldest);
    this.busy.push(oldest);
  }

  /** `false` when all are pinned. */
  private makeRoom(now: number): boolean {
    for (let oldest = this.recent.first; oldest !== undefined; oldest = this.recent.first) {
      if (this.rules.evictable(oldest)) return this.forget(oldest);
      this.setAside(oldest);
    }
    if (now - this.searchedAt >= searchEveryMs) {
      for (let entry = this.busy.first; entry !== undefined; entry = entry.next as T | undefined) {
        if (this.rules.evictable(entry)) return this.forget(entry);
      }
      this.searchedAt = now;
    }
    // Past the pinned ones at its head: somebody pins them by hand, so they are few.
    for (let entry = this.busy.first; entry !== undefined; entry = entry.next as T | undefined) {
      if (this.rules.pinned?.(entry) !== true) return this.forget(entry);
    }
    return false;
  }

  private setAside(entry: T): void {
    this.recent.remove(entry);
    this.busy.push(entry);
  }

  private leave(entry: T): void {
    if (!this.recent.remove(entry)) this.busy.remove(entry);
  }

  private forget(entry: T): boolean {
    this.leave(entry);
    return this.entries.delete(entry.key);
  }
}
