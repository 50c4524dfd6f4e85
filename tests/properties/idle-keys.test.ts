import fc from 'fast-check';
import { expect, it } from 'vitest';
import { KeyedStates } from '../../src/algorithms/idle-keys.ts';

const max = 4;

it('stays bounded, spares the busy while another could go, and keeps what was used within idleMs', () => {
  const command = fc.record({
    do: fc.constantFrom('get', 'get', 'get', 'busy', 'delete'),
    key: fc.integer({ min: 0, max: 7 }).map((n) => `k${n}`),
    wait: fc.constantFrom(5, 50, 400),
  });
  fc.assert(
    fc.property(fc.array(command, { maxLength: 200, size: 'max' }), (commands) => {
      const map = new KeyedStates({
        max,
        idleMs: 1000,
        make: (key) => ({ key, busy: false }),
        evictable: (state) => !state.busy,
      });
      const usedAt = new Map<string, number>();
      let now = 0;
      for (const { do: what, key, wait } of commands) {
        now += wait;
        const before = new Map([...map].map(([name, state]) => [name, { state, busy: state.busy }]));
        const had = before.has(key);
        if (what === 'busy') {
          const state = map.peek(key);
          if (state !== undefined) state.busy = !state.busy;
          continue;
        }
        if (what === 'delete') {
          expect(map.delete(key)).toBe(had);
          continue;
        }
        const state = map.get(key, now);
        expect(state.key).toBe(key);
        if (had) expect(state).toBe(before.get(key)!.state);
        usedAt.set(key, now);
        expect(map.size).toBeLessThanOrEqual(max);
        const gone = [...before].filter(([name]) => map.peek(name) === undefined);
        const spared = [...before].filter(([name]) => map.peek(name) !== undefined && name !== key);
        for (const [name, { busy }] of gone) {
          const full = !had && before.size === max;
          // Only a full map sends away a busy one, and only when all are; only a full map one that was used lately.
          if (busy) expect(full && spared.every(([, other]) => other.busy)).toBe(true);
          if (!full) expect(now - usedAt.get(name)!).toBeGreaterThanOrEqual(1000);
        }
      }
    }),
    { seed: 20_261_121, numRuns: 500 },
  );
});
