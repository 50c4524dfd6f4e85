import type { Clock, Timer } from '../ports/clock.ts';
import { soon } from '../ports/turn.ts';

/** A {@link Clock} that stands still until it is told to move. */
export interface VirtualClock extends Clock {
  /**
   * Moves time on by `ms` milliseconds and runs what falls due on the way, in order of its time and then of its making.
   * Time stops at each of those moments until the promises it woke have settled, so what they schedule in turn is run
   * too. Rejects with what a callback throws. Calls made while another runs wait for it.
   */
  advance(ms: number): Promise<void>;
  /** Timers that have neither run nor been cancelled; 0 is "nothing left behind". */
  readonly pending: number;
}

/**
 * A clock for tests that begins at `start` milliseconds: nothing sleeps, and an hour takes no time. Give it to a pipeline
 * as `clock`. It touches no global, so real sockets and other tests' timers are left alone; the runner's own fake timers
 * must be off, because it waits for promises by real turns of the event loop.
 */
export function virtualClock(start = 0): VirtualClock {
  return new SteppedClock(start);
}

/** How many turns of the event loop promises get to settle: a stall grace takes one, and what it wakes may take another. */
const turns = 4;

/** A callback that schedules itself again without delay would keep `advance` busy for ever. */
const mostAtOnce = 100_000;

class SteppedClock implements VirtualClock {
  private time: number;
  /** By due time, then by making. */
  private readonly timers: SteppedTimer[];
  private last: Promise<void>;

  constructor(start: number) {
    this.time = start;
    this.timers = [];
    this.last = Promise.resolve();
  }

  get pending(): number {
    return this.timers.length;
  }

  now(): number {
    return this.time;
  }

  after(ms: number, fn: () => void): Timer {
    const timer = new SteppedTimer(this.timers, this.time + (ms > 0 ? ms : 0), fn);
    if (timer.due < Infinity) timer.insert();
    return timer;
  }

  advance(ms: number): Promise<void> {
    if (!(ms >= 0 && ms < Infinity)) {
      return Promise.reject(
        new RangeError(`Cannot advance the virtual clock: "ms" must be a finite number from 0 up, received ${ms}`),
      );
    }
    const step = this.last.then(() => this.run(ms));
    this.last = step.catch(() => {});
    return step;
  }

  private async run(ms: number): Promise<void> {
    await settle();
    const target = this.time + ms;
    for (let atOnce = 0; ; atOnce++) {
      const timer = this.timers[0];
      if (timer === undefined || timer.due > target) break;
      if (timer.due > this.time) atOnce = 0;
      if (atOnce > mostAtOnce)
        throw new Error(
          `The virtual clock stands still: ${mostAtOnce} timers ran at ${this.time} ms and another is due.`,
        );
      this.time = timer.due;
      timer.cancel();
      timer.fn();
      await settle();
    }
    this.time = target;
  }
}

class SteppedTimer implements Timer {
  readonly due: number;
  readonly fn: () => void;
  private readonly timers: SteppedTimer[];

  constructor(timers: SteppedTimer[], due: number, fn: () => void) {
    this.timers = timers;
    this.due = due;
    this.fn = fn;
  }

  insert(): void {
    const behind = this.timers.findLastIndex((other) => other.due <= this.due);
    this.timers.splice(behind + 1, 0, this);
  }

  cancel(): void {
    const index = this.timers.indexOf(this);
    if (index >= 0) this.timers.splice(index, 1);
  }

  ref(): void {}

  unref(): void {}
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise<void>(soon);
}
