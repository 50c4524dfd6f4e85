import { pipeline } from 'seaworthy';
import { virtualClock } from 'seaworthy/testing';
import { describe, expect, it } from 'vitest';
import type { Execution } from '../../src/core/execution.ts';
import { Running } from '../../src/core/running.ts';
import { gate, orders, turn, watch } from './spy.ts';

describe('the executions that run', () => {
  const execution = () => ({ previous: null, next: null }) as Execution;

  it.each(orders)('are those that have begun and not ended, ended in the order %i, %i, %i', (...order) => {
    const running = new Running();
    const all = [execution(), execution(), execution()] as const;
    for (const each of all) running.add(each);
    const left = new Set<Execution>(all);
    expect(new Set(running.all())).toEqual(left);
    for (const i of order) {
      running.remove(all[i]);
      left.delete(all[i]);
      expect(running.all()).toHaveLength(left.size);
      expect(new Set(running.all())).toEqual(left);
      // Others come and go meanwhile.
      const other = execution();
      running.add(other);
      expect(running.all()).toContain(other);
      running.remove(other);
      expect(running.all()).not.toContain(other);
    }
  });
});

describe('a drain whose time is up', () => {
  it.each(orders)(
    'ends the call that is left when of three the %i., then the %i. has ended',
    async (first, second, last) => {
      const clock = virtualClock();
      const pipe = pipeline('p', [], { clock });
      const works = [gate(), gate(), gate()];
      const seen = works.map((work) => watch(pipe.execute(() => work.promise)));
      const rest = watch(pipe.drain({ timeoutMs: 10 }));
      for (const i of [first, second]) {
        works[i]!.open('done');
        await turn();
      }
      await clock.advance(10);
      expect([seen[first]!.result, seen[second]!.result, rest.state]).toEqual(['done', 'done', 'value']);
      expect(seen[last]!.result).toMatchObject({ code: 'draining' });
    },
  );
});

describe('an execution that has ended', () => {
  it.each([
    ['well', false],
    ['because its caller gave up', true],
  ])('%s is kept by nobody', async (_how, givenUp) => {
    const pipe = pipeline('p', []);
    const kept = await (async () => {
      const result = { big: true };
      const caller = new AbortController();
      const fn = async () => (givenUp ? new Promise(() => {}) : result);
      const seen = watch(pipe.execute(fn, caller.signal));
      await turn();
      caller.abort('enough');
      await turn();
      expect(seen.result).toBe(givenUp ? 'enough' : result);
      await pipe.execute(async () => 1);
      return new WeakRef(fn);
    })();
    await turn();
    globalThis.gc!();
    await turn();
    globalThis.gc!();
    expect(kept.deref()).toBeUndefined();
    expect(pipe.snapshot()).toMatchObject({ calls: 2, active: 0 });
  });
});
