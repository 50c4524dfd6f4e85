import { describe, expect, it } from 'vitest';
import { type Keyed, KeyedStates } from '../../src/algorithms/idle-keys.ts';

interface State extends Keyed {
  busy: boolean;
}
const state = (key: string): State => ({
  key,
  busy: false,
  usedAt: 0,
  prev: undefined,
  next: undefined,
  queue: undefined,
});
const states = (over: { max?: number; idleMs?: number } = {}) =>
  new KeyedStates<State>({
    max: 3,
    idleMs: 1000,
    make: state,
    evictable: (state) => !state.busy,
    ...over,
  });
const keys = (map: KeyedStates<State>) =>
  [...map]
    .map(([key]) => key)
    .sort()
    .join('');

describe('KeyedStates', () => {
  it('makes a state once per key', () => {
    const map = states();
    const a = map.get('a', 0);
    expect(map.get('a', 1)).toBe(a);
    expect(map.peek('a')).toBe(a);
    expect(map.peek('b')).toBeUndefined();
    expect(map.size).toBe(1);
  });

  it('forgets the longest unused one to make room', () => {
    const map = states();
    for (const key of 'abc') map.get(key, 0);
    map.get('a', 1);
    map.peek('b');
    map.get('d', 2);
    expect(keys(map)).toBe('acd');
  });

  it('spares the busy ones while there is another', () => {
    const map = states();
    for (const key of 'abc') map.get(key, 0).busy = key !== 'c';
    map.get('d', 1);
    expect(keys(map)).toBe('abd');
    map.get('e', 2);
    expect(keys(map)).toBe('abe');
  });

  it('finds one that has become idle since it was set aside', () => {
    const map = states();
    for (const key of 'abc') map.get(key, 0).busy = key !== 'c';
    map.get('d', 10).busy = true;
    map.peek('b')!.busy = false;
    map.get('e', 20);
    expect(keys(map)).toBe('ade');
  });

  it('stays bounded when all are busy: the longest unused one goes', () => {
    const map = states();
    for (const [at, key] of [...'abcdefgh'].entries()) map.get(key, at * 100).busy = true;
    expect(keys(map)).toBe('fgh');
    expect(map.size).toBe(3);
  });

  it('forgets the idle by and by, and never the busy', () => {
    const map = states({ max: 100 });
    for (const key of 'abcdef') map.get(key, 0);
    map.peek('a')!.busy = true;
    for (let at = 1000; at < 1010; at++) map.get('x', at);
    expect(keys(map)).toBe('ax');
    map.peek('a')!.busy = false;
    map.get('y', 2010);
    expect(keys(map)).toBe('y');
  });

  it('forgets one that stands behind another which stays busy', () => {
    const map = states({ max: 100 });
    for (const key of 'ab') map.get(key, 0).busy = true;
    map.get('x', 1000);
    map.get('x', 1001);
    map.peek('b')!.busy = false;
    map.get('y', 2500);
    map.get('z', 2501);
    expect(map.peek('a')).toBeDefined();
    expect(map.peek('b')).toBeUndefined();
  });

  it('does not forget what is in use', () => {
    const map = states({ max: 100 });
    for (let at = 0; at < 10_000; at += 500) for (const key of 'abc') map.get(key, at);
    expect(keys(map)).toBe('abc');
  });

  it.each([false, true])(
    'forgets an idle one at the very moment its time is over (set aside as busy before: %s)',
    (busy) => {
      const map = states({ max: 10, idleMs: 1000 });
      map.get('a', 0).busy = busy;
      if (busy) {
        map.get('b', 1000);
        map.peek('a')!.busy = false;
        map.delete('b');
      }
      const begun = busy ? 1000 : 0;
      map.get('c', begun + 999);
      expect(keys(map)).toBe('ac');
      map.get('d', begun + 1000);
      expect(keys(map)).toBe('cd');
    },
  );

  it('counts the use of one that was set aside, so that it does not go before those used earlier', () => {
    const map = states({ max: 2 });
    map.get('a', 0).busy = true;
    map.get('b', 1);
    map.get('c', 2);
    expect(keys(map)).toBe('ac');
    map.peek('a')!.busy = false;
    map.get('a', 3);
    map.get('d', 4);
    expect(keys(map)).toBe('ad');
    map.get('e', 5);
    expect(keys(map)).toBe('de');
  });

  it('lets an idle one go before one that was set aside and has become idle since', () => {
    const map = states({ max: 2 });
    map.get('a', 0).busy = true;
    map.get('b', 1);
    map.get('c', 2);
    map.peek('a')!.busy = false;
    map.get('d', 3);
    expect(keys(map)).toBe('ad');
  });

  it.each([
    [4.9, 'cde'],
    [5, 'bde'],
  ])('looks through the busy again five milliseconds after none of them was idle, not sooner: %d ms', (ms, left) => {
    const busy = new Set('abcde');
    const evictable = ({ key }: State) => !busy.has(key);
    const map = new KeyedStates<State>({ max: 3, idleMs: 1000, make: state, evictable });
    for (const key of 'abc') map.get(key, 0);
    map.get('d', 10);
    expect([...map].map(([key]) => key).join('')).toBe('bcd');
    busy.delete('c');
    map.get('e', 10 + ms);
    expect([...map].map(([key]) => key).join('')).toBe(left);
  });

  it('forgets none that is pinned, and the others in their order', () => {
    const pinned = ({ key }: State) => key === 'a';
    const map = new KeyedStates<State>({ max: 2, idleMs: 1000, make: state, evictable: () => false, pinned });
    for (const [now, key] of [...'abcd'].entries()) map.get(key, now);
    expect([...map].map(([key]) => key).join('')).toBe('ad');
  });

  it('holds more than it should where all are pinned', () => {
    const pinned = () => true;
    const map = new KeyedStates<State>({ max: 2, idleMs: 1000, make: state, evictable: () => false, pinned });
    for (const [now, key] of [...'abcd'].entries()) map.get(key, now);
    expect(map.size).toBe(4);
  });

  it('forgets a key when told to', () => {
    const map = states();
    map.get('a', 0);
    expect(map.delete('a')).toBe(true);
    expect(map.delete('a')).toBe(false);
    map.get('a', 0);
    expect(map.size).toBe(1);
  });

  it('survives a factory that throws, and one that asks for the same key', () => {
    let fault = true;
    const map: KeyedStates<State> = new KeyedStates({
      max: 2,
      idleMs: 1000,
      evictable: () => true,
      make: (key) => {
        if (fault) throw new Error('boom');
        if (key === 'outer' && map.peek('outer') === undefined && map.size === 0) {
          map.get('inner', 0);
          return map.get('outer', 0);
        }
        return state(key);
      },
    });
    expect(() => map.get('a', 0)).toThrow('boom');
    expect(map.size).toBe(0);
    fault = false;
    expect(map.get('outer', 0)).toBe(map.get('outer', 0));
    expect(map.size).toBe(2);
  });

  it.each([false, true])('asks about few of them for each call, however many there are (all busy: %s)', (busy) => {
    let asked = 0;
    const evictable = () => {
      asked++;
      return !busy;
    };
    const map = new KeyedStates<State>({ max: 1000, idleMs: 1000, make: state, evictable });
    for (let n = 0; n < 100_000; n++) map.get(`k${n}`, n / 1000);
    expect(map.size).toBe(1000);
    // A search through a thousand busy ones for each of them would be a hundred million questions.
    expect(asked).toBeLessThan(200_000);
  });
});
