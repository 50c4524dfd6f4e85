import type { Timer } from '../ports/clock.ts';
import type { Call } from './call.ts';
import type { Host } from './policy.ts';
import { afterWork } from './sleep.ts';

/** Something with a limited number of slots. */
export interface SlotPool {
  /** Slots kept by abandoned work. */
  held: number;
  /** Slots given up before their work had ended. */
  leaked: number;
  release(): void;
}

/**
 * Gives a call's slot back once every user function that it started after the `since`th has ended, but at the latest
 * after `maxMs` milliseconds, with word to `leaked`: one hung function must not eat a slot for ever.
 */
export function releaseAfterWork(
  call: Call,
  since: number,
  pool: SlotPool,
  maxMs: number,
  host: Host,
  leaked: () => void,
): void {
  let timer: Timer | undefined;
  let over = false;
  const free = () => {
    if (over) return;
    over = true;
    if (timer !== undefined) pool.held--;
    timer?.cancel();
    pool.release();
  };
  afterWork(call, since, free);
  if (over) return;
  pool.held++;
  timer = host.clock.after(maxMs, () => {
    pool.leaked++;
    leaked();
    free();
  });
  // The call has long been answered; only its slot waits.
  timer.unref();
}
