import { afterEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/ports/clock.ts';
import { systemRandom } from '../../src/ports/random.ts';
import { program as run } from './program.ts';

const after = (ms: number) => new Promise<void>((resolve) => systemClock.after(ms, resolve));
const program = (body: string) => run('clock.ts', 'systemClock', body);

describe('systemClock.after', () => {
  it('never fires early, also when the loop had stood still before it was armed', async () => {
    for (let round = 0; round < 40; round++) {
      const blockedUntil = performance.now() + (round % 4) * 2;
      while (performance.now() < blockedUntil);
      const due = performance.now() + (round % 7);
      await after(round % 7);
      expect(performance.now()).toBeGreaterThanOrEqual(due);
    }
  });

  it('re-arms when the host fires before the time has come', () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const now = vi.spyOn(performance, 'now').mockReturnValue(0);
    try {
      const fired = vi.fn();
      systemClock.after(10, fired);
      now.mockReturnValue(9.4);
      vi.advanceTimersByTime(10);
      expect(fired).not.toHaveBeenCalled();
      now.mockReturnValue(10);
      vi.advanceTimersByTime(1);
      expect(fired).toHaveBeenCalledTimes(1);
    } finally {
      now.mockRestore();
      vi.useRealTimers();
    }
  });

  describe('on a host that says what it was asked for', () => {
    /** Its time jumps to the timer that is due next. */
    function host() {
      const asked: number[] = [];
      const due: { at: number; run: () => void }[] = [];
      let time = 0;
      vi.spyOn(performance, 'now').mockImplementation(() => time);
      vi.stubGlobal('setTimeout', (fn: (arg: unknown) => void, ms: number, arg: unknown) => {
        asked.push(ms);
        const timer = { at: time + ms, run: () => fn(arg) };
        due.push(timer);
        return timer;
      });
      const next = () => {
        const timer = due.shift()!;
        time = timer.at;
        timer.run();
      };
      return { asked, next, pass: (ms: number) => (time += ms), time: () => time, pending: () => due.length };
    }

    afterEach(() => {
      vi.unstubAllGlobals();
      vi.restoreAllMocks();
    });

    const most = 2 ** 31 - 1;
    const day = 86_400_000;
    it.each([
      [most, [most]],
      [most + 1, [most, 1]],
      [30 * day, [most, 30 * day - most]],
      [365 * day, [...Array(14).fill(most), 365 * day - 14 * most]],
    ])('waits for more than the platform holds, in pieces: %i ms', (ms, pieces) => {
      const { asked, next, time, pending } = host();
      const fired = vi.fn();
      systemClock.after(ms, fired);
      while (pending() > 0 && asked.length <= pieces.length) {
        expect(fired).not.toHaveBeenCalled();
        next();
      }
      expect(asked).toEqual(pieces);
      expect(fired).toHaveBeenCalledTimes(1);
      expect(time()).toBe(ms);
    });

    it('asks for no negative delay when the time comes while it is asking', () => {
      const { asked, next, pass } = host();
      // Whatever looks at the clock takes 5 ms, as when the process is kept from running.
      vi.spyOn(performance, 'now').mockImplementation(() => pass(5));
      const fired = vi.fn();
      systemClock.after(1, fired);
      expect(asked).toEqual([0]);
      next();
      expect(fired).toHaveBeenCalledTimes(1);
    });
  });

  it.each([-5, Number.NaN, 0, -Infinity])('takes %s for 0, and is asynchronous even so', async (ms) => {
    let fired = false;
    const done = new Promise<void>((resolve) => systemClock.after(ms, () => resolve(void (fired = true))));
    expect(fired).toBe(false);
    await done;
  });

  it('is silent after cancel, and can be cancelled twice or after it fired', async () => {
    const fired = vi.fn();
    const timer = systemClock.after(1, fired);
    timer.cancel();
    timer.cancel();
    await after(5);
    expect(fired).not.toHaveBeenCalled();
    const done = systemClock.after(1, fired);
    await after(5);
    done.cancel();
    done.ref();
    done.unref();
    expect(fired).toHaveBeenCalledTimes(1);
  });

  it("holds the process while it is ref'd and not otherwise", () => {
    expect(program(`systemClock.after(100, () => console.log('fired'));`).out).toBe('fired');
    expect(program(`const t = systemClock.after(60_000, () => console.log('fired')); t.unref();`).out).toBe('');
    expect(program(`const t = systemClock.after(50, () => console.log('fired')); t.unref(); t.ref();`).out).toBe(
      'fired',
    );
    expect(program(`systemClock.after(Infinity, () => console.log('fired')).ref();`).out).toBe('');
  });

  it("stays unref'd when it is armed again", () => {
    // With a clock that stands still the timer is never due, and armed again for ever.
    const { out } = program(`
      systemClock.after(5, () => console.log('fired')).unref();
      performance.now = () => 0;
      setTimeout(() => {}, 50);
    `);
    expect(out).toBe('');
  });
});

describe('systemClock.coarse', () => {
  it('is one reading for a few milliseconds, and a fresh one after', async () => {
    const coarse = systemClock.coarse!;
    await after(20);
    const first = coarse();
    expect(coarse()).toBe(first);
    await after(20);
    expect(coarse()).toBeGreaterThan(first);
  });

  it('does not stand still for a chain of promises that never reaches the event loop', async () => {
    const first = systemClock.coarse!();
    const end = performance.now() + 30;
    while (performance.now() < end) {
      await null;
      systemClock.coarse!();
    }
    // However long this process was kept from running just now: so many reads in a row include a new one.
    for (let read = 0; read < 64; read++) systemClock.coarse!();
    expect(systemClock.coarse!()).toBeGreaterThan(first + 20);
  });

  it('reads the clock for few of many calls', () => {
    const now = vi.spyOn(performance, 'now');
    for (let call = 0; call < 6_400; call++) systemClock.coarse!();
    expect(now.mock.calls.length).toBeLessThanOrEqual(101);
    now.mockRestore();
  });

  it('leaves no timer behind and never delays the exit', () => {
    const { out } = program(`
      const timers = () => process.getActiveResourcesInfo().filter((r) => r === 'Timeout').length;
      systemClock.coarse();
      console.log(timers());
    `);
    // An unref'd timer is no active resource, and nothing is ever armed again without a read.
    expect(out).toBe('0');
  });
});

it('systemRandom draws from 0 up to, and without, 1', () => {
  for (let draw = 0; draw < 1000; draw++) {
    const x = systemRandom();
    expect(x >= 0 && x < 1).toBe(true);
  }
});
