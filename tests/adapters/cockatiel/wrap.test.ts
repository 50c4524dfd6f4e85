import * as cockatiel from 'cockatiel';
import { bulkhead, circuitBreaker, fallback, pipeline, retry, timeout } from 'seaworthy';
import { type CockatielContext, toCockatiel } from 'seaworthy/cockatiel';
import { recorder, script } from 'seaworthy/testing';
import { describe, expect, expectTypeOf, it } from 'vitest';

const { handleAll } = cockatiel;
const off = { telemetry: false } as const;
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

const twice = () => cockatiel.retry(handleAll, { maxAttempts: 1 });

describe("a pipeline in cockatiel's wrap, through toCockatiel", () => {
  const users = () =>
    toCockatiel(
      pipeline(
        'users',
        [retry({ maxRetries: 1, backoff: 0 }), timeout(60_000), circuitBreaker(), bulkhead({ limit: 5 })],
        off,
      ),
    );

  const places: [string, () => cockatiel.IPolicy<any, any>][] = [
    ['alone', () => cockatiel.wrap(users())],
    ['outermost', () => cockatiel.wrap(users(), twice(), cockatiel.bulkhead(5))],
    [
      'in the middle',
      () => cockatiel.wrap(twice(), users(), cockatiel.timeout(60_000, cockatiel.TimeoutStrategy.Cooperative)),
    ],
    [
      'innermost',
      () => cockatiel.wrap(cockatiel.timeout(60_000, cockatiel.TimeoutStrategy.Aggressive), twice(), users()),
    ],
    ['twice', () => cockatiel.wrap(users(), cockatiel.noop, toCockatiel(pipeline('inner', [timeout(60_000)], off)))],
  ];

  it.each(places)('%s: values and errors come through, and the signal arrives', async (_where, make) => {
    const policy = make();
    const value = { some: 'value' };
    expect(await policy.execute(() => value)).toBe(value);
    const error = new Error('of the user');
    await expect(policy.execute(() => Promise.reject(error))).rejects.toBe(error);
    expect(await policy.execute(({ signal }) => signal)).toBeInstanceOf(AbortSignal);
  });

  it.each(places)('%s: the caller’s abort reaches the function', async (_where, make) => {
    const caller = new AbortController();
    let seen: AbortSignal | undefined;
    const answer = make().execute(({ signal }) => {
      seen = signal;
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    }, caller.signal);
    answer.catch(() => {});
    await turn();
    expect(seen?.aborted).toBe(false);
    const reason = new Error('given by the caller');
    caller.abort(reason);
    await turn();
    expect(seen?.aborted).toBe(true);
    await expect(answer).rejects.toBeDefined();
  });

  it('innermost, under a retry that ends: the caller’s own reason comes out', async () => {
    const caller = new AbortController();
    const answer = cockatiel.wrap(twice(), users()).execute(() => new Promise(() => {}), caller.signal);
    answer.catch(() => {});
    await turn();
    const reason = { given: 'by the caller' };
    caller.abort(reason);
    await expect(answer).rejects.toBe(reason);
  });

  it('its errors are what cockatiel’s fallback and retry look for', async () => {
    const inner = toCockatiel(pipeline('inner', [circuitBreaker({ consecutiveFailures: 1 })], off));
    const policy = cockatiel.wrap(
      cockatiel.fallback(cockatiel.handleWhen(cockatiel.isBrokenCircuitError), 'instead'),
      inner,
    );
    await expect(policy.execute(script('fail'))).rejects.toThrow('scripted to fail');
    expect(await policy.execute(script('ok'))).toBe('instead');
  });

  it('a timeout of cockatiel around it ends what waits inside', async () => {
    const heard = recorder();
    const inner = pipeline('inner', [retry({ backoff: 60_000 })], { ...off, observers: [heard] });
    const policy = cockatiel.wrap(cockatiel.timeout(15, cockatiel.TimeoutStrategy.Aggressive), toCockatiel(inner));
    await expect(policy.execute(script('fail'))).rejects.toSatisfy(cockatiel.isTaskCancelledError);
    await turn();
    expect(heard.ends('execution')).toMatchObject([{ outcome: 'cancelled' }]);
    expect(inner.snapshot().active).toBe(0);
  });

  it('gives the function a plain context: what cockatiel spreads survives', async () => {
    const context = await toCockatiel(pipeline('users', [], off)).execute((context) => ({ ...context }));
    expect(Object.keys(context)).toEqual(['signal', 'attempt', 'key']);
    expect(context).toMatchObject({ attempt: 1, key: undefined });
    expect(context.signal).toBeInstanceOf(AbortSignal);
  });

  it('tells onSuccess and onFailure, until disposed', async () => {
    const told: string[] = [];
    const policy = users();
    const success = policy.onSuccess(({ duration }) => told.push(`success ${duration >= 0}`));
    const failure = policy.onFailure(({ reason, handled }) =>
      told.push(`failure ${'error' in reason && (reason.error as Error).message} ${handled}`),
    );
    await policy.execute(script('ok'));
    await policy.execute(script('fail')).catch(() => {});
    success.dispose();
    failure.dispose();
    await policy.execute(script('ok'));
    expect(told).toEqual(['success true', 'failure call 2 was scripted to fail true']);
  });

  it('has the types of an IPolicy', async () => {
    const answering = toCockatiel(pipeline('users', [fallback({ to: { value: 'nobody' } })], off));
    expectTypeOf(answering).toEqualTypeOf<cockatiel.IPolicy<CockatielContext, 'nobody'>>();
    expectTypeOf(answering.execute(() => 1)).resolves.toEqualTypeOf<number | 'nobody'>();
    const wrapped = cockatiel.wrap(twice(), answering);
    expectTypeOf(wrapped.execute(({ signal, attempt, key }) => [signal, attempt, key] as const)).resolves.toEqualTypeOf<
      readonly [AbortSignal, number, string | undefined] | 'nobody'
    >();
  });
});

describe('a pipeline itself', () => {
  it('is an IPolicy where contexts are not copied', async () => {
    const users: cockatiel.IPolicy<{ signal: AbortSignal }, never> = pipeline('users', [retry({ backoff: 0 })], off);
    expect(await users.execute(({ signal }) => signal.aborted)).toBe(false);
  });
});
