import { describe, expect, it } from 'vitest';
import { type Waiter, WaitQueue } from '../../src/algorithms/wait-queue.ts';

class Guest implements Waiter {
  prev: Waiter | undefined = undefined;
  next: Waiter | undefined = undefined;
  queue: object | undefined = undefined;
  readonly id: number;
  constructor(id: number) {
    this.id = id;
  }
}
const guests = (count: number) => Array.from({ length: count }, (_, id) => new Guest(id));
const drain = (queue: WaitQueue<Guest>) => {
  const order: number[] = [];
  for (let guest = queue.shift(); guest !== undefined; guest = queue.shift()) order.push(guest.id);
  return order;
};

describe('WaitQueue', () => {
  it('serves first come, first served', () => {
    const queue = new WaitQueue<Guest>();
    for (const guest of guests(4)) queue.push(guest);
    expect(queue.size).toBe(4);
    expect(queue.first?.id).toBe(0);
    expect(drain(queue)).toEqual([0, 1, 2, 3]);
    expect(queue.size).toBe(0);
    expect(queue.shift()).toBeUndefined();
    expect(queue.first).toBeUndefined();
  });

  it.each([
    [0, [1, 2]],
    [1, [0, 2]],
    [2, [0, 1]],
  ])('lets waiter %i leave', (leaver, rest) => {
    const queue = new WaitQueue<Guest>();
    const all = guests(3);
    for (const guest of all) queue.push(guest);
    expect(queue.remove(all[leaver]!)).toBe(true);
    expect(queue.remove(all[leaver]!)).toBe(false);
    expect(queue.size).toBe(2);
    expect(drain(queue)).toEqual(rest);
  });

  it('keeps nothing of a waiter that left, so that it may come again', () => {
    const queue = new WaitQueue<Guest>();
    const [a, b] = guests(2) as [Guest, Guest];
    queue.push(a);
    queue.push(b);
    queue.shift();
    expect([a.prev, a.next, a.queue]).toEqual([undefined, undefined, undefined]);
    expect(b.prev).toBeUndefined();
    queue.push(a);
    expect(drain(queue)).toEqual([1, 0]);
  });

  it("refuses a waiter that stands in a queue, and another queue's cannot be removed", () => {
    const [one, other] = [new WaitQueue<Guest>(), new WaitQueue<Guest>()];
    const guest = new Guest(1);
    one.push(guest);
    expect(() => one.push(guest)).toThrow(/one queue/);
    expect(() => other.push(guest)).toThrow(/one queue/);
    expect(other.remove(guest)).toBe(false);
    expect(one.size).toBe(1);
  });

  it('removes from the middle of a hundred thousand at once', () => {
    const queue = new WaitQueue<Guest>();
    const all = guests(100_000);
    for (const guest of all) queue.push(guest);
    const begun = performance.now();
    for (let at = 50_000; at < 100_000; at++) queue.remove(all[at]!);
    expect(performance.now() - begun).toBeLessThan(500);
    expect(queue.size).toBe(50_000);
  });
});
