import type { CircuitBook } from '../algorithms/circuit-book.ts';
import type { CircuitSnapshots } from '../algorithms/circuit-state.ts';
import { warn } from '../ports/report.ts';
import type { CircuitStateName } from '../telemetry/events.ts';
import { type Handle, handle } from './handle.ts';

/** One circuit, or all of a policy. */
export interface CircuitControl {
  /** Computed when read: `half_open` as soon as the break is over. */
  readonly state: CircuitStateName;
  /** Rejects everything until disposed; holds add up. */
  isolate(): Handle;
  /** Lets everything through until disposed, and still counts; holds add up. */
  disable(): Handle;
  /** Closes it, with a fresh window. */
  reset(): void;
  /** State as plain JSON for `initialState`; manual holds are not in it. */
  toJSON(): CircuitSnapshots;
}

/** All circuits, or that of one key, looked up each time: it may have been forgotten and made anew. */
export function control(book: CircuitBook, key: string | undefined): CircuitControl {
  const scope = () => (key === undefined ? undefined : book.record(key));
  return {
    get state() {
      return faultless(book, book.state(book.glance(key)));
    },
    isolate: () => handle(book.hold('isolated', scope())),
    disable: () => handle(book.hold('disabled', scope())),
    reset: () => faultless(book, book.reset(book.glance(key))),
    toJSON: () => faultless(book, book.toJSON(book.glance(key))),
  };
}

/** An answer outside of any call, where no observer hears of the user code that failed on the way. */
export function faultless<T>(book: CircuitBook, answer: T): T {
  for (const { where, error } of book.takeFaults())
    warn(`A circuit breaker's ${where} threw; it went on without it.`, error);
  return answer;
}
