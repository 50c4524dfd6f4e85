import { describe, expect, it, vi } from 'vitest';
import { soon } from '../../src/ports/turn.ts';
import { virtualClock } from '../../src/testing/virtual-clock.ts';

describe('virtualClock', () => {
  it('stands still until it is told to move, and begins where it is told to', async () => {
    const clock = virtualClock(500);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(clock.now()).toBe(500);
    await clock.advance(250.5);
    expect(clock.now()).toBe(750.5);
  });

  it('runs what falls due in order of time, then of making, at exactly its time', async () => {
    const clock = virtualClock();
    const seen: string[] = [];
    const at = (name: string) => () => seen.push(`${name}@${clock.now()}`);
    clock.after(30, at('c'));
    clock.after(10, at('a'));
    clock.after(30, at('d'));
    clock.after(20, at('b'));
    clock.after(31, at('late'));
    await clock.advance(30);
    expect(seen).toEqual(['a@10', 'b@20', 'c@30', 'd@30']);
    expect(clock.pending).toBe(1);
    expect(clock.now()).toBe(30);
  });

  it('lets a chain of sleeps run through in one advance', async () => {
    const clock = virtualClock();
    const sleep = (ms: number) => new Promise<void>((resolve) => clock.after(ms, resolve));
    const seen: number[] = [];
    const work = (async () => {
      for (let n = 0; n < 5; n++) {
        await sleep(100);
        for (let hop = 0; hop < 50; hop++) await null;
        seen.push(clock.now());
      }
    })();
    await clock.advance(1000);
    expect(seen).toEqual([100, 200, 300, 400, 500]);
    expect(clock.now()).toBe(1000);
    await work;
  });

  it('waits for what takes a turn of the event loop, before the first timer and after the last', async () => {
    const clock = virtualClock();
    const seen: string[] = [];
    soon(() => clock.after(10, () => soon(() => soon(() => seen.push('done')))));
    await clock.advance(10);
    expect(seen).toEqual(['done']);
  });

  it('runs what callbacks schedule on the way, also without delay', async () => {
    const clock = virtualClock();
    const seen: number[] = [];
    clock.after(5, () => {
      clock.after(0, () => seen.push(clock.now()));
      clock.after(3, () => seen.push(clock.now()));
      clock.after(6, () => seen.push(clock.now()));
    });
    await clock.advance(10);
    expect(seen).toEqual([5, 8]);
    expect(clock.pending).toBe(1);
  });

  it('lets a callback cancel another that is due at the same moment', async () => {
    const clock = virtualClock();
    const cancelled = vi.fn();
    clock.after(5, () => other.cancel());
    const other = clock.after(5, cancelled);
    await clock.advance(5);
    expect(cancelled).not.toHaveBeenCalled();
    other.cancel();
    expect(clock.pending).toBe(0);
  });

  it('counts what is pending: not what ran, was cancelled or never comes', async () => {
    const clock = virtualClock();
    clock.after(1, () => {});
    clock.after(Infinity, () => {}).cancel();
    const timer = clock.after(2, () => {});
    timer.unref();
    timer.ref();
    expect(clock.pending).toBe(2);
    timer.cancel();
    await clock.advance(1);
    expect(clock.pending).toBe(0);
  });

  it.each([-1, Number.NaN])('takes a delay of %s for 0', async (ms) => {
    const clock = virtualClock(10);
    const seen = vi.fn();
    clock.after(ms, seen);
    await clock.advance(0);
    expect(seen).toHaveBeenCalledTimes(1);
    expect(clock.now()).toBe(10);
  });

  it('does calls one after the other, also those made by a callback', async () => {
    const clock = virtualClock();
    const seen: number[] = [];
    for (const ms of [5, 15, 25]) clock.after(ms, () => seen.push(clock.now()));
    clock.after(5, () => void clock.advance(10).then(() => seen.push(-clock.now())));
    await Promise.all([clock.advance(10), clock.advance(10)]);
    await clock.advance(0);
    expect(seen).toEqual([5, 15, 25, -30]);
  });

  it('rejects with what a callback throws, and goes on afterwards', async () => {
    const clock = virtualClock();
    const seen = vi.fn();
    clock.after(1, () => {
      throw new Error('boom');
    });
    clock.after(2, seen);
    await expect(clock.advance(5)).rejects.toThrow('boom');
    expect(clock.now()).toBe(1);
    await clock.advance(1);
    expect(seen).toHaveBeenCalledTimes(1);
  });

  it.each([-1, Number.NaN, Infinity])('refuses to advance by %s', async (ms) => {
    await expect(virtualClock().advance(ms)).rejects.toThrow(RangeError);
  });

  it('runs an hour of seconds in no time', async () => {
    const clock = virtualClock();
    let ticks = 0;
    const tick = () => clock.after(1000, () => (ticks++, tick()));
    tick();
    const begun = performance.now();
    await clock.advance(3_600_000);
    expect(ticks).toBe(3600);
    expect(performance.now() - begun).toBeLessThan(10_000);
  });
});
