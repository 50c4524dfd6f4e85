import { IterableBackoff } from 'cockatiel';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Circuit, type Settlement } from '../../src/algorithms/circuit.ts';
import { circuitRules, conflict } from '../../src/algorithms/circuit-options.ts';
import { Model, optionsOf, type Pass, type Shape, shape } from './circuit-model.ts';
import { commands, explore, operations, patience, same } from './explore.ts';

const wait = fc.oneof({ weight: 6, arbitrary: fc.nat(20) }, { weight: 2, arbitrary: fc.nat(120) }, fc.nat(2000));
const result = fc.constantFrom<Settlement>('success', 'success', 'failure', 'failure', 'ignored');
const slow = fc.nat(5).map((n) => n === 0);
const settle = fc.record({ do: fc.constant('settle' as const), wait, which: fc.nat(1000), result, slow });
const command = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('admit' as const), wait }) },
  { weight: 10, arbitrary: settle },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('advance' as const, 'pass' as const), wait }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constantFrom('reset' as const, 'none' as const, 'none' as const), wait }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constantFrom('restart' as const, 'none' as const, 'none' as const),
      wait,
      shift: fc.integer({ min: -1e6, max: 1e6 }),
    }),
  },
);

const rulesOf = (of: Shape) => {
  same('conflict', conflict(optionsOf(of)), undefined);
  return circuitRules(optionsOf(of), ({ error }) => {
    throw error;
  });
};
describe('the circuit', () => {
  it(
    'agrees with a naive model in every answer and every dated change of state',
    async () => {
      let changes = 0;
      let late = 0;
      await explore('circuit', fc.tuple(shape, commands(command, 250)), ([of, run], did) => {
        let circuit = new Circuit(rulesOf(of));
        let model = new Model(of);
        let permits: { permit: number; pass: Pass }[] = [];
        let now = 0;
        for (const next of run) {
          if (next.do === 'none' || (next.do === 'settle' && permits.length === 0)) continue;
          now += next.wait;
          did();
          if (next.do === 'admit') {
            const permit = circuit.admit(now);
            const pass = model.admit(now);
            same('let in', permit >= 0, pass !== undefined);
            if (pass !== undefined) permits.push({ permit, pass });
          } else if (next.do === 'settle') {
            const at = next.which % permits.length;
            const { permit, pass } = permits[at]!;
            // Settled ones stay in the list now and then, to be settled a second time; closed permits are not told apart.
            if (next.which % 7 !== 0 || model.state === 'closed') permits.splice(at, 1);
            const counted = model.settle(pass, next.result, next.slow, now);
            same('counted', circuit.settle(permit, next.result, next.slow, now), counted);
            if (!counted) late++;
          } else if (next.do === 'advance') {
            circuit.advance(now);
          } else if (next.do === 'reset') {
            model.reset(now);
            circuit.reset(now);
          } else if (next.do === 'restart') {
            const kept: unknown = JSON.parse(JSON.stringify(circuit.toJSON(now)));
            circuit = Circuit.restore(rulesOf(of), kept, now + next.shift);
            model = model.restored(now, next.shift);
            now += next.shift;
            permits = [];
          }
          // The circuit may be behind by what is due and unseen, but nobody who asks can tell.
          const snapshot = model.snapshot(now);
          same('state', circuit.state(now), model.state);
          same('retryAfterMs', circuit.retryAfterMs(now), model.retryAfterMs(now));
          same('snapshot', circuit.toJSON(now), snapshot);
          if (next.do === 'pass') continue;
          circuit.advance(now);
          if (model.state === 'closed') same('failureRatio', circuit.failureRatio(now), model.failureRatio(now));
          const changed = model.log.splice(0);
          same('changes', circuit.takeTransitions(), changed);
          changes += changed.length;
        }
      });
      // A generator that never gets anywhere would agree with anything.
      expect(changes).toBeGreaterThan(operations / 10);
      expect(late).toBeGreaterThan(operations / 50);
    },
    patience,
  );

  it(
    'does not change its course by being looked at: nothing depends on who looks when',
    async () => {
      const looks = fc.array(fc.nat(2000), { minLength: 3, maxLength: 3 });
      const input = fc.tuple(shape, commands(command, 150), looks);
      await explore('circuit, watched', input, ([of, run, looks], did) => {
        const left = new Circuit(rulesOf(of));
        const watched = new Circuit(rulesOf(of));
        const permits: [number, number][] = [];
        let now = 0;
        for (const next of run) {
          did();
          // Looking and moving on, anywhere on the way.
          for (const look of [...looks].sort((a, b) => a - b)) {
            const at = now + (next.wait * look) / 2000;
            const seen = () => [watched.state(at), watched.retryAfterMs(at), watched.toJSON(at)];
            const first = seen();
            same('the second look', seen(), first);
            watched.advance(at);
            same('the look after it has moved', seen(), first);
          }
          now += next.wait;
          if (next.do === 'admit') {
            const pair: [number, number] = [left.admit(now), watched.admit(now)];
            same('let in', pair[0] >= 0, pair[1] >= 0);
            if (pair[0] >= 0) permits.push(pair);
          } else if (next.do === 'settle' && permits.length > 0) {
            const [[one, other]] = permits.splice(next.which % permits.length, 1) as [[number, number]];
            const counted = left.settle(one, next.result, next.slow, now);
            same('counted', watched.settle(other, next.result, next.slow, now), counted);
          }
          left.advance(now);
          watched.advance(now);
          same('changes', watched.takeTransitions(), left.takeTransitions());
          same('snapshot', watched.toJSON(now), left.toJSON(now));
        }
      });
    },
    patience,
  );

  it('a restored circuit breaks as long as it would have without the restart', () => {
    const rules = () =>
      circuitRules(
        { consecutiveFailures: 1, halfOpenCalls: 1, breakMs: new IterableBackoff([100, 200, 400]) },
        () => {},
      );
    const circuit = new Circuit(rules());
    circuit.settle(circuit.admit(0), 'failure', false, 0);
    circuit.settle(circuit.admit(100), 'failure', false, 100);
    const restored = Circuit.restore(rules(), circuit.toJSON(300), 300);
    restored.settle(restored.admit(300), 'failure', false, 300);
    expect(restored.retryAfterMs(300)).toBe(400);
  });

  it('a reset comes after what was due before it', () => {
    const circuit = new Circuit(circuitRules({ consecutiveFailures: 1, breakMs: 100 }, () => {}));
    circuit.settle(circuit.admit(0), 'failure', false, 0);
    expect(circuit.state(150)).toBe('half_open');
    circuit.reset(150);
    const changes = circuit.takeTransitions().map(({ from, to, at }) => `${at}: ${from} > ${to}`);
    expect(changes).toEqual(['0: closed > open', '100: open > half_open', '150: half_open > closed']);
  });
});
