import { describe, expect, it } from 'vitest';
import { Recent } from '../../src/algorithms/recent.ts';

describe('Recent', () => {
  it('has seen nothing grow before the first note', () => {
    expect(new Recent().since(5_000, 7, 3)).toEqual({ calls: 0, failures: 0 });
  });

  it('wants the first note at once, whatever the clock says', () => {
    expect([new Recent().due(-1e9), new Recent().due(0)]).toEqual([true, true]);
  });

  it('wants one note a second', () => {
    const recent = new Recent();
    recent.note(500, 0, 0);
    expect([500, 1_499.9, 1_500, 9_000].map((now) => recent.due(now))).toEqual([false, false, true, true]);
  });

  it('says how much the totals have grown since the oldest note of ten seconds', () => {
    const recent = new Recent();
    recent.note(0, 100, 10);
    recent.note(6_000, 130, 14);
    expect(recent.since(9_000, 150, 15)).toEqual({ calls: 50, failures: 5 });
  });

  it('looks back ten seconds and no further', () => {
    const recent = new Recent();
    recent.note(0, 100, 10);
    recent.note(6_000, 130, 14);
    expect(recent.since(10_000, 150, 15)).toEqual({ calls: 50, failures: 5 });
    expect(recent.since(10_000.1, 150, 15)).toEqual({ calls: 20, failures: 1 });
  });

  it('after ten quiet seconds nothing has grown', () => {
    const recent = new Recent();
    recent.note(0, 100, 10);
    expect(recent.since(10_001, 105, 11)).toEqual({ calls: 0, failures: 0 });
  });

  it('goes on after a quiet time with the next note', () => {
    const recent = new Recent();
    recent.note(0, 100, 10);
    recent.note(60_000, 100, 10);
    expect(recent.since(61_000, 103, 11)).toEqual({ calls: 3, failures: 1 });
  });

  it('holds no more notes than ten seconds have, however long it runs', () => {
    const recent = new Recent();
    for (let second = 0; second < 1_000; second++) recent.note(second * 1_000, second, 0);
    expect((recent as unknown as { marks: unknown[] }).marks.length).toBe(11);
  });
});
