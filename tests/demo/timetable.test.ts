import { describe, expect, it } from 'vitest';
import { answerAt, fastSeconds, fullSeconds, phaseAt, timetable } from '../../demo/timetable.ts';

describe('the timetable', () => {
  it.each([fullSeconds, fastSeconds])('fills %i seconds without a gap, from healthy to healthy', (seconds) => {
    const phases = timetable(seconds);
    expect(phases.map(({ health }) => health)).toEqual(['healthy', 'slow', 'failing', 'down', 'recovering', 'healthy']);
    expect(phases[0]!.from).toBe(0);
    expect(phases.at(-1)!.to).toBeCloseTo(seconds * 1000);
    for (const [index, phase] of phases.entries()) if (index > 0) expect(phase.from).toBe(phases[index - 1]!.to);
  });

  it('leaves room within 40 seconds for starting and reporting', () => {
    expect(fullSeconds).toBeLessThanOrEqual(30);
  });

  it('knows the phase of every moment, and the last one for ever', () => {
    const phases = timetable(26);
    expect(phaseAt(phases, 0)).toBe(0);
    expect(phaseAt(phases, phases[1]!.from)).toBe(1);
    expect(phaseAt(phases, phases[1]!.to - 1)).toBe(1);
    expect(phaseAt(phases, 1e9)).toBe(5);
  });
});

describe('what the upstream does', () => {
  const phases = timetable(26);
  const during = (health: string) => {
    const { from, to } = phases.find((phase) => phase.health === health)!;
    return (nth: number, progress = 0.5) => answerAt(phases, from + (to - from) * progress, nth);
  };
  const failures = (answer: (nth: number) => { status: number }) =>
    Array.from({ length: 40 }, (_, nth) => answer(nth)).filter(({ status }) => status === 503).length;

  it('healthy: one answer in 40 is a 503, and none takes long', () => {
    expect(failures(during('healthy'))).toBe(1);
    expect(during('healthy')(7).delayMs).toBeLessThan(30);
  });

  it('slow: no failure, but longer and longer', () => {
    const slow = during('slow');
    expect(failures(slow)).toBe(0);
    expect(slow(0, 0).delayMs).toBeLessThan(100);
    expect(slow(0, 0.999).delayMs).toBeGreaterThan(1_500);
  });

  it('failing: nine in ten', () => {
    expect(failures(during('failing'))).toBe(36);
  });

  it('recovering: fewer failures and quicker answers as time goes by', () => {
    const recovering = during('recovering');
    expect(failures((nth) => recovering(nth, 0.1))).toBe(8);
    expect(failures((nth) => recovering(nth, 0.9))).toBe(0);
    expect(recovering(0, 0.1).delayMs).toBeGreaterThan(recovering(0, 0.9).delayMs);
  });
});
