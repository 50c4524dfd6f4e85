import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type Waiter, WaitQueue } from '../../src/algorithms/wait-queue.ts';

class Guest implements Waiter {
  prev: Waiter | undefined = undefined;
  next: Waiter | undefined = undefined;
  queue: object | undefined = undefined;
}

it('two queues that share waiters agree with two arrays', () => {
  const command = fc.record({ do: fc.constantFrom('push', 'shift', 'remove'), queue: fc.nat(1), guest: fc.nat(9) });
  fc.assert(
    fc.property(fc.array(command, { maxLength: 200, size: 'max' }), (commands) => {
      const guests = Array.from({ length: 10 }, () => new Guest());
      const queues = [new WaitQueue<Guest>(), new WaitQueue<Guest>()] as const;
      const models: [Guest[], Guest[]] = [[], []];
      for (const { do: what, queue: which, guest: number } of commands) {
        const [queue, model, guest] = [queues[which]!, models[which]!, guests[number]!];
        if (what === 'push') {
          if (models.flat().includes(guest)) expect(() => queue.push(guest)).toThrow();
          else {
            queue.push(guest);
            model.push(guest);
          }
        } else if (what === 'shift') {
          expect(queue.shift()).toBe(model.shift());
        } else {
          const at = model.indexOf(guest);
          expect(queue.remove(guest)).toBe(at >= 0);
          if (at >= 0) model.splice(at, 1);
        }
        expect(queues.map((q) => q.size)).toEqual(models.map((m) => m.length));
        expect(queues.map((q) => q.first)).toEqual(models.map((m) => m[0]));
      }
      for (const [which, queue] of queues.entries()) {
        const rest: Guest[] = [];
        for (let guest = queue.shift(); guest !== undefined; guest = queue.shift()) rest.push(guest);
        expect(rest.length).toBe(models[which]!.length);
        rest.forEach((guest, at) => expect(guest).toBe(models[which]![at]));
      }
    }),
    { seed: 20_261_121, numRuns: 500 },
  );
});
