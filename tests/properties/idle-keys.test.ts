import fc from 'fast-check';
import { it } from 'vitest';
import { type Keyed, KeyedStates } from '../../src/algorithms/idle-keys.ts';
import { commands, explore, holds, patience, same } from './explore.ts';

const max = 4;
const idleMs = 1000;

const state = (key: string): Keyed & { busy: boolean; pinned: boolean } => ({
  key,
  busy: false,
  pinned: false,
  usedAt: 0,
  prev: undefined,
  next: undefined,
  queue: undefined,
});

it(
  'keys stay bounded, spare the busy while another could go and the pinned always, and keep what was used within idleMs',
  () => {
    const command = fc.record({
      do: fc.constantFrom('get', 'get', 'get', 'busy', 'pin', 'delete'),
      key: fc.integer({ min: 0, max: 7 }).map((n) => `k${n}`),
      wait: fc.constantFrom(5, 50, 400),
    });
    return explore('keys', commands(command, 200), (run, did) => {
      const map = new KeyedStates({
        max,
        idleMs,
        make: state,
        evictable: (state) => !state.busy && !state.pinned,
        pinned: (state) => state.pinned,
      });
      const usedAt = new Map<string, number>();
      let now = 0;
      for (const { do: what, key, wait } of run) {
        now += wait;
        const before = new Map(map);
        const had = before.get(key);
        did();
        if (what === 'busy' || what === 'pin') {
          const state = map.peek(key);
          same('what is there', state, had);
          if (state === undefined) continue;
          if (what === 'busy') state.busy = !state.busy;
          else state.pinned = !state.pinned;
          continue;
        }
        if (what === 'delete') {
          same('deleted', map.delete(key), had !== undefined);
          continue;
        }
        const state = map.get(key, now);
        holds('a key keeps its state', state.key === key && (had === undefined || state === had));
        usedAt.set(key, now);
        const states = [...map].map(([, own]) => own);
        const pinned = states.filter((own) => own.pinned).length;
        holds('there are not too many', had !== undefined || map.size <= max + pinned);
        const gone = [...before].filter(([name]) => map.peek(name) === undefined);
        const spared = [...before].filter(([name]) => map.peek(name) !== undefined && name !== key);
        for (const [name, { busy, pinned }] of gone) {
          const full = had === undefined && before.size >= max;
          holds('a pinned one stays', !pinned);
          // Only a full map sends away a busy one, and only when all are; only a full map one that was used lately.
          holds('a busy one goes last', !busy || (full && spared.every(([, own]) => own.busy || own.pinned)));
          holds('what was used lately stays', full || now - usedAt.get(name)! >= idleMs);
        }
      }
    });
  },
  patience,
);
