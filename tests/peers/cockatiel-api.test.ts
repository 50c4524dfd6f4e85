import { getEventListeners } from 'node:events';
import { readFileSync } from 'node:fs';
import * as cockatiel from 'cockatiel';
import { build } from 'esbuild';
import * as seaworthy from 'seaworthy';
import { bulkhead, circuitBreaker, fallback, type Outcome, pipeline, retry, timeout } from 'seaworthy';
import { afterEach, describe, expect, expectTypeOf, it, vi } from 'vitest';
import { deaf, deferred, stand, turn, watch } from '../policies/stand.ts';
import { boom, down, ours, touchy } from './cockatiel-fixture.ts';
import { mended, onFakeTime } from './scene.ts';

const { handleAll, TimeoutStrategy } = cockatiel;
const { Aggressive } = TimeoutStrategy;

describe('errors', () => {
  it('C-32: errors say what they are, who made them, why, and when to come back', async () => {
    const full = cockatiel.bulkhead(0);
    const open = touchy();
    await open.execute(down).catch(() => {});
    await onFakeTime(async (pass) => {
      const timed = watch(cockatiel.timeout(10, Aggressive).execute(deaf));
      await pass(10);
      const errors = [timed.error, await failure(open), await failure(full)];
      for (const error of errors) {
        expect(error.name, mended).toBe('Error');
        expect(error.cause, mended).toBeUndefined();
      }
      const known = new Set(errors.flatMap((error) => Object.keys(error)));
      expect(
        [...known].filter((key) => /code|policy|name|retry/.test(key)),
        mended,
      ).toEqual([]);
    });

    const breaker = ours();
    const { pipe, clock } = stand([breaker]);
    await pipe.tryExecute(down);
    await clock.advance(40);
    expect(await failure(pipe)).toMatchObject({
      name: 'CircuitOpenError',
      code: 'circuit_open',
      policy: 'shop/circuit_breaker',
      pipeline: 'shop',
      retryAfterMs: 60,
      cause: boom,
    });
    const busy = stand([bulkhead({ limit: 1 })]).pipe;
    watch(busy.execute(deaf));
    expect(await failure(busy)).toMatchObject({
      name: 'BulkheadFullError',
      code: 'bulkhead_full',
      policy: 'shop/bulkhead',
      limit: 1,
      queue: 0,
    });
    const slow = stand([timeout({ ms: 10, name: 'patience' })]);
    const timed = watch(slow.pipe.execute(deaf));
    await slow.clock.advance(10);
    expect(timed.error).toMatchObject({ name: 'TimeoutError', code: 'timeout', policy: 'patience', timeoutMs: 10 });
  });

  it('C-32: errors are known to another copy of the package', async () => {
    vi.resetModules();
    const copy: typeof seaworthy = await import('seaworthy');
    const open = copy.pipeline('copy', [copy.circuitBreaker({ consecutiveFailures: 1 })], { telemetry: false });
    await open.tryExecute(down);
    const error = await failure(open);
    expect(error).not.toBeInstanceOf(seaworthy.ResilienceError);
    expect(seaworthy.isResilienceError(error)).toBe(true);
    expect(seaworthy.isRejectedError(error)).toBe(true);
    expect(cockatiel.isBrokenCircuitError(error)).toBe(true);
    // And so it is no failure for a breaker of this copy.
    const breaker = ours();
    const { pipe } = stand([breaker]);
    await pipe.tryExecute(() => open.execute(() => 'ok'));
    expect(breaker.state).toBe('closed');
  });

  const failure = (policy: { execute(fn: () => unknown): Promise<unknown> }): Promise<any> =>
    policy.execute(() => 'ok').catch((error) => error);
});

describe('signals', () => {
  afterEach(() => {
    vi.unstubAllGlobals();
  });

  it('C-37: a call without a signal makes none and listens to none', async () => {
    let made = 0;
    class Counted extends AbortController {
      constructor() {
        super();
        made++;
      }
    }
    const work = deferred<string>();
    const shared = await cockatiel.retry(handleAll, {}).execute(({ signal }) => signal);
    const before = getEventListeners(shared, 'abort').length;
    vi.stubGlobal('AbortController', Counted);

    const policy = cockatiel.wrap(cockatiel.retry(handleAll, {}), cockatiel.timeout(60_000, Aggressive));
    const theirs = Array.from({ length: 1_000 }, () => watch(policy.execute(() => work.promise)));
    await turn();
    expect(made, mended).toBe(1_000);
    expect(getEventListeners(shared, 'abort').length - before, mended).toBe(1_000);

    made = 0;
    const { pipe } = stand([retry(), circuitBreaker(), bulkhead({ limit: 1_000 }), timeout(60_000)]);
    const calls = Array.from({ length: 1_000 }, () => watch(pipe.execute(() => work.promise)));
    work.resolve('ok');
    await turn();
    expect([...theirs, ...calls].every(({ value }) => value === 'ok')).toBe(true);
    expect(made).toBe(0);
  });

  it('C-37: calls that share a signal cost it one listener, in whatever order they end', async () => {
    const { signal } = new AbortController();
    const policy = cockatiel.timeout(60_000, Aggressive);
    const work = deferred<string>();
    const theirs = Array.from({ length: 1_000 }, () => watch(policy.execute(() => work.promise, signal)));
    expect(getEventListeners(signal, 'abort'), mended).toHaveLength(1_000);
    work.resolve('ok');
    await turn();
    expect(theirs.every(({ value }) => value === 'ok')).toBe(true);

    const { pipe } = stand([retry(), timeout(60_000)]);
    const own = Array.from({ length: 1_000 }, () => deferred<string>());
    for (const { promise } of own) watch(pipe.execute(() => promise, signal));
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    for (const { resolve } of own.reverse()) {
      resolve('ok');
      expect(getEventListeners(signal, 'abort').length).toBeLessThanOrEqual(1);
    }
    await turn();
    await turn();
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });
});

describe('the package', () => {
  it('C-38: the package can be loaded where the global scope may do nothing, as in Cloudflare Workers', async () => {
    /** The bundle of a module as a URL to import it from. */
    async function bundled(contents: string): Promise<string> {
      const { outputFiles } = await build({
        stdin: { contents, resolveDir: import.meta.dirname, loader: 'ts' },
        bundle: true,
        write: false,
        format: 'esm',
        platform: 'neutral',
        mainFields: ['module', 'main'],
        external: ['node:*'],
        logLevel: 'error',
      });
      return `data:text/javascript,${encodeURIComponent(outputFiles[0]!.text)}`;
    }
    const peer = await bundled("export { handleAll, retry } from 'cockatiel';");
    const own = await bundled("export { pipeline, retry, circuitBreaker } from '../../src/index.ts';");
    // No arrow function: it is called with new as well.
    const forbidden = function () {
      throw new Error('Disallowed operation called within global scope.');
    };
    for (const name of ['AbortController', 'setTimeout', 'setInterval']) vi.stubGlobal(name, forbidden);
    try {
      await expect(import(/* @vite-ignore */ peer), mended).rejects.toThrow('Disallowed operation');
      const { circuitBreaker } = await import(/* @vite-ignore */ own);
      expect(circuitBreaker().state).toBe('closed');
    } finally {
      vi.unstubAllGlobals();
    }
  });

  it('C-40: the package says what of it is public, and where its types are', async () => {
    const manifest = (path: string) => JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'));
    expect(manifest('../../node_modules/cockatiel/package.json').exports, mended).toBeUndefined();
    const deep: string = 'cockatiel/dist/common/abort.js';
    expect(await import(deep), mended).toHaveProperty('neverAbortedSignal');

    const { exports, main, files } = manifest('../../package.json');
    expect(main).toBeUndefined();
    for (const [subpath, target] of Object.entries(exports)) {
      if (subpath === './package.json') continue;
      expect(subpath).not.toContain('*');
      expect(Object.keys(target as object)[0]).toBe('types');
    }
    expect(files).toEqual(expect.arrayContaining(['dist', 'src']));
  });
});

describe('types', () => {
  it('C-39: a result predicate knows what it gets', () => {
    // @ts-expect-error its result is unknown
    cockatiel.handleWhenResult((response) => response.status >= 500);

    retry({ when: { result: (response: Response) => response.status >= 500 } });
    // @ts-expect-error a promise is always true
    retry({ when: { result: async (response: Response) => response.ok } });
  });

  it('C-39: options that have defaults may be left out', () => {
    // @ts-expect-error abortOnReturn is required
    cockatiel.timeout(5, { strategy: Aggressive });

    timeout({ ms: 5, mode: 'cooperative' });
  });

  it('C-39: any number of policies is a pipeline, and the call keeps its type', async () => {
    expect(() => (cockatiel.wrap as () => unknown)(), mended).toThrow(TypeError);
    const t = cockatiel.timeout(5, Aggressive);
    const six = cockatiel.wrap(cockatiel.retry(handleAll, {}), t, t, t, t, t);
    // @ts-expect-error the attempt is there, but not in its type
    expect(await six.execute(({ attempt }) => attempt)).toBe(0);

    expect(await stand([]).pipe.execute(() => 'ok')).toBe('ok');
    const { pipe } = stand([fallback({ to: { value: null } }), timeout(50), retry(), timeout(40), retry(), timeout(5)]);
    const answer = pipe.execute(({ attempt }) => attempt);
    expectTypeOf(answer).toEqualTypeOf<Promise<number | null>>();
    expect(await answer).toBe(1);
  });

  it('C-39: a method is wrapped with its own parameters, without a decorator', async () => {
    class Users {
      readonly name = 'users';
      find = pipeline('users', [retry()], { telemetry: false }).wrap(this.load);
      private async load(id: number, suffix = '') {
        return `${this.name} ${id}${suffix}`;
      }
    }
    expectTypeOf<Parameters<Users['find']>>().toEqualTypeOf<[id: number, suffix?: string | undefined]>();
    expect(await new Users().find(1, '!')).toBe('users 1!');
  });
});

describe('one call', () => {
  it('C-41: a call brings its own time, deadline and idempotence', async () => {
    await onFakeTime(async (pass) => {
      const call = watch(cockatiel.timeout((() => 1_000) as any, Aggressive).execute(deaf));
      await pass(1);
      expect(call.error, mended).toBeInstanceOf(cockatiel.TaskCancelledError);
      const policy = cockatiel.wrap(cockatiel.timeout(1_000, Aggressive), cockatiel.retry(handleAll, {}));
      const keys = await policy.execute((context) => Object.keys(context));
      expect(keys, mended).toEqual(['signal', 'attempt']);
    });

    const { pipe, clock } = stand([timeout(({ key }) => (key === 'slow' ? 500 : 50))]);
    const calls = [watch(pipe.execute(deaf)), watch(pipe.execute(deaf, { key: 'slow' }))];
    await clock.advance(50);
    expect(calls.map(({ state }) => state)).toEqual(['error', 'pending']);
    await clock.advance(450);
    expect(calls[1]!.error).toMatchObject({ timeoutMs: 500 });

    const again = stand([retry({ backoff: 10 })]);
    const fn = vi.fn(down);
    await again.pipe.tryExecute(fn, { idempotent: false });
    expect(fn).toHaveBeenCalledTimes(1);
  });

  it('C-41: a call hands its deadline to what it calls inside', async () => {
    const inner = pipeline('inner', [timeout(10_000)], { telemetry: false });
    const { pipe, clock } = stand([timeout(800), inner]);
    const left: number[] = [];
    const call = watch(pipe.execute(({ remainingMs }) => (left.push(remainingMs), deaf()), { timeoutMs: 300 }));
    await clock.advance(300);
    expect(left).toEqual([300]);
    expect(call.error).toMatchObject({ code: 'timeout', policy: 'deadline', timeoutMs: 300 });
  });

  it('C-41: a call meets what an operator has changed meanwhile', async () => {
    expect(() => Object.assign(cockatiel.bulkhead(1), { executionSlots: 2 }), mended).toThrow(TypeError);

    const slots = bulkhead({ limit: 1, queue: 1 });
    const breaker = circuitBreaker();
    const { pipe } = stand([breaker, slots]);
    const answers: Outcome[] = [];
    const hold = deferred<string>();
    watch(pipe.execute(() => hold.promise));
    const queued = watch(pipe.execute(() => 'queued'));
    slots.resize(2);
    await turn();
    expect(queued.value).toBe('queued');
    {
      using _ = breaker.isolate();
      answers.push(await pipe.tryExecute(() => 'ok'));
      using __ = pipe.bypass('circuit_breaker');
      answers.push(await pipe.tryExecute(() => 'ok'));
    }
    answers.push(await pipe.tryExecute(() => 'ok'));
    expect(answers).toMatchObject([{ error: { code: 'circuit_isolated' } }, { value: 'ok' }, { value: 'ok' }]);
    hold.resolve('done');
  });
});
