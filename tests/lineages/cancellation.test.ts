import { getEventListeners } from 'node:events';
import { bulkhead, circuitBreaker, fallback, pipeline, policy, retry, type Stackable, timeout } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { script } from '../../src/testing/script.ts';
import { virtualClock } from '../../src/testing/virtual-clock.ts';
import { spy } from '../core/spy.ts';
import { deaf, deferred, stand, stateOf, turn, watch } from '../policies/stand.ts';

const down = new Error('down');
const bad = () => Promise.reject(down);

type Clock = ReturnType<typeof virtualClock>;

/** A place where a call can be when it is ended from outside: what is inside, what runs, how often that was called by then. */
interface Place {
  readonly policies: (clock: Clock) => Stackable[];
  readonly fn: () => (context: any) => unknown;
  readonly calls: number;
  /** A pause that does not fit before a timeout is never begun, so only the caller finds a call in one. */
  readonly pause?: true;
}

/** A bulkhead whose only slot somebody else has. */
function taken(clock: Clock) {
  const slots = bulkhead({ limit: 1, queue: 5, maxWaitMs: 10_000, name: 'slots' });
  watch(pipeline('busy', [slots], { telemetry: false, clock }).execute(deaf));
  return slots;
}

const places: Record<string, Place> = {
  'in the function': { policies: () => [], fn: () => deaf, calls: 1 },
  'in the second attempt': { policies: () => [retry({ backoff: 10 })], fn: () => script('fail', 'hang'), calls: 2 },
  'in a queue': { policies: (clock) => [taken(clock)], fn: () => deaf, calls: 0 },
  'in a queue behind retry and breaker': {
    policies: (clock) => [retry(), circuitBreaker(), taken(clock)],
    fn: () => deaf,
    calls: 0,
  },
  'in a fallback': { policies: () => [retry({ maxRetries: 0 }), fallback(deaf)], fn: () => bad, calls: 1 },
  'behind a middleware': {
    policies: () => [policy({ kind: 'thin', around: (_, next) => next() })],
    fn: () => deaf,
    calls: 1,
  },
  'in a nested pipeline': {
    policies: (clock) => [pipeline('inner', [retry({ backoff: 10 })], { telemetry: false, clock })],
    fn: () => script('fail', 'hang'),
    calls: 2,
  },
  'in a pause': { policies: () => [retry({ backoff: 5_000 })], fn: () => bad, calls: 1, pause: true },
  'in a pause around pauses': {
    policies: () => [retry({ backoff: 5_000 }), retry({ backoff: 10, maxRetries: 1 })],
    fn: () => bad,
    calls: 2,
    pause: true,
  },
};

describe('cancellation_test: each place, ended in each way', () => {
  const table = Object.entries(places).flatMap(([where, place]) =>
    (place.pause ? (['the caller'] as const) : (['the caller', 'the deadline', 'a timeout around it'] as const)).map(
      (way) => ({
        where,
        way,
        ...place,
      }),
    ),
  );

  it.each(table)(
    'cancellation_test: $where, ended by $way: at once, with its own reason, and nothing starts afterwards',
    async ({ policies, fn, calls, way }) => {
      const clock = virtualClock();
      const log: string[] = [];
      const limit = timeout(way === 'a timeout around it' ? 100 : Number.POSITIVE_INFINITY);
      const at = stand([spy('outer', log), limit, ...policies(clock), spy('inner', log)], { clock });
      const caller = new AbortController();
      if (way === 'the caller') clock.after(100, () => caller.abort('mine'));
      const options = { signal: caller.signal, ...(way === 'the deadline' && { timeoutMs: 100 }) };
      const server = fn();
      let called = 0;
      const call = watch(at.pipe.execute((context) => (called++, server(context)), options));
      await clock.advance(99);
      expect([call.state, called]).toEqual(['pending', calls]);
      await clock.advance(1);
      if (way === 'the caller') expect(call.error).toBe('mine');
      else
        expect(call.error).toMatchObject({
          code: 'timeout',
          policy: way === 'the deadline' ? 'deadline' : 'shop/timeout',
        });
      await turn();
      await turn();
      expect(clock.pending).toBe(0);
      await clock.advance(100_000);
      expect(called).toBe(calls);
      expect(getEventListeners(caller.signal, 'abort')).toEqual([]);
      const heard = (line: RegExp) => log.filter((each) => line.test(each)).length;
      for (const who of ['outer', 'inner'])
        expect(heard(RegExp(`^${who} (succeed|fail|drop)`))).toBe(heard(RegExp(`^${who} enter`)));
      if (way !== 'a timeout around it')
        expect(log.at(-1)).toBe(`outer drop ${way === 'the caller' ? 'cancelled' : 'timed_out'}`);
      else expect(log.at(-1)).toBe('outer fail');
    },
  );

  it('testCancelledTasksInQueueGetRemoved, P-7: a call that was ended in a queue or between two layers never reaches the next', async () => {
    for (const type of ['dequeued', 'circuit_admission'] as const) {
      const slots = bulkhead({ limit: 1, queue: 1 });
      const { pipe } = stand([slots, circuitBreaker()]);
      const [work, caller] = [deferred(), new AbortController()];
      watch(pipe.execute(() => work.promise));
      let calls = 0;
      const call = watch(pipe.execute(() => calls++, caller.signal));
      pipe.subscribe((event) => event.type === type && caller.abort('between'));
      work.resolve('done');
      await turn();
      expect([call.error, calls, slots.active, slots.queued]).toEqual(['between', 0, 0, 0]);
      expect(stateOf(pipe, 1).executions.success).toBe(1);
    }
  });

  it('P-3: given up in the middle of the telling of a retry: one execution, the retry was told, no pause is left', async () => {
    const { pipe, clock, told } = stand([retry({ backoff: 100 })]);
    const caller = new AbortController();
    pipe.subscribe((event) => event.type === 'retry' && caller.abort('enough'));
    const server = script('fail');
    const call = watch(pipe.execute(server, caller.signal));
    await turn();
    expect([call.error, server.calls.length, clock.pending]).toEqual(['enough', 1, 0]);
    expect(told('retry')).toHaveLength(1);
    await clock.advance(1_000);
    expect(server.calls).toHaveLength(1);
  });

  it('testUnsubscribingDownstreamOperatorStillResultsInSuccessEventType: an abort after the answer, even in the same turn, takes nothing back', async () => {
    const breaker = circuitBreaker({ consecutiveFailures: 1 });
    const { pipe } = stand([breaker, bulkhead({ limit: 1 })]);
    const caller = new AbortController();
    const call = watch(pipe.execute(() => 'there', caller.signal));
    caller.abort('late');
    await turn();
    expect(call.value).toBe('there');
    expect(pipe.snapshot().outcomes).toMatchObject({ success: 1, cancelled: 0 });
    expect(stateOf(pipe).executions).toMatchObject({ success: 1, ignored: 0 });
  });

  it('testEarlyUnsubscribeDuringExecution, P-2: what the function brings after the caller gave up is discarded, not lost', async () => {
    const { pipe, told } = stand([circuitBreaker()]);
    const [work, caller, discarded] = [deferred(), new AbortController(), [] as unknown[]];
    const call = watch(
      pipe.execute(() => work.promise, { signal: caller.signal, onDiscard: (value) => discarded.push(value) }),
    );
    caller.abort('enough');
    work.resolve('a connection');
    await turn();
    expect([call.error, discarded]).toEqual(['enough', ['a connection']]);
    expect(told('late')).toHaveLength(1);
  });
});
