import { describe, expect, it } from 'vitest';
import { Probes } from '../../src/algorithms/probes.ts';

const probes = (halfOpenCalls = 3, reopenRatio = 0.5) => new Probes({ halfOpenCalls, halfOpenMs: 500, reopenRatio });

/** Starts and settles one probe per letter: `.` a success, `x` a failure, `-` ignored. */
const verdicts = (results: string, of = probes()) =>
  [...results].map((result, permit) => {
    of.start(permit, 0);
    return of.settle(permit, result === '.' ? 'success' : result === 'x' ? 'failure' : 'ignored');
  });

describe('probes', () => {
  it.each([
    [3, 0.5, '..', 'undecided passed'],
    [3, 0.5, '.xx', 'undecided undecided failed'],
    [3, 0.5, 'xx', 'undecided failed'],
    [3, 0, '...', 'undecided undecided passed'],
    [3, 0, '.x', 'undecided failed'],
    [1, 0.5, '.', 'passed'],
    [1, 0.5, 'x', 'failed'],
    [3, 1, '.', 'passed'],
    [3, 0.1 * 3, '...', 'undecided undecided passed'],
    [4, 0.75, 'xx.x', 'undecided undecided undecided failed'],
    [3, 0.5, '--.-.', 'undecided undecided undecided undecided passed'],
  ])('%i of them, failing at a share of %d: %s is %s', (calls, ratio, results, expected) => {
    expect(verdicts(results, probes(calls, ratio)).join(' ')).toBe(expected);
  });

  it('have places for as many as may still report', () => {
    const of = probes(2);
    of.start(1, 0);
    expect(of.hasPlace).toBe(true);
    of.start(2, 0);
    expect(of.hasPlace).toBe(false);
    of.settle(1, 'ignored');
    expect(of.hasPlace).toBe(true);
    of.settle(2, 'success');
    expect(of.hasPlace).toBe(true);
    of.start(3, 0);
    expect(of.hasPlace).toBe(false);
  });

  it('have no place for one more than may report, whatever they report', () => {
    const of = probes(2, 1);
    of.start(1, 0);
    of.settle(1, 'failure');
    of.start(2, 0);
    expect(of.hasPlace).toBe(false);
  });

  it('have no share of failures before the first has settled', () => {
    const of = probes();
    of.start(1, 0);
    expect(of.failureRatio).toBe(undefined);
    of.settle(1, 'ignored');
    expect(of.failureRatio).toBe(undefined);
  });

  it('have the share of failures among those that have settled', () => {
    const of = probes(5);
    verdicts('.x-.x', of);
    expect(of.failureRatio).toBe(0.5);
  });

  it('are known by their permits while they are in flight', () => {
    const of = probes();
    of.start(7, 0);
    expect([of.has(7), of.has(8)]).toEqual([true, false]);
    of.settle(7, 'ignored');
    expect(of.has(7)).toBe(false);
  });

  it('take their leases with them when they settle', () => {
    const of = probes();
    of.start(1, 0);
    of.start(2, 100);
    expect(of.oldestLease()).toBe(500);
    of.settle(1, 'ignored');
    expect(of.oldestLease()).toBe(600);
    of.settle(2, 'ignored');
    expect(of.oldestLease()).toBe(Infinity);
  });

  it('lose the oldest by the end of its lease, as a failure', () => {
    const of = probes();
    of.start(1, 0);
    of.start(2, 100);
    expect(of.expireOldest()).toBe('undecided');
    expect([of.has(1), of.has(2), of.oldestLease(), of.failureRatio]).toEqual([false, true, 600, 1]);
    expect(of.expireOldest()).toBe('failed');
  });

  it('have leases that end in the order they began, also on a clock that goes backwards', () => {
    const of = probes();
    of.start(1, 100);
    of.start(2, 0);
    of.expireOldest();
    expect(of.oldestLease()).toBe(600);
  });

  it('say which lease ends next, and not one that ends now', () => {
    const of = probes();
    of.start(1, 0);
    of.start(2, 100);
    expect([of.nextLease(499), of.nextLease(500), of.nextLease(599), of.nextLease(600)]).toEqual([
      500,
      600,
      600,
      Infinity,
    ]);
  });

  it('say when leases alone would have failed the period', () => {
    const of = probes(4);
    expect(of.lapse()).toBe(Infinity);
    of.start(1, 0);
    expect(of.lapse()).toBe(Infinity);
    of.start(2, 100);
    of.start(3, 200);
    expect(of.lapse()).toBe(600);
  });

  it('lapse sooner when one has failed already', () => {
    const of = probes(4);
    for (const permit of [1, 2, 3]) of.start(permit, permit * 100);
    of.settle(2, 'failure');
    expect(of.lapse()).toBe(600);
  });
});
