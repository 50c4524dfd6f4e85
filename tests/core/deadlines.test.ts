import { fallback, pipeline, timeout } from 'seaworthy';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { DeadlineList, OwnDeadline } from '../../src/core/deadlines.ts';
import { type Clock, systemClock } from '../../src/ports/clock.ts';
import { warn } from '../../src/ports/report.ts';
import { virtualClock } from '../../src/testing/virtual-clock.ts';
import { turn, watch } from './spy.ts';

interface HandClock extends Clock {
  time: number;
  /** When the live timers are due. */
  pending(): number[];
  /** Rings the first timer, whatever time it is. */
  ring(): void;
}

/** A clock whose timers ring when a test says so. */
function handClock(): HandClock {
  const timers: { due: number; fn: () => void; live: boolean }[] = [];
  const clock: HandClock = {
    time: 0,
    now: () => clock.time,
    after(ms: number, fn: () => void) {
      const timer = { due: clock.time + ms, fn, live: true };
      timers.push(timer);
      return { cancel: () => void (timer.live = false), ref() {}, unref() {} };
    },
    pending: () => timers.filter((timer) => timer.live).map((timer) => timer.due),
    ring() {
      const timer = timers.filter((timer) => timer.live).sort((a, b) => a.due - b.due)[0]!;
      timer.live = false;
      timer.fn();
    },
  };
  return clock;
}

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe('a list of deadlines', () => {
  const setup = () => {
    const clock = handClock();
    const fired: string[] = [];
    const list = new DeadlineList<() => void>(clock, 100, (fire) => fire());
    const add = (name: string) => list.add(() => fired.push(name));
    return { clock, list, fired, add };
  };

  it('has one timer for all, and fires each when it is due, in order', () => {
    const { clock, fired, add } = setup();
    add('a');
    clock.time = 30;
    add('b');
    add('c');
    expect(clock.pending()).toEqual([100]);
    clock.time = 100;
    clock.ring();
    expect(fired).toEqual(['a']);
    expect(clock.pending()).toEqual([130]);
    clock.time = 130;
    clock.ring();
    expect(fired).toEqual(['a', 'b', 'c']);
    expect(clock.pending()).toEqual([]);
  });

  it('is never early, also when the timer is', () => {
    const { clock, fired, add } = setup();
    add('a');
    clock.time = 99.5;
    clock.ring();
    expect(fired).toEqual([]);
    expect(clock.pending()).toEqual([100]);
    clock.time = 100;
    clock.ring();
    expect(fired).toEqual(['a']);
  });

  it('a few milliseconds late it fires at once', () => {
    const { clock, fired, add } = setup();
    add('a');
    clock.time = 109;
    clock.ring();
    expect(fired).toEqual(['a']);
  });

  it('after a stall it waits one turn, in which answers that lie in the sockets remove theirs', () => {
    const { clock, list, fired, add } = setup();
    const answered = add('answered');
    add('silent');
    clock.time = 500;
    clock.ring();
    expect(fired).toEqual([]);
    expect(clock.pending()).toEqual([500]);
    list.remove(answered);
    clock.ring();
    expect(fired).toEqual(['silent']);
    expect(clock.pending()).toEqual([]);
  });

  it('gives the turn to the next stall too when the answers of the first have emptied the list', async () => {
    const { clock, list, fired, add } = setup();
    const answered = add('a');
    clock.time = 150;
    clock.ring();
    list.remove(answered);
    await turn();
    const second = add('b');
    clock.time = 400;
    clock.ring();
    expect(fired).toEqual([]);
    list.remove(second);
  });

  it('is not made late by what an expired one adds on its way', () => {
    const { clock, list, fired, add } = setup();
    list.add(() => add('nested'));
    clock.time = 60;
    add('b');
    clock.time = 100;
    clock.ring();
    expect(clock.pending()).toEqual([160]);
    clock.time = 160;
    clock.ring();
    expect(fired).toEqual(['b']);
  });

  it('gives that turn once per stall, and to the next stall again', () => {
    const { clock, fired, add } = setup();
    add('a');
    clock.time = 500;
    clock.ring();
    // The turn itself was slow: no second grace.
    clock.time = 900;
    clock.ring();
    expect(fired).toEqual(['a']);
    add('b');
    clock.time = 2_000;
    clock.ring();
    expect(fired).toEqual(['a']);
    clock.ring();
    expect(fired).toEqual(['a', 'b']);
  });

  it('forgets the removed, wherever they stand, also twice, also when they have fired', () => {
    const { clock, list, fired, add } = setup();
    const [a, b, c, d] = ['a', 'b', 'c', 'd'].map(add);
    list.remove(b!);
    list.remove(b!);
    list.remove(a!);
    list.remove(d!);
    clock.time = 100;
    clock.ring();
    expect(fired).toEqual(['c']);
    list.remove(c!);
    add('e');
    list.remove(c!);
    clock.time = 200;
    clock.ring();
    expect(fired).toEqual(['c', 'e']);
  });

  it('keeps the order of those that are left, whatever was removed and added between', () => {
    const { clock, list, fired, add } = setup();
    const [a, , c] = ['a', 'b', 'c'].map(add);
    list.remove(c!);
    add('d');
    list.remove(a!);
    const e = add('e');
    add('f');
    list.remove(e);
    clock.time = 100;
    clock.ring();
    expect(fired).toEqual(['b', 'd', 'f']);
    expect(clock.pending()).toEqual([]);
  });

  it('asks anew for its timer, for the first that is due, when somebody has replaced those of the host', () => {
    const { clock, list, fired, add } = setup();
    const a = add('a');
    for (const time of [30, 60]) {
      vi.useFakeTimers();
      systemClock.now();
      clock.time = time;
      add('later');
      expect(clock.pending()).toEqual([100]);
      vi.useRealTimers();
    }
    list.remove(a);
    clock.time = 100;
    clock.ring();
    expect(fired).toEqual([]);
    expect(clock.pending()).toEqual([130]);
  });

  it('gives the turn also after its timer has found nobody', () => {
    const { clock, list, fired, add } = setup();
    list.remove(add('gone'));
    clock.time = 100;
    clock.ring();
    add('b');
    clock.time = 500;
    clock.ring();
    expect(fired).toEqual([]);
    clock.ring();
    expect(fired).toEqual(['b']);
  });

  it('has nothing to let go of when all have fired', async () => {
    const emit = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    for (let i = 0; i < 256; i++) warn(`stuffing of fired deadlines ${i}`);
    emit.mockClear();
    const { clock, fired, add } = setup();
    add('a');
    clock.time = 100;
    clock.ring();
    await turn();
    await turn();
    expect(fired).toEqual(['a']);
    expect(emit).not.toHaveBeenCalled();
  });

  it('leaves no timer a turn after the last has gone, and keeps it while calls follow each other', async () => {
    const { clock, list, add } = setup();
    list.remove(add('a'));
    list.remove(add('b'));
    expect(clock.pending()).toHaveLength(1);
    await turn();
    await turn();
    expect(clock.pending()).toHaveLength(0);
    add('c');
    expect(clock.pending()).toHaveLength(1);
  });

  it('what is added while others fire is fired in its own time', () => {
    const { clock, list, fired } = setup();
    list.add(() => {
      fired.push('first');
      list.add(() => fired.push('second'));
    });
    clock.time = 100;
    clock.ring();
    expect(fired).toEqual(['first']);
    clock.time = 200;
    clock.ring();
    expect(fired).toEqual(['first', 'second']);
    expect(clock.pending()).toEqual([]);
  });
});

describe('a timer of a list', () => {
  it.each([
    [true, 0],
    [false, 1],
  ])('holds the process: %s', (holds, released) => {
    let unrefs = 0;
    const clock: Clock = {
      now: () => 0,
      after: () => ({ cancel() {}, ref() {}, unref: () => void unrefs++ }),
    };
    new DeadlineList(clock, 100, () => {}, holds).add('a');
    expect(unrefs).toBe(released);
  });

  it('holds it where nothing else is said', () => {
    const unref = vi.fn();
    new DeadlineList({ now: () => 0, after: () => ({ cancel() {}, ref() {}, unref }) }, 100, () => {}).add('a');
    expect(unref).not.toHaveBeenCalled();
  });
});

describe.each([
  ['a list', (clock: Clock, fire: () => void) => void new DeadlineList(clock, 100, fire).add(undefined)],
  ['a deadline of its own length', (clock: Clock, fire: () => void) => void new OwnDeadline(clock, 100, fire)],
])('%s', (what, make) => {
  it('fires at once 10 ms late, and a turn later beyond that', () => {
    for (const [late, times] of [
      [10, 1],
      [10.5, 0],
    ] as const) {
      const clock = handClock();
      let fired = 0;
      make(clock, () => fired++);
      clock.time = 100 + late;
      clock.ring();
      expect(fired).toBe(times);
      expect(clock.pending()).toEqual(times === 1 ? [] : [clock.time]);
    }
  });

  it('reports what firing throws as a bug, and survives it', () => {
    const told: unknown[] = [];
    vi.spyOn(process, 'emitWarning').mockImplementation(((warning: Error) =>
      told.push([warning.message, warning.cause])) as never);
    // Each message is told once in a process, so earlier ones are forgotten.
    for (let i = 0; i < 256; i++) warn(`stuffing of deadlines ${what} ${i}`);
    told.length = 0;
    const bug = new Error('bug');
    const clock = handClock();
    make(clock, () => {
      throw bug;
    });
    clock.time = 100;
    expect(() => clock.ring()).not.toThrow();
    expect(told).toEqual([['A timeout threw outside of user code, which is a bug.', bug]]);
  });
});

describe('a deadline of its own length', () => {
  it('has the same grace, can be cancelled in it, and survives a throw', () => {
    const clock = handClock();
    const fired: string[] = [];
    const own = (name: string) => new OwnDeadline(clock, 100, () => fired.push(name));
    own('a');
    const b = own('b');
    clock.time = 500;
    clock.ring();
    clock.ring();
    expect(fired).toEqual([]);
    b.cancel();
    clock.ring();
    expect(fired).toEqual(['a']);
    new OwnDeadline(clock, 10, () => {
      throw new Error('bug');
    });
    clock.time = 510;
    expect(() => clock.ring()).not.toThrow();
    expect(clock.pending()).toEqual([]);
  });
});

describe('after a stall of the event loop', () => {
  it('an answer that is already there wins over the timeout', async () => {
    const clock = handClock();
    const p = pipeline('p', [fallback(() => 'spare'), timeout(100)], { clock });
    let answer!: (value: string) => void;
    const seen = watch(
      p.execute(
        () =>
          new Promise<string>((resolve) => {
            answer = resolve;
          }),
      ),
    );
    clock.time = 10_000;
    clock.ring();
    answer('in time');
    await turn();
    expect(seen.result).toBe('in time');
  });

  it('with equal lengths and different lengths, a clock of the real kind leaves nothing', async () => {
    const clock = virtualClock();
    const p = pipeline('p', [timeout(100), timeout({ ms: () => 50 })], { clock });
    await Promise.all(Array.from({ length: 10 }, () => p.execute(async () => 1)));
    await turn();
    await turn();
    expect(clock.pending).toBe(0);
  });
});
