import { soon } from '../ports/clock.ts';
import { warn } from '../ports/report.ts';

/** Something shared that is kept a moment after its last use, because calls follow each other. */
export interface Idle {
  /** Whether a sweep is due for it already; only `sweepSoon` writes it. */
  sweeping: boolean;
  /** The moment is over: let go unless it is in use again. */
  sweep(): void;
}

const waiting: Idle[] = [];

/**
 * Lets `idle` go in the next macrotask. Adding and removing a listener, or holding and releasing a timer, for each call
 * costs more than the call; one look per turn of the event loop costs nothing and leaves nothing behind.
 */
export function sweepSoon(idle: Idle): void {
  if (idle.sweeping) return;
  idle.sweeping = true;
  if (waiting.push(idle) === 1) soon(sweepAll);
}

function sweepAll(): void {
  for (const idle of waiting.splice(0)) {
    idle.sweeping = false;
    try {
      idle.sweep();
    } catch (error) {
      // A clock or a signal that is none of the platform's.
      warn('A clock or a signal threw when it was let go.', error);
    }
  }
}
