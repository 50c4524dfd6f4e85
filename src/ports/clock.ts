/**
 * Time, as the library sees it: a monotonic reading and a callback later. Wall-clock jumps change nothing, and a test
 * hands in `virtualClock()` instead of replacing globals.
 */
import { type Idle, sweepSoon, turnsCome } from './turn.ts';

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
  /** The time for what begins now, as exact as {@link now}, but perhaps to be read later; a clock without it is asked `now()`. */
  begin?(): Beginning;
}

/** When something began, in milliseconds, or where to read that. */
export type Beginning = number | SharedReading;

/** The coarse reading of a clock that has one, else the exact one; milliseconds. */
export function coarse(clock: Clock): number {
  return clock.coarse === undefined ? clock.now() : clock.coarse();
}

/** The time for what begins now. */
export function beginning(clock: Clock): Beginning {
  return clock.begin === undefined ? clock.now() : clock.begin();
}

/** When it began, in milliseconds: never before it did, and no later than the turn of the event loop in which it did. */
export function begunAt(beginning: Beginning): number {
  return typeof beginning === 'number' ? beginning : beginning.read();
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

/**
 * The last coarse reading, in fields of one object: V8 looks at a module's own variables twice, to see that they are set.
 * A field that has not always held a number keeps one as it is, instead of wrapping it anew for each read.
 */
const coarsely: { reading: number | undefined; left: number; armed: boolean } = {
  reading: undefined,
  left: 0,
  armed: false,
};

/**
 * The host, looked up once, because on the global object `performance` is a getter that costs as much as the reading
 * itself; and again when somebody has replaced the timers, as test runners do. That is a look at a plain property, which
 * is free. What is read is `performance`, or one that was put in its place, shifted so that time goes on.
 */
const host: { timers: typeof setTimeout; found: typeof performance; clock: Pick<Clock, 'now'> } = {
  timers: setTimeout,
  found: performance,
  clock: performance,
};

/** How often somebody has replaced the timers, seen from 1: those asked for in an earlier era may never come. */
export let era = 1;

function now(): number {
  if (setTimeout !== host.timers) follow();
  return host.clock.now();
}

function follow(): void {
  era++;
  host.timers = setTimeout;
  burst.shared?.read();
  if (performance !== host.found) {
    const clock = performance;
    // Whole milliseconds, or sums with the round figures of a fake clock would no longer be exact.
    const shift = Math.ceil(host.clock.now() - clock.now());
    host.found = clock;
    host.clock = { now: () => clock.now() + shift };
  }
  // What ends the readings that are shared has gone with the others.
  endCoarse();
  endBurst();
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
    if (coarsely.left === 0 || setTimeout !== host.timers) return readCoarse();
    coarsely.left--;
    return coarsely.reading!;
  },

  begin() {
    if (burst.left === 0 || setTimeout !== host.timers) return beginAnew();
    burst.left--;
    return burst.shared!;
  },
};

function readCoarse(): number {
  coarsely.left = coarseReads - 1;
  // Armed by activity and never by itself, so that an idle process has no timer of ours.
  if (!coarsely.armed) {
    coarsely.armed = true;
    unref(setTimeout(endCoarse, coarseMs));
  }
  return (coarsely.reading = now());
}

function endCoarse(): void {
  coarsely.left = 0;
  coarsely.armed = false;
}

/** Beginnings at most so far apart, in milliseconds, are of one turn of the event loop: a turn of its own takes longer. */
const closeMs = 0.005;

/** So many of them in a row make a burst: more than one request starts, and what it starts is timed exactly. */
const closeOnes = 64;

/** The most that share a reading. */
const sharers = 64;

/**
 * A reading that a burst of beginnings shares, because the clock costs more than everything else that begins with a call.
 * It is taken when all of them have begun: after so many, when somebody asks, or when the turn ends, so that what is due
 * some time after it is never early. Calls that come one by one, as requests do, have readings of their own.
 */
class SharedReading {
  private at: number | undefined = undefined;

  read(): number {
    if (this.at === undefined) {
      this.at = now();
      if (burst.shared === this) endBurst();
    }
    return this.at;
  }
}

const burst: Idle & { shared: SharedReading | null; left: number; close: number; last: number; since: number } = {
  shared: null,
  left: 0,
  close: 0,
  last: 0,
  since: 1,
  sweeping: false,
  /** Its turn is over. */
  sweep() {
    this.shared?.read();
    endBurst();
  },
};

function beginAnew(): Beginning {
  const { close, last, since, shared } = burst;
  const at = shared === null ? now() : shared.read();
  burst.last = at;
  burst.close = at - last <= closeMs * since ? close + 1 : 0;
  burst.since = 1;
  // With timers that somebody has replaced a turn may never end.
  if (era === 1 && burst.close >= closeOnes) share();
  return at;
}

function share(): void {
  sweepSoon(burst);
  // Nobody else takes the reading of the last ones.
  if (!turnsCome()) return;
  burst.shared = new SharedReading();
  burst.left = burst.since = sharers;
}

function endBurst(): void {
  burst.shared = null;
  burst.left = burst.close = 0;
  burst.since = 1;
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
