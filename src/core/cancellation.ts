import type { Call } from './call.ts';
import { type Idle, sweepSoon } from './idle.ts';

let hubs: WeakMap<AbortSignal, Hub> | undefined;

/**
 * All calls behind one caller's signal. Node looks through every listener when one is added or removed, so a listener
 * per call makes a shared signal quadratic; one listener with an intrusive list behind it costs the same for any number.
 */
export class Hub implements Idle {
  sweeping = false;
  private readonly signal: AbortSignal;
  private first: Call | null = null;
  private listening = false;

  private constructor(signal: AbortSignal) {
    this.signal = signal;
  }

  /** Ends `call` with the signal's reason when that aborts, until the call has ended by itself. */
  static join(signal: AbortSignal, call: Call): void {
    hubs ??= new WeakMap();
    let hub = hubs.get(signal);
    if (hub === undefined) {
      hub = new Hub(signal);
      hubs.set(signal, hub);
    }
    hub.add(call);
  }

  private add(call: Call): void {
    call.hub = this;
    call.hubNext = this.first;
    if (this.first !== null) this.first.hubPrevious = call;
    this.first = call;
    if (this.listening) return;
    this.listening = true;
    this.signal.addEventListener('abort', this);
  }

  leave(call: Call): void {
    const { hubPrevious, hubNext } = call;
    if (hubPrevious === null) this.first = hubNext;
    else hubPrevious.hubNext = hubNext;
    if (hubNext !== null) hubNext.hubPrevious = hubPrevious;
    call.hub = call.hubPrevious = call.hubNext = null;
    if (this.first === null) sweepSoon(this);
  }

  /** The signal has aborted. */
  handleEvent(): void {
    const { reason } = this.signal;
    // User code run on the way may add and end others, so the list is read anew each time.
    while (this.first !== null) {
      const call: Call = this.first;
      this.leave(call);
      call.cancel(reason);
    }
  }

  sweep(): void {
    if (this.first !== null || !this.listening) return;
    this.listening = false;
    this.signal.removeEventListener('abort', this);
  }
}
