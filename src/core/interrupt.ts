import { warn } from '../ports/report.ts';
import type { Call } from './call.ts';
import { finish } from './home.ts';
import type { DropReason, Stage } from './policy.ts';

/** Where a call stands when it has ended. */
export const NOWHERE = -1;
/** Where it stands while it is being taken out of its stages. */
const MOVING = -2;

/** Who gives work up, and hears when it has ended after all. */
export interface Giver {
  /** Full name. */
  readonly label: string;
  late(): void;
}

/** Forks that are being taken out of their stages, the innermost last; the calls they came from have to wait for that. */
const moving: Call[] = [];

/** What is asked for while another interruption is under way. */
export interface Interruption {
  readonly goal: number;
  readonly why: DropReason;
  readonly reason: unknown;
  readonly by: Giver | null;
  readonly then: (() => void) | undefined;
}

/**
 * Ends everything inside stage `to`, innermost first and once: the running work is abandoned and its signal aborted with
 * `reason`, then each stage hears `drop`. With -1 the whole call ends with `reason`. What an abort listener asks for
 * meanwhile (it may abort the caller) is done afterwards, so that the order holds. `by` gave the work up; `null` is the caller.
 * `then` is run when the call has come to stand at `to`, and never when it was taken further.
 */
export function interrupt(
  call: Call,
  to: number,
  why: DropReason,
  reason: unknown,
  by: Giver | null,
  then?: () => void,
): void {
  let goal = to;
  if (!isInside(call, goal)) return;
  if (call.at === MOVING || isBusy(call)) {
    if (call.queued === null || goal < call.queued.goal) call.queued = { goal, why, reason, by, then };
    return;
  }
  if (call.parent !== null) moving.push(call);
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
    if (queued.goal < goal) ({ goal, why, reason, by, then } = queued);
  }
  call.at = goal <= call.base ? NOWHERE : goal;
  if (goal === NOWHERE) finish(call, false, reason);
  if (call.parent !== null) catchUp(call);
  if (call.at === goal && then !== undefined) call.guarded(then);
}

/** Whether it stands further inside than stage `index`, or is being taken out of there. */
export function isInside(call: Call, index: number): boolean {
  return call.at === MOVING || call.at > index;
}

/** The same, and `stage` then hears `error` as what came of it, unless a listener has ended more of the call meanwhile. */
export function failInside(call: Call, stage: Stage, why: DropReason, error: unknown, by: Giver): void {
  interrupt(call, stage.index, why, error, by, () => {
    call.heard = true;
    stage.fail(call, error);
  });
}

/** Whether a fork of `call` is being taken out, by itself, and what is asked of the call meanwhile has to wait. */
function isBusy(call: Call): boolean {
  return moving.some((fork) => {
    for (let own = fork.parent; own !== null; own = own.parent) if (own === call) return true;
    return false;
  });
}

/** A fork is out: what was asked of the calls it came from meanwhile is done now, unless they are on their way themselves. */
function catchUp(fork: Call): void {
  moving.splice(moving.lastIndexOf(fork), 1);
  for (let call = fork.parent; call !== null; call = call.parent) {
    const { queued } = call;
    if (queued === null || call.at === MOVING || isBusy(call)) continue;
    call.queued = null;
    interrupt(call, queued.goal, queued.why, queued.reason, queued.by, queued.then);
  }
}

function drop(stage: Stage, call: Call, why: DropReason, reason: unknown): void {
  try {
    stage.drop(call, why, reason);
  } catch (bug) {
    warn('A policy threw when it was told to give back what it held, which is a bug in it.', bug);
  }
}
