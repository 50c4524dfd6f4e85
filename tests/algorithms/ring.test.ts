import { describe, expect, it } from 'vitest';
import { Ring, type Ringed } from '../../src/algorithms/ring.ts';

class Waiter implements Ringed<Waiter> {
  readonly name: string;
  previous: Waiter | null = null;
  next: Waiter | null = null;

  constructor(name: string) {
    this.name = name;
  }
}

function ring(names: string) {
  const all = [...names].map((name) => new Waiter(name));
  const line = new Ring<Waiter>();
  for (const each of all) line.add(each);
  /** Takes all out, from the first on. */
  const rest = () => {
    let order = '';
    for (let first = line.first; first !== null; first = line.first) {
      order += first.name;
      line.remove(first);
    }
    return order;
  };
  return { line, rest, at: (name: string) => all[names.indexOf(name)]! };
}

describe('a ring', () => {
  it('is empty at first, and its first is whoever came first', () => {
    expect(new Ring<Waiter>().first).toBeNull();
    expect(ring('abc').line.first?.name).toBe('a');
    expect(ring('abc').rest()).toBe('abc');
  });

  it.each([
    ['a', 'bcd'],
    ['b', 'acd'],
    ['c', 'abd'],
    ['d', 'abc'],
  ])('without %s keeps the order of the others: %s', (gone, left) => {
    const { line, rest, at } = ring('abcd');
    line.remove(at(gone));
    expect(rest()).toBe(left);
  });

  it('puts one that comes back at the end', () => {
    const { line, rest, at } = ring('abc');
    line.remove(at('c'));
    line.add(at('c'));
    line.remove(at('a'));
    line.add(at('a'));
    expect(rest()).toBe('bca');
  });

  it('is empty again when all have left, and one that leaves twice changes nothing', () => {
    const { line, at } = ring('ab');
    for (const name of 'aab') {
      expect(line.empty).toBe(false);
      line.remove(at(name));
    }
    expect(line.empty).toBe(true);
    line.remove(at('b'));
    line.add(at('a'));
    line.remove(at('b'));
    expect([line.first, line.empty]).toEqual([at('a'), false]);
  });

  it('keeps no link in what has left it', () => {
    const { line, at } = ring('abc');
    for (const name of 'bca') {
      line.remove(at(name));
      expect([at(name).previous, at(name).next]).toEqual([null, null]);
    }
  });
});
