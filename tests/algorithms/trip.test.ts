import { ConsecutiveBreaker, CountBreaker } from 'cockatiel';
import { describe, expect, it, vi } from 'vitest';
import { countWindow, timeWindow } from '../../src/algorithms/rolling-window.ts';
import { breakerTrip, consecutiveTrip, ratioTrip, type Trip } from '../../src/algorithms/trip.ts';

/** Feeds 's', 'f' and their slow twins 'S', 'F'; answers which call, from 1, said "open". */
function opensAt(trip: Trip, calls: string, now = 0): number {
  let number = 0;
  for (const call of calls) {
    number++;
    const slow = call === call.toUpperCase();
    if (call.toLowerCase() === 's' ? trip.success(now, slow) : trip.failure(now, slow)) return number;
  }
  return 0;
}
const ratio = (over: object = {}) =>
  ratioTrip({ failureRatio: 0.5, minimumCalls: 4, window: timeWindow(1000), ...over });

describe('ratioTrip', () => {
  it.each([
    ['fff', 0],
    ['ffff', 4],
    ['sfsf', 4],
    ['sssfff', 6],
    ['ssssff', 0],
    ['fffs', 4],
    ['SSSSSS', 0],
  ])('%s opens at call %i', (calls, at) => {
    expect(opensAt(ratio(), calls)).toBe(at);
  });

  it.each([
    ['SSSS', 4],
    ['sssSSSSS', 6],
    ['FsSs', 4],
    ['sSsS', 4],
  ])('with a slow share, %s opens at call %i', (calls, at) => {
    expect(opensAt(ratio({ slowRatio: 0.5, failureRatio: 1 }), calls)).toBe(at);
  });

  it('opens for a service of low traffic, whatever its rate (C-20)', () => {
    const trip = ratio({ failureRatio: 0.2, minimumCalls: 10, window: timeWindow(30_000) });
    let opened = 0;
    for (let call = 1; call <= 10 && opened === 0; call++) if (trip.failure(call * 2000, false)) opened = call;
    expect(opened).toBe(10);
  });

  it('forgets what is older than the window (C-19)', () => {
    const trip = ratio({ window: timeWindow(5000), minimumCalls: 5 });
    expect(opensAt(trip, 'ffff', 0)).toBe(0);
    expect(opensAt(trip, 'f', 3_600_000)).toBe(0);
  });

  it('stays closed while nothing fails and nothing is slow, even with shares of 0', () => {
    const trip = () => ratio({ failureRatio: 0, slowRatio: 0, minimumCalls: 1 });
    expect(opensAt(trip(), 'ssssss')).toBe(0);
    expect(opensAt(trip(), 'sf')).toBe(2);
    expect(opensAt(trip(), 'sS')).toBe(2);
  });

  it('opens on a run as well when asked to, and a success ends the run', () => {
    const trip = () => ratio({ failureRatio: 1, minimumCalls: 100, consecutiveFailures: 3, window: countWindow(100) });
    expect(opensAt(trip(), 'ffsfff')).toBe(6);
    const fresh = trip();
    opensAt(fresh, 'ff');
    fresh.reset();
    expect(opensAt(fresh, 'ff')).toBe(0);
  });

  it('begins anew with an empty window after a reset', () => {
    const trip = ratio();
    opensAt(trip, 'fff');
    trip.reset();
    expect([opensAt(trip, 'f'), trip.failureRatio(0)]).toEqual([0, undefined]);
    expect(opensAt(trip, 'fff')).toBe(3);
  });

  it('a call that lingered is none that failed', () => {
    const trip = ratio({ slowRatio: 1, minimumCalls: 2 });
    trip.success(0, false);
    trip.lingered(0);
    expect(trip.failureRatio(0)).toBe(0);
  });

  it('a call that lingered is slow and neither failed nor a success', () => {
    const trip = ratio({ slowRatio: 0.5, failureRatio: 1, minimumCalls: 2, consecutiveFailures: 3 });
    expect(opensAt(trip, 'ss')).toBe(0);
    expect(trip.lingered(0)).toBe(false);
    expect(trip.lingered(0)).toBe(true);
    const run = ratio({ slowRatio: 1, failureRatio: 1, minimumCalls: 100, consecutiveFailures: 2 });
    expect([run.failure(0, false), run.lingered(0), run.failure(0, false)]).toEqual([false, false, true]);
    const without = ratio({ minimumCalls: 1 });
    expect(without.lingered(0)).toBe(false);
    expect(without.failureRatio(0)).toBeUndefined();
  });

  it('tells the share from the minimum on', () => {
    const trip = ratio({ failureRatio: 1 });
    opensAt(trip, 'sfs');
    expect(trip.failureRatio(0)).toBeUndefined();
    opensAt(trip, 's');
    expect(trip.failureRatio(0)).toBe(0.25);
    expect(trip.failureRatio(2000)).toBeUndefined();
    trip.reset();
    expect(trip.failureRatio(0)).toBeUndefined();
    expect(ratio({ minimumCalls: 0 }).failureRatio(0)).toBeUndefined();
  });
});

describe('consecutiveTrip', () => {
  it('opens at the nth failure in a row', () => {
    expect(opensAt(consecutiveTrip(3), 'ffsffsFFF')).toBe(9);
    const trip = consecutiveTrip(2);
    trip.failure(0, false);
    trip.reset();
    expect(trip.failure(0, false)).toBe(false);
    expect(trip.lingered(0)).toBe(false);
    expect(trip.failure(0, false)).toBe(true);
    expect(trip.failureRatio(0)).toBeUndefined();
  });
});

describe('breakerTrip', () => {
  it('asks a cockatiel breaker, which hears of a closed circuit only', () => {
    const breaker = { state: undefined, success: vi.fn(), failure: vi.fn(() => false) };
    const trip = breakerTrip(breaker);
    expect(trip.success(1, true)).toBe(false);
    expect(trip.failure(1, true)).toBe(false);
    breaker.failure.mockReturnValueOnce(true);
    expect(trip.failure(1, false)).toBe(true);
    expect(breaker.success.mock.calls).toEqual([[0]]);
    expect(breaker.failure.mock.calls).toEqual([[0], [0]]);
    expect(trip.lingered(0)).toBe(false);
    expect(trip.failureRatio(0)).toBeUndefined();
  });

  it('takes no other answer than true for yes', () => {
    const trip = breakerTrip({ state: undefined, success() {}, failure: () => 'yes' as unknown as boolean });
    expect(trip.failure(0, false)).toBe(false);
  });

  it("starts cockatiel's own breakers afresh", () => {
    const consecutive = breakerTrip(new ConsecutiveBreaker(2));
    expect(opensAt(consecutive, 'fsf')).toBe(0);
    consecutive.reset();
    expect(opensAt(consecutive, 'f')).toBe(0);
    expect(opensAt(consecutive, 'f')).toBe(1);
    const count = breakerTrip(new CountBreaker({ threshold: 0.5, size: 10, minimumNumberOfCalls: 4 }));
    expect(opensAt(count, 'fff')).toBe(0);
    count.reset();
    expect(opensAt(count, 'f')).toBe(0);
  });
});

it('a breaker of cockatiel hears of what it is told in cockatiel’s words', () => {
  const heard: string[] = [];
  const trip = breakerTrip({
    state: undefined,
    success: (state) => void heard.push(`success ${state}`),
    failure: (state) => heard.push(`failure ${state}`) > 0,
  });
  trip.success(0, false);
  trip.failure(0, false);
  trip.relapsed!();
  trip.reset();
  expect(heard).toEqual(['success 0', 'failure 0', 'failure 2', 'success 2']);
});
