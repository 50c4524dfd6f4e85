import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Quiet, type QuietCount } from '../../src/algorithms/quiet.ts';
import { countWindow, type RollingWindow, tally, timeWindow } from '../../src/algorithms/rolling-window.ts';
import { book } from './circuit-fixture.ts';

const none = (): QuietCount => ({ quiet: 0, until: Number.NaN });
const successes = 20;

/** Counts successes at `times` both ways, and answers the window that began with the quiet ones when they were too many. */
function both(quiet: Quiet, window: () => RollingWindow, times: readonly number[]) {
  const [plain, late, count] = [window(), window(), none()];
  let woken = false;
  for (const now of times) {
    plain.record(now, false, false);
    if (!woken && quiet.success(count, now)) continue;
    if (!woken) late.resume(count.quiet, count.until);
    woken = true;
    late.record(now, false, false);
  }
  if (!woken && count.quiet > 0) late.resume(count.quiet, count.until);
  return { plain, late };
}

describe('successes that were counted quietly', () => {
  const waits = fc.array(fc.constantFrom(0, 1, 30, 99, 100, 101, 899, 900, 1_000, 5_000), { maxLength: 30 });
  const after = fc.array(fc.constantFrom(0, 50, 100, 450, 900, 1_000), { minLength: 1, maxLength: 6 });

  it.each<[string, () => RollingWindow, number]>([
    ['in time', () => timeWindow(1_000), 100],
    ['of calls', () => countWindow(5), Infinity],
  ])('stand in a window %s as if it had been there, whatever comes then', (_, window, stepMs) => {
    fc.assert(
      fc.property(waits, after, (waits, after) => {
        let now = 7;
        const times = waits.map((wait) => (now += wait));
        const { plain, late } = both(new Quiet({ stepMs, minimumCalls: 1 }), window, times);
        for (const wait of after) {
          now += wait;
          expect(tally(late, now)).toEqual(tally(plain, now));
          plain.record(now, true, false);
          late.record(now, true, false);
          expect(tally(late, now)).toEqual(tally(plain, now));
        }
      }),
    );
  });

  it('are as many as came in one step; the first in a second one is not counted', () => {
    const quiet = new Quiet({ stepMs: 100, minimumCalls: 3 });
    const count = none();
    expect([0, 50, 99.9].map((now) => quiet.success(count, now))).toEqual([true, true, true]);
    expect(quiet.success(count, 100)).toBe(false);
    expect(count).toEqual({ quiet: 3, until: 100 });
  });

  it('are forgotten when the window is over', () => {
    const quiet = new Quiet({ stepMs: 100, minimumCalls: 1 });
    const count = none();
    quiet.success(count, 0);
    expect([quiet.failureRatio(count, 999), quiet.failureRatio(count, 1_000)]).toEqual([0, undefined]);
    expect([quiet.success(count, 999), quiet.success(count, 1_000)]).toEqual([false, true]);
    expect(count).toEqual({ quiet: 1, until: 1_100 });
  });
});

describe('the failure ratio of keys that have only succeeded', () => {
  it.each<[string, Parameters<typeof book>[0], number | null]>([
    ['is none below the minimum', { minimumCalls: successes + 1 }, null],
    ['is 0 from the minimum on', { minimumCalls: successes }, 0],
    ['is 0 in a window of calls', { windowCalls: 10 }, 0],
    ['is none where only failures in a row open', { consecutiveFailures: 3 }, null],
    ['is 0 where slowness opens as well', { consecutiveFailures: 3, slowMs: 50 }, 0],
  ])('%s', (_, options, ratio) => {
    const { it: own, call } = book(options);
    for (let n = 0; n < successes; n++) call('a', 'success');
    expect(own.read().failureRatio).toBe(ratio);
  });

  it('is none when the window is over', () => {
    const { it: own, time, call } = book({ windowMs: 1_000 });
    for (let n = 0; n < successes; n++) call('a', 'success');
    time.now = 999;
    expect(own.read().failureRatio).toBe(0);
    time.now = 1_000;
    expect(own.read().failureRatio).toBe(null);
  });
});

describe('a key that has only succeeded', () => {
  it('opens by the share that its successes leave', () => {
    const { call, it: own } = book({ failureRatio: 0.5, minimumCalls: 10 });
    for (let n = 0; n < 6; n++) call('a', 'success');
    for (let n = 0; n < 5; n++) call('a', 'failure');
    expect(own.state(own.record('a'))).toBe('closed');
    call('a', 'failure');
    expect(own.state(own.record('a'))).toBe('open');
  });

  it('has lost them when it is reset, and calls in flight come late', () => {
    const { it: own, call } = book({ failureRatio: 0.5, minimumCalls: 2 });
    const record = own.record('a');
    call('a', 'success');
    const early = own.admit(record)!;
    own.reset(record);
    own.settle(early, 'failure', 0, { error: 'late' });
    call('a', 'failure');
    expect(own.state(record)).toBe('closed');
    call('a', 'failure');
    expect(own.state(record)).toBe('open');
  });

  it('is read as a closed circuit, and held like any other', () => {
    const { it: own, call } = book();
    call('a', 'success');
    const record = own.record('a');
    expect(own.toJSON(record)).toEqual({ version: 1, state: 'closed', openForMs: 0, remainingMs: 0, openings: 0 });
    expect(own.toJSON(undefined).keys).toBeUndefined();
    const release = own.hold('isolated', record);
    expect([own.state(record), call('a', 'success'), call('b', 'success')]).toEqual(['isolated', false, true]);
    release();
    expect([own.state(record), call('a', 'success')]).toEqual(['closed', true]);
  });
});
