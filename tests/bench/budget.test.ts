import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { budget, printBudget } from '../../bench/budget.ts';
import { part as calls } from '../../bench/calls.ts';
import type { Figure } from '../../bench/part.ts';
import { reportOf, textOf } from '../../bench/report.ts';

const figure = (part: string, row: string, values: Figure['values'], series = 'ours', x?: number): Figure => ({
  part,
  row,
  series,
  values,
  ...(x !== undefined && { x }),
});
const rowOf = (figures: readonly Figure[], what: string, major = 24) =>
  budget(figures, major).find((one) => one.what.startsWith(what))!;
const five = (ratio: number, series = 'ours') => figure('calls', 'five', { ratio }, series);

describe('a row of the budget', () => {
  it.each([
    [4.9, 'goal'],
    [5, 'goal'],
    [5.1, 'gate'],
    [6.5, 'gate'],
    [6.51, 'misses'],
  ])('that is at most 5, or at any rate 6.5, and was %d: %s', (ratio, verdict) => {
    expect(rowOf([five(ratio)], 'T1 five policies')).toMatchObject({ measured: ratio, verdict });
  });

  it.each([
    [170, 'goal'],
    [130, 'gate'],
    [100, 'misses'],
  ])('that is at least a multiple of ours compares both, with a peer at %d', (ratio, verdict) => {
    const row = rowOf([five(4.5), five(ratio, 'cockatiel')], 'T2');
    expect(row).toMatchObject({ measured: ratio / 4.5, verdict });
  });

  it('says so when one of its figures was not measured', () => {
    expect(rowOf([five(4.5)], 'T2').verdict).toBe('not measured');
    expect(rowOf([five(170, 'cockatiel')], 'T2').verdict).toBe('not measured');
    expect(new Set(budget([], 24).map(({ verdict }) => verdict))).toEqual(new Set(['not measured']));
  });

  it('takes the floor off both sides', () => {
    const open = (ratio: number, series: string) => figure('calls', 'circuit open', { ratio }, series);
    const row = rowOf([open(1.5, 'ours'), open(5.5, 'opossum')], 'circuit open: opossum, floor off');
    expect(row).toMatchObject({ measured: 9, verdict: 'goal' });
  });

  it('may have a bar that is measured itself', () => {
    const telemetry = (on: number) => [
      figure('telemetry', 'no SDK', { ratio: 4 }, 'off'),
      figure('telemetry', 'no SDK', { ratio: on }),
    ];
    expect(rowOf(telemetry(4.1), 'T9')).toMatchObject({ goal: 4.2, gate: 7.5, verdict: 'goal' });
    expect(rowOf(telemetry(4.3), 'T9').verdict).toBe('gate');
    expect(rowOf(telemetry(7.6), 'T9').verdict).toBe('misses');
  });

  it('compares two places of a curve', () => {
    const inFlight = (x: number, ns: number) => figure('growth', 'in flight', { ns }, 'ours', x);
    const figures = [inFlight(100_000, 900), inFlight(1, 5_000), inFlight(10_000, 200)];
    expect(rowOf(figures, 'T13 100k in flight')).toMatchObject({ measured: 4.5, verdict: 'misses' });
  });

  it('compares the ends of a curve, whatever the order of its figures', () => {
    const keys = [
      figure('growth', 'keys', { ns: 300, bytes: 190 }, 'ours', 1_000_000),
      figure('growth', 'keys', { ns: 900, bytes: 250 }, 'ours', 1_000),
      figure('growth', 'keys', { ns: 100, bytes: 9_000 }, 'ours', 1),
    ];
    expect(rowOf(keys, 'growth over keys')).toMatchObject({ measured: 3, verdict: 'goal' });
    expect(rowOf(keys, 'T16').measured).toBe(190);
  });

  it('does not take a curve that broke off for one that is flat', () => {
    const keys = [
      figure('growth', 'keys', { ns: 100, bytes: 9_000 }, 'ours', 1),
      figure('growth', 'keys', { expectedMs: 9 }, 'ours', 1_000_000),
    ];
    for (const figures of [keys, keys.slice(0, 1)])
      expect(rowOf(figures, 'growth over keys').verdict).toBe('not measured');
  });

  it.each([22, 26])('is granted half as much again on Node %i', (major) => {
    expect(rowOf([five(9.7)], 'T1 five policies', major)).toMatchObject({ goal: 7.5, gate: 9.75, verdict: 'gate' });
    const least = rowOf([five(4), five(90, 'cockatiel')], 'T2', major);
    expect(least).toMatchObject({ gate: expect.closeTo(25 / 1.5), verdict: 'gate' });
  });

  it('is granted nothing there where it is no matter of speed', () => {
    const late = figure('steady', 'lateness', { p99Ms: 3.1, earlyMs: 0 });
    expect(rowOf([late], 'T15 timeouts late', 22).verdict).toBe('misses');
    const stall = figure('steady', 'stall', { spurious: 1, of: 500 });
    expect(rowOf([stall], 'T14', 26).verdict).toBe('misses');
  });
});

describe('the table of the budget', () => {
  const judged = budget([five(4.5), five(90, 'cockatiel')], 24);

  it('has bars, figures and verdicts, and counts them', () => {
    const text = printBudget(judged, false);
    expect(text).toMatch(/T1 five policies +x bare +<= 5\.00 +<= 6\.50 +4\.50 +goal/);
    expect(text).toMatch(/T2 cockatiel, five policies +x ours +>= 35\.0 +>= 25\.0 +20\.0 +misses/);
    expect(text).not.toContain('T3');
    expect(text).toContain(`1 at the goal, 0 at the gate, 1 miss, ${judged.length - 2} not measured.`);
  });

  it('judges nothing in a check', () => {
    const text = printBudget(judged, true);
    expect(text).not.toMatch(/goal$|misses|at the goal/m);
    expect(text).toContain('4.50');
  });
});

describe('a report', () => {
  const figures = [five(1, 'bare'), five(4.5), five(90, 'cockatiel')];
  const report = reportOf(figures, { calls: 1.5 }, false);

  it('survives JSON', () => {
    expect(JSON.parse(JSON.stringify(report))).toEqual({
      ...report,
      budget: report.budget.map((row) => JSON.parse(JSON.stringify(row))),
    });
    expect(report.figures).toEqual(figures);
    expect(JSON.stringify(report)).not.toContain('null');
  });

  it('of a check takes the one place of a curve that was looked at for all of them', () => {
    const keys = [figure('growth', 'keys', { ns: 100, bytes: 150 }, 'ours', 10)];
    const row = (check: boolean) =>
      reportOf(keys, {}, check).budget.find(({ what }) => what === 'growth over keys')!.verdict;
    expect(row(true)).toBe('goal');
    expect(row(false)).toBe('not measured');
  });

  it('reads the same on a terminal and in a document', () => {
    const terminal = textOf(report, [calls], false);
    expect(terminal).toMatch(/^five +1\.00 +4\.50 +90\.0( +-)+$/m);
    expect(terminal).toContain(`${calls.title}\n====`);
    const document = textOf(report, [calls], true);
    expect(document).toMatch(/^\| five \| 1\.00 \| 4\.50 \| 90\.0 \|( - \|)+$/m);
    expect(document).toContain(`### ${calls.title}`);
    expect(document).not.toContain('====');
  });
});

it('a part that is none is refused, with the names of those that are', async () => {
  const run = promisify(execFile)(process.execPath, ['bench/main.ts', 'calls', 'nonsense']);
  await expect(run).rejects.toThrow(/Cannot measure nonsense: the parts are calls, telemetry, growth/);
});
