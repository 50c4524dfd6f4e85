/**
 * Time, as the library sees it: a monotonic reading and a callback later. Wall-clock jumps change nothing, and a test
 * hands in `virtualClock()` instead of replacing globals.
 */

/** One pending callback of a {@link Clock}. */
export interface Timer {
  /** Forgets the callback; harmless when it has run already. */
  cancel(): void;
  /** Lets the timer keep the process alive until it is due, which is how it starts. */
  ref(): void;
  /** Lets the process exit although the timer is pending. */
  unref(): void;
}

/** Monotonic milliseconds. */
export interface Clock {
  /** Milliseconds since some fixed moment in the past; fractions are meaningful, the origin is not. */
  now(): number;
  /**
   * Calls `fn` once, `ms` milliseconds from now and never earlier by this clock's own `now()`. Any length works,
   * `Infinity` never fires and holds nothing, negative and `NaN` are 0. An error thrown by `fn` is the owner's to catch.
   */
  after(ms: number, fn: () => void): Timer;
  /** A reading in milliseconds that may be a few of them old, for windows; a clock without it is asked `now()`. */
  coarse?(): number;
}

/** The coarse reading of a clock that has one, else the exact one; milliseconds. */
export function coarse(clock: Clock): number {
  return clock.coarse === undefined ? clock.now() : clock.coarse();
}

/** The longest delay `setTimeout` holds, in milliseconds; beyond it Node fires after 1 ms. */
const longestTimeout = 2 ** 31 - 1;

/** How long a coarse reading is good for, in milliseconds. */
const coarseMs = 5;

/**
 * How many reads one coarse reading serves at most. Promise chains that never reach the event loop starve the timer
 * that ends the reading, and so does a test runner that took the timers away.
 */
const coarseReads = 64;

let coarseReading = 0;
let coarseLeft = 0;
let coarseArmed = false;

/**
 * Looked up once, because on the global object `performance` is a getter that costs as much as the reading itself; and
 * again when somebody has replaced the timers, as test runners do. That is a look at a plain property, which is free.
 */
let found = performance;
let timers = setTimeout;

/** What is read: `performance`, or one that was put in its place, shifted so that time goes on. */
let host: Pick<Clock, 'now'> = found;

/** How often somebody has replaced the timers, seen from 1: those asked for in an earlier era may never come. */
export let era = 1;

function now(): number {
  if (setTimeout !== timers) follow();
  return host.now();
}

function follow(): void {
  era++;
  timers = setTimeout;
  if (performance !== found) {
    const clock = performance;
    // Whole milliseconds, or sums with the round figures of a fake clock would no longer be exact.
    const shift = Math.ceil(host.now() - clock.now());
    found = clock;
    host = { now: () => clock.now() + shift };
  }
  // The timer that ends the coarse reading has gone with the others.
  endCoarse();
}

/** The host's clock: `performance.now()` and `setTimeout`. */
export const systemClock: Clock = {
  now,

  after(ms, fn) {
    if (ms === Infinity) return never;
    const timer = new SystemTimer(now() + (ms > 0 ? ms : 0), fn);
    timer.arm();
    return timer;
  },

  coarse() {
    if (coarseLeft === 0 || setTimeout !== timers) return readCoarse();
    coarseLeft--;
    return coarseReading;
  },
};

function readCoarse(): number {
  coarseLeft = coarseReads - 1;
  // Armed by activity and never by itself, so that an idle process has no timer of ours.
  if (!coarseArmed) {
    coarseArmed = true;
    unref(setTimeout(endCoarse, coarseMs));
  }
  return (coarseReading = now());
}

function endCoarse(): void {
  coarseLeft = 0;
  coarseArmed = false;
}

type Handle = ReturnType<typeof setTimeout>;

class SystemTimer implements Timer {
  private readonly due: number;
  private readonly fn: () => void;
  private handle: Handle | undefined;
  /** Of the same host as the handle, whoever's timers are there by the time it is needed. */
  private clear: typeof clearTimeout;
  private held: boolean;

  constructor(due: number, fn: () => void) {
    this.due = due;
    this.fn = fn;
    this.handle = undefined;
    this.clear = clearTimeout;
    this.held = true;
  }

  arm(): void {
    // It may be due already, when the process was kept from running just now; Node warns of a negative delay.
    const left = Math.max(Math.ceil(this.due - now()), 0);
    this.handle = setTimeout(fire, Math.min(left, longestTimeout), this);
    this.clear = clearTimeout;
    if (!this.held) unref(this.handle);
  }

  /** Node counts from the time its loop last looked, so it may fire early, and long delays come in pieces. */
  elapsed(): void {
    if (now() < this.due) return this.arm();
    this.handle = undefined;
    this.fn();
  }

  cancel(): void {
    if (this.handle === undefined) return;
    const { clear } = this;
    clear(this.handle);
    this.handle = undefined;
  }

  ref(): void {
    this.held = true;
    if (this.handle !== undefined) hostTimer(this.handle).ref?.();
  }

  unref(): void {
    this.held = false;
    if (this.handle !== undefined) unref(this.handle);
  }
}

function fire(timer: SystemTimer): void {
  timer.elapsed();
}

function unref(handle: Handle): void {
  hostTimer(handle).unref?.();
}

/** Outside Node a timer is a number, which holds nobody. */
function hostTimer(handle: Handle): { ref?(): void; unref?(): void } {
  return handle;
}

const never: Timer = { cancel() {}, ref() {}, unref() {} };

/**
 * Runs `fn` in the next macrotask of the host: what is in the sockets by then has been delivered first. It holds the
 * process for that one turn, because an unref'd immediate is silently lost when nothing else is pending.
 */
export function soon(fn: () => void): void {
  if (typeof setImmediate === 'function') setImmediate(fn);
  else setTimeout(fn, 0);
}

/** What `soon` asks now: another one when somebody has replaced it, and then the earlier one may never answer. */
export function turns(): unknown {
  return typeof setImmediate === 'function' ? setImmediate : setTimeout;
}
