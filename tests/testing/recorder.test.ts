import { circuitBreaker, fallback, pipeline, retry, timeout } from 'seaworthy';
import { recorder, script, seededRandom, virtualClock } from 'seaworthy/testing';
import { describe, expect, expectTypeOf, it } from 'vitest';

describe('recorder', () => {
  it('keeps what the policies did, with the execution, attempt and key it happened in', async () => {
    const heard = recorder();
    const users = pipeline('users', [retry({ backoff: 0 })], { observers: [heard], telemetry: false });
    const error = new Error('first');
    await users.execute(script({ error }, 'ok'), { key: 'eu' });
    expect(heard.of('retry')).toEqual([
      {
        type: 'retry',
        policy: 'users/retry',
        retry: 1,
        delayMs: 0,
        error,
        pipeline: 'users',
        executionId: 'users-1',
        attempt: 1,
        key: 'eu',
      },
    ]);
    expect(heard.of('retry_result')).toMatchObject([{ result: 'success_after_retry', retries: 1, attempt: 2 }]);
  });

  it('keeps starts and ends, in order', async () => {
    const clock = virtualClock();
    const heard = recorder();
    const users = pipeline('users', [fallback(() => 'nobody'), retry({ maxRetries: 1, backoff: 10 }), timeout(100)], {
      observers: [heard],
      telemetry: false,
      clock,
    });
    const answer = users.execute(script.with(clock, 'hang', 'fail'));
    await clock.advance(110);
    expect(await answer).toBe('nobody');
    expect(heard.types).toEqual([
      'start execution',
      'start attempt',
      'timeout',
      'end attempt',
      'retry',
      'late',
      'start attempt',
      'end attempt',
      'retry_result',
      'start fallback',
      'end fallback',
      'fallback',
      'end execution',
    ]);
    expect(heard.ends('attempt').map(({ outcome, durationMs }) => [outcome, durationMs])).toEqual([
      ['failure', 100],
      ['failure', 0],
    ]);
    expect(heard.ends('execution')).toMatchObject([{ outcome: 'fallback', durationMs: 110, rejected: false }]);
    expect(heard.ends('fallback')).toMatchObject([{ outcome: 'success' }]);
    expect(heard.starts('execution')).toHaveLength(1);
  });

  it('tells executions apart', async () => {
    const heard = recorder();
    const users = pipeline('users', [], { observers: [heard], telemetry: false });
    await Promise.all([users.execute(() => 1), users.execute(() => 2)]);
    expect(heard.ends('execution').map(({ executionId }) => executionId)).toEqual(['users-1', 'users-2']);
  });

  it('hears of circuits whose key is not the call’s own', async () => {
    const heard = recorder();
    const users = pipeline('users', [circuitBreaker({ consecutiveFailures: 1 })], {
      observers: [heard],
      telemetry: false,
      random: seededRandom(1),
    });
    await users.tryExecute(script('fail'), { key: 'eu' });
    expect(heard.of('circuit_state')).toMatchObject([{ state: 'open', previous: 'closed', key: 'eu' }]);
  });

  it('forgets on clear, and gives arrays that do not change afterwards', async () => {
    const heard = recorder();
    const users = pipeline('users', [], { observers: [heard], telemetry: false });
    await users.execute(() => 1);
    const before = heard.events;
    heard.clear();
    expect(heard.events).toEqual([]);
    expect(before).toHaveLength(2);
    await users.execute(() => 1);
    expect(before).toHaveLength(2);
    expect(heard.events).toHaveLength(2);
  });

  it('serves several pipelines', async () => {
    const heard = recorder();
    await pipeline('one', [], { observers: [heard], telemetry: false }).execute(() => 1);
    await pipeline('two', [], { observers: [heard], telemetry: false }).execute(() => 1);
    expect(heard.ends('execution').map((end) => end.pipeline)).toEqual(['one', 'two']);
  });

  it('knows the type of what it gives', () => {
    const heard = recorder();
    expectTypeOf(heard.of('retry')).items.toHaveProperty('delayMs').toEqualTypeOf<number>();
    expectTypeOf(heard.ends('attempt')).items.toHaveProperty('durationMs').toEqualTypeOf<number>();
    expectTypeOf(heard.events).items.toHaveProperty('executionId').toEqualTypeOf<string>();
  });
});
