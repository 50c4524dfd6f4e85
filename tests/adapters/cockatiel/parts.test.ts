import {
  BrokenCircuitError,
  CircuitState,
  ConsecutiveBreaker,
  ConstantBackoff,
  CountBreaker,
  DelegateBackoff,
  ExponentialBackoff,
  handleAll,
  handleResultType,
  handleType,
  handleWhen,
  handleWhenResult,
  type IBackoffFactory,
  type IBreaker,
  isBrokenCircuitError,
  isBulkheadRejectedError,
  isIsolatedCircuitError,
  isTaskCancelledError,
  IterableBackoff,
  noJitterGenerator,
  SamplingBreaker,
} from 'cockatiel';
import {
  bulkhead,
  circuitBreaker,
  fallback,
  isTimeoutError,
  pipeline,
  type RetryOptions,
  retry,
  timeout,
} from 'seaworthy';
import { recorder, type ScriptStep, script, virtualClock } from 'seaworthy/testing';
import { describe, expect, it } from 'vitest';

class NetworkError extends Error {
  readonly code: string;

  constructor(code = 'ECONNRESET') {
    super(code);
    this.code = code;
  }
}

const says = (message: string) => (error: unknown) => error instanceof Error && error.message === message;

/** Calls a function took before `outcome` was handed out, behind a retry with this `when`. */
async function callsOf(options: RetryOptions, step: ScriptStep): Promise<number> {
  const fn = script(step as { error: unknown } | { value: unknown });
  await pipeline('p', [retry({ backoff: 0, budget: false, ...options })], { telemetry: false }).tryExecute(fn);
  return fn.calls.length;
}

describe("cockatiel's handlers", () => {
  it.each([
    ['handleAll, an error', handleAll, { error: new Error() }, 3],
    ['handleAll, a value', handleAll, { value: 500 }, 1],
    ['handleType, that type', handleType(NetworkError), { error: new NetworkError() }, 3],
    ['handleType, another type', handleType(NetworkError), { error: new TypeError() }, 1],
    [
      'handleType with a predicate',
      handleType(NetworkError, ({ code }: NetworkError) => code === 'EPIPE'),
      { error: new NetworkError() },
      1,
    ],
    ['handleWhen, yes', handleWhen(says('again')), { error: new Error('again') }, 3],
    ['handleWhen, no', handleWhen(says('again')), { error: new Error('never') }, 1],
    ['handleWhenResult, yes', handleWhenResult((r) => r === 503), { value: 503 }, 3],
    ['handleWhenResult, no', handleWhenResult((r) => r === 503), { value: 200 }, 1],
    ['handleWhenResult, an error', handleWhenResult((r) => r === 503), { error: new Error() }, 1],
    ['handleResultType', handleResultType(Date), { value: new Date() }, 3],
    ['handleType.orType', handleType(NetworkError).orType(TypeError), { error: new TypeError() }, 3],
    ['handleType.orWhen', handleType(NetworkError).orWhen(says('again')), { error: new Error('again') }, 3],
    ['handleAll.orWhenResult', handleAll.orWhenResult((r) => r === 503), { value: 503 }, 3],
    ['handleAll.orResultType', handleAll.orResultType(Date), { value: new Date() }, 3],
  ] as const)('%s, as `when` of a retry', async (_name, when, step, calls) => {
    expect(await callsOf({ when }, step)).toBe(calls);
  });

  it('judge for a breaker and for a fallback', async () => {
    const breaker = circuitBreaker({ consecutiveFailures: 1, when: handleType(NetworkError) });
    const users = pipeline(
      'users',
      [fallback({ to: { value: 'nobody' }, when: handleWhenResult((r) => r === '') }), breaker],
      { telemetry: false },
    );
    await users.tryExecute(script('fail'));
    expect(breaker.state).toBe('closed');
    expect(await users.execute(script({ value: '' }))).toBe('nobody');
    await users.tryExecute(script({ error: new NetworkError() }));
    expect(breaker.state).toBe('open');
  });

  it('judge for a whole pipeline, as `classify`', async () => {
    const heard = recorder();
    const breaker = circuitBreaker({ consecutiveFailures: 2 });
    const users = pipeline('users', [retry({ maxRetries: 1, backoff: 0 }), breaker], {
      classify: handleType(NetworkError).orWhenResult((r) => r === 503),
      observers: [heard],
      telemetry: false,
    });
    const ours = new Error('not a failure here');
    expect(await users.tryExecute(script({ error: ours }))).toEqual({ status: 'failure', error: ours });
    expect(heard.ends('execution')).toMatchObject([{ outcome: 'success' }]);
    expect(await users.execute(script({ value: 503 }))).toBe(503);
    expect(heard.of('retry')).toHaveLength(1);
    expect(breaker.state).toBe('open');
  });

  it('judge for one call, as its `classify`', async () => {
    const users = pipeline('users', [retry({ backoff: 0 })], { telemetry: false });
    const fn = script({ value: 503 });
    await users.execute(fn, { classify: handleWhenResult((r) => r === 503) });
    expect(fn.calls).toHaveLength(3);
  });

  it('never hear of our own rejections, and our timeouts stay failures', async () => {
    const asked: unknown[] = [];
    const when = handleWhen((error) => {
      asked.push(error);
      return false;
    });
    const clock = virtualClock();
    const users = pipeline(
      'users',
      [retry({ when, backoff: 0 }), circuitBreaker({ consecutiveFailures: 1, breakMs: 10_000 }), timeout(10)],
      { telemetry: false, clock },
    );
    const answer = users.tryExecute(() => new Promise(() => {}));
    await clock.advance(20);
    const { error } = await answer;
    expect(isBrokenCircuitError(error)).toBe(true);
    expect(asked).toEqual([]);
  });
});

describe("cockatiel's backoffs", () => {
  /** Delays a retry waits with this backoff. */
  async function delaysOf(backoff: IBackoffFactory<any>, maxRetries = 4): Promise<number[]> {
    const clock = virtualClock();
    const heard = recorder();
    const users = pipeline('users', [retry({ maxRetries, backoff, budget: false })], {
      clock,
      observers: [heard],
      telemetry: false,
    });
    const ended = users.tryExecute(script('fail'));
    await clock.advance(1_000_000);
    await ended;
    return heard.of('retry').map(({ delayMs }) => delayMs);
  }

  it('set the pauses of a retry', async () => {
    expect(await delaysOf(new ConstantBackoff(50))).toEqual([50, 50, 50, 50]);
    expect(await delaysOf(new IterableBackoff([1, 2, 3]))).toEqual([1, 2, 3, 3]);
    expect(
      await delaysOf(new ExponentialBackoff({ generator: noJitterGenerator, initialDelay: 10, maxDelay: 40 })),
    ).toEqual([10, 20, 40, 40]);
    const random = await delaysOf(new ExponentialBackoff());
    expect(random).toHaveLength(4);
    expect(random.every((ms) => ms >= 0 && ms <= 30_000)).toBe(true);
  });

  it('hear of the attempt, of what happened and of a state of their own', async () => {
    const heard: unknown[] = [];
    const backoff = new DelegateBackoff<any, number>((context, state = 0) => {
      heard.push([context.attempt, context.result.error?.message, context.signal.aborted]);
      return { delay: state * 10, state: state + 1 };
    });
    expect(await delaysOf(backoff, 3)).toEqual([0, 10, 20]);
    expect(heard).toEqual([1, 2, 3].map((call) => [call, `call ${call} was scripted to fail`, false]));
  });

  it('set the break of a circuit, longer each time', async () => {
    const clock = virtualClock();
    const breaker = circuitBreaker({
      consecutiveFailures: 1,
      halfOpenCalls: 1,
      breakMs: new IterableBackoff([100, 1_000]),
    });
    const users = pipeline('users', [breaker], { clock, telemetry: false });
    await users.tryExecute(script('fail'));
    expect(breaker.state).toBe('open');
    await clock.advance(100);
    expect(breaker.state).toBe('half_open');
    await users.tryExecute(script('fail'));
    await clock.advance(999);
    expect(breaker.state).toBe('open');
    await clock.advance(1);
    expect(breaker.state).toBe('half_open');
  });
});

describe("cockatiel's breakers", () => {
  async function failuresUntilOpen(breaker: IBreaker): Promise<number> {
    const circuit = circuitBreaker({ breaker });
    const users = pipeline('users', [circuit], { telemetry: false });
    for (let failures = 1; failures <= 100; failures++) {
      await users.tryExecute(script('fail'));
      if (circuit.state === 'open') return failures;
    }
    return Number.POSITIVE_INFINITY;
  }

  it('decide when to open', async () => {
    expect(await failuresUntilOpen(new ConsecutiveBreaker(3))).toBe(3);
    expect(await failuresUntilOpen(new CountBreaker({ threshold: 0.5, size: 10, minimumNumberOfCalls: 4 }))).toBe(4);
    expect(
      await failuresUntilOpen(new SamplingBreaker({ threshold: 0.5, duration: 30_000, minimumRps: 5 / 30 })),
    ).toBeLessThan(20);
  });

  it('may be anybody’s: they hear of calls that completed while closed, and of the closing', async () => {
    const heard: string[] = [];
    const own: IBreaker = {
      state: undefined,
      success: (state) => void heard.push(`success ${CircuitState[state]}`),
      failure: (state) => heard.push(`failure ${CircuitState[state]}`) > 2,
    };
    const clock = virtualClock();
    const circuit = circuitBreaker({ breaker: own, breakMs: 100, halfOpenCalls: 1 });
    const users = pipeline('users', [circuit], { clock, telemetry: false });
    for (const step of ['fail', 'ok', 'fail'] as const) await users.tryExecute(script(step));
    expect(circuit.state).toBe('open');
    await clock.advance(100);
    await users.execute(script('ok'));
    expect(circuit.state).toBe('closed');
    expect(heard).toEqual(['failure Closed', 'success Closed', 'failure Closed', 'success HalfOpen']);
  });

  it('exclude the options they replace', () => {
    expect(() => circuitBreaker({ breaker: new ConsecutiveBreaker(3), failureRatio: 0.5 })).toThrow(
      '"breaker" excludes "failureRatio"',
    );
  });
});

describe('our errors', () => {
  it('satisfy its guards, and no others', async () => {
    const clock = virtualClock();
    const circuit = circuitBreaker({ consecutiveFailures: 1 });
    const one = bulkhead({ limit: 1 });
    const users = pipeline('users', [timeout(50), circuit, one], { clock, telemetry: false });
    const guards = (error: unknown) => ({
      broken: isBrokenCircuitError(error),
      isolated: isIsolatedCircuitError(error),
      full: isBulkheadRejectedError(error),
      cancelled: isTaskCancelledError(error),
    });
    const hanging = users.tryExecute(() => new Promise(() => {}));
    expect(guards((await users.tryExecute(script('ok'))).error)).toEqual({
      broken: false,
      isolated: false,
      full: true,
      cancelled: false,
    });
    const hold = circuit.isolate();
    expect(guards((await users.tryExecute(script('ok'))).error)).toEqual({
      broken: true,
      isolated: true,
      full: false,
      cancelled: false,
    });
    hold.dispose();
    await clock.advance(60);
    const { error } = await hanging;
    expect(guards(error)).toEqual({ broken: false, isolated: false, full: false, cancelled: true });
    expect(isTimeoutError(error)).toBe(true);
    expect(guards((await users.tryExecute(script('ok'))).error)).toEqual({
      broken: true,
      isolated: false,
      full: false,
      cancelled: false,
    });
  });

  it('are told apart from its own', async () => {
    const outcome = await pipeline('users', [], { telemetry: false }).tryExecute(
      script({ error: new BrokenCircuitError() }),
    );
    expect(isBrokenCircuitError(outcome.error)).toBe(true);
    expect(isTimeoutError(outcome.error)).toBe(false);
  });
});
