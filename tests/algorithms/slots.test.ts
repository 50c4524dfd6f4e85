import { describe, expect, it } from 'vitest';
import { Slots } from '../../src/algorithms/slots.ts';

/** Waits in `slots` and notes how it ended. */
const wait = (slots: Slots, ends: string[], name: string, now = 0) => {
  const ticket = slots.wait(() => ends.push(`${name} ${ticket.state}`), now);
  return ticket;
};

describe('Slots', () => {
  it('gives as many as its limit, and counts them', () => {
    const slots = new Slots(2, 0);
    expect([slots.take(), slots.take(), slots.take()]).toEqual([true, true, false]);
    expect(slots.active).toBe(2);
    slots.release();
    expect([slots.active, slots.take()]).toEqual([1, true]);
  });

  it('refuses who comes when the queue is full, and counts that', () => {
    const slots = new Slots(1, 1);
    slots.take();
    expect(slots.refuses()).toBe(false);
    wait(slots, [], 'a');
    expect([slots.refuses(), slots.refuses(), slots.full]).toEqual([true, true, 2]);
    expect(new Slots(1, 0).refuses()).toBe(true);
    expect(new Slots(1, Number.POSITIVE_INFINITY).refuses()).toBe(false);
  });

  it('hands a released slot on in the same turn, first come, first served', () => {
    const slots = new Slots(1, 5);
    const ends: string[] = [];
    slots.take();
    for (const name of ['a', 'b', 'c']) wait(slots, ends, name);
    slots.release();
    expect([ends, slots.active, slots.queued]).toEqual([['a granted'], 1, 2]);
    expect(slots.take()).toBe(false);
    slots.release();
    slots.release();
    expect([ends, slots.active]).toEqual([['a granted', 'b granted', 'c granted'], 1]);
    slots.release();
    expect(slots.active).toBe(0);
  });

  it('keeps since when each has waited', () => {
    const slots = new Slots(1, 1);
    expect(wait(slots, [], 'a', 42).since).toBe(42);
  });

  it('says of each whether it waits, has a slot or has given up', () => {
    const slots = new Slots(1, 3);
    slots.take();
    const [a, b, c] = ['a', 'b', 'c'].map((name) => wait(slots, [], name));
    slots.expire(b!);
    slots.release();
    expect([a!.state, b!.state, c!.state]).toEqual(['granted', 'expired', 'waiting']);
  });

  it('lets nobody overtake while slots are being granted', () => {
    const slots = new Slots(1, 2);
    slots.take();
    const taken: boolean[] = [];
    slots.wait(() => taken.push(slots.take()), 0);
    slots.wait(() => taken.push(slots.take()), 0);
    slots.resize(4);
    expect(taken).toEqual([false, true]);
    expect(slots.active).toBe(4);
  });

  it('expires a waiter once, and only while it waits', () => {
    const slots = new Slots(1, 2);
    const ends: string[] = [];
    slots.take();
    const [a, b] = [wait(slots, ends, 'a'), wait(slots, ends, 'b')];
    slots.expire(a);
    slots.expire(a);
    slots.release();
    slots.expire(b);
    expect([ends, slots.expired, slots.active, slots.queued]).toEqual([['a expired', 'b granted'], 1, 1, 0]);
  });

  it('lets a waiter go; one that had been granted a slot passes it on', () => {
    const slots = new Slots(1, 3);
    const ends: string[] = [];
    slots.take();
    const [a, b] = ['a', 'b', 'c'].map((name) => wait(slots, ends, name));
    slots.withdraw(a!);
    expect([ends, slots.queued]).toEqual([[], 2]);
    slots.release();
    slots.withdraw(b!);
    expect([ends, slots.active]).toEqual([['b granted', 'c granted'], 1]);
  });

  it('grants at once what a higher limit allows, and takes a lower one as slots come back', () => {
    const slots = new Slots(1, 5);
    const ends: string[] = [];
    slots.take();
    for (const name of ['a', 'b', 'c']) wait(slots, ends, name);
    slots.resize(3);
    expect([ends, slots.active]).toEqual([['a granted', 'b granted'], 3]);
    slots.resize(1);
    slots.release();
    slots.release();
    expect([ends.length, slots.active]).toEqual([2, 1]);
    slots.release();
    expect([ends.at(-1), slots.active]).toEqual(['c granted', 1]);
  });
});
