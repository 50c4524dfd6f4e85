import fc from 'fast-check';
import { it } from 'vitest';
import { type Waiter, WaitQueue } from '../../src/algorithms/wait-queue.ts';
import { commands, explore, holds, patience, same } from './explore.ts';

class Guest implements Waiter {
  prev: Waiter | undefined = undefined;
  next: Waiter | undefined = undefined;
  queue: object | undefined = undefined;
}

const refuses = (run: () => void): boolean => {
  try {
    run();
  } catch {
    return true;
  }
  return false;
};

it(
  'two queues that share waiters agree with two arrays',
  () => {
    const command = fc.record({ do: fc.constantFrom('push', 'shift', 'remove'), queue: fc.nat(1), guest: fc.nat(9) });
    return explore('wait queue', commands(command, 200), (run, did) => {
      const guests = Array.from({ length: 10 }, () => new Guest());
      const queues = [new WaitQueue<Guest>(), new WaitQueue<Guest>()] as const;
      const models: [Guest[], Guest[]] = [[], []];
      for (const { do: what, queue: which, guest: number } of run) {
        did();
        const [queue, model, guest] = [queues[which]!, models[which]!, guests[number]!];
        if (what === 'push') {
          const waits = models.some((other) => other.includes(guest));
          same(
            'a waiter that waits is refused',
            refuses(() => queue.push(guest)),
            waits,
          );
          if (!waits) model.push(guest);
        } else if (what === 'shift') {
          holds('the head is shifted', queue.shift() === model.shift());
        } else {
          const at = model.indexOf(guest);
          same('removed', queue.remove(guest), at >= 0);
          if (at >= 0) model.splice(at, 1);
        }
        for (const [which, queue] of queues.entries()) {
          const model = models[which]!;
          same('size', queue.size, model.length);
          // The links, both ways.
          let own: Waiter | undefined = queue.first;
          let before: Waiter | undefined;
          for (const expected of model) {
            holds('the row is in order', own === expected && own.prev === before && own.queue === queue);
            before = own;
            own = own!.next;
          }
          holds('the row ends', own === undefined);
        }
        const waiting = models.flat();
        for (const guest of guests)
          holds(
            'one that has left keeps no links',
            waiting.includes(guest) || (guest.prev ?? guest.next ?? guest.queue) === undefined,
          );
      }
    });
  },
  patience,
);
