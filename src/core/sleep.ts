import { type Idle, soon, sweepSoon, turnsCome } from '../ports/turn.ts';
import type { Call } from './call.ts';
import type { Stage } from './policy.ts';

/**
 * Parks a call at `stage`: when the answer is called, the stage hears `resume` in a microtask of the call's own async
 * context, unless the call has moved on. The promise is made and subscribed here, so whoever wakes it, a timer or another
 * call that gave up its slot, does so in the context of here; and a queue of a hundred thousand never grows the stack.
 * Whoever ends the wait from outside finds that context remembered.
 */
export function park(call: Call, stage: Stage): (value?: unknown) => void {
  const turn = ++call.turn;
  call.capture();
  call.heard = false;
  let wake!: (value?: unknown) => void;
  new Promise<unknown>((resolve) => {
    wake = resolve;
  }).then((value) => {
    if (call.turn !== turn || call.at !== stage.index) return;
    call.turn++;
    call.guarded(() => stage.resume(call, value));
  });
  return wake;
}

/** Parks a call for `ms` milliseconds on its pipeline's clock; an interruption ends the wait at once and takes the timer along. */
export function sleep(call: Call, stage: Stage, ms: number): void {
  const wake = park(call, stage);
  if (ms <= 0) return goOn(wake);
  call.timer = stage.scope.clock.after(ms, wake);
}

/** How many pauses of no length one turn of the event loop may see before timers and sockets have theirs. */
const AT_ONCE = 100;

let pauses = 0;

const lull: Idle = {
  sweeping: false,
  sweep() {
    pauses = 0;
  },
};

/** At once, which is a microtask later; but promises alone would keep the event loop from turning for as long as it lasts. */
function goOn(wake: () => void): void {
  sweepSoon(lull);
  // A test runner's turns come when the test says so, and it has not heard of this wait.
  if (++pauses <= AT_ONCE || !turnsCome()) wake();
  else soon(wake);
}

/** Runs `then` once every user function that `call` started after the `since`th has ended: at once when none is left running. */
export function afterWork(call: Call, since: number, then: () => void): void {
  const running = call.root.orphans?.filter((work) => work.serial > since && work.belongsTo(call)) ?? [];
  if (running.length === 0) return then();
  let left = running.length;
  for (const work of running)
    work.whenOver(() => {
      if (--left === 0) then();
    });
}
