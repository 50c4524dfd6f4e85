import type { Execution } from './execution.ts';

/** The executions of one pipeline that run now, as a list through the executions themselves. */
export class Running {
  private first: Execution | null = null;

  add(execution: Execution): void {
    const { first } = this;
    execution.next = first;
    if (first !== null) first.previous = execution;
    this.first = execution;
  }

  /** Harmless for one that is not in the list. */
  remove(execution: Execution): void {
    const { previous, next } = execution;
    if (next === undefined) return;
    if (previous === null) this.first = next;
    else previous.next = next;
    if (next !== null) next.previous = previous;
    // One that is kept, by a function that hangs say, would keep those that ran beside it, and so on without end.
    execution.previous = null;
    execution.next = undefined;
  }

  /** As of now; ending one may end others. */
  all(): Execution[] {
    const all: Execution[] = [];
    for (let each = this.first; each !== null; each = each.next!) all.push(each);
    return all;
  }
}
