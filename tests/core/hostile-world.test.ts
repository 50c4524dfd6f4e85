import {
  bulkhead,
  circuitBreaker,
  fallback,
  type Policy,
  pipeline,
  policy,
  retry,
  retryBudget,
  timeout,
} from 'seaworthy';
import { resilientFetch } from 'seaworthy/fetch';
import { otelObserver } from 'seaworthy/otel';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { thrownBy } from '../policies/stand.ts';
import { boom, cell, down } from './hostile-stand.ts';

afterAll(() => void vi.restoreAllMocks());

const fail = (): never => {
  throw boom;
};

type Settle = (value?: unknown) => void;
const thenable = (then: (yes: Settle, no: Settle) => unknown) => ({ then });

/** A promise of the language's own with something else put over its `then`. */
const patched = (then: (yes: Settle, no: Settle) => unknown) =>
  Object.defineProperty(Promise.resolve('unseen'), 'then', { value: then });

describe('a thenable', () => {
  const kinds: [string, () => unknown, 'value' | 'error' | 'pending', unknown][] = [
    ['of a thenable', () => thenable((yes) => yes(thenable((again) => again('two')))), 'value', 'two'],
    ['of a promise', () => thenable((yes) => yes(Promise.resolve('two'))), 'value', 'two'],
    ['of a promise that rejects', () => thenable((yes) => yes(Promise.reject(boom))), 'error', boom],
    ['that resolves, then rejects', () => thenable((yes, no) => (yes('first'), no(boom))), 'value', 'first'],
    ['that rejects, then resolves', () => thenable((yes, no) => (no(boom), yes('late'))), 'error', boom],
    ['that resolves twice', () => thenable((yes) => (yes('first'), yes('second'))), 'value', 'first'],
    ['that rejects twice', () => thenable((_yes, no) => (no(boom), no(down))), 'error', boom],
    ['that resolves and throws', () => thenable((yes) => (yes('first'), fail())), 'value', 'first'],
    ['that throws', () => thenable(fail), 'error', boom],
    ['that never calls', () => thenable(() => {}), 'pending', undefined],
    ['that calls back later, twice', () => thenable((yes) => queueMicrotask(() => (yes(1), yes(2)))), 'value', 1],
    ['whose then cannot be read', () => Object.defineProperty({}, 'then', { get: fail }), 'error', boom],
    [
      'that is a function',
      () =>
        Object.assign(
          () => 0,
          thenable((yes) => yes('called')),
        ),
      'value',
      'called',
    ],
    ['that is a promise whose then calls twice', () => patched((yes) => (yes(1), yes(2))), 'value', 1],
    ['that is a promise whose then calls both', () => patched((yes, no) => (yes(1), no(boom))), 'value', 1],
    ['that is a promise whose then throws', () => patched(fail), 'error', boom],
    ['that is a promise whose then answers nothing', () => patched((yes) => void yes(1)), 'value', 1],
    ['that says it is a Promise', () => ({ constructor: Promise, ...thenable((yes) => (yes(1), yes(2))) }), 'value', 1],
    [
      'of another constructor',
      () => Object.defineProperty(Promise.resolve(1), 'constructor', { value: 5 }),
      'error',
      expect.any(TypeError),
    ],
    [
      'whose constructor cannot be read',
      () => Object.defineProperty(Promise.resolve(1), 'constructor', { get: fail }),
      'error',
      boom,
    ],
  ];

  it.each(kinds)('%s, from the function', async (_kind, answer, state, result) => {
    for (const halfOpen of [false, true]) {
      const { seen, warnings } = await cell(() => ({ fn: answer }), { halfOpen });
      expect(warnings).toEqual([]);
      if (state === 'pending') expect(seen.result).toMatchObject({ code: 'timeout' });
      else expect(seen).toMatchObject({ state, result });
    }
  });

  it.each(kinds)('%s, from a fallback', async (_kind, to, state, result) => {
    const outer = [fallback({ to, timeoutMs: 50 })];
    const { seen, warnings } = await cell(() => ({ outer, fn: () => Promise.reject(down) }), { halfOpen: true });
    expect(warnings).toEqual([]);
    if (state === 'pending') expect(seen.result).toMatchObject({ code: 'timeout' });
    else expect(seen).toMatchObject({ state, result });
  });
});

describe('an error that is none of the usual', () => {
  const revoked = Proxy.revocable(new Error('gone'), {});
  revoked.revoke();
  const traps = { get: fail, has: fail, getPrototypeOf: fail, defineProperty: fail, isExtensible: fail };
  const errors: [string, () => unknown][] = [
    ['undefined', () => undefined],
    ['null', () => null],
    ['0', () => 0],
    ['the empty string', () => ''],
    ['a symbol', () => Symbol('why')],
    ['a function', () => fail],
    ['an object without a prototype', () => Object.create(null)],
    ['frozen', () => Object.freeze(new Error('frozen'))],
    ['one whose cause cannot be read', () => Object.defineProperty(new Error(), 'cause', { get: fail })],
    ['one whose retryAfterMs cannot be read', () => Object.defineProperty(new Error(), 'retryAfterMs', { get: fail })],
    [
      'one whose code, name and message cannot be read',
      () => Object.defineProperties(new Error(), { code: { get: fail }, name: { get: fail }, message: { get: fail } }),
    ],
    ['one whose stack cannot be read', () => Object.defineProperty(new Error(), 'stack', { get: fail })],
    ['a proxy that throws at everything', () => new Proxy(new Error('trap'), traps)],
    ['a proxy that was revoked', () => revoked.proxy],
    ['a thenable', () => thenable((yes) => yes('no error'))],
  ];

  const throwing = (error: unknown) => () => {
    throw error;
  };

  it.each(errors)('%s: passes as it is', async (_kind, make) => {
    const error = make();
    const own = new Error('own');
    const rows: [() => unknown, Policy<any>[], unknown][] = [
      [() => Promise.reject(error), [], error],
      [throwing(error), [], error],
      [throwing(error), [fallback({ to: () => 'unused', when: () => false })], error],
      [throwing(down), [fallback(() => Promise.reject(error))], error],
      [throwing(error), [fallback(throwing(own))], own],
      [throwing(error), [policy({ kind: 'mine', around: (_call, next) => next() })], error],
    ];
    for (const [fn, outer, expected] of rows) {
      const { seen, warnings } = await cell(() => ({ fn, outer, listener: () => {} }), { halfOpen: true });
      expect(seen.state).toBe('error');
      // Not by a matcher, which would read it.
      expect(seen.result === expected).toBe(true);
      expect(warnings).toEqual([]);
    }
  });
});

describe('an option that cannot be read', () => {
  const makers: Record<string, (options: any) => unknown> = {
    maxRetries: retry,
    ratio: retryBudget,
    ms: timeout,
    failureRatio: circuitBreaker,
    limit: bulkhead,
    to: fallback,
    kind: policy,
    clock: (options) => pipeline('p', [], options),
    traces: otelObserver,
    bodyIdleMs: resilientFetch,
  };

  it.each(Object.entries(makers))('%s: what it throws is what the maker throws', (name, make) => {
    const options = Object.defineProperty({}, name, { get: fail, enumerable: true });
    expect(thrownBy(() => make(options))).toBe(boom);
  });

  it.each(['signal', 'timeoutMs', 'key', 'idempotent', 'retryable', 'classify', 'onDiscard', 'attributes'])(
    '%s of a call: the call rejects with it, and the function is not called',
    async (name) => {
      const options = () => Object.defineProperty({}, name, { get: fail, enumerable: true });
      let calls = 0;
      const count = () => ++calls;
      for (const run of ['execute', 'tryExecute', 'wrap'] as const) {
        const { seen, warnings } = await cell(() => ({
          fn: count,
          run: async (pipe) => {
            if (run === 'wrap') return pipe.wrap(count, options)();
            const came = await pipe[run](count, options());
            if (run === 'tryExecute') throw (came as { error: unknown }).error;
          },
        }));
        expect([seen.state, seen.result, warnings, calls]).toEqual(['error', boom, [], 0]);
      }
    },
  );

  it.each([
    ['timeoutMs', [1_000, Number.NaN, 'x']],
    ['timeoutMs', [1_000, -1]],
    ['key', ['a', 5]],
    ['idempotent', [true, 'no']],
  ])('%s that answers something else each time: the call still ends, and nothing is left', async (name, given) => {
    let reads = 0;
    const options = Object.defineProperty({}, name, { get: () => given[reads++ % given.length], enumerable: true });
    const { seen, pending } = await cell(() => ({ fn: async () => 'good', call: options }), { halfOpen: true });
    expect([pending, seen.state === 'pending']).toEqual([false, false]);
  });
});

describe("a signal that is none of the platform's", () => {
  const signal = (own: object): AbortSignal =>
    Object.defineProperties(
      { aborted: false, reason: undefined, addEventListener() {}, removeEventListener() {} },
      Object.getOwnPropertyDescriptors(own),
    ) as never;

  it.each<[string, AbortSignal, unknown]>([
    [
      'throws when it is asked',
      signal({
        get aborted() {
          return fail();
        },
      }),
      boom,
    ],
    ['throws when it is listened to', signal({ addEventListener: fail }), boom],
    ['has aborted for no reason', signal({ aborted: true }), undefined],
  ])('%s: the call rejects, and the function is not called', async (_how, own, error) => {
    const given = { fn: () => 'called', call: { signal: own } };
    for (const halfOpen of [false, true]) {
      const { seen } = await cell(() => given, { halfOpen });
      expect([seen.state, seen.result]).toEqual(['error', error]);
    }
  });

  it('throws when it is let go: told once, and the process lives', async () => {
    const { seen, warnings } = await cell(() => ({
      fn: async () => 'good',
      call: { signal: signal({ removeEventListener: fail }) },
    }));
    expect(seen.result).toBe('good');
    expect(warnings).toEqual([{ message: 'A clock or a signal threw when it was let go.', cause: boom }]);
  });

  it('lacks a method, and is refused', async () => {
    const half = { aborted: false, addEventListener() {} };
    const { seen } = await cell(() => ({ fn: () => 1, call: { signal: half as never } }));
    expect(seen.result).toMatchObject({ message: expect.stringMatching(/"signal" must be an AbortSignal/) });
  });
});
