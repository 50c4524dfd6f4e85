import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Circuit, type CircuitState, type Settlement } from '../../src/algorithms/circuit.ts';
import { Model, rulesOf } from './circuit-model.ts';

const seed = 20_261_121;
const shape = fc.record({
  halfOpenCalls: fc.integer({ min: 1, max: 5 }),
  ratio: fc.constantFrom(0, 0.1, 0.34, 0.5, 0.75, 1),
});
const wait = fc.oneof({ weight: 6, arbitrary: fc.nat(20) }, { weight: 2, arbitrary: fc.nat(120) }, fc.nat(2000));
const command = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('admit' as const), wait }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('settle' as const),
      wait,
      which: fc.nat(1000),
      result: fc.constantFrom<Settlement>('success', 'failure', 'failure', 'ignored'),
      slow: fc.nat(9).map((n) => n === 0),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reset' as const), wait: fc.constant(1), odds: fc.nat(5) }) },
);
const commands = fc.array(command, { maxLength: 250, size: 'max' });

describe('the circuit', () => {
  it('agrees with a naive model in every answer and every dated change of state', () => {
    let changes = 0;
    fc.assert(
      fc.property(shape, commands, (of, run) => {
        const circuit = new Circuit(rulesOf(of));
        const model = new Model(of);
        const log: string[] = [];
        const open: { permit: number; ticket: { period: number; id: number } }[] = [];
        let now = 0;
        let id = 0;
        for (const next of run) {
          now += next.wait;
          if (next.do === 'admit') {
            const permit = circuit.admit(now);
            const ticket = model.admit(now, ++id);
            expect(permit >= 0).toBe(ticket !== undefined);
            if (ticket !== undefined) open.push({ permit, ticket });
          } else if (next.do === 'settle') {
            // Settled ones stay in the list now and then, to be settled a second time; closed permits are not told apart.
            const at = open.length === 0 ? -1 : next.which % open.length;
            if (at < 0) continue;
            const { permit, ticket } = open[at]!;
            if (next.which % 7 !== 0 || model.state === 'closed') open.splice(at, 1);
            // A slow success of the closed state is a matter of the trip's own test.
            const slow = next.slow && model.state !== 'closed';
            expect(circuit.settle(permit, next.result, slow, now)).toBe(model.settle(ticket, next.result, slow, now));
          } else if (next.odds === 0) {
            circuit.advance(now);
            model.tick(now);
            circuit.reset(now);
            if (model.state === 'closed') {
              model.period++;
              model.outcomes = [];
            } else model.to('closed', now);
          }
          log.push(...circuit.takeTransitions().map(({ at, from, to }) => `${at}: ${from} > ${to}`));
          // The model is only ever behind by what is due and unseen.
          const effective = circuit.state(now);
          circuit.advance(now);
          model.tick(now);
          log.push(...circuit.takeTransitions().map(({ at, from, to }) => `${at}: ${from} > ${to}`));
          expect(effective).toBe(model.state);
          expect(circuit.state(now)).toBe(model.state);
          expect(log).toEqual(model.log);
          expect(circuit.retryAfterMs(now)).toBe(
            model.state === 'open'
              ? model.until - now
              : model.state === 'half_open' && model.probes.length + model.results.length >= of.halfOpenCalls
                ? model.probes[0]!.expires - now
                : 0,
          );
        }
        changes += log.length;
      }),
      { seed, numRuns: 600 },
    );
    // A generator that never gets anywhere would agree with anything.
    expect(changes).toBeGreaterThan(3000);
  });

  it('does not change its course by being looked at: nothing depends on who looks when', () => {
    fc.assert(
      fc.property(shape, commands, fc.array(fc.nat(2000), { minLength: 5, maxLength: 5 }), (of, run, looks) => {
        const left = new Circuit(rulesOf(of));
        const watched = new Circuit(rulesOf(of));
        const permits: [number, number][] = [];
        let now = 0;
        for (const next of run) {
          for (const look of looks) {
            const at = now + (next.wait * look) / 2000;
            const seen = [watched.state(at), watched.retryAfterMs(at), watched.toJSON(at), watched.transitions.length];
            expect([
              watched.state(at),
              watched.retryAfterMs(at),
              watched.toJSON(at),
              watched.transitions.length,
            ]).toEqual(seen);
            expect(watched.state(at)).toBe((seen[2] as { state: CircuitState }).state);
          }
          // Advancing must go forwards in time to be the same as nobody having looked.
          for (const look of [...looks].sort((a, b) => a - b)) watched.advance(now + (next.wait * look) / 2000);
          now += next.wait;
          if (next.do === 'admit') {
            const pair: [number, number] = [left.admit(now), watched.admit(now)];
            expect(pair[0] >= 0).toBe(pair[1] >= 0);
            if (pair[0] >= 0) permits.push(pair);
          } else if (next.do === 'settle' && permits.length > 0) {
            const [[one, other]] = permits.splice(next.which % permits.length, 1) as [[number, number]];
            expect(left.settle(one, next.result, next.slow, now)).toBe(
              watched.settle(other, next.result, next.slow, now),
            );
          }
          left.advance(now);
          watched.advance(now);
          expect(watched.transitions).toEqual(left.transitions);
          expect(watched.toJSON(now)).toEqual(left.toJSON(now));
        }
      }),
      { seed, numRuns: 300 },
    );
  });

  it('a restored circuit answers as the original would that has no probe in flight', () => {
    fc.assert(
      fc.property(shape, commands, fc.integer({ min: -1e6, max: 1e6 }), (of, run, shift) => {
        const circuit = new Circuit(rulesOf(of));
        const permits: number[] = [];
        let now = 0;
        for (const next of run) {
          now += next.wait;
          if (next.do === 'admit') permits.push(circuit.admit(now));
          else if (next.do === 'settle' && permits.length > 0)
            circuit.settle(permits.splice(next.which % permits.length, 1)[0]!, next.result, next.slow, now);
        }
        const snapshot: unknown = JSON.parse(JSON.stringify(circuit.toJSON(now)));
        const restored = Circuit.restore(rulesOf(of), snapshot, now + shift);
        expect(restored.toJSON(now + shift)).toEqual(snapshot);
        if (circuit.state(now) !== 'open') return;
        for (const later of [0, 50, 100, 500, 5000]) {
          expect(restored.state(now + shift + later)).toBe(circuit.state(now + later));
          expect(restored.retryAfterMs(now + shift + later)).toBe(circuit.retryAfterMs(now + later));
        }
      }),
      { seed, numRuns: 300 },
    );
  });
});
