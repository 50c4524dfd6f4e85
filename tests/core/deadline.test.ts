import { AsyncLocalStorage } from 'node:async_hooks';
import {
  bulkhead,
  circuitBreaker,
  type DeadlineExceededError,
  fallback,
  type Outcome,
  type PipelineEvent,
  pipeline,
  policy,
  retry,
  timeout,
} from 'seaworthy';
import { describe, expect, it } from 'vitest';
import type { Clock } from '../../src/ports/clock.ts';
import { virtualClock } from '../../src/testing/virtual-clock.ts';
import { gate, turn, watch } from './spy.ts';

const hang = () => new Promise<never>(() => {});
const boom = new Error('boom');

describe('the deadline (timeoutMs)', () => {
  it('passes while work is in flight: a TimeoutError of policy "deadline", which is the reason of the signal', async () => {
    const clock = virtualClock();
    const p = pipeline('p', [retry()], { clock });
    let signal!: AbortSignal;
    const seen = watch(
      p.execute(
        (call) => {
          signal = call.signal;
          return hang();
        },
        { timeoutMs: 50 },
      ),
    );
    await clock.advance(49);
    expect(seen.state).toBe('pending');
    await clock.advance(1);
    expect(seen.result).toMatchObject({
      name: 'TimeoutError',
      code: 'timeout',
      policy: 'deadline',
      pipeline: 'p',
      timeoutMs: 50,
    });
    expect(signal.reason).toBe(seen.result);
    expect(p.snapshot()).toMatchObject({ timeouts: 1, active: 0, outcomes: { failure: 1 } });
    expect(clock.pending).toBe(0);
  });

  it('passes while waiting in a queue: the place is free, fn was not called', async () => {
    const clock = virtualClock();
    const slots = bulkhead({ limit: 1, queue: 1 });
    const p = pipeline('p', [slots], { clock });
    void p.execute(hang);
    let calls = 0;
    const seen = watch(p.execute(() => ++calls, { timeoutMs: 50 }));
    expect(slots.queued).toBe(1);
    await clock.advance(50);
    expect(seen.result).toMatchObject({ code: 'timeout', policy: 'deadline' });
    expect([calls, slots.queued]).toEqual([0, 0]);
  });

  it('passes in a backoff that did fit when it began, because the function outside of it is slow', async () => {
    const clock = virtualClock();
    const p = pipeline('p', [retry({ backoff: 40 })], { clock });
    let calls = 0;
    const seen = watch(
      p.execute(
        () => {
          if (++calls === 1) throw boom;
          return hang();
        },
        { timeoutMs: 50 },
      ),
    );
    await clock.advance(50);
    expect(seen.result).toMatchObject({ code: 'timeout', policy: 'deadline' });
    expect(calls).toBe(2);
  });

  for (const timeoutMs of [0, -1])
    it(`of ${timeoutMs} ms: DeadlineExceededError, and nothing is entered`, async () => {
      const clock = virtualClock();
      const breaker = circuitBreaker({ consecutiveFailures: 1 });
      const p = pipeline('p', [breaker], { clock });
      let calls = 0;
      const error = await p.execute(() => ++calls, { timeoutMs }).catch((error: unknown) => error);
      expect(error).toMatchObject({
        name: 'DeadlineExceededError',
        code: 'deadline_exceeded',
        policy: 'deadline',
        remainingMs: timeoutMs,
      });
      expect((error as DeadlineExceededError).stack).not.toMatch(/\n\s+at /);
      expect([calls, clock.pending, breaker.state]).toEqual([0, 0, 'closed']);
      expect(p.snapshot()).toMatchObject({ attempts: 0, rejections: { deadline_exceeded: 1 } });
    });

  it('of Infinity ms is none, and NaN is refused', async () => {
    const clock = virtualClock();
    const p = pipeline('p', [], { clock });
    const seen = watch(p.execute(hang, { timeoutMs: Number.POSITIVE_INFINITY }));
    expect(clock.pending).toBe(0);
    await clock.advance(1e12);
    expect(seen.state).toBe('pending');
    await expect(p.execute(hang, { timeoutMs: Number.NaN })).rejects.toThrow('timeoutMs');
  });

  it('has passed when an attempt would start: DeadlineExceededError, fn is not called', async () => {
    // A clock that has moved on although no timer has run: the event loop was blocked.
    const clock = virtualClock();
    let skew = 0;
    const jumpy: Clock = { now: () => clock.now() + skew, after: (ms, fn) => clock.after(ms, fn) };
    const slots = bulkhead({ limit: 1 });
    const p = pipeline('p', [slots, retry({ backoff: 0, maxRetries: 1 })], { clock: jumpy });
    let calls = 0;
    const seen = watch(
      p.execute(
        () => {
          calls++;
          // Fits when it is asked for, and no more when it is over.
          queueMicrotask(() => {
            skew = 100;
          });
          return Promise.reject(boom);
        },
        { timeoutMs: 50 },
      ),
    );
    await turn();
    expect(calls).toBe(1);
    expect([boom, 'deadline_exceeded']).toContain((seen.result as { code?: string }).code ?? seen.result);
    expect(slots.active).toBe(0);
  });

  it('has passed when a queue place would be taken: DeadlineExceededError', async () => {
    const clock = virtualClock();
    let skew = 0;
    const jumpy: Clock = { now: () => clock.now() + skew, after: (ms, fn) => clock.after(ms, fn) };
    const slots = bulkhead({ limit: 1, queue: 5 });
    const slow = { ms: () => void (skew = 100) };
    const p = pipeline('p', [timeout(slow), slots], { clock: jumpy });
    const work = gate();
    void p.execute(() => work.promise);
    skew = 0;
    const seen = watch(p.execute(() => 1, { timeoutMs: 50 }));
    await turn();
    expect(seen.result).toMatchObject({ code: 'deadline_exceeded', remainingMs: -50 });
    expect(slots.queued).toBe(0);
  });

  it('has passed when fn would be called: DeadlineExceededError, and what was entered is left', async () => {
    const clock = virtualClock();
    let skew = 0;
    const jumpy: Clock = { now: () => clock.now() + skew, after: (ms, fn) => clock.after(ms, fn) };
    const slots = bulkhead({ limit: 1 });
    const p = pipeline('p', [slots, timeout({ ms: () => void (skew = 50) })], { clock: jumpy });
    let calls = 0;
    await expect(p.execute(() => ++calls, { timeoutMs: 50 })).rejects.toMatchObject({
      code: 'deadline_exceeded',
      remainingMs: 0,
    });
    expect([calls, slots.active]).toEqual([0, 0]);
    expect(p.snapshot()).toMatchObject({ attempts: 0, rejections: { deadline_exceeded: 1 } });
  });

  it('a backoff that does not fit gives up at once with the last error', async () => {
    const clock = virtualClock();
    const p = pipeline('p', [retry({ backoff: 100 })], { clock });
    const seen = watch(p.execute(() => Promise.reject(boom), { timeoutMs: 50 }));
    await turn();
    expect(seen.result).toBe(boom);
    expect(clock.pending).toBe(0);
  });

  describe('with leading fallbacks', () => {
    it('they see a TimeoutError of policy "deadline" and answer', async () => {
      const clock = virtualClock();
      const outcomes: Outcome[] = [];
      const p = pipeline(
        'p',
        [
          fallback((outcome) => {
            outcomes.push(outcome);
            return 'spare';
          }),
          retry(),
        ],
        { clock },
      );
      const seen = watch(p.execute(hang, { timeoutMs: 50 }));
      await clock.advance(50);
      expect(seen.result).toBe('spare');
      expect(outcomes).toMatchObject([{ status: 'failure', error: { code: 'timeout', policy: 'deadline' } }]);
      expect(p.snapshot()).toMatchObject({ outcomes: { fallback: 1 } });
    });

    it('they see a DeadlineExceededError and answer', async () => {
      const p = pipeline('p', [fallback(({ error }) => (error as { code: string }).code)]);
      await expect(p.execute(() => 'fn', { timeoutMs: 0 })).resolves.toBe('deadline_exceeded');
    });

    it('it does not cut them, however many they are', async () => {
      const clock = virtualClock();
      const slow = gate();
      const p = pipeline('p', [fallback(() => slow.promise), fallback({ to: () => Promise.reject('first') })], {
        clock,
      });
      const seen = watch(p.execute(hang, { timeoutMs: 50 }));
      await clock.advance(5_000);
      expect(seen.state).toBe('pending');
      slow.open('slow');
      await turn();
      expect(seen.result).toBe('slow');
    });

    it('a fallback that does not lead is cut', async () => {
      const clock = virtualClock();
      const p = pipeline('p', [retry({ maxRetries: 0 }), fallback(hang)], { clock });
      const seen = watch(p.execute(() => Promise.reject(boom), { timeoutMs: 50 }));
      await clock.advance(50);
      expect(seen.result).toMatchObject({ code: 'timeout', policy: 'deadline' });
    });
  });

  it('nested pipelines inherit it, and remainingMs is the least of it and every timeout around', async () => {
    const clock = virtualClock();
    const seen: number[] = [];
    const inner = pipeline('inner', [timeout(400)]);
    const p = pipeline('p', [timeout(300), inner], { clock });
    await p.execute(({ remainingMs }) => seen.push(remainingMs), { timeoutMs: 200 });
    await p.execute(({ remainingMs }) => seen.push(remainingMs), { timeoutMs: 1_000 });
    await pipeline('q', [], { clock }).execute(({ remainingMs }) => seen.push(remainingMs));
    expect(seen).toEqual([200, 300, Number.POSITIVE_INFINITY]);
    const late = watch(p.execute(hang, { timeoutMs: 50 }));
    await clock.advance(50);
    expect(late.result).toMatchObject({ policy: 'deadline', pipeline: 'p' });
    expect(inner.snapshot()).toMatchObject({ active: 0, outcomes: { failure: 1 } });
  });

  it('leaves no timer when the call ends first', async () => {
    const clock = virtualClock();
    const p = pipeline('p', [], { clock });
    await p.execute(async () => 1, { timeoutMs: 1_000 });
    expect(clock.pending).toBe(0);
    await expect(p.execute(() => Promise.reject(boom), { timeoutMs: 1_000 })).rejects.toBe(boom);
    expect(clock.pending).toBe(0);
  });

  describe('is told of, and counted', () => {
    const told = async (timeoutMs: number) => {
      const clock = virtualClock();
      const events: PipelineEvent[] = [];
      const p = pipeline('p', [], { clock });
      p.subscribe((event) => events.push(event));
      const seen = watch(p.execute(hang, { timeoutMs, key: 'k' }));
      await clock.advance(50);
      expect(seen.result).toMatchObject({ policy: 'deadline', pipeline: 'p', key: 'k' });
      return events.filter(({ type }) => !type.endsWith('_end'));
    };

    it('when it passes, as a timeout of the pipeline', async () => {
      expect(await told(50)).toMatchObject([
        {
          type: 'timeout',
          policy: 'p/deadline',
          timeoutMs: 50,
          pipeline: 'p',
          executionId: 'p-1',
          key: 'k',
        },
      ]);
    });

    it('when too little is left, as a rejection of the pipeline', async () => {
      expect(await told(0)).toMatchObject([
        {
          type: 'rejected',
          policy: 'p/deadline',
          reason: 'deadline_exceeded',
          pipeline: 'p',
          executionId: 'p-1',
          key: 'k',
        },
      ]);
    });

    it('not to observers that want starts and ends alone', async () => {
      const clock = virtualClock();
      const events: string[] = [];
      const observer = { interest: () => 1 as const, event: ({ type }: { type: string }) => void events.push(type) };
      const p = pipeline('p', [], { clock, telemetry: false, observers: [observer] });
      for (const timeoutMs of [0, 50]) watch(p.execute(hang, { timeoutMs }));
      await clock.advance(50);
      expect(events).toEqual([]);
      expect(p.snapshot()).toMatchObject({ timeouts: 1, rejections: { deadline_exceeded: 1 } });
    });
  });

  it('has a stack only where stacks are asked for', async () => {
    for (const stackTraces of [false, true]) {
      const clock = virtualClock();
      const p = pipeline('p', [], { clock, stackTraces });
      const seen = [0, 50].map((timeoutMs) => watch(p.execute(hang, { timeoutMs })));
      await clock.advance(50);
      for (const { result } of seen) expect(/\n +at /.test((result as Error).stack!)).toBe(stackTraces);
    }
  });

  it.each([
    [30, 20, 10],
    [30, 10, 20],
    [10, 20, 30],
  ])('is the nearest of all limits around, whichever that is: %i, %i and %i ms', async (own, outer, inner) => {
    const p = pipeline('p', [timeout({ ms: outer, name: 'o' }), timeout({ ms: inner, name: 'i' })], {
      clock: virtualClock(),
    });
    expect(await p.execute(({ remainingMs }) => remainingMs, { timeoutMs: own })).toBe(10);
  });

  it('that passes goes on in the async context of its own caller', async () => {
    const clock = virtualClock();
    const storage = new AsyncLocalStorage<string>();
    const p = pipeline('p', [fallback(() => storage.getStore())], { clock, telemetry: false });
    const calls = ['a', 'b'].map((caller, i) =>
      storage.run(caller, () => watch(p.execute(hang, { timeoutMs: 50 + i }))),
    );
    await storage.run('timer', () => clock.advance(60));
    expect(calls.map(({ result }) => result)).toEqual(['a', 'b']);
  });

  it.each([0, -1, Number.POSITIVE_INFINITY])(
    'of %d ms asks for no timer, and lets what needs no time answer',
    async (timeoutMs) => {
      let timers = 0;
      const clock = virtualClock();
      const counting: Clock = { now: () => clock.now(), after: (ms, fn) => (timers++, clock.after(ms, fn)) };
      const answer = gate<string>();
      const own = policy({ kind: 'own', around: () => answer.promise });
      const p = pipeline('p', [own], { clock: counting, telemetry: false });
      const seen = watch(p.execute(() => 'unused', { timeoutMs }));
      await clock.advance(1_000);
      expect([seen.state, timers]).toEqual(['pending', 0]);
      answer.open('answer');
      await turn();
      expect(seen.result).toBe('answer');
    },
  );
});
