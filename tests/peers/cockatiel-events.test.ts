import * as cockatiel from 'cockatiel';
import { circuitBreaker, type Observer, type Outcome, retry } from 'seaworthy';
import { describe, expect, it, vi } from 'vitest';
import { deferred, stand, turn, watch } from '../policies/stand.ts';
import { boom, down, ours, rude, touchy } from './cockatiel-fixture.ts';
import { mended, onFakeTime } from './scene.ts';

const { ConstantBackoff, handleAll } = cockatiel;

describe('listeners', () => {
  it('C-25: a listener that throws repeats no work and changes no answer', async () => {
    await onFakeTime(async (pass) => {
      const policy = cockatiel.retry(handleAll, { maxAttempts: 2, backoff: new ConstantBackoff(0) });
      const onFailure = vi.fn();
      policy.onSuccess(rude);
      policy.onFailure(onFailure);
      const fn = vi.fn(() => 'done');
      const call = watch(policy.execute(fn));
      await pass(10);
      expect(fn, mended).toHaveBeenCalledTimes(3);
      expect(call.error?.message, mended).toBe('rude listener');
      expect(onFailure, mended).toHaveBeenCalledTimes(3);
    });

    const told = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    try {
      const { pipe, events } = stand([retry({ maxRetries: 2, backoff: 0 })]);
      pipe.subscribe(rude);
      pipe.onSuccess(rude);
      const fn = vi.fn(() => 'done');
      expect(await pipe.execute(fn)).toBe('done');
      expect(fn).toHaveBeenCalledTimes(1);
      expect(events.at(-1)).toMatchObject({ type: 'execution_end', outcome: 'success' });
      expect(told).toHaveBeenCalledTimes(1);
      expect(told.mock.calls[0]![0]).toMatchObject({ cause: { message: 'rude listener' } });
    } finally {
      told.mockRestore();
    }
  });

  it('C-25: a listener that throws when the circuit opens does not hide the error that opened it', async () => {
    const policy = touchy();
    policy.onBreak(rude);
    await expect(policy.execute(down), mended).rejects.toThrow('rude listener');

    const told = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    try {
      const breaker = ours();
      const { pipe } = stand([breaker]);
      pipe.subscribe(rude);
      expect(await pipe.tryExecute(down)).toMatchObject({ error: boom });
      expect(breaker.state).toBe('open');
    } finally {
      told.mockRestore();
    }
  });

  it('C-33: a handle ends its own subscription and no other, however often it is disposed', async () => {
    const policy = cockatiel.retry(handleAll, {});
    const listener = vi.fn();
    const handles = [policy.onSuccess(listener), policy.onSuccess(listener)];
    for (let n = 0; n < 2; n++) handles[0]!.dispose();
    await policy.execute(() => 'ok');
    expect(listener, mended).not.toHaveBeenCalled();

    const { pipe } = stand([]);
    for (const listen of [pipe.onSuccess, (listener: () => void) => pipe.subscribe(listener)]) {
      const own = vi.fn();
      const [first, second] = [listen(own), listen(own)];
      await pipe.execute(() => 'ok');
      expect(own).toHaveBeenCalledTimes(2);
      for (let n = 0; n < 2; n++) first.dispose();
      await pipe.execute(() => 'ok');
      expect(own).toHaveBeenCalledTimes(3);
      second.dispose();
      await pipe.execute(() => 'ok');
      expect(own).toHaveBeenCalledTimes(3);
    }
  });

  it('C-33: a listener that comes while others are told is not told of that', async () => {
    const late = vi.fn();
    const policy = cockatiel.retry(handleAll, {});
    policy.onSuccess(() => {});
    policy.onSuccess(() => void policy.onSuccess(late));
    await policy.execute(() => 'ok');
    expect(late, mended).toHaveBeenCalledTimes(1);

    const own = vi.fn();
    const { pipe } = stand([]);
    pipe.onSuccess(() => {});
    pipe.onSuccess(() => void pipe.onSuccess(own));
    await pipe.execute(() => 'ok');
    expect(own).not.toHaveBeenCalled();
    await pipe.execute(() => 'ok');
    expect(own).toHaveBeenCalledTimes(1);
  });

  it('C-33: no way of setting an option leaves listeners behind', async () => {
    await onFakeTime(async (pass) => {
      const policy = cockatiel.retry(handleAll, { maxAttempts: 1 });
      const onRetry = vi.fn();
      policy.onRetry(onRetry);
      watch(policy.dangerouslyUnref().execute(down));
      await pass(10);
      expect(onRetry, mended).not.toHaveBeenCalled();
    });

    // Nothing is copied: what can be changed is changed in place.
    const { pipe, told } = stand([retry({ maxRetries: 1, backoff: 0 })]);
    const bypass = pipe.bypass('retry');
    await pipe.tryExecute(down);
    expect(told('retry')).toEqual([]);
    bypass.dispose();
    await pipe.tryExecute(down);
    expect(told('retry')).toHaveLength(1);
  });
});

describe('what is told', () => {
  it('C-34: an execution ends once, and its attempts are told apart from it', async () => {
    const flaky = () => {
      let calls = 0;
      return () => (++calls < 3 ? down() : 'ok');
    };
    await onFakeTime(async (pass) => {
      const policy = cockatiel.retry(handleAll, { maxAttempts: 3, backoff: new ConstantBackoff(0) });
      const told: string[] = [];
      policy.onSuccess(() => told.push('success'));
      policy.onFailure(() => told.push('failure'));
      watch(policy.execute(flaky()));
      await pass(10);
      expect(told, mended).toEqual(['failure', 'failure', 'success']);

      const strict = cockatiel.retry(
        cockatiel.handleWhen(() => false),
        { maxAttempts: 3 },
      );
      const onGiveUp = vi.fn();
      const onFailure = vi.fn();
      strict.onGiveUp(onGiveUp);
      strict.onFailure(onFailure);
      await strict.execute(down).catch(() => {});
      expect(onFailure.mock.calls, mended).toMatchObject([[{ handled: false }]]);
      expect(onGiveUp, mended).not.toHaveBeenCalled();
    });

    const { pipe, told, events } = stand([retry({ backoff: 0, when: (error) => error === boom })]);
    const cockatiels: string[] = [];
    pipe.onSuccess(() => cockatiels.push('success'));
    pipe.onFailure(() => cockatiels.push('failure'));
    await pipe.execute(flaky());
    expect(cockatiels).toEqual(['success']);
    expect(told('attempt_end')).toMatchObject([{ outcome: 'failure' }, { outcome: 'failure' }, { outcome: 'success' }]);
    expect(told('execution_end')).toMatchObject([{ outcome: 'success', attempt: 3 }]);
    expect(told('retry_result')).toMatchObject([{ result: 'success_after_retry', retries: 2 }]);

    events.length = 0;
    await pipe.tryExecute(() => Promise.reject(new Error('another')));
    expect(cockatiels).toEqual(['success', 'failure']);
    expect(told('retry_result')).toMatchObject([{ result: 'not_retryable', retries: 0 }]);
    expect(told('execution_end')).toMatchObject([{ outcome: 'failure' }]);
  });

  it('C-34: an error that is no failure is told as one that was not handled, and never as a success', async () => {
    const policy = cockatiel.circuitBreaker(
      cockatiel.handleWhen(() => false),
      { halfOpenAfter: 100, breaker: new cockatiel.ConsecutiveBreaker(1) },
    );
    const unhandled = ['failure', { duration: expect.any(Number), handled: false, reason: { error: boom } }];
    expect(await ends(policy, down), mended).toEqual([unhandled]);

    for (const verdict of ['ignored', 'success'] as const)
      expect(await ends(stand([circuitBreaker()], { classify: () => verdict }).pipe, down)).toEqual([unhandled]);
  });

  it('C-34: a value that is a failure is told as one, with the value', async () => {
    const bad = (value: unknown) => value === 'bad';
    const policy = cockatiel.retry(cockatiel.handleWhenResult(bad), { maxAttempts: 0 });
    const handled = ['failure', { duration: expect.any(Number), handled: true, reason: { value: 'bad' } }];
    expect(await ends(policy, () => 'bad'), mended).toEqual([handled]);

    const classify = ({ value }: Outcome) => (bad(value) ? 'failure' : 'success');
    expect(await ends(stand([circuitBreaker()], { classify }).pipe, () => 'bad')).toEqual([handled]);
  });

  /** What a call of `fn` is told as. */
  async function ends(
    policy: Pick<cockatiel.IPolicy<never>, 'onSuccess' | 'onFailure'> & {
      execute(fn: () => unknown): Promise<unknown>;
    },
    fn: () => unknown,
  ): Promise<unknown[]> {
    const told: unknown[] = [];
    policy.onSuccess((event) => told.push(['success', event]));
    policy.onFailure((event) => told.push(['failure', event]));
    await policy.execute(fn).catch(() => {});
    return told;
  }

  it('C-35: an event says whose it is', async () => {
    await onFakeTime(async (pass) => {
      const policy = cockatiel.retry(handleAll, { maxAttempts: 1, backoff: new ConstantBackoff(0) });
      const told: object[] = [];
      policy.onRetry((event) => told.push(event));
      policy.onSuccess((event) => told.push(event));
      policy.onFailure((event) => told.push(event));
      watch(policy.execute(once(() => 'ok')));
      await pass(10);
      const keys = new Set(told.flatMap((event) => Object.keys(event)));
      expect(keys, mended).toEqual(new Set(['duration', 'handled', 'reason', 'error', 'delay', 'attempt']));
    });

    const breaker = circuitBreaker({ minimumCalls: 1_000 });
    const begun: unknown[] = [];
    const start: Observer['start'] = (span, { key, attempt }) => begun.push([span, key, attempt, clock.now()]);
    const { pipe, clock, events } = stand([retry({ backoff: 20 }), breaker], { observers: [{ start }] });
    const [a, b] = [deferred<string>(), deferred<string>()];
    watch(
      pipe.execute(
        once(() => a.promise),
        { key: 'a' },
      ),
    );
    await clock.advance(10);
    watch(
      pipe.execute(
        once(() => b.promise),
        { key: 'b' },
      ),
    );
    await clock.advance(30);
    b.resolve('ok');
    await turn();
    a.resolve('ok');
    await turn();
    expect(events).toHaveLength(14);
    const ids = new Set(events.map(({ executionId }) => executionId));
    expect(ids.size).toBe(2);
    for (const [id, key] of [...ids].map((id, n) => [id, ['a', 'b'][n]] as const)) {
      const own = events.filter(({ executionId }) => executionId === id);
      expect(own.every((event) => event.pipeline === 'shop' && event.key === key)).toBe(true);
      expect(own.map(({ type, attempt }) => [type, attempt])).toEqual([
        ['circuit_admission', 1],
        ['attempt_end', 1],
        ['retry', 1],
        ['circuit_admission', 2],
        ['attempt_end', 2],
        ['retry_result', 2],
        ['execution_end', 2],
      ]);
      expect(own.at(-1)).toMatchObject({ outcome: 'success', durationMs: key === 'a' ? 40 : 30 });
    }
    for (const event of events)
      if (event.type === 'retry') expect(event).toMatchObject({ policy: 'shop/retry', delayMs: 20, error: boom });
    expect(begun).toEqual([
      ['execution', 'a', 0, 0],
      ['attempt', 'a', 1, 0],
      ['execution', 'b', 0, 10],
      ['attempt', 'b', 1, 10],
      ['attempt', 'a', 2, 20],
      ['attempt', 'b', 2, 30],
    ]);
  });

  /** Fails first. */
  function once<T>(then: () => T) {
    let called = false;
    return () => (called ? then() : ((called = true), down()));
  }
});
