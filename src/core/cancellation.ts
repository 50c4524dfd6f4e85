import { Ring, type Ringed } from '../algorithms/ring.ts';
import { type Idle, sweepNow, sweepSoon } from '../ports/turn.ts';
import type { Call } from './call.ts';
import type { RunOptions } from './execute-options.ts';

/** A call's place behind its caller's signal. */
export class Seat implements Ringed<Seat> {
  readonly call: Call;
  readonly hub: Hub;
  previous: Seat | null = null;
  next: Seat | null = null;

  constructor(call: Call, hub: Hub) {
    this.call = call;
    this.hub = hub;
  }
}

/**
 * All calls behind one caller's signal. Node looks through every listener when one is added or removed, so a listener
 * per call makes a shared signal quadratic; one listener with an intrusive list behind it costs the same for any number.
 */
export class Hub implements Idle {
  sweeping = false;
  /** Of a call that brings this signal and nothing else. */
  options: RunOptions | undefined = undefined;
  private readonly signal: AbortSignal;
  private readonly seats = new Ring<Seat>();
  private listening = false;

  /** Whether calls have come to it after it was left: the signal is more than one call's. */
  private shared = false;

  private constructor(signal: AbortSignal) {
    this.signal = signal;
  }

  /** The one of that signal, made when there is none. */
  static of(signal: AbortSignal): Hub {
    const known = Marked.hubOf(signal);
    if (known !== undefined) return known;
    const hub = new Hub(signal);
    try {
      new Marked(signal, hub);
    } catch {
      // An object that takes no marks: each call has a hub of its own then.
    }
    return hub;
  }

  /** Ends `call` with the signal's reason when that aborts, until the call has ended by itself. */
  static join(signal: AbortSignal | undefined, call: Call): void {
    if (signal !== undefined && !signal.aborted) Hub.of(signal).add(call);
  }

  private add(call: Call): void {
    // First, because a signal that is none of the platform's may throw.
    if (!this.listening) {
      this.signal.addEventListener('abort', this);
      this.listening = true;
    }
    // Whoever aborts it does so in a context of their own.
    call.capture();
    call.seat = new Seat(call, this);
    this.seats.add(call.seat);
  }

  leave(seat: Seat): void {
    seat.call.seat = null;
    this.seats.remove(seat);
    if (this.seats.empty) this.rest();
  }

  /** The signal has aborted. */
  handleEvent(): void {
    const { reason } = this.signal;
    // User code run on the way may add and end others, so the list is read anew each time.
    for (let seat = this.seats.first; seat !== null; seat = this.seats.first) {
      this.leave(seat);
      seat.call.cancel(reason);
    }
  }

  /**
   * Nobody is behind it. Listening for each call costs more than the call, but one that waits for the end of the turn is kept
   * alive until then with its signal: so a signal that brought one call alone is let go at once.
   */
  private rest(): void {
    if (this.shared) return sweepSoon(this);
    this.shared = true;
    sweepNow(this);
  }

  sweep(): void {
    if (!this.seats.empty || !this.listening) return;
    this.listening = false;
    this.signal.removeEventListener('abort', this);
  }
}

/** What a class extends to put its private fields on an object that is there already. */
class Given {
  constructor(it: object) {
    // What `super()` answers with.
    return it;
  }
}

/**
 * A signal that has a hub, in a private field of ours, which nobody sees. A WeakMap would cost ten times as much, and the
 * garbage collector more than that while signals come and go.
 */
class Marked extends Given {
  readonly #hub: Hub;

  constructor(signal: AbortSignal, hub: Hub) {
    super(signal);
    this.#hub = hub;
  }

  static hubOf(signal: AbortSignal): Hub | undefined {
    return #hub in signal ? signal.#hub : undefined;
  }
}
