import { soon, turns } from '../ports/clock.ts';
import { warn } from '../ports/report.ts';

/** Something shared that is kept a moment after its last use, because calls follow each other. */
export interface Idle {
  /** Whether a sweep is due for it already; only `sweepSoon` writes it. */
  sweeping: boolean;
  /** The moment is over: let go unless it is in use again. */
  sweep(): void;
}

const waiting: Idle[] = [];

/** Who was asked for the next turn of the event loop, until it has come. */
let asked: unknown;

/**
 * Lets `idle` go in the next macrotask. Adding and removing a listener, or holding and releasing a timer, for each call
 * costs more than the call; one look per turn of the event loop costs nothing and leaves nothing behind.
 */
export function sweepSoon(idle: Idle): void {
  const host = turns();
  if (idle.sweeping && asked === host) return;
  if (!idle.sweeping) waiting.push(idle);
  idle.sweeping = true;
  // One that a test runner had put there, and has taken away, never comes.
  if (asked !== host) soon(sweepAll);
  asked = host;
}

function sweepAll(): void {
  asked = undefined;
  for (const idle of waiting.splice(0)) {
    idle.sweeping = false;
    sweepNow(idle);
  }
}

/** Lets it go at once. */
export function sweepNow(idle: Idle): void {
  try {
    idle.sweep();
  } catch (error) {
    // A clock or a signal that is none of the platform's.
    warn('A clock or a signal threw when it was let go.', error);
  }
}
