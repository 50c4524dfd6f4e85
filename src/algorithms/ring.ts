/** What stands in a {@link Ring}: two fields, both `null` outside of one, set by the ring alone. */
export interface Ringed<T> {
  previous: T | null;
  /** That of the last one is the first. */
  next: T | null;
}

/**
 * First come, first served, with the links in what stands in it, so that anything leaves from the middle in O(1). It is
 * held by its end: pointing at both ends would write twice into an old object for each call, which costs the garbage
 * collector more than the rest of it. Where waits are long a `WaitQueue` does, which also knows its size and its members.
 */
export class Ring<T extends Ringed<T>> {
  private last: T | null = null;

  /** Whether nobody stands in it. */
  get empty(): boolean {
    return this.last === null;
  }

  /** The one that came first. */
  get first(): T | null {
    return this.last === null ? null : this.last.next;
  }

  /** Puts it at the end; it must stand in no ring. */
  add(item: T): void {
    const { last } = this;
    item.previous = last;
    if (last === null) item.next = item;
    else {
      item.next = last.next;
      last.next = item;
    }
    this.last = item;
  }

  /** Takes it out; harmless when it is out already. */
  remove(item: T): void {
    const { previous, next } = item;
    if (next === null) return;
    item.previous = item.next = null;
    if (next === item) {
      this.last = null;
      return;
    }
    const last = this.last!;
    (previous ?? last).next = next;
    if (item === last) this.last = previous;
    else next.previous = previous;
  }
}
