import type { Call } from './call.ts';
import type { Deadline, DeadlineList } from './deadlines.ts';
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
 * Gives a call's slot back once every user function that it started after the `since`th has ended, but at the latest when
 * its time in `limit` is over, with word to `leaked`: one hung function must not eat a slot for ever.
 */
export function releaseAfterWork(
  call: Call,
  since: number,
  pool: SlotPool,
  limit: DeadlineList<() => void> | undefined,
  leaked: () => void,
): void {
  let deadline: Deadline<() => void> | undefined;
  let held = false;
  let over = false;
  const free = () => {
    if (over) return;
    over = true;
    if (held) pool.held--;
    if (deadline !== undefined) limit?.remove(deadline);
    pool.release();
  };
  afterWork(call, since, free);
  if (over) return;
  held = true;
  pool.held++;
  deadline = limit?.add(() => {
    pool.leaked++;
    leaked();
    free();
  });
}
