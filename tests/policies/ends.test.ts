import { bulkhead, type Clock, fallback, type Observer, retry, timeout } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { virtualClock } from '../../src/testing/virtual-clock.ts';
import { deaf, deferred, stand, stateOf, turn, watch } from './stand.ts';

const boom = new Error('boom');
const down = () => Promise.reject(boom);

/** How the spans of fallbacks end, as observers hear it. */
function listening() {
  const ends: unknown[] = [];
  const observer: Observer = {
    start: (name) => name,
    end: (name, _token, end) => name === 'fallback' && ends.push(end),
  };
  return { ends, observers: [observer] };
}

describe('a call that ends around a policy', () => {
  it.each([
    ['an outer timeout', [timeout(50), retry({ backoff: 10 })], 'deadline'],
    ['its caller', [retry({ backoff: 10 })], 'cancelled'],
  ] as const)('is told by retry as what it was: ended by %s', async (_who, policies, result) => {
    const { pipe, clock, told } = stand([...policies]);
    const caller = new AbortController();
    watch(pipe.execute(({ attempt }) => (attempt === 1 ? down() : deaf()), caller.signal));
    await clock.advance(50);
    caller.abort('enough');
    await turn();
    expect(told('retry_result')).toMatchObject([{ result, retries: 1 }]);
    const state = stateOf(pipe, policies.length - 1);
    expect(state.executions).toMatchObject({ [result]: 1, exhausted: 0, not_retryable: 0 });
  });

  it.each([
    ['an outer timeout', true, { outcome: 'failure', error: expect.objectContaining({ code: 'timeout' }) }],
    ['its caller', false, { outcome: 'cancelled', error: undefined }],
  ] as const)('is told by a running fallback as what it was: ended by %s', async (_who, timed, end) => {
    const { ends, observers } = listening();
    const { pipe, clock } = stand([...(timed ? [timeout(50)] : []), fallback(deaf)], { observers });
    const caller = new AbortController();
    watch(pipe.execute(down, caller.signal));
    await clock.advance(50);
    caller.abort('enough');
    await turn();
    expect(ends).toEqual([{ ...end, errorType: undefined, durationMs: 50, attempts: 1, rejected: false }]);
    expect(stateOf(pipe, timed ? 1 : 0).executions).toEqual({ success: 0, failure: 0 });
  });
});

describe('the span of a fallback', () => {
  it('lasts as long as its function, and says how that ended', async () => {
    const { ends, observers } = listening();
    const { pipe, clock } = stand(
      [
        fallback(
          async ({ error }) => (await new Promise<void>((r) => clock.after(30, r)), error === boom ? 'spare' : 0),
        ),
      ],
      { observers },
    );
    await clock.advance(1_000);
    const call = watch(pipe.execute(down));
    await clock.advance(30);
    expect(call.value).toBe('spare');
    const bad = new Error('bad');
    const failing = stand([fallback(() => Promise.reject(bad))], { observers });
    await failing.pipe.tryExecute(down);
    expect(ends).toMatchObject([
      { outcome: 'success', error: undefined, durationMs: 30, attempts: 1 },
      { outcome: 'failure', error: bad, durationMs: 0 },
    ]);
  });

  it('is none for a value', async () => {
    const { ends, observers } = listening();
    await stand([fallback({ to: { value: 1 } })], { observers }).pipe.execute(down);
    expect(ends).toEqual([]);
  });

  it('a function that took too long and ends afterwards is late, once', async () => {
    const late = deferred();
    const { pipe, clock } = stand([fallback({ to: () => late.promise, timeoutMs: 20 })]);
    watch(pipe.execute(down));
    await clock.advance(20);
    late.resolve(1);
    await turn();
    expect(stateOf(pipe)).toEqual({
      name: 'shop/fallback',
      kind: 'fallback',
      bypassed: false,
      executions: { success: 0, failure: 1 },
      timeouts: 1,
      late: 1,
    });
    expect(stateOf(stand([fallback(() => 1)]).pipe)).not.toHaveProperty('timeouts');
  });
});

describe('retry', () => {
  it('tells whoever listens why there is an attempt, and what was waited before it', async () => {
    const begun: unknown[] = [];
    const observer: Observer = {
      start: (name, { attempt, attemptKind, retryDelayMs }) =>
        void (name === 'attempt' && begun.push([attempt, attemptKind, retryDelayMs])),
    };
    const { pipe, clock } = stand([retry({ maxRetries: 2, backoff: ({ retry }) => retry * 10 })], {
      observers: [observer],
    });
    watch(pipe.execute(down));
    await clock.advance(100);
    expect(begun).toEqual([
      [1, 'initial', 0],
      [2, 'retry', 10],
      [3, 'retry', 20],
    ]);
  });
});

describe('timeout', () => {
  it("takes mode: 'abandon', which is the default", async () => {
    const { pipe, clock } = stand([timeout({ ms: 50, mode: 'abandon' })]);
    const call = watch(pipe.execute(deaf));
    await clock.advance(50);
    expect(call.error).toMatchObject({ code: 'timeout' });
  });

  it('undefined from its function is no limit and no fault; a promise is a fault', async () => {
    const { pipe, clock, told } = stand([timeout({ ms: () => undefined })]);
    const free = watch(pipe.execute(deaf));
    await clock.advance(1e9);
    expect([free.state, told('fault')]).toEqual(['pending', []]);
    const odd = stand([timeout({ ms: (() => Promise.reject(boom)) as never, fallbackMs: 70 })]);
    const call = watch(odd.pipe.execute(deaf));
    await odd.clock.advance(70);
    expect(call.error).toMatchObject({ code: 'timeout', timeoutMs: 70 });
    const error = new TypeError('ms must answer milliseconds or undefined, received a promise');
    expect(odd.told('fault')).toMatchObject([{ where: 'ms', error }]);
  });

  it('of Infinity asks nobody for a length, so nobody is at fault', async () => {
    const { pipe, told } = stand([timeout(Number.POSITIVE_INFINITY)]);
    expect([await pipe.execute(() => 1), told('fault')]).toEqual([1, []]);
  });

  it('cooperative: an earlier attempt that ends at last does not end the wait for the one that runs', async () => {
    const works = [deferred(), deferred()];
    const { pipe, clock, told } = stand([
      retry({ maxRetries: 1, backoff: 0 }),
      timeout({ ms: 200, name: 'hard' }),
      timeout({ ms: 100, mode: 'cooperative', name: 'soft' }),
    ]);
    const call = watch(pipe.execute(({ attempt }) => works[attempt - 1]!.promise));
    await clock.advance(310);
    expect(told('timeout').map((event: any) => event.policy)).toEqual(['soft', 'hard', 'soft']);
    works[0]!.resolve('late');
    await turn();
    expect(call.state).toBe('pending');
    works[1]!.resolve('late too');
    await turn();
    expect(call.error).toMatchObject({ policy: 'soft' });
  });

  it('cooperative: a caller who has gone hears nothing of the work that ends later', async () => {
    const work = deferred();
    const { pipe, clock, told } = stand([
      retry({ maxRetries: 1, backoff: 10 }),
      timeout({ ms: 50, mode: 'cooperative' }),
    ]);
    const caller = new AbortController();
    const call = watch(pipe.execute(() => work.promise, caller.signal));
    await clock.advance(50);
    caller.abort('enough');
    work.resolve('late');
    await clock.advance(1_000);
    expect(call.error).toBe('enough');
    expect([told('retry'), clock.pending]).toEqual([[], 0]);
  });
});

describe('bulkhead', () => {
  it('keeps the process for a call that waits for a slot, and not for a slot that waits for work given up', async () => {
    const clock = virtualClock();
    /** The lengths of the timers that keep the process. */
    const holding = new Set<number>();
    const own: Clock = {
      now: () => clock.now(),
      after(ms, fn) {
        const timer = clock.after(ms, fn);
        holding.add(ms);
        const letGo = () => void holding.delete(ms);
        return { ref: () => void holding.add(ms), unref: letGo, cancel: () => (letGo(), timer.cancel()) };
      },
    };
    const slots = bulkhead({ limit: 1, queue: 1, maxWaitMs: 700, holdUntilSettled: { maxMs: 900 } });
    const { pipe } = stand([slots], { clock: own });
    const caller = new AbortController();
    watch(pipe.execute(deaf, caller.signal));
    watch(pipe.execute(deaf));
    caller.abort();
    await turn();
    expect([slots.held, slots.queued, clock.pending, [...holding]]).toEqual([1, 1, 2, [700]]);
  });

  it('a caller who may wait for ever gives up his place in the queue when he goes', async () => {
    const { pipe } = stand([bulkhead({ limit: 1, queue: 1, maxWaitMs: Number.POSITIVE_INFINITY })]);
    watch(pipe.execute(deaf));
    const caller = new AbortController();
    watch(pipe.execute(deaf, caller.signal));
    expect(stateOf(pipe).queued).toBe(1);
    caller.abort();
    expect(stateOf(pipe).queued).toBe(0);
  });

  it('a call that is turned away is not one that waits, should whoever hears of it begin to drain', async () => {
    const { pipe } = stand([bulkhead({ limit: 1 })]);
    const work = deferred();
    watch(pipe.execute(() => work.promise));
    pipe.subscribe((event) => void (event.type === 'rejected' && pipe.drain()));
    const { error } = await pipe.tryExecute(deaf);
    work.resolve(1);
    expect(error).toMatchObject({ code: 'bulkhead_full' });
  });

  it('measures a wait from its beginning, whatever time it is', async () => {
    const work = deferred();
    const { pipe, clock, told } = stand([bulkhead({ limit: 1, queue: 1 })]);
    await clock.advance(5_000);
    watch(pipe.execute(() => work.promise));
    watch(pipe.execute(() => 1));
    await clock.advance(40);
    work.resolve(1);
    await turn();
    expect(told('dequeued')).toMatchObject([{ waitedMs: 40 }]);
  });

  it('lets nobody wait who has no time left', async () => {
    const { pipe, clock } = stand([bulkhead({ limit: 1, queue: 5 })]);
    watch(pipe.execute(deaf));
    const { error } = await pipe.tryExecute(() => 1, { timeoutMs: 0 });
    expect(error).toMatchObject({ code: 'deadline_exceeded' });
    expect(stateOf(pipe)).toMatchObject({ queued: 0, rejections: { bulkhead_full: 0, queue_timeout: 0 } });
    expect(clock.pending).toBe(0);
  });
});
