/**
 * What the caller's signal still has to end after the headers are there: any number of bodies behind one listener, which
 * is gone again with the last of them.
 */

/** Something that can be ended by a signal. */
export interface Linked {
  end(reason: unknown): void;
}

// Made at the first use: importing this has no effect.
let hubs: WeakMap<AbortSignal, Hub> | undefined;

/** Ends `target` with the signal's reason when that aborts, at once if it has; until the answer is called. */
export function link(signal: AbortSignal, target: Linked): () => void {
  if (signal.aborted) {
    target.end(signal.reason);
    return () => {};
  }
  hubs ??= new WeakMap();
  let hub = hubs.get(signal);
  if (hub === undefined) hubs.set(signal, (hub = new Hub(signal)));
  return hub.add(target);
}

class Hub {
  private readonly signal: AbortSignal;
  private readonly targets = new Set<Linked>();

  constructor(signal: AbortSignal) {
    this.signal = signal;
  }

  add(target: Linked): () => void {
    if (this.targets.size === 0) this.signal.addEventListener('abort', this);
    this.targets.add(target);
    return () => {
      if (this.targets.delete(target) && this.targets.size === 0) this.signal.removeEventListener('abort', this);
    };
  }

  handleEvent(): void {
    const { reason } = this.signal;
    for (const target of [...this.targets]) target.end(reason);
  }
}
