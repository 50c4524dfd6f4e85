import { AsyncLocalStorage } from 'node:async_hooks';
import {
  bulkhead,
  type CallContext,
  circuitBreaker,
  type ExecuteOptions,
  fallback,
  pipeline,
  retry,
  timeout,
  type Stackable,
} from 'seaworthy';
import { virtualClock } from 'seaworthy/testing';
import { describe, expect, it } from 'vitest';
import { deaf, deferred, turn, watch } from '../policies/stand.ts';

const who = new AsyncLocalStorage<string>();
const names = ['ann', 'bob'];

/**
 * Two callers, each in a context of its own, call a pipeline that nobody listens to: a listener would keep their contexts
 * by itself and hide that a policy forgot to. What user code notes is whose context it found itself in.
 */
function two(policies: (note: (what: string) => void) => readonly Stackable[]) {
  const clock = virtualClock();
  const log: string[] = [];
  const note = (what: string) => void log.push(`${what}: ${who.getStore()}`);
  const pipe = pipeline('two', policies(note), { clock, telemetry: false });
  return {
    clock,
    log,
    note,
    pipe,
    /** Both call, one after the other. */
    call: (fn: (context: CallContext, name: string) => unknown, options: ExecuteOptions = {}) =>
      names.map((name) => who.run(name, () => watch(pipe.execute((context) => fn(context, name), options)))),
    /** Each thing noted, in whose context; sorted, because the order is not the point. */
    noted: (what: string) => log.filter((line) => line.startsWith(`${what}: `)).toSorted(),
  };
}

const both = (what: string) => names.map((name) => `${what}: ${name}`);

/** Runs `step` as somebody who has no part in any call. */
const stranger = (step: () => void) => who.run('a stranger', step);

describe('user code runs in the async context of its own caller', () => {
  it('bulkhead -> timeout: a queued call, whoever made room for it', async () => {
    const at = two(() => [bulkhead({ limit: 1, queue: 5 }), timeout(100)]);
    const first = deferred<string>();
    stranger(() => watch(at.pipe.execute(() => first.promise)));
    at.call(() => at.note('fn'));
    stranger(() => first.resolve('done'));
    await turn();
    expect(at.noted('fn')).toEqual(both('fn'));
  });

  it('bulkhead -> timeout: a queued call that got its slot because another was timed out', async () => {
    const at = two(() => [bulkhead({ limit: 1, queue: 5, holdUntilSettled: false }), timeout(100)]);
    stranger(() => watch(at.pipe.execute(deaf)));
    at.call(() => at.note('fn'));
    await at.clock.advance(100);
    expect(at.noted('fn')).toEqual(both('fn'));
  });

  it.each([
    ['at once', 0],
    ['after a backoff', 50],
  ])('retry -> timeout: the attempt after a timeout, %s', async (_, backoff) => {
    const at = two(() => [retry({ maxRetries: 1, backoff }), timeout(100)]);
    const calls = at.call(({ attempt }, name) => {
      at.note(`attempt ${attempt}`);
      return attempt === 1 ? deaf() : name;
    });
    await at.clock.advance(150);
    expect(at.noted('attempt 2')).toEqual(both('attempt 2'));
    expect(calls.map(({ value }) => value)).toEqual(names);
  });

  it.each([
    ['timeout', () => [timeout(100)], {}],
    ['timeout, asked per call', () => [timeout({ ms: () => 100 })], {}],
    ['retry -> timeout', () => [retry({ maxRetries: 1, backoff: 20 }), timeout(40)], {}],
    ['deadline', () => [], { timeoutMs: 100 }],
    ['deadline, in a backoff', () => [retry({ maxRetries: 9, backoff: 30 }), timeout(50)], { timeoutMs: 100 }],
    ['the timeout of an inner fallback', () => [fallback({ to: deaf, timeoutMs: 50 }), timeout(50)], {}],
  ])('fallback -> %s: the fallback after a timeout', async (_, inside, options) => {
    const at = two((note) => [fallback(() => note('to')), ...inside()]);
    at.call(deaf, options);
    await at.clock.advance(100);
    expect(at.noted('to')).toEqual(both('to'));
  });

  it('fallback -> retry -> breaker -> timeout: each predicate, and the backoff, asked about a timeout', async () => {
    const ask = (note: (what: string) => void, what: string) => () => {
      note(what);
      return true;
    };
    const at = two((note) => [
      fallback({ to: () => note('to'), when: { result: ask(note, 'fallback when') } }),
      retry({
        maxRetries: 1,
        when: { error: ask(note, 'retry when') },
        backoff: () => {
          note('backoff');
          return 0;
        },
      }),
      circuitBreaker({ when: ask(note, 'breaker when') }),
      timeout(100),
    ]);
    at.call(({ attempt }) => (attempt === 1 ? deaf() : 'answer'));
    await at.clock.advance(100);
    // Our TimeoutError is a failure by itself; a predicate is asked about what came after it.
    expect(at.noted('backoff')).toEqual(both('backoff'));
    expect(at.noted('fallback when')).toEqual(both('fallback when'));
    expect(at.noted('to')).toEqual(both('to'));
    expect(at.log.filter((line) => !names.some((name) => line.endsWith(name)))).toEqual([]);
  });

  it('retry -> timeout: predicates asked after the attempt that followed a timeout', async () => {
    const at = two((note) => [
      retry({
        maxRetries: 2,
        backoff: 0,
        when: (error) => {
          note(`when ${(error as Error).message}`);
          return true;
        },
      }),
      timeout(100),
    ]);
    at.call(({ attempt }) => {
      if (attempt === 1) return deaf();
      throw new Error('down');
    });
    await at.clock.advance(100);
    expect(new Set(at.noted('when down'))).toEqual(new Set(both('when down')));
  });

  it('classify, asked about a timeout by nobody else', async () => {
    const at = two(() => [retry({ maxRetries: 1, backoff: 0 }), timeout(100)]);
    at.call(({ attempt }) => (attempt === 1 ? deaf() : 'answer'), {
      classify: () => {
        at.note('classify');
        return 'success';
      },
    });
    await at.clock.advance(100);
    expect(new Set(at.noted('classify'))).toEqual(new Set(both('classify')));
  });

  it('timeout: onDiscard of a value that came late, whoever brought it', async () => {
    const at = two(() => [timeout(100)]);
    const late = deferred<string>();
    at.call(() => late.promise, { onDiscard: () => at.note('discard') });
    await at.clock.advance(100);
    stranger(() => late.resolve('late'));
    await turn();
    expect(at.noted('discard')).toEqual(both('discard'));
  });

  it('retry -> timeout: onDiscard of a result that was not good enough, after a timeout', async () => {
    const at = two(() => [
      retry({ maxRetries: 2, backoff: 0, when: { result: (value) => value === 'bad' } }),
      timeout(100),
    ]);
    at.call(({ attempt }) => (attempt === 1 ? deaf() : attempt === 2 ? 'bad' : 'good'), {
      onDiscard: () => at.note('discard'),
    });
    await at.clock.advance(100);
    expect(at.noted('discard')).toEqual(both('discard'));
  });

  it.each([
    ['the timer all calls share', () => [timeout(100)], {}],
    ['a timer of its own', () => [timeout({ ms: () => 100 })], {}],
    ['the deadline', () => [], { timeoutMs: 100 }],
  ])('an abort listener on the signal, called by %s', async (_, policies, options) => {
    const at = two(() => policies());
    at.call(({ signal }) => {
      signal.addEventListener('abort', () => at.note('abort'));
      return deaf();
    }, options);
    await at.clock.advance(100);
    expect(at.noted('abort')).toEqual(both('abort'));
  });

  it('with the real clock, whose timers carry the context of whoever was first', async () => {
    const log: string[] = [];
    const note = (what: string) => void log.push(`${what}: ${who.getStore()}`);
    const pipe = pipeline('real', [fallback(() => note('to')), retry({ maxRetries: 1, backoff: 1 }), timeout(3)], {
      telemetry: false,
    });
    const calls = names.map((name) =>
      who.run(name, () =>
        pipe.execute(({ signal, attempt }) => {
          note(`attempt ${attempt}`);
          signal.addEventListener('abort', () => note('abort'));
          return deaf();
        }),
      ),
    );
    await Promise.all(calls);
    expect(log.filter((line) => line.endsWith('ann'))).toHaveLength(5);
    expect(log.filter((line) => line.endsWith('bob'))).toHaveLength(5);
    expect(log).toHaveLength(10);
  });
});

describe("and so it does when the caller's abort came from another context", () => {
  it.each([
    ['retry -> breaker', () => [retry(), circuitBreaker()]],
    ['retry -> breaker -> timeout', () => [retry(), circuitBreaker(), timeout(1_000)]],
  ])('%s: an abort listener on the signal', async (_, policies) => {
    const at = two(policies);
    const caller = new AbortController();
    at.call(
      ({ signal }) => {
        signal.addEventListener('abort', () => at.note('abort'));
        return deaf();
      },
      { signal: caller.signal },
    );
    stranger(() => caller.abort());
    await turn();
    expect(at.noted('abort')).toEqual(both('abort'));
  });

  it('an abort listener on the signal of an attempt that came after a timeout', async () => {
    const at = two(() => [retry({ backoff: 0 }), timeout(100)]);
    const caller = new AbortController();
    at.call(
      ({ signal, attempt }) => {
        signal.addEventListener('abort', () => at.note(`abort ${attempt}`));
        return deaf();
      },
      { signal: caller.signal },
    );
    await at.clock.advance(150);
    stranger(() => caller.abort());
    await turn();
    expect(at.noted('abort 1')).toEqual(both('abort 1'));
    expect(at.noted('abort 2')).toEqual(both('abort 2'));
  });

  it('an abort listener on the signal of a fallback', async () => {
    const at = two((note) => [
      fallback((_, { signal }) => {
        signal.addEventListener('abort', () => note('abort'));
        return deaf();
      }),
      timeout(100),
    ]);
    const caller = new AbortController();
    at.call(deaf, { signal: caller.signal });
    await at.clock.advance(100);
    stranger(() => caller.abort());
    await turn();
    expect(at.noted('abort')).toEqual(both('abort'));
  });

  it('the calls that were waiting for the slots the abort made free', async () => {
    const at = two(() => [bulkhead({ limit: 2, queue: 5, holdUntilSettled: false }), timeout(1_000)]);
    const caller = new AbortController();
    for (let n = 0; n < 2; n++) watch(at.pipe.execute(deaf, caller.signal));
    at.call(() => at.note('fn'));
    stranger(() => caller.abort());
    await turn();
    expect(at.noted('fn')).toEqual(both('fn'));
  });

  it('onDiscard of what the abandoned work brings after all', async () => {
    const at = two(() => [timeout(1_000)]);
    const caller = new AbortController();
    const late = deferred<string>();
    at.call(() => late.promise, { signal: caller.signal, onDiscard: () => at.note('discard') });
    stranger(() => caller.abort());
    await turn();
    stranger(() => late.resolve('late'));
    await turn();
    expect(at.noted('discard')).toEqual(both('discard'));
  });
});
