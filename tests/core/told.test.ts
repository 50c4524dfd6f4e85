import { type Policy, policy, Stage } from 'seaworthy';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { boom, cell, enough } from './hostile-stand.ts';

afterAll(() => void vi.restoreAllMocks());

const hang = (): Promise<never> => new Promise(() => {});

/** A policy with a bug: it throws in one place. */
function buggy(where: 'enter' | 'succeed' | 'fail' | 'drop'): Policy {
  class Buggy extends Stage {}
  Object.assign(Buggy.prototype, {
    [where]: () => {
      throw boom;
    },
  });
  return { kind: 'buggy', stage: () => new Buggy() };
}

describe('a bug in a policy is told once, with what it threw', () => {
  const givenUp = 'A policy threw outside of user code, which is a bug in it; the call was given up.';
  const kept = 'A policy threw when it was told to give back what it held, which is a bug in it.';

  it.each([
    ['enter', 'a value', (): unknown => 'good', givenUp],
    ['succeed', 'a value', (): unknown => 'good', givenUp],
    ['succeed', 'a promise', (): unknown => Promise.resolve('good'), givenUp],
    ['fail', 'a promise', (): unknown => Promise.reject('down'), givenUp],
    ['drop', 'nothing', hang, kept],
  ] as const)('in %s, when the function answers %s', async (where, _what, fn, message) => {
    const { warnings, seen } = await cell(() => ({ fn, inner: [buggy(where)] }));
    expect(warnings).toEqual([{ message, cause: boom }]);
    expect(seen.state).toBe('error');
  });
});

describe('onDiscard', () => {
  it.each([
    [
      'throws',
      () => {
        throw boom;
      },
    ],
    ['rejects', () => Promise.reject(boom)],
  ])('that %s is told, and changes nothing', async (_how, onDiscard) => {
    const late = () => new Promise((resolve) => setImmediate(resolve, 'late'));
    const { warnings, seen } = await cell((at) => ({
      fn: () => {
        at.caller.abort(enough);
        return late();
      },
      call: { onDiscard },
    }));
    expect(seen.result).toBe(enough);
    expect(warnings).toEqual([{ message: 'onDiscard threw.', cause: boom }]);
  });
});

describe('the snapshot of a middleware', () => {
  it.each([
    ['null', null, 'null'],
    ['a number', 5, '5'],
    ['a promise', Promise.resolve({}), 'a promise'],
    ['an array', [1], 'an array'],
  ])('that answers %s is told once, and shows nothing', async (_what, answer, shown) => {
    const mine = policy({
      kind: 'mine',
      name: `mine-${shown.replace(' ', '-')}`,
      around: (_call, next) => next(),
      snapshot: () => answer as never,
    });
    let state: unknown;
    const { warnings } = await cell(() => ({
      fn: () => 'good',
      outer: [mine],
      run: (pipe) => {
        state = pipe.snapshot().policies[0];
        return pipe.execute(() => 'good');
      },
    }));
    expect(state).toEqual({ name: mine.name, kind: 'custom', bypassed: false });
    const cause = new TypeError(`snapshot must answer an object, received ${shown}`);
    expect(warnings).toEqual([{ message: `${mine.name}: snapshot threw.`, cause }]);
  });
});
