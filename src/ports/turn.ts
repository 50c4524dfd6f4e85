/** Turns of the event loop: what is left for the next one, and what is let go in it. */
import { warn } from './report.ts';

/**
 * Runs `fn` in the next macrotask of the host: what is in the sockets by then has been delivered first. It holds the
 * process for that one turn, because an unref'd immediate is silently lost when nothing else is pending.
 */
export function soon(fn: () => void): void {
  if (typeof setImmediate === 'function') setImmediate(fn);
  else setTimeout(fn, 0);
}

/** What `soon` asks now: another one when somebody has replaced it, and then the earlier one may never answer. */
function turns(): unknown {
  return typeof setImmediate === 'function' ? setImmediate : setTimeout;
}

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

/** Whether a turn has ever come that was asked for: those of a test runner that was there before us come when it says so. */
let turned = false;

const hostTurns = /* @__PURE__ */ turns();

/** Whether the next turn is certain to come by itself: nobody has replaced what asks for it. */
export function turnsCome(): boolean {
  return turned && turns() === hostTurns;
}

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
  turned = true;
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
