import { afterEach, describe, expect, it, vi } from 'vitest';
import { type Idle, soon, sweepSoon, turnsCome } from '../../src/ports/turn.ts';
import { program } from './program.ts';

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

describe('soon', () => {
  it('runs after all promises of this turn, and holds the process until then', async () => {
    const order: string[] = [];
    const done = new Promise<void>((resolve) => soon(() => resolve(void order.push('soon'))));
    for (let hop = 0; hop < 10; hop++) await null;
    order.push('promises');
    await done;
    expect(order).toEqual(['promises', 'soon']);
    expect(program('turn.ts', 'soon', `soon(() => console.log('ran'));`).out).toBe('ran');
  });

  it('falls back to a timer where the host has no setImmediate', async () => {
    vi.stubGlobal('setImmediate', undefined);
    await new Promise<void>(soon);
  });
});

describe('sweepSoon', () => {
  const idle = (log: string[], name: string, sweep = () => {}): Idle => ({
    sweeping: false,
    sweep() {
      log.push(name);
      sweep();
    },
  });
  /** Twice, because a timer may come before an immediate that was asked for earlier. */
  const turn = async () => {
    for (let times = 0; times < 2; times++) await new Promise((resolve) => setTimeout(resolve));
  };

  it('asks for one turn however many wait for it, and sweeps each once', async () => {
    const log: string[] = [];
    const asked = vi.spyOn(globalThis, 'setImmediate');
    const [a, b] = [idle(log, 'a'), idle(log, 'b')];
    for (const each of [a, b, a, a]) sweepSoon(each);
    expect(log).toEqual([]);
    await turn();
    expect(log).toEqual(['a', 'b']);
    expect(asked).toHaveBeenCalledTimes(1);
    sweepSoon(a);
    await turn();
    expect(log).toEqual(['a', 'b', 'a']);
    expect(asked).toHaveBeenCalledTimes(2);
  });

  it('sweeps one that asks again meanwhile in the turn after that', async () => {
    const log: string[] = [];
    let again = true;
    const a: Idle = idle(log, 'a', () => {
      if (again) sweepSoon(a);
      again = false;
    });
    sweepSoon(a);
    await turn();
    await turn();
    expect(log).toEqual(['a', 'a']);
  });

  it('asks anew where setImmediate has been replaced since, and whoever was asked first sweeps all', async () => {
    const log: string[] = [];
    const never = vi.fn();
    vi.stubGlobal('setImmediate', never);
    const [a, b] = [idle(log, 'a'), idle(log, 'b')];
    sweepSoon(a);
    vi.unstubAllGlobals();
    sweepSoon(a);
    sweepSoon(b);
    await turn();
    expect(log).toEqual(['a', 'b']);
    expect(never).toHaveBeenCalledTimes(1);
  });

  it('tells that turns come by themselves once one has, but not while somebody has replaced setImmediate', async () => {
    sweepSoon(idle([], 'a'));
    await turn();
    expect(turnsCome()).toBe(true);
    vi.stubGlobal('setImmediate', () => {});
    expect(turnsCome()).toBe(false);
    vi.unstubAllGlobals();
    expect(turnsCome()).toBe(true);
  });
});
