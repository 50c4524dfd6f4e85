import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type Deadline, DeadlineList } from '../../src/core/deadlines.ts';
import type { Clock } from '../../src/ports/clock.ts';
import { commands, explore, holds, operations, patience, same } from './explore.ts';

const ms = 100;
/** Beyond this a timer is so late that the event loop must have been blocked. */
const stallMs = 10;
const command = fc.oneof(
  { weight: 10, arbitrary: fc.record({ do: fc.constant('add' as const), inside: fc.nat(6) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('remove' as const), which: fc.nat(1000) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('pass' as const), by: fc.nat(60) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('block' as const), by: fc.nat(150) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('ring' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('turn' as const) }) },
);

/** One deadline; `inside` is what user code does when it fires: it adds one, removes one, or throws. */
interface Entry {
  readonly due: number;
  readonly inside: number;
  deadline: Deadline<Entry> | undefined;
}

it(
  'the list of deadlines agrees with a sorted list: each fires once, in order, never early, after a stall one turn later',
  async () => {
    let fired = 0;
    let graces = 0;
    await explore('deadline list', commands(command, 200), async (run, did) => {
      // An event loop in the test's hand: time may pass without its timers.
      let now = 0;
      const timers: { due: number; fn: () => void }[] = [];
      const loop: Clock = {
        now: () => now,
        after(ms: number, fn: () => void) {
          const timer = { due: now + ms, fn };
          timers.push(timer);
          const cancel = () => void (timers.includes(timer) && timers.splice(timers.indexOf(timer), 1));
          return { cancel, ref() {}, unref() {} };
        },
      };
      const waiting: Entry[] = [];
      const gone: Entry[] = [];
      let expected: Entry[] = [];
      let heard: Entry[] = [];
      const list = new DeadlineList<Entry>(loop, ms, (entry) => {
        heard.push(entry);
        fired++;
        expected.push(waiting.shift()!);
        gone.push(entry);
        if (entry.inside === 1) add(0);
        if (entry.inside === 2) remove(entry.due);
        if (entry.inside === 3) list.remove(entry.deadline!);
      });
      const add = (inside: number) => {
        const entry: Entry = { due: now + ms, inside, deadline: undefined };
        waiting.push(entry);
        entry.deadline = list.add(entry);
      };
      const remove = (which: number) => {
        if (waiting.length === 0) return;
        const [entry] = waiting.splice(which % waiting.length, 1);
        gone.push(entry!);
        list.remove(entry!.deadline!);
      };
      /** Time goes on to `to`, and every timer rings when it is due. */
      const pass = (to: number) => {
        for (;;) {
          const next = timers.toSorted((a, b) => a.due - b.due)[0];
          if (next === undefined || next.due > to) break;
          now = Math.max(now, next.due);
          ring();
        }
        now = to;
      };
      const ring = () => {
        const next = timers.toSorted((a, b) => a.due - b.due)[0];
        if (next === undefined) return;
        timers.splice(timers.indexOf(next), 1);
        const first = waiting[0]?.due ?? Infinity;
        const late = now - first > stallMs;
        const grace = late && !graced;
        const before = heard.length;
        next.fn();
        if (grace) {
          graces++;
          same('fired before the sockets were looked at', heard.length, before);
          same(
            'the next turn',
            timers.map(({ due }) => due),
            [now],
          );
        } else
          holds(
            'nobody who is due is left',
            waiting.every(({ due }) => due > now),
          );
        graced = grace;
      };
      let graced = false;
      for (const next of run) {
        if (next.do === 'remove' && waiting.length + gone.length === 0) continue;
        if (next.do === 'ring' && timers.length === 0) continue;
        did();
        if (next.do === 'add') add(next.inside);
        else if (next.do === 'remove') {
          // One that has fired or was removed, now and then: nothing must happen.
          if (next.which % 5 === 0 && gone.length > 0) list.remove(gone[next.which % gone.length]!.deadline!);
          else remove(next.which);
        } else if (next.do === 'pass') pass(now + next.by);
        else if (next.do === 'block') now += next.by;
        else if (next.do === 'ring') {
          now = Math.max(now, timers.toSorted((a, b) => a.due - b.due)[0]!.due);
          ring();
        } else {
          await turn();
          if (waiting.length === 0) {
            same('timers of an empty list after a turn', timers.length, 0);
            graced = false;
          }
        }
        holds(
          'in order, the oldest first',
          heard.every((entry, at) => entry === expected[at]),
        );
        holds(
          'never early',
          heard.every(({ due }) => due <= now),
        );
        heard = [];
        expected = [];
        holds('one timer, while somebody waits', timers.length <= 1 && (waiting.length === 0 || timers.length === 1));
        if (waiting.length > 0) holds('the timer is in time', timers[0]!.due <= Math.max(now, waiting[0]!.due));
      }
      pass(now + 2 * ms);
      pass(now + 2 * ms);
      await turn();
      same('nobody is forgotten, and no timer is left', [waiting.length, timers.length], [0, 0]);
    });
    expect(fired).toBeGreaterThan(operations / 20);
    expect(graces).toBeGreaterThan(operations / 200);
  },
  patience,
);

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
