import type { Circuit } from './circuit.ts';
import type { Keyed } from './idle-keys.ts';
import type { QuietCount } from './quiet.ts';
import type { Waiter } from './wait-queue.ts';

/** A circuit's own state, or a hold by hand. */
export type HeldState = 'closed' | 'open' | 'half_open' | 'isolated' | 'disabled';

/** A change of state as operators see it, dated when it was due; `key` is the circuit's. */
export interface Change {
  readonly from: HeldState;
  readonly to: HeldState;
  readonly at: number;
  readonly failureRatio: number | undefined;
  readonly key: string | undefined;
  /** The failure that led to it, and its type where the user named one. */
  readonly error: unknown;
  readonly errorType: string | undefined;
}

/** That a call was let in; all calls of one period of a closed circuit have the same. */
export class Admission {
  readonly record: CircuitRecord;
  readonly permit: number;

  constructor(record: CircuitRecord, permit: number) {
    this.record = record;
    this.permit = permit;
  }
}

/** What is known only of a circuit that has changed its state, or was held by hand. */
class Notes {
  cause: unknown = undefined;
  isolated = 0;
  disabled = 0;
  /** Counted already, not told yet. */
  news: Change[] = [];
}

const nothingNoted: Readonly<Notes> = /* @__PURE__ */ new Notes();

/** One circuit, with what is known of it beside its numbers. A service may have a million, so what few have is made late. */
export class CircuitRecord implements Keyed, QuietCount {
  prev: Waiter | undefined = undefined;
  next: Waiter | undefined = undefined;
  queue: object | undefined = undefined;
  usedAt = 0;
  /** `undefined` for the one without a key. */
  readonly key: string;
  /** There once something is known that is more than a few successes, which are counted here until then. */
  circuit: Circuit | undefined = undefined;
  quiet = 0;
  until = Number.NaN;
  inFlight = 0;
  /** The last one given. */
  admission: Admission | undefined = undefined;
  private own: Notes | undefined = undefined;

  constructor(key: string | undefined) {
    this.key = key as string;
  }

  /** The failure that opened it; let go when it closes. */
  get cause(): unknown {
    return this.notes.cause;
  }

  /** To read. */
  get notes(): Readonly<Notes> {
    return this.own ?? nothingNoted;
  }

  /** To write. */
  get noted(): Notes {
    return (this.own ??= new Notes());
  }
}
