import { type Clock, systemClock, type Timer } from './clock.ts';
import { warn } from './report.ts';

let known: WeakMap<Clock, Clock> | undefined;

/**
 * A user's clock as policies can rely on, the same one for the same clock: what it throws, or answers in place of a
 * number or a timer, is reported once. Its last reading stands in for the time then, and the system's timer for its own.
 */
export function reliable(clock: Clock): Clock {
  if (clock === systemClock) return clock;
  known ??= new WeakMap();
  let own = known.get(clock);
  if (own === undefined) {
    own = steady(clock);
    known.set(clock, own).set(own, own);
  }
  return own;
}

function steady(clock: Clock): Clock {
  let last = 0;
  const read = (ask: () => number): number =>
    guarded(
      () => {
        const now: unknown = ask();
        if (typeof now !== 'number' || Number.isNaN(now)) throw new TypeError('a clock must answer a number');
        return (last = now);
      },
      () => last,
    );
  return {
    now: () => read(() => clock.now()),
    ...(clock.coarse !== undefined && { coarse: () => read(() => clock.coarse!()) }),
    after(ms, fn) {
      let over = false;
      // A timer may have been made although it was not answered.
      const once = () => {
        if (over) return;
        over = true;
        fn();
      };
      const timer = guarded(
        () => {
          const made: Partial<Timer> | undefined = clock.after(ms, once);
          if (typeof made?.cancel !== 'function') throw new TypeError('a clock must answer a timer');
          return made as Timer;
        },
        () => systemClock.after(ms, once),
      );
      return {
        cancel() {
          over = true;
          guarded(() => timer.cancel(), nothing);
        },
        ref: () => guarded(() => timer.ref(), nothing),
        unref: () => guarded(() => timer.unref(), nothing),
      };
    },
  };
}

function guarded<T>(ask: () => T, otherwise: () => T): T {
  try {
    return ask();
  } catch (error) {
    warn('A clock threw; its last reading, or a timer of the system, stands in for it.', error);
    return otherwise();
  }
}

function nothing(): void {}
