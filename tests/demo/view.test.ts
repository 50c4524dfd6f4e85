import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { RouteNow } from '../../demo/load.ts';
import { timetable } from '../../demo/timetable.ts';
import { draw, type Frame, heading, line, noPaint, screenOn, wait } from '../../demo/view.ts';

const route = (counts: Partial<RouteNow>): RouteNow => ({
  calls: 80,
  success: 80,
  fallback: 0,
  failure: 0,
  p50: 22,
  p99: 31,
  longest: 40,
  inFlight: 2,
  ...counts,
});
const phases = timetable(26);
const frame = (of: Partial<Frame> = {}): Frame => ({
  elapsedMs: 2_000,
  phases,
  phase: 0,
  protected: route({}),
  plain: route({ success: 78, failure: 2 }),
  retries: 2,
  circuit: 'closed',
  ...of,
});

describe('the live view', () => {
  it('shows the phase, the progress and the numbers of both routes', () => {
    const text = draw(frame(), 80, noPaint).join('\n');
    expect(text).toContain('HEALTHY  2.0 s of 26.0 s');
    expect(text).toMatch(/seaworthy +80 +80 +0 +0 +2 +2 +22 ms +31 ms/);
    expect(text).toMatch(/plain fetch +80 +78 +0 +2 +- +2 +22 ms +31 ms/);
    expect(text).toContain('closed');
  });

  it('fits a terminal of 80 columns in every phase', () => {
    for (const [phase, { from }] of phases.entries())
      for (const circuit of ['closed', 'open', 'half_open'])
        for (const text of draw(frame({ phase, elapsedMs: from, circuit }), 80, noPaint))
          expect(text.length).toBeLessThan(80);
  });

  it('has the same height throughout, because it is drawn over itself', () => {
    const heights = phases.map((_, phase) => draw(frame({ phase }), 120, noPaint).length);
    expect(new Set(heights).size).toBe(1);
  });

  it('fills the bar as time goes by', () => {
    const filled = (elapsedMs: number) => draw(frame({ elapsedMs }), 80, noPaint).join('').split('█').length - 1;
    expect(filled(0)).toBe(0);
    expect(filled(26_000)).toBeGreaterThan(filled(13_000));
    expect(draw(frame({ elapsedMs: 26_000 }), 80, noPaint).join('')).not.toContain('░');
  });

  it('paints failures only where there are some', () => {
    const painted: string[] = [];
    draw(frame(), 80, (style, text) => {
      if (style === 'red') painted.push(text.trim());
      return text;
    });
    expect(painted.filter((text) => /^\d+$/.test(text))).toEqual(['2']);
  });
});

describe('the view without a terminal', () => {
  it('says everything in one line', () => {
    expect(line(frame({ circuit: 'open', elapsedMs: 7_100 }))).toBe(
      '  7 s  80 calls/s: success 80, fallback 0, failure 0, retries 2, circuit open, in flight 2, p50 22 ms, p99 31 ms | plain fetch: success 78, failure 2, in flight 2, p99 31 ms',
    );
  });

  it('writes a heading per phase and a line per second, and no control characters', () => {
    const written: string[] = [];
    const screen = screenOn({ isTTY: false, write: (text: string) => written.push(text) } as never);
    for (let elapsedMs = 0; elapsedMs < 5_000; elapsedMs += 250)
      screen.show(frame({ elapsedMs, phase: elapsedMs < 4_000 ? 0 : 1 }));
    screen.close();
    const text = written.join('');
    expect(text.split('\n').filter((one) => /^ +\d+ s/.test(one))).toHaveLength(4);
    expect(text).toContain('HEALTHY:');
    expect(text).toContain('SLOW:');
    expect(text).not.toContain('\x1b');
  });

  it('names what the upstream does and what the policies do', () => {
    const { upstream, policies } = phases[3]!;
    expect(heading(phases[3]!).join('\n')).toContain(upstream);
    expect(heading(phases[3]!).join('\n')).toContain(policies);
  });
});

it('redraws in a terminal, and gives the cursor and the wrapping back', () => {
  const written: string[] = [];
  const stream = new Writable({
    decodeStrings: false,
    write(text: string, _, done) {
      written.push(text);
      done();
    },
  });
  const screen = screenOn(Object.assign(stream, { isTTY: true, columns: 80 }) as never);
  screen.show(frame());
  screen.show(frame({ elapsedMs: 3_000 }));
  screen.close();
  screen.close();
  const height = draw(frame(), 80, noPaint).length;
  expect(written[0]).toMatch(/^\x1b\[\?25l\x1b\[\?7l/);
  expect(written[1]!.startsWith(`\x1b[${height}A`)).toBe(true);
  expect(written.slice(2)).toEqual(['\x1b[?25h\x1b[?7h']);
});

it('says waits as people do', () => {
  expect([wait(0.4), wait(999), wait(1_234)]).toEqual(['0 ms', '999 ms', '1.23 s']);
});
