import { pipeline, Stage } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import type { Call } from '../../src/core/call.ts';
import { park } from '../../src/core/sleep.ts';
import { microtasks, watch } from './spy.ts';

describe('a stage that waits', () => {
  /** Waits as often as it is told to, and answers what it is resumed with. */
  const setup = (waits: number) => {
    const wakes: ((value: unknown) => void)[] = [];
    const resumed: unknown[] = [];
    class Waits extends Stage {
      override enter(call: Call): void {
        for (let i = 0; i < waits; i++) wakes.push(park(call, this));
      }
      override resume(call: Call, value: unknown): void {
        resumed.push(value);
        this.pass(call, value);
      }
    }
    const pipe = pipeline('p', [{ kind: 'waits', stage: () => new Waits() }]);
    const caller = new AbortController();
    return { wakes, resumed, caller, seen: watch(pipe.execute(() => 'called', caller.signal)) };
  };

  it('is resumed once, with what it was woken with first', async () => {
    const { wakes, resumed, seen } = setup(1);
    wakes[0]!('first');
    wakes[0]!('second');
    expect(resumed).toEqual([]);
    await microtasks();
    expect([resumed, seen.result]).toEqual([['first'], 'first']);
  });

  it('anew is not resumed by what ends its earlier wait', async () => {
    const { wakes, resumed, seen } = setup(2);
    wakes[0]!('first');
    await microtasks();
    expect([resumed, seen.state]).toEqual([[], 'pending']);
    wakes[1]!('second');
    await microtasks();
    expect([resumed, seen.result]).toEqual([['second'], 'second']);
  });

  it('is not resumed when the call has ended, woken before or afterwards', async () => {
    for (const before of [true, false]) {
      const { wakes, resumed, caller, seen } = setup(1);
      if (before) wakes[0]!('late');
      caller.abort('enough');
      wakes[0]!('late');
      await microtasks();
      expect([resumed, seen.result]).toEqual([[], 'enough']);
    }
  });
});
