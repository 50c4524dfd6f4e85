import fc from 'fast-check';
import type { CallContext } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { explore, operations, patience } from './explore.ts';
import { compareEvents, type End } from './pipelines-events.ts';
import { chain, type Link, type Plan, plan } from './pipelines-plan.ts';
import { World } from './pipelines-world.ts';

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

async function play(links: Link[], plans: Plan[], listen: boolean, did: () => void): Promise<void> {
  const world = new World(listen);
  const { clock, who } = world;
  const p = world.build('p', links);
  let invoked = 0;
  const ends: End[] = plans.map((plan, i) => {
    did();
    const id = `call-${i}`;
    const caller = new AbortController();
    const end: End = { times: 0, state: '', result: undefined, reason: { aborted: id }, id };
    world.callers.set(id, () => caller.abort(end.reason));
    let calls = 0;
    const fn = ({ signal }: CallContext): unknown => {
      invoked++;
      world.here('fn', id);
      const step = plan.steps[calls++] ?? { does: 'ok' };
      const stopped = (more?: () => void) =>
        new Promise((resolve, reject) => {
          // Hung for good, were it not for the end of the test.
          world.gates.push(() => resolve('released'));
          signal.addEventListener('abort', () => {
            world.here('abort listener', id);
            more?.();
            reject(signal.reason);
          });
          if (signal.aborted) reject(signal.reason);
        });
      switch (step.does) {
        case 'ok':
          return calls % 2 === 0 ? 'ok' : Promise.resolve('ok');
        case 'fail':
          return Promise.reject(new Error('fail'));
        case 'throw':
          throw new Error('throw');
        case 'hang':
          return stopped();
        case 'rude':
          return stopped(() => caller.abort(end.reason));
        case 'deaf':
          return world.gate(() => 'deaf');
        case 'slow':
          return new Promise((resolve, reject) =>
            clock.after(step.ms, () => (step.ok ? resolve('slow') : reject(new Error('slow')))),
          );
      }
    };
    if (plan.abortAt !== undefined)
      clock.after(plan.abortAt, () => who.run('somebody else', () => caller.abort(end.reason)));
    clock.after(plan.at, () =>
      who.run(id, () => {
        const { timeoutMs, idempotent } = plan;
        p.execute(fn, {
          signal: caller.signal,
          key: id,
          timeoutMs,
          idempotent,
          onDiscard: () => world.here('onDiscard', id),
        }).then(
          (value) => Object.assign(end, { times: end.times + 1, state: 'value', result: value }),
          (error) => Object.assign(end, { times: end.times + 1, state: 'error', result: error }),
        );
      }),
    );
    return end;
  });

  // Whatever hangs for good is let go in the end, more than once, because a retry may hang again.
  for (let round = 0; round < 30; round++) {
    await clock.advance(500);
    for (const open of world.gates.splice(0)) open();
    await turn();
    if (world.gates.length === 0 && round > 1) break;
  }
  await clock.advance(200_000);
  await turn();
  await turn();

  expect([...new Set(world.wrong)]).toEqual([]);
  expect(ends.map(({ times }) => times)).toEqual(plans.map(() => 1));
  for (const { enter, succeed, fail, drop, ended } of world.counts)
    expect({ succeed, fail, drop, ended }).toEqual({ succeed, fail, drop, ended: enter });
  expect(world.open.size).toBe(0);
  for (const { active, queued, held } of world.bulkheads)
    expect({ active, queued, held }).toEqual({ active: 0, queued: 0, held: 0 });
  expect(clock.pending).toBe(0);
  for (const [token, times] of world.spans) expect({ ...token, times }).toEqual({ ...token, times: 1 });
  const snapshot = p.snapshot();
  const values = ends.filter(({ state }) => state === 'value').length;
  const cancelled = ends.filter(({ state, result, reason }) => state === 'error' && result === reason).length;
  expect(snapshot).toMatchObject({ calls: plans.length, active: 0, attempts: invoked });
  expect({
    values: snapshot.outcomes.success + snapshot.outcomes.fallback,
    cancelled: snapshot.outcomes.cancelled,
    failure: snapshot.outcomes.failure,
  }).toEqual({ values, cancelled, failure: plans.length - values - cancelled });
  for (const check of world.finally) check();
  if (listen) compareEvents(world, ends);
}

/** A call through up to six policies is some hundred operations of what they are made of, so there are fewer of them. */
describe('random chains of all policies, a spy between all stages', () => {
  for (const listen of [false, true])
    it(
      `keep the invariants of the frame ${listen ? 'while somebody listens' : 'while nobody listens'}`,
      () =>
        explore(
          `pipelines, ${listen ? 'heard' : 'unheard'} (calls)`,
          fc.tuple(chain, fc.array(plan, { minLength: 1, maxLength: 5 })),
          ([links, plans], did) => play(links, plans, listen, did),
          { part: Math.min(0.15, 50_000 / operations), unbiased: true },
        ),
      patience,
    );
});
