import { warn } from '../ports/report.ts';
import type { Call } from './call.ts';
import type { RunOptions } from './execute-options.ts';
import { type Idle, sweepSoon } from './idle.ts';

/** Of the signals before the last one, those that have calls. */
let hubs: WeakMap<AbortSignal, Hub> | undefined;

/** The last signal's: what comes next is mostly behind the same one, or behind one that nobody has seen before. */
let latest: Hub | undefined;

/** Lets that go; one for all, or a signal per call would leave one behind for each until the next turn. */
const sweeper: Idle = { sweeping: false, sweep: () => latest?.sweep() };

/** A call's place behind its caller's signal. */
export class Seat {
  readonly call: Call;
  readonly hub: Hub;
  previous: Seat | null;
  /** The last one's is the first: a ring. */
  next: Seat;

  constructor(call: Call, hub: Hub, previous: Seat | null) {
    this.call = call;
    this.hub = hub;
    this.previous = previous;
    this.next = previous === null ? this : previous.next;
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
  /** The ring by its end: pointing at both ends would write twice into an old object for each call. */
  private last: Seat | null = null;
  private listening = false;

  private constructor(signal: AbortSignal) {
    this.signal = signal;
  }

  static of(signal: AbortSignal): Hub {
    if (latest?.signal === signal) return latest;
    latest?.retire();
    latest = hubs?.get(signal) ?? new Hub(signal);
    sweepSoon(sweeper);
    return latest;
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
    const { last } = this;
    const seat = new Seat(call, this, last);
    call.seat = seat;
    if (last !== null) last.next = seat;
    this.last = seat;
  }

  leave(seat: Seat): void {
    const { previous, next } = seat;
    seat.call.seat = null;
    if (next === seat) {
      this.last = null;
      return sweepSoon(latest === this ? sweeper : this);
    }
    const last = this.last!;
    (previous ?? last).next = next;
    if (seat === last) this.last = previous;
    else next.previous = previous;
  }

  /** The signal has aborted. */
  handleEvent(): void {
    const { reason } = this.signal;
    // User code run on the way may add and end others, so the list is read anew each time.
    while (this.last !== null) {
      const seat: Seat = this.last.next;
      this.leave(seat);
      seat.call.cancel(reason);
    }
  }

  sweep(): void {
    if (this.last !== null) return;
    if (latest === this) latest = undefined;
    // The map would keep the size it had when most signals were alive.
    hubs?.delete(this.signal);
    if (!this.listening) return;
    this.listening = false;
    this.signal.removeEventListener('abort', this);
  }

  /** Another signal comes. */
  private retire(): void {
    if (this.last !== null) {
      (hubs ??= new WeakMap()).set(this.signal, this);
      return;
    }
    try {
      this.sweep();
    } catch (error) {
      warn('A signal threw when it was let go.', error);
    }
  }
}
