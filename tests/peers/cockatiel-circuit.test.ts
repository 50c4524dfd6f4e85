import * as cockatiel from 'cockatiel';
import { bulkhead, circuitBreaker, pipeline, retry } from 'seaworthy';
import { virtualClock } from 'seaworthy/testing';
import { describe, expect, it, vi } from 'vitest';
import { deaf, likeFetch, stand, stateOf, turn, watch } from '../policies/stand.ts';
import { boom, down, gone, HttpError, ours, touchy, works } from './cockatiel-fixture.ts';
import { mended, onFakeTime } from './scene.ts';

const { CircuitState, ConsecutiveBreaker, handleAll } = cockatiel;

describe('what counts', () => {
  it('C-12a: a failure from before the break does not decide the half-open period', async () => {
    const [old, probe] = works(2);
    await onFakeTime(async (pass) => {
      const policy = touchy();
      const states: string[] = [];
      policy.onStateChange((state) => states.push(CircuitState[state]));
      watch(policy.execute(() => old!.promise));
      await policy.execute(down).catch(() => {});
      await pass(100);
      watch(policy.execute(() => probe!.promise));
      old!.reject(boom);
      await pass(0);
      probe!.resolve('ok');
      await pass(0);
      expect(states, mended).toEqual(['Open', 'HalfOpen', 'Open']);
    });

    const breaker = ours();
    const { pipe, clock, told } = stand([breaker]);
    const [late, judge] = works(2);
    watch(pipe.execute(() => late!.promise));
    await pipe.tryExecute(down);
    await clock.advance(100);
    watch(pipe.execute(() => judge!.promise));
    late!.reject(boom);
    await turn();
    expect(breaker.state).toBe('half_open');
    judge!.resolve('ok');
    await turn();
    expect(breaker.state).toBe('closed');
    expect(told('circuit_state').map((event) => 'state' in event && event.state)).toEqual([
      'open',
      'half_open',
      'closed',
    ]);
  });

  it('C-12b: failures from before the outage do not open a circuit that has recovered', async () => {
    await onFakeTime(async (pass) => {
      const policy = touchy(2);
      const late = works(2);
      for (const work of late) watch(policy.execute(() => work.promise));
      for (let n = 0; n < 2; n++) await policy.execute(down).catch(() => {});
      await pass(100);
      await policy.execute(() => 'ok');
      expect(policy.state).toBe(CircuitState.Closed);
      for (const work of late) work.reject(boom);
      await pass(0);
      expect(policy.state, mended).toBe(CircuitState.Open);
    });

    const breaker = ours(2);
    const { pipe, clock } = stand([breaker]);
    const late = works(2);
    for (const work of late) watch(pipe.execute(() => work.promise));
    for (let n = 0; n < 2; n++) await pipe.tryExecute(down);
    expect(breaker.state).toBe('open');
    await clock.advance(100);
    await pipe.execute(() => 'ok');
    for (const work of late) work.reject(boom);
    await turn();
    expect(breaker.state).toBe('closed');
    expect(stateOf(pipe).executions).toMatchObject({ failure: 4, success: 1 });
  });

  it('C-17: three cancellations are not three failures', async () => {
    async function cancelThree(execute: (signal: AbortSignal) => Promise<unknown>) {
      for (let n = 0; n < 3; n++) {
        const caller = new AbortController();
        const call = watch(execute(caller.signal));
        caller.abort(gone);
        await turn();
        expect(call.state).toBe('error');
      }
    }

    const policy = touchy(3);
    await cancelThree((signal) => policy.execute(likeFetch, signal));
    expect(policy.state, mended).toBe(CircuitState.Open);

    const breaker = ours(3);
    const { pipe } = stand([breaker]);
    await cancelThree((signal) => pipe.execute(likeFetch, signal));
    expect(breaker.state).toBe('closed');
    expect(stateOf(pipe).executions).toMatchObject({ ignored: 3, failure: 0 });
  });

  it('C-17: calls that another policy of ours turned away are not failures', async () => {
    async function crowd(execute: (fn: () => unknown) => Promise<unknown>) {
      const calls = Array.from({ length: 4 }, () => watch(execute(deaf)));
      await turn();
      expect(calls.filter(({ error }) => cockatiel.isBulkheadRejectedError(error))).toHaveLength(3);
    }

    const policy = touchy(3);
    await crowd((fn) => cockatiel.wrap(policy, full).execute(fn));
    expect(policy.state, mended).toBe(CircuitState.Open);

    const breaker = ours(3);
    const { pipe } = stand([breaker, bulkhead({ limit: 1 })]);
    await crowd((fn) => pipe.execute(fn));
    expect(breaker.state).toBe('closed');
    expect(stateOf(pipe).executions).toMatchObject({ ignored: 3, failure: 0 });
  });

  const full = cockatiel.bulkhead(1);

  it('C-18: an error that is no failure means the same closed and half-open', async () => {
    const fail = () => Promise.reject(new HttpError(503));
    const missing = () => Promise.reject(new HttpError(404));
    const outage = (error: unknown) => error instanceof HttpError && error.status === 503;

    await onFakeTime(async (pass) => {
      const policy = cockatiel.circuitBreaker(cockatiel.handleWhen(outage), {
        halfOpenAfter: 100,
        breaker: new ConsecutiveBreaker(2),
      });
      for (const fn of [fail, missing, fail]) await policy.execute(fn).catch(() => {});
      expect(policy.state, mended).toBe(CircuitState.Open);
      await pass(100);
      await policy.execute(missing).catch(() => {});
      expect(policy.state, mended).toBe(CircuitState.Closed);
    });

    // A success in both, where `when` says that it is no failure.
    const numbers = { consecutiveFailures: 2, breakMs: 100, halfOpenCalls: 1 };
    const breaker = circuitBreaker({ ...numbers, when: outage });
    const { pipe, clock } = stand([breaker]);
    for (const fn of [fail, missing, fail]) await pipe.tryExecute(fn);
    expect(breaker.state).toBe('closed');
    await pipe.tryExecute(fail);
    await clock.advance(100);
    await pipe.tryExecute(missing);
    expect(breaker.state).toBe('closed');

    // Ignored in both, where `classify` says so.
    const deafened = circuitBreaker(numbers);
    const other = stand([deafened], {
      classify: ({ error }) => (error === undefined ? 'success' : outage(error) ? 'failure' : 'ignored'),
    });
    for (const fn of [fail, missing, fail]) await other.pipe.tryExecute(fn);
    expect(deafened.state).toBe('open');
    await other.clock.advance(100);
    await other.pipe.tryExecute(missing);
    expect(deafened.state).toBe('half_open');
    await other.pipe.execute(() => 'ok');
    expect(deafened.state).toBe('closed');
  });

  it('C-19: failures from an hour ago are forgotten, however quiet it was since', async () => {
    await onFakeTime(async (pass) => {
      const breaker = new cockatiel.SamplingBreaker({ threshold: 0.5, duration: 5_000, minimumRps: 1 });
      const policy = cockatiel.circuitBreaker(handleAll, { halfOpenAfter: 100, breaker });
      for (let n = 0; n < 4; n++) await policy.execute(down).catch(() => {});
      await pass(3_600_000);
      expect(policy.state).toBe(CircuitState.Closed);
      await policy.execute(down).catch(() => {});
      expect(policy.state, mended).toBe(CircuitState.Open);
    });

    const breaker = circuitBreaker({ failureRatio: 0.5, minimumCalls: 5, windowMs: 5_000 });
    const { pipe, clock } = stand([breaker]);
    for (let n = 0; n < 4; n++) await pipe.tryExecute(down);
    await clock.advance(3_600_000);
    await pipe.tryExecute(down);
    expect(breaker.state).toBe('closed');
    for (let n = 0; n < 4; n++) await pipe.tryExecute(down);
    expect(breaker.state).toBe('open');
  });

  it('C-20: what fails entirely opens the circuit, also where few calls are made', async () => {
    await onFakeTime(async (pass) => {
      const breaker = new cockatiel.SamplingBreaker({ threshold: 0.2, duration: 30_000 });
      const policy = cockatiel.circuitBreaker(handleAll, { halfOpenAfter: 100, breaker });
      for (let n = 0; n < 749; n++) {
        await policy.execute(down).catch(() => {});
        await pass(40);
      }
      expect(policy.state, mended).toBe(CircuitState.Closed);
    });

    for (const everyMs of [40, 3_000]) {
      const breaker = circuitBreaker();
      const { pipe, clock } = stand([breaker]);
      let calls = 0;
      while (breaker.state === 'closed' && calls < 749) {
        await pipe.tryExecute(down);
        calls++;
        await clock.advance(everyMs);
      }
      expect(calls).toBe(10);
    }
  });
});

describe('what it says', () => {
  it('C-23: the state of a circuit is the one a call would meet, and a rejection says when to come back', async () => {
    await onFakeTime(async (pass) => {
      const policy = touchy();
      await policy.execute(down).catch(() => {});
      await pass(3_600_000);
      expect(policy.state, mended).toBe(CircuitState.Open);
    });

    const breaker = ours();
    const { pipe, clock } = stand([breaker]);
    await pipe.tryExecute(down);
    await clock.advance(30);
    expect(breaker.state).toBe('open');
    expect(await pipe.tryExecute(() => 'ok')).toMatchObject({ error: { retryAfterMs: 70 } });
    await clock.advance(70);
    expect(breaker.state).toBe('half_open');
    expect(stateOf(pipe).state).toBe('half_open');
  });

  it('C-23: a failure is let go when the circuit closes', async () => {
    await onFakeTime(async (pass) => {
      const policy = touchy();
      await policy.execute(down).catch(() => {});
      await pass(100);
      await policy.execute(() => 'ok');
      expect(policy.state).toBe(CircuitState.Closed);
      expect(policy.lastFailure, mended).toEqual({ error: boom });
    });

    const clock = virtualClock();
    const pipe = pipeline('shop', [ours()], { telemetry: false, clock });
    /** In a frame of its own, so that no variable holds the error. */
    async function failOnce(): Promise<WeakRef<Error>> {
      const error = new Error('a heavy one');
      await pipe.tryExecute(() => Promise.reject(error));
      expect((await pipe.tryExecute(() => 'ok')).error).toMatchObject({ cause: error });
      return new WeakRef(error);
    }
    const failure = await failOnce();
    await clock.advance(100);
    await collect();
    expect(failure.deref()).toBeDefined();
    await pipe.execute(() => 'ok');
    await collect();
    expect(failure.deref()).toBeUndefined();
  });

  async function collect(): Promise<void> {
    await turn();
    (globalThis as unknown as { gc(): void }).gc();
  }

  it('C-24: a retry around an open circuit fails as fast as the circuit', async () => {
    await onFakeTime(async (pass) => {
      const policy = touchy();
      await policy.execute(down).catch(() => {});
      // For an hour, so that no try gets through.
      vi.setSystemTime(Date.now() - 3_600_000);
      const patient = cockatiel.retry(handleAll, { maxAttempts: 3, backoff: new cockatiel.ConstantBackoff(100) });
      const call = watch(cockatiel.wrap(patient, policy).execute(() => 'ok'));
      await pass(299);
      expect(call.state, mended).toBe('pending');
      await pass(1);
      expect(call.error, mended).toBeInstanceOf(cockatiel.BrokenCircuitError);
    });

    const { pipe, clock } = stand([retry({ maxRetries: 3, backoff: 100 }), circuitBreaker({ consecutiveFailures: 1 })]);
    const first = watch(pipe.execute(down));
    await clock.advance(100);
    expect(first.error).toMatchObject({ code: 'circuit_open' });
    const call = watch(pipe.execute(() => 'ok'));
    await turn();
    expect(call.error).toMatchObject({ code: 'circuit_open' });
    expect(clock.pending).toBe(0);

    const patient = stand([retry({ backoff: 10, retryRejected: true, when: () => false }), ours()]);
    await patient.pipe.tryExecute(down);
    const late = watch(patient.pipe.execute(() => 'ok'));
    await patient.clock.advance(99);
    expect(late.state).toBe('pending');
    await patient.clock.advance(1);
    expect(late.value).toBe('ok');
  });
});
