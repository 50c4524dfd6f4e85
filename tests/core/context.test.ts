import { AsyncLocalStorage } from 'node:async_hooks';
import { bulkhead, fallback, pipeline, type Policy, policy, retry, Stage, timeout } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { virtualClock } from '../../src/testing/virtual-clock.ts';
import { gate, turn, watch } from './spy.ts';

const hang = () => new Promise<never>(() => {});
const boom = new Error('boom');

describe("user code runs in its own caller's async context", () => {
  const who = new AsyncLocalStorage<string>();
  const names = ['A', 'B', 'C'];

  /** Starts one call per name in a context of that name, and keeps who user code says it is; nobody listens. */
  function setup(policies: (note: (where: string) => void) => Policy<unknown>[]) {
    const clock = virtualClock();
    const log: string[] = [];
    const note = (where: string) => void log.push(`${where} ${who.getStore()}`);
    // No telemetry and no listener: either would remember the context by itself and hide a missing capture.
    const p = pipeline('p', policies(note), { clock, telemetry: false });
    const start = (
      fn: (name: string, call: { signal: AbortSignal; attempt: number }) => unknown,
      options?: (name: string) => object,
    ) => names.map((name) => who.run(name, () => watch(p.execute((call) => fn(name, call), options?.(name)))));
    return { clock, log, note, p, start };
  }

  it('a queued call, started by another that gives up its slot', async () => {
    const { log, note, start } = setup(() => [bulkhead({ limit: 1, queue: 5 })]);
    const works: Record<string, ReturnType<typeof gate>> = { A: gate(), B: gate(), C: gate() };
    start((name) => {
      note('fn');
      return works[name]!.promise;
    });
    for (const name of names) {
      who.run('somebody else', () => works[name]!.open(0));
      await turn();
    }
    expect(log).toEqual(['fn A', 'fn B', 'fn C']);
  });

  it('the attempt after a timeout', async () => {
    const { clock, log, note, start } = setup(() => [retry({ backoff: 0 }), timeout(10)]);
    start((_name, { attempt }) => {
      note(`fn ${attempt}`);
      return attempt === 1 ? hang() : 1;
    });
    await clock.advance(10);
    expect(log.slice(3)).toEqual(['fn 2 A', 'fn 2 B', 'fn 2 C']);
  });

  it('the attempt after a timeout of the length the call asked for', async () => {
    const { clock, log, note, start } = setup(() => [retry({ backoff: 5 }), timeout({ ms: () => 10 })]);
    start((_name, { attempt }) => {
      note(`fn ${attempt}`);
      return attempt === 1 ? hang() : 1;
    });
    await clock.advance(15);
    expect(log.slice(3)).toEqual(['fn 2 A', 'fn 2 B', 'fn 2 C']);
  });

  it('a fallback after a timeout', async () => {
    const { clock, log, start } = setup((note) => [fallback(() => note('to')), timeout(10)]);
    start(hang);
    await clock.advance(10);
    expect(log).toEqual(['to A', 'to B', 'to C']);
  });

  it('a fallback after the deadline', async () => {
    const { clock, log, start } = setup((note) => [fallback(() => note('to'))]);
    start(hang, () => ({ timeoutMs: 10 }));
    await clock.advance(10);
    expect(log).toEqual(['to A', 'to B', 'to C']);
  });

  it('a fallback after the timeout of another fallback', async () => {
    const { clock, log, start } = setup((note) => [fallback(() => note('to')), fallback({ to: hang, timeoutMs: 10 })]);
    start(() => {
      throw boom;
    });
    await clock.advance(10);
    expect(log).toEqual(['to A', 'to B', 'to C']);
  });

  it('a fallback after a place in the queue was lost', async () => {
    const { clock, log, p, start } = setup((note) => [
      fallback(() => note('to')),
      bulkhead({ limit: 1, queue: 5, maxWaitMs: 10 }),
    ]);
    void p.execute(hang);
    start(hang);
    await clock.advance(10);
    expect(log).toEqual(['to A', 'to B', 'to C']);
  });

  it('predicates and backoffs asked after a timeout', async () => {
    const { clock, log, note, start } = setup((note) => [
      retry({
        maxRetries: 1,
        backoff: () => {
          note('backoff');
          return 0;
        },
        when: () => {
          note('when');
          return true;
        },
      }),
      timeout(10),
    ]);
    start(
      (_name, { attempt }) => (attempt === 1 ? hang() : Promise.reject(boom)),
      () => ({
        idempotent: false,
        retryable: () => {
          note('retryable');
          return true;
        },
      }),
    );
    await clock.advance(10);
    // Once after the timeout, once after the failure that the last attempt ends with.
    expect(log.filter((line) => line.startsWith('retryable'))).toEqual(
      [...names, ...names].map((name) => `retryable ${name}`),
    );
    expect(log.filter((line) => line.startsWith('backoff'))).toEqual(names.map((name) => `backoff ${name}`));
    expect(log.filter((line) => line.startsWith('when'))).toEqual(names.map((name) => `when ${name}`));
  });

  it('an abort listener, called by a shared timer', async () => {
    const { clock, log, note, start } = setup(() => [timeout(10)]);
    start((_name, { signal }) => {
      signal.addEventListener('abort', () => note('abort'));
      return hang();
    });
    await clock.advance(10);
    expect(log).toEqual(['abort A', 'abort B', 'abort C']);
  });

  it('an abort listener, in what an observer has made for the function', async () => {
    const clock = virtualClock();
    const spans = {
      start: () => who.getStore(),
      within: <T>(token: unknown, run: () => T) => who.run(`${token}'`, run),
    };
    const p = pipeline('p', [timeout(10)], { clock, telemetry: false, observers: [spans] });
    const log: string[] = [];
    for (const name of names)
      who.run(name, () =>
        watch(
          p.execute(({ signal }) => {
            signal.addEventListener('abort', () => log.push(`abort ${who.getStore()}`));
            return hang();
          }),
        ),
      );
    await clock.advance(10);
    expect(log).toEqual(["abort A'", "abort B'", "abort C'"]);
  });

  it('an abort listener, called by whoever aborts the shared signal', async () => {
    const { log, note, start } = setup(() => []);
    const caller = new AbortController();
    start(
      (_name, { signal }) => {
        signal.addEventListener('abort', () => note('abort'));
        return hang();
      },
      () => ({ signal: caller.signal }),
    );
    who.run('somebody else', () => caller.abort());
    await turn();
    expect(log.sort()).toEqual(['abort A', 'abort B', 'abort C']);
  });

  it('an abort listener, called by whoever aborts the signal of a middleware', async () => {
    const stop = new AbortController();
    const { log, note, start } = setup(() => [policy({ kind: 'stops', around: (_call, next) => next(stop.signal) })]);
    start((_name, { signal }) => {
      signal.addEventListener('abort', () => note('abort'));
      return hang();
    });
    who.run('somebody else', () => stop.abort());
    await turn();
    expect(log.sort()).toEqual(['abort A', 'abort B', 'abort C']);
  });

  const answering = (note: (where: string) => void) => fallback(() => (note('fallback'), 1));

  it.each<[string, (_call: unknown, next: () => Promise<unknown>) => Promise<unknown>]>([
    ['goes on after what is inside it has ended', async (_, next) => (await next(), hang())],
    ['runs what is inside it in a context of its own', (_, next) => who.run('middleware', next)],
    ['goes inwards twice at a time', async (_, next) => (await Promise.race([next(), next()]), hang())],
  ])('a fallback after a timeout around a middleware that %s', async (_, around) => {
    const { clock, log, start } = setup((note) => [
      answering(note),
      timeout(40),
      policy({ kind: 'middleware', repeats: true, around: (call, next) => around(call, () => next()) }),
    ]);
    start(async () => {
      await clock.advance(0);
      if (_.includes('own')) await hang();
    });
    await clock.advance(40);
    expect(log).toEqual(['fallback A', 'fallback B', 'fallback C']);
  });

  it.each<[string, () => Stage]>([
    [
      'on the way in',
      () =>
        new (class extends Stage {
          override enter(): void {}
        })(),
    ],
    [
      'on the way out',
      () =>
        new (class extends Stage {
          override succeed(): void {}
        })(),
    ],
  ])("a fallback after a timeout around an author's stage that waits by itself %s", async (_, stage) => {
    const { clock, log, start } = setup((note) => [answering(note), timeout(40), { kind: 'waits', stage }]);
    start(async () => 1);
    await clock.advance(40);
    expect(log).toEqual(['fallback A', 'fallback B', 'fallback C']);
  });

  it('an around, after what is inside it has timed out', async () => {
    const { clock, log, start } = setup((note) => [
      policy({
        kind: 'notes',
        repeats: true,
        around: async (_call, next) => {
          await next().catch(() => note('around'));
          return next();
        },
      }),
      timeout(10),
    ]);
    let calls = 0;
    start((name) => {
      if (++calls <= 3) return hang();
      log.push(`fn ${name} ${who.getStore()}`);
      return 1;
    });
    await clock.advance(10);
    expect(log).toEqual(['around A', 'around B', 'around C', 'fn A A', 'fn B B', 'fn C C']);
  });

  it('a listener of subscribe, told by a shared timer or by the abort of somebody else', async () => {
    const { clock, p, start } = setup(() => [retry({ maxRetries: 1, backoff: 0 }), timeout(10)]);
    const heard: string[] = [];
    p.subscribe((event) => heard.push(`${event.type} ${who.getStore()}`));
    const caller = new AbortController();
    start(hang, () => ({ signal: caller.signal }));
    await clock.advance(10);
    expect(heard.filter((line) => line.startsWith('timeout'))).toEqual(names.map((name) => `timeout ${name}`));
    who.run('somebody else', () => caller.abort());
    await turn();
    expect(heard.filter((line) => line.startsWith('execution_end')).sort()).toEqual(
      names.map((name) => `execution_end ${name}`),
    );
    expect(heard.filter((line) => line.includes('undefined') || line.includes('somebody'))).toEqual([]);
  });

  it('a listener of subscribe, told by the abort of somebody else where no policy waits for a timer', async () => {
    const { p, start } = setup(() => [bulkhead({ limit: 5 })]);
    const heard: string[] = [];
    p.subscribe((event) => heard.push(`${event.type} ${who.getStore()}`));
    const caller = new AbortController();
    start(hang, () => ({ signal: caller.signal }));
    who.run('somebody else', () => caller.abort());
    await turn();
    expect(heard.sort()).toEqual(names.map((name) => `execution_end ${name}`));
  });

  it('onDiscard of a late value', async () => {
    const { clock, log, note, start } = setup(() => [timeout(10)]);
    const works: Record<string, ReturnType<typeof gate>> = { A: gate(), B: gate(), C: gate() };
    start(
      (name) => works[name]!.promise,
      () => ({ onDiscard: () => note('discard') }),
    );
    await clock.advance(10);
    for (const name of names) who.run('somebody else', () => works[name]!.open(0));
    await turn();
    expect(log).toEqual(['discard A', 'discard B', 'discard C']);
  });
});

describe('the stack of an error thrown deep in an awaited call', () => {
  async function deep(): Promise<never> {
    await turn();
    throw new Error('deep');
  }
  const policies = () => [
    fallback({ to: { value: 0 }, when: () => false }),
    retry({ maxRetries: 2, backoff: 0 }),
    bulkhead({ limit: 1 }),
    timeout(1_000),
  ];

  for (const attempt of [1, 3])
    it(`still shows the caller's frames, attempt ${attempt}`, async () => {
      const p = pipeline('p', policies());
      let calls = 0;
      async function theFunction() {
        calls++;
        return await deep();
      }
      async function theCaller() {
        const result = await p.execute(theFunction, { idempotent: attempt > 1 });
        return result;
      }
      const error = (await theCaller().catch((error: unknown) => error)) as Error;
      expect(calls).toBe(attempt);
      expect(error.stack).toMatch(/at (async )?theFunction/);
      expect(error.stack).toMatch(/at (async )?theCaller/);
    });

  it('through a wrapped function, too', async () => {
    const p = pipeline('p', [timeout(1_000)]);
    const wrapped = p.wrap(deep);
    async function theCaller() {
      return await wrapped();
    }
    const error = (await theCaller().catch((error: unknown) => error)) as Error;
    expect(error.stack).toMatch(/at (async )?theCaller/);
  });

  it('and through a nested pipeline', async () => {
    const p = pipeline('p', [retry({ backoff: 0 }), pipeline('inner', [timeout(1_000)])]);
    async function theCaller() {
      return await p.execute(deep);
    }
    const error = (await theCaller().catch((error: unknown) => error)) as Error;
    expect(error.stack).toMatch(/at (async )?theCaller/);
  });
});
