import { fallback, type Observer, policy } from 'seaworthy';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { boom, type Came, cell, down, enough, type Hostile, type Place } from './hostile-stand.ts';

afterAll(() => void vi.restoreAllMocks());

const good = async () => 'good';
const bad = () => Promise.reject(down);
const nothing = () => undefined;

const variants = [
  { halfOpen: false, heard: false },
  { halfOpen: true, heard: true },
];

const answers = [undefined, null, Number.NaN, -1, 'nonsense', {}, [], Symbol('nonsense'), 5n, () => 5];

/** Where what user code answers, or throws, is what the caller gets; a hang lasts as long as there is no limit. */
const answering: Record<string, Place & { readonly limit: boolean }> = {
  'the function': { sane: good, well: 'good', limit: true, plan: (fn) => ({ fn }) },
  'a middleware': {
    sane: (_call, next) => next(),
    well: 'good',
    limit: true,
    plan: (around) => ({ inner: [policy({ kind: 'mine', around })], fn: good }),
  },
  'a middleware outside of all limits': {
    sane: (_call, next) => next(),
    well: 'good',
    limit: false,
    plan: (around) => ({ outer: [policy({ kind: 'mine', around })], fn: good }),
  },
  "a policy with cockatiel's interface": {
    sane: (fn, signal) => fn({ signal }),
    well: 'good',
    limit: true,
    plan: (execute) => ({ inner: [{ execute, onSuccess: nothing, onFailure: nothing } as never], fn: good }),
  },
  'a fallback with a limit': {
    sane: () => 'instead',
    well: 'instead',
    limit: true,
    plan: (to) => ({ outer: [fallback({ to, timeoutMs: 50 })], fn: bad }),
  },
  'a fallback without one': {
    sane: () => 'instead',
    well: 'instead',
    limit: false,
    plan: (to) => ({ outer: [fallback(to)], fn: bad }),
  },
};

describe.each(Object.entries(answering))('%s', (_where, place) => {
  const run = (hostile: (reenter: () => void, caller: AbortController) => Hostile, variant: object) =>
    cell((at) => place.plan(hostile(at.reenter, at.caller), at), variant);

  it.each<[string, Hostile, unknown]>([
    ['throws', () => thrower(boom), boom],
    ['rejects', () => () => Promise.reject(boom), boom],
    ['throws undefined', () => thrower(undefined), undefined],
    ['rejects with null', () => () => Promise.reject(null), null],
  ])('that %s is what the caller hears', async (_deed, make, error) => {
    for (const variant of variants) {
      const { seen, pending, warnings } = await run(make, variant);
      expect([pending, seen.state, seen.result]).toEqual([false, 'error', error]);
      expect(seen.result).toBe(error);
      expect(warnings).toEqual([]);
    }
  });

  it('that hangs is given up by whoever limits it, at the latest by the caller', async () => {
    for (const variant of variants) {
      const { seen, pending } = await run(() => () => new Promise(() => {}), variant);
      expect(pending).toBe(!place.limit);
      if (place.limit) expect(seen.result).toMatchObject({ code: 'timeout' });
      else expect(seen.result).toBe(enough);
    }
  });

  it('that calls the same pipeline is itself no different', async () => {
    for (const variant of variants) {
      const { seen } = await run(
        (reenter) =>
          (...args) => (reenter(), place.sane(...args)),
        variant,
      );
      expect(seen.result).toBe(place.well);
    }
  });

  it.each<[string, (caller: AbortController) => Hostile]>([
    [
      'and answers',
      (caller) =>
        (...args) => (caller.abort(enough), place.sane(...args)),
    ],
    ['and throws', (caller) => () => (caller.abort(enough), thrower(boom)())],
    ['and hangs', (caller) => () => (caller.abort(enough), new Promise(() => {}))],
    [
      'in a microtask',
      (caller) =>
        (...args) => (queueMicrotask(() => caller.abort(enough)), slow(place.sane(...args))),
    ],
  ])("that aborts the caller's signal %s: the caller's reason, and nothing is left", async (_how, deed) => {
    for (const variant of variants) {
      const { seen, pending } = await run((_reenter, caller) => deed(caller), variant);
      expect(pending).toBe(false);
      expect(seen.result).toBe(enough);
    }
  });

  it.each(answers)('that answers %o has answered', async (answer) => {
    for (const variant of variants) {
      const { seen, warnings } = await run(() => () => answer, variant);
      expect([seen.state, seen.result]).toEqual(['value', answer]);
      expect(warnings).toEqual([]);
    }
  });
});

/** Where user code only looks on: nothing that it does or answers changes anything, and what it throws is told once. */
const looking: Record<string, Place & { readonly unheard?: boolean; readonly minds?: (answer: unknown) => boolean }> = {
  'a listener': { sane: nothing, well: 'good', plan: (listener) => ({ listener, fn: good }) },
  ...Object.fromEntries(
    (['event', 'start', 'end'] as const).map((method): [string, Place] => [
      `an observer's ${method}()`,
      {
        sane: nothing,
        well: 'good',
        plan: (hostile) => ({ options: { observers: [{ [method]: hostile } as Observer] }, fn: good }),
      },
    ]),
  ),
  "an observer's within()": {
    sane: (_token, run) => run(),
    well: 'good',
    plan: (within) => ({ options: { observers: [{ start: () => 'token', within }] }, fn: good }),
  },
  "an observer's interest()": {
    sane: () => 2,
    well: 'good',
    minds: () => true,
    plan: (interest) => ({ options: { observers: [{ interest } as never] }, fn: good }),
  },
  "an observer's dispose()": {
    sane: nothing,
    well: 'good',
    unheard: true,
    plan: (dispose) => ({
      options: { observers: [{ dispose }] },
      fn: good,
      run: async (pipe) => {
        const answer = await pipe.execute(good);
        pipe.dispose();
        return answer;
      },
    }),
  },
  "a policy's snapshot()": {
    sane: () => ({ a: 1 }),
    well: 'good',
    unheard: true,
    minds: (answer) => answer === null || typeof answer !== 'object' || Array.isArray(answer) || 'then' in answer,
    plan: (snapshot) => ({
      outer: [policy({ kind: 'mine', around: (_call, next) => next(), snapshot })],
      fn: good,
      run: async (pipe) => {
        const answer = await pipe.execute(good);
        expect(pipe.snapshot().policies[0]).toMatchObject({ name: `${pipe.name}/mine`, kind: 'custom' });
        return answer;
      },
    }),
  },
};

describe.each(Object.entries(looking))('%s', (_where, place) => {
  const told = (warnings: Came['warnings'], cause: unknown) => {
    expect(warnings).toHaveLength(1);
    expect(warnings[0]!.message).toMatch(/^(An observer of pipeline|.*snapshot threw)/);
    expect(warnings[0]!.cause).toEqual(cause);
  };

  it.each<[string, Hostile]>([
    ['throws', () => thrower(boom)()],
    ['rejects', () => Promise.reject(boom)],
    [
      'has called what is inside it, and then throws',
      (_token, run) => (typeof run === 'function' && run(), thrower(boom)()),
    ],
  ])('that %s is told once', async (deed, hostile) => {
    for (const variant of variants) {
      const { seen, warnings } = await cell((at) => place.plan(hostile, at), variant);
      expect(seen.result).toBe('good');
      // Where an answer is asked for, a promise is nonsense, whatever it comes to.
      const nonsense = deed === 'rejects' && place.minds !== undefined;
      told(warnings, nonsense ? expect.any(TypeError) : boom);
    }
  });

  it('that hangs holds nobody', async () => {
    for (const variant of variants) {
      const { seen } = await cell((at) => place.plan(() => new Promise(() => {}), at), variant);
      expect(seen.result).toBe('good');
    }
  });

  it('that calls the same pipeline, or aborts the caller, leaves nothing', async () => {
    for (const variant of variants) {
      const again = await cell((at) => place.plan((...args) => (at.reenter(), place.sane(...args)), at), variant);
      expect([again.seen.result, again.warnings]).toEqual(['good', []]);
      const gone = await cell(
        (at) => place.plan((...args) => (at.caller.abort(enough), place.sane(...args)), at),
        variant,
      );
      expect([gone.seen.result, gone.warnings]).toEqual([place.unheard ? 'good' : enough, []]);
    }
  });

  it.each(answers)('that answers %o changes nothing', async (answer) => {
    for (const variant of variants) {
      const { seen, warnings } = await cell((at) => place.plan(() => answer, at), variant);
      expect(seen.result).toBe('good');
      expect(warnings.length).toBe(place.minds?.(answer) ? 1 : 0);
    }
  });
});

describe("an observer's within() that does not call what is inside it just once", () => {
  it.each<[string, Hostile]>([
    ['never', nothing],
    ['twice', (_token, run) => (run(), run())],
    ['later', (_token, run) => void setImmediate(run)],
    ['once, and later again', (_token, run) => (setImmediate(run), run())],
    ['and is async', async (_token, run) => run()],
    ['and answers something else', (_token, run) => (run(), 'else')],
  ])('%s: the function runs once for each attempt', async (_how, within) => {
    let calls = 0;
    const { seen, warnings } = await cell(() => ({
      options: { observers: [{ start: () => 'token', within }] },
      fn: () => (++calls, Promise.reject(down)),
    }));
    expect([seen.result, warnings]).toEqual([down, []]);
    expect(calls).toBe(2);
  });
});

describe('the function of the options in wrap', () => {
  const wrapped = (hostile: Hostile) =>
    cell(() => ({ fn: good, run: (pipe) => pipe.wrap(good, hostile)() }), { heard: true });

  it.each<[string, Hostile, unknown]>([
    ['throws', () => thrower(boom)(), boom],
    ['rejects', () => Promise.reject(boom), expect.objectContaining({ message: expect.stringContaining('a promise') })],
    ['hangs', () => new Promise(() => {}), expect.objectContaining({ message: expect.stringContaining('a promise') })],
    ['answers null', () => null, expect.objectContaining({ message: expect.stringMatching(/^Cannot execute "cell-/) })],
    ['answers nonsense', () => 5, expect.objectContaining({ message: expect.stringContaining('received 5') })],
  ])('that %s: the call rejects, and the function is not called', async (_deed, hostile, error) => {
    const { seen, warnings } = await wrapped(hostile);
    expect(seen).toMatchObject({ state: 'error', result: error });
    expect(warnings).toEqual([]);
  });

  it('that answers nothing, or calls the same pipeline, is no different', async () => {
    expect((await wrapped(nothing)).seen.result).toBe('good');
    const again = await cell((at) => ({ fn: good, run: (pipe) => pipe.wrap(good, () => (at.reenter(), {}))() }));
    expect(again.seen.result).toBe('good');
  });
});

function thrower(error: unknown): () => never {
  return () => {
    throw error;
  };
}

async function slow(answer: unknown): Promise<unknown> {
  for (let i = 0; i < 10; i++) await undefined;
  return answer;
}
