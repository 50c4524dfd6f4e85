import { AsyncLocalStorage } from 'node:async_hooks';
import * as cockatiel from 'cockatiel';
import { bulkhead, circuitBreaker, fallback, pipeline, policy, retry, type Stackable, timeout } from 'seaworthy';
import { policyContract, recorder, script } from 'seaworthy/testing';
import { describe, expect, expectTypeOf, it } from 'vitest';
import { adopt } from '../../../src/adapters/cockatiel/adopt.ts';

const { handleAll } = cockatiel;
const off = { telemetry: false } as const;
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
const hang = () => new Promise<never>(() => {});

const twice = () => cockatiel.retry(handleAll, { maxAttempts: 1 });

/** Each kind of policy cockatiel has, set so that single calls come through. */
const kinds: Record<string, () => cockatiel.IPolicy<any, any>> = {
  retry: twice,
  'timeout, cooperative': () => cockatiel.timeout(60_000, cockatiel.TimeoutStrategy.Cooperative),
  'timeout, aggressive': () => cockatiel.timeout(60_000, cockatiel.TimeoutStrategy.Aggressive),
  bulkhead: () => cockatiel.bulkhead(10, 1_000),
  'circuit breaker': () =>
    cockatiel.circuitBreaker(handleAll, { halfOpenAfter: 1_000, breaker: new cockatiel.ConsecutiveBreaker(10_000) }),
  fallback: () =>
    cockatiel.fallback(
      cockatiel.handleWhen(() => false),
      'instead',
    ),
  noop: () => cockatiel.noop,
  wrap: () =>
    cockatiel.wrap(
      cockatiel.timeout(60_000, cockatiel.TimeoutStrategy.Aggressive),
      twice(),
      cockatiel.bulkhead(10, 1_000),
    ),
};

describe.each(Object.entries(kinds))('a whole %s as a policy of ours', (_kind, make) => {
  it.each(policyContract(() => adopt(make())))('$name', ({ run }) => run());

  /** Where it may stand; `around` and `inside` are policies of ours. */
  const places: [string, (foreign: Stackable) => readonly Stackable[]][] = [
    ['alone', (foreign) => [foreign]],
    ['outermost', (foreign) => [foreign, retry({ backoff: 0 }), timeout(60_000)]],
    ['innermost', (foreign) => [timeout(60_000), retry({ backoff: 0 }), foreign]],
    ['in the middle', (foreign) => [retry({ backoff: 0 }), foreign, circuitBreaker(), bulkhead({ limit: 10 })]],
    ['between two others of cockatiel', (foreign) => [cockatiel.noop, foreign, twice()]],
    [
      'in a pipeline in a pipeline',
      (foreign) => [retry({ backoff: 0 }), pipeline('inner', [foreign, timeout(60_000)], off)],
    ],
  ];

  it.each(places)('%s: values, errors and cancellation come through', async (_where, place) => {
    const users = pipeline('users', place(make()), off);
    const value = { some: 'value' };
    expect(await users.execute(() => value)).toBe(value);
    const error = new Error('of the user');
    expect(await users.tryExecute(script({ error }))).toEqual({ status: 'failure', error });

    const caller = new AbortController();
    let seen: AbortSignal | undefined;
    let ended: unknown;
    void users
      .tryExecute(({ signal }) => {
        seen = signal;
        return hang();
      }, caller.signal)
      .then((outcome) => (ended = outcome));
    await turn();
    expect(seen?.aborted).toBe(false);
    const reason = { given: 'by the caller' };
    caller.abort(reason);
    await turn();
    expect(ended).toEqual({ status: 'failure', error: reason });
    expect(seen?.reason).toBe(reason);
  });
});

describe('a cockatiel retry', () => {
  it('counts as attempts of the pipeline', async () => {
    const heard = recorder();
    const users = pipeline('users', [cockatiel.retry(handleAll, { maxAttempts: 2 })], { ...off, observers: [heard] });
    const fn = script('fail', 'fail', 'ok');
    await users.execute(fn);
    expect(fn.calls.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    expect(heard.ends('attempt').map(({ outcome }) => outcome)).toEqual(['failure', 'failure', 'success']);
    expect(users.snapshot()).toMatchObject({ calls: 1, attempts: 3 });
  });

  it('asks a breaker of ours inside it each time, and hears its rejection', async () => {
    const users = pipeline('users', [twice(), circuitBreaker({ consecutiveFailures: 1 })], off);
    const fn = script('fail');
    const { error } = await users.tryExecute(fn);
    expect(cockatiel.isBrokenCircuitError(error)).toBe(true);
    expect(fn.calls).toHaveLength(1);
  });

  it('does not start again for a caller who gave up during its pause', async () => {
    const users = pipeline(
      'users',
      [cockatiel.retry(handleAll, { maxAttempts: 5, backoff: new cockatiel.ConstantBackoff(20) })],
      off,
    );
    const caller = new AbortController();
    const fn = script('fail');
    const answer = users.tryExecute(fn, caller.signal);
    await turn();
    caller.abort('enough');
    expect(await answer).toEqual({ status: 'failure', error: 'enough' });
    await new Promise((resolve) => setTimeout(resolve, 40));
    expect(fn.calls).toHaveLength(1);
  });

  it('is no failure of a breaker inside it when the caller gives up', async () => {
    const breaker = circuitBreaker({ consecutiveFailures: 1 });
    for (const foreign of [twice(), cockatiel.timeout(60_000, 'aggressive' as never), cockatiel.noop]) {
      const users = pipeline('users', [foreign, breaker], off);
      const caller = new AbortController();
      const answer = users.tryExecute(hang, caller.signal);
      await turn();
      caller.abort('enough');
      await answer;
      expect(breaker.state).toBe('closed');
    }
    expect(breaker.snapshot!()).toMatchObject({ executions: { ignored: 3, failure: 0 } });
  });
});

describe('a cockatiel timeout', () => {
  const aggressive = () => cockatiel.timeout(15, cockatiel.TimeoutStrategy.Aggressive);
  const cooperative = () => cockatiel.timeout(15, cockatiel.TimeoutStrategy.Cooperative);

  it('aggressive: its own error wins, whatever the function does with the signal', async () => {
    const untilAborted = ({ signal }: { signal: AbortSignal }) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    for (const fn of [hang, untilAborted]) {
      const { error } = await pipeline('users', [aggressive()], off).tryExecute(fn);
      expect(cockatiel.isTaskCancelledError(error)).toBe(true);
      expect((error as Error).message).toBe('Operation timed out after 15ms');
    }
  });

  it('aggressive: wins also over what waits inside it', async () => {
    const inside: Record<string, readonly Stackable[]> = {
      'the pause of a retry': [retry({ backoff: 60_000 })],
      'a nested retry of cockatiel': [
        cockatiel.retry(handleAll, { maxAttempts: 3, backoff: new cockatiel.ConstantBackoff(50) }),
      ],
      'a policy of one function': [
        policy({ kind: 'plain', around: (_call, next) => next() }),
        retry({ backoff: 60_000 }),
      ],
    };
    for (const [what, policies] of Object.entries(inside)) {
      const { error } = await pipeline('users', [aggressive(), ...policies], off).tryExecute(script('fail'));
      expect((error as Error).message, what).toBe('Operation timed out after 15ms');
    }
  });

  it('aggressive: is a failure of a breaker inside it, and frees a slot inside it', async () => {
    const breaker = circuitBreaker({ consecutiveFailures: 1 });
    const slots = bulkhead({ limit: 1, holdUntilSettled: false });
    await pipeline('users', [aggressive(), breaker, slots], off).tryExecute(hang);
    expect(breaker.state).toBe('open');
    expect(slots.active).toBe(0);
  });

  it('aggressive: the function’s late answer is discarded, and counted as late', async () => {
    const discarded: unknown[] = [];
    const users = pipeline('users', [aggressive()], off);
    const fn = script({ delayMs: 30, then: { value: 'late' }, ignoreAbort: true });
    const { error } = await users.tryExecute(fn, { onDiscard: (value) => discarded.push(value) });
    expect(cockatiel.isTaskCancelledError(error)).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, 40));
    expect(discarded).toEqual(['late']);
  });

  it('cooperative: tells the function to stop, and takes what it answers', async () => {
    const users = pipeline('users', [cooperative()], off);
    const polite = ({ signal }: { signal: AbortSignal }) =>
      new Promise((resolve) => signal.addEventListener('abort', () => resolve('what there is so far')));
    expect(await users.execute(polite)).toBe('what there is so far');
  });

  it('cooperative: reaches the function through policies of one function', async () => {
    const plain = () => policy({ kind: 'plain', around: (_call, next) => next() });
    const users = pipeline('users', [cooperative(), plain(), twice(), plain()], off);
    const polite = ({ signal }: { signal: AbortSignal }) =>
      new Promise((resolve) => signal.addEventListener('abort', () => resolve('stopped')));
    expect(await users.execute(polite)).toBe('stopped');
  });

  it('cooperative: waits for a function that does not listen, and a timeout of ours around it does not', async () => {
    const users = pipeline('users', [timeout(40), cooperative()], off);
    const started = performance.now();
    const { error } = await users.tryExecute(hang);
    expect(performance.now() - started).toBeGreaterThanOrEqual(40);
    expect((error as Error).message).toBe('timed out after 40 ms');
  });

  it('is retried by a retry of ours around it', async () => {
    const users = pipeline('users', [retry({ maxRetries: 1, backoff: 0 }), aggressive()], off);
    const fn = script('hang', 'ok');
    expect(await users.execute(fn)).toBe('ok');
    expect(fn.calls).toHaveLength(2);
  });
});

describe('a cockatiel bulkhead', () => {
  it('rejects with its own error', async () => {
    const users = pipeline('users', [cockatiel.bulkhead(1)], off);
    const caller = new AbortController();
    void users.tryExecute(hang, caller.signal);
    await turn();
    expect(cockatiel.isBulkheadRejectedError((await users.tryExecute(script('ok'))).error)).toBe(true);
    caller.abort();
    await turn();
    expect(await users.execute(script('ok'))).toBe('ok');
  });

  it('lets a queued caller go at once, and does not call the function later', async () => {
    const users = pipeline('users', [cockatiel.bulkhead(1, 5)], off);
    let release!: (value: unknown) => void;
    const first = users.execute(() => new Promise((resolve) => (release = resolve)));
    const caller = new AbortController();
    const fn = script('ok');
    let ended: unknown;
    void users.tryExecute(fn, caller.signal).then((outcome) => (ended = outcome));
    await turn();
    caller.abort('enough');
    await turn();
    expect(ended).toEqual({ status: 'failure', error: 'enough' });
    release('done');
    await first;
    await turn();
    expect(fn.calls).toHaveLength(0);
  });

  it('runs a queued function in its own caller’s async context', async () => {
    const store = new AsyncLocalStorage<number>();
    const users = pipeline('users', [cockatiel.bulkhead(1, 50)], off);
    const found = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        store.run(i, () =>
          users.execute(async () => {
            await turn();
            return store.getStore();
          }),
        ),
      ),
    );
    expect(found).toEqual(Array.from({ length: 20 }, (_, i) => i));
  });
});

describe('a cockatiel circuit breaker', () => {
  it('opens by calls of a pipeline, and may sit in several', async () => {
    const shared = cockatiel.circuitBreaker(handleAll, {
      halfOpenAfter: 60_000,
      breaker: new cockatiel.ConsecutiveBreaker(2),
    });
    const one = pipeline('one', [shared], off);
    const two = pipeline('two', [retry({ backoff: 0 }), shared], off);
    await one.tryExecute(script('fail'));
    const fn = script('fail');
    const { error } = await two.tryExecute(fn);
    expect(fn.calls).toHaveLength(1);
    expect(cockatiel.isBrokenCircuitError(error)).toBe(true);
    expect(shared.state).toBe(cockatiel.CircuitState.Open);
  });

  it('its isolation holds calls off', async () => {
    const breaker = cockatiel.circuitBreaker(handleAll, {
      halfOpenAfter: 60_000,
      breaker: new cockatiel.ConsecutiveBreaker(2),
    });
    const users = pipeline('users', [breaker], off);
    const hold = breaker.isolate();
    expect(cockatiel.isIsolatedCircuitError((await users.tryExecute(script('ok'))).error)).toBe(true);
    hold.dispose();
    expect(await users.execute(script('ok'))).toBe('ok');
  });
});

describe('a cockatiel fallback', () => {
  it('answers for what is inside it, ours and its own', async () => {
    const users = pipeline(
      'users',
      [cockatiel.fallback(handleAll, 'instead'), circuitBreaker({ consecutiveFailures: 1 })],
      off,
    );
    expect(await users.execute(script('fail'))).toBe('instead');
    expect(await users.execute(script('ok'))).toBe('instead');
  });

  it('is known to the types', () => {
    const users = pipeline(
      'users',
      [cockatiel.fallback(handleAll, 'instead' as const), timeout(10), fallback(() => 1 as const)],
      off,
    );
    expectTypeOf(users.execute(() => true)).resolves.toEqualTypeOf<boolean | 'instead' | 1>();
  });
});

describe('what a pipeline does, with policies of cockatiel in it', () => {
  it('keeps the deadline of a call', async () => {
    const users = pipeline('users', [twice(), cockatiel.bulkhead(1), cockatiel.noop], off);
    const left: number[] = [];
    const { error } = await users.tryExecute(
      ({ remainingMs }) => {
        left.push(remainingMs);
        return hang();
      },
      { timeoutMs: 25 },
    );
    expect(error).toMatchObject({ name: 'TimeoutError', policy: 'deadline', timeoutMs: 25 });
    expect(left).toHaveLength(1);
    expect(left[0]).toBeGreaterThan(0);
    expect(left[0]).toBeLessThanOrEqual(25);
  });

  it('lets calls go past one by its name', async () => {
    const users = pipeline('users', [twice()], off);
    const hold = users.bypass('cockatiel');
    const fn = script('fail');
    await users.tryExecute(fn);
    expect(fn.calls).toHaveLength(1);
    hold.dispose();
    await users.tryExecute(fn);
    expect(fn.calls).toHaveLength(3);
  });

  it('gives values to a fallback and a classifier as they are', async () => {
    const seen: unknown[] = [];
    const users = pipeline('users', [fallback((outcome) => seen.push(outcome)), twice(), cockatiel.noop], {
      ...off,
      classify: ({ value }) => (value === 503 ? 'failure' : 'success'),
    });
    await users.execute(() => 503);
    expect(seen).toEqual([{ status: 'value', value: 503 }]);
  });
});

describe('two policies of cockatiel and of ours', () => {
  it('are told apart by name', () => {
    const users = pipeline('users', [cockatiel.noop, retry(), twice()], off);
    expect(users.snapshot().policies.map(({ name }) => name)).toEqual([
      'users/cockatiel',
      'users/retry',
      'users/cockatiel#2',
    ]);
  });

  it('that say why there is an attempt', async () => {
    const kinds: string[] = [];
    const users = pipeline('users', [twice()], {
      ...off,
      observers: [{ start: (span, call) => void (span === 'attempt' && kinds.push(call.attemptKind)) }],
    });
    await users.execute(script('fail', 'ok'));
    expect(kinds).toEqual(['initial', 'retry']);
  });

  it('what runs inside at the same time has attempts of its own, each ended once', async () => {
    const ended = new Map<number, number>();
    let token = 0;
    const racing = policy({ kind: 'race', repeats: true, around: (_call, next) => Promise.race([next(), next()]) });
    const users = pipeline('users', [racing], {
      ...off,
      observers: [
        {
          start: (span) => (span === 'attempt' ? ++token : undefined),
          end: (span, own) =>
            void (span === 'attempt' && ended.set(own as number, (ended.get(own as number) ?? 0) + 1)),
        },
      ],
    });
    await users.execute(async ({ attempt }) => {
      for (let i = 0; i < attempt; i++) await turn();
      return attempt;
    });
    await turn();
    await turn();
    expect([...ended]).toEqual([
      [1, 1],
      [2, 1],
    ]);
  });
});
