import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Slots, type Ticket } from '../../src/algorithms/slots.ts';
import { commands, explore, holds, operations, patience, same } from './explore.ts';

const command = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('come' as const) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('release' as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constantFrom('withdraw' as const, 'expire' as const), which: fc.nat(1000) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('resize' as const), limit: fc.integer({ min: 1, max: 6 }) }) },
);

/** Who came and was not turned away. */
interface Guest {
  readonly name: number;
  ticket: Ticket | undefined;
  woken: number;
}

it(
  'slots agree with two lists: first come first served, handed over once, nobody overtakes, is lost or served twice',
  async () => {
    let handedOver = 0;
    const shape = fc.record({ limit: fc.integer({ min: 1, max: 4 }), queue: fc.constantFrom(0, 1, 3, 8, Infinity) });
    await explore('slots', fc.tuple(shape, commands(command, 200)), ([{ limit: first, queue }, run], did) => {
      const slots = new Slots(first, queue);
      let limit = first;
      let names = 0;
      /** Who holds a slot, and who waits; all that there is. */
      const inside: Guest[] = [];
      const waiting: Guest[] = [];
      /** Has been handed a slot and has not noticed yet. */
      const granted: Guest[] = [];
      const truth = { full: 0, expired: 0 };
      const handOver = () => {
        while (inside.length < limit && waiting.length > 0) {
          const next = waiting.shift()!;
          inside.push(next);
          granted.push(next);
          handedOver++;
        }
      };
      for (const next of run) {
        if (next.do === 'release' && inside.length === 0) continue;
        const which = 'which' in next ? next.which : 0;
        if (next.do === 'expire' && waiting.length + granted.length === 0) continue;
        if (next.do === 'withdraw' && waiting.length + granted.length === 0) continue;
        did();
        if (next.do === 'come') {
          const guest: Guest = { name: names++, ticket: undefined, woken: 0 };
          const free = inside.length < limit && waiting.length === 0;
          same('takes a slot', slots.take(), free);
          if (free) inside.push(guest);
          else {
            const full = waiting.length >= queue;
            same('is turned away', slots.refuses(), full);
            if (full) truth.full++;
            else {
              guest.ticket = slots.wait(() => guest.woken++, names);
              waiting.push(guest);
            }
          }
        } else if (next.do === 'release') {
          const [gone] = inside.splice(0, 1);
          if (granted.includes(gone!)) granted.splice(granted.indexOf(gone!), 1);
          slots.release();
          handOver();
        } else if (next.do === 'resize') {
          limit = next.limit;
          slots.resize(limit);
          handOver();
        } else {
          // One who waits, or who has been handed a slot that it has not noticed.
          const guest = [...waiting, ...granted][which % (waiting.length + granted.length)]!;
          const waits = waiting.includes(guest);
          if (next.do === 'expire') {
            slots.expire(guest.ticket!);
            if (!waits) continue;
            truth.expired++;
            waiting.splice(waiting.indexOf(guest), 1);
            same('the expired one is told', [guest.ticket!.state, guest.woken], ['expired', 1]);
          } else {
            slots.withdraw(guest.ticket!);
            if (waits) waiting.splice(waiting.indexOf(guest), 1);
            else {
              granted.splice(granted.indexOf(guest), 1);
              inside.splice(inside.indexOf(guest), 1);
              handOver();
            }
          }
        }
        same('numbers', [slots.active, slots.queued, slots.limit], [inside.length, waiting.length, limit]);
        same('turned away', [slots.full, slots.expired], [truth.full, truth.expired]);
        for (const { ticket, woken } of inside)
          if (ticket !== undefined) same('who holds a slot was told once', [ticket.state, woken], ['granted', 1]);
        for (const { ticket, woken } of waiting)
          same('who waits was told nothing', [ticket!.state, woken], ['waiting', 0]);
        holds('nobody waits beside a free slot', waiting.length === 0 || inside.length >= limit);
      }
    });
    expect(handedOver).toBeGreaterThan(operations / 20);
  },
  patience,
);
