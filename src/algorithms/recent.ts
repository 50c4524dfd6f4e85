/** Seconds looked back over. */
const SECONDS = 10;

/** Running totals at some moment. */
interface Mark {
  readonly at: number;
  readonly calls: number;
  readonly failures: number;
}

/**
 * How much running totals have grown in the last ten seconds, within a second. Nothing is counted a second time: once a
 * second the totals are noted, and a reader subtracts the note of ten seconds ago. A call pays one comparison.
 */
export class Recent {
  private next = Number.NEGATIVE_INFINITY;
  private marks: Mark[] = [];

  /** To be asked before the totals grow: whether they are to be noted now. `now` in monotonic milliseconds. */
  due(now: number): boolean {
    return now >= this.next;
  }

  /** Notes the totals as they are. */
  note(now: number, calls: number, failures: number): void {
    this.next = now + 1_000;
    this.marks.push({ at: now, calls, failures });
    this.forget(now);
  }

  /** The growth since ten seconds before `now`, given the totals as they are. */
  since(now: number, calls: number, failures: number): { readonly calls: number; readonly failures: number } {
    this.forget(now);
    const [oldest] = this.marks;
    if (oldest === undefined) return { calls: 0, failures: 0 };
    return { calls: calls - oldest.calls, failures: failures - oldest.failures };
  }

  private forget(now: number): void {
    const from = this.marks.findIndex(({ at }) => now - at <= SECONDS * 1_000);
    // A quiet time leaves no note, and the totals have not grown in it.
    if (from !== 0) this.marks = from < 0 ? [] : this.marks.slice(from);
  }
}
