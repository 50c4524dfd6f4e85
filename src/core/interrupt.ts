import { warn } from '../ports/report.ts';
import type { Call } from './call.ts';
import type { DropReason, Stage } from './policy.ts';

/** Where a call stands when it has ended. */
export const NOWHERE = -1;
/** Where it stands while it is being taken out of its stages. */
const MOVING = -2;

/** What is asked for while another interruption is under way. */
export interface Interruption {
  readonly goal: number;
  readonly why: DropReason;
  readonly reason: unknown;
  readonly by: Stage | null;
}

/**
 * Ends everything inside stage `to`, innermost first and once: the running work is abandoned and its signal aborted with
 * `reason`, then each stage hears `drop`. With -1 the whole call ends with `reason`. What an abort listener asks for
 * meanwhile (it may abort the caller) is done afterwards, so that the order holds. `by` is the stage that gave the work up.
 */
export function interrupt(call: Call, to: number, why: DropReason, reason: unknown, by: Stage | null): void {
  let goal = call.parent === null ? to : Math.max(to, call.base);
  if (call.at === MOVING) {
    if (call.queued === null || goal < call.queued.goal) call.queued = { goal, why, reason, by };
    return;
  }
  if (call.at <= goal) return;
  let from = call.at;
  let { heard } = call;
  call.at = MOVING;
  call.heard = false;
  call.turn++;
  call.timer?.cancel();
  call.timer = null;
  for (;;) {
    const { work } = call;
    if (work !== null && work.stage.index > goal) {
      call.work = null;
      work.abandon(reason, by);
    }
    for (; from > goal; from--) {
      // A stage that has heard its end in the middle of which we are gets no second one.
      if (heard) heard = false;
      else drop(call.stages[from]!, call, why, reason);
    }
    const { queued }: Call = call;
    if (queued === null) break;
    call.queued = null;
    if (queued.goal < goal) ({ goal, why, reason, by } = queued);
  }
  call.at = goal <= call.base ? NOWHERE : goal;
  if (goal === NOWHERE) call.finish(false, reason);
}

function drop(stage: Stage, call: Call, why: DropReason, reason: unknown): void {
  try {
    stage.drop(call, why, reason);
  } catch (bug) {
    warn('A policy threw when it was told to give back what it held, which is a bug in it.', bug);
  }
}
