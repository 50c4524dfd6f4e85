import { bulkhead, circuitBreaker, fallback, pipeline, policy, retry, retryBudget, timeout } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { virtualClock } from '../../src/testing/virtual-clock.ts';
import { gate, turn } from './spy.ts';

/** What a careful reader of the sources found, one test each. */
describe('corners', () => {
  it("an event's own key wins over that of the call that told it", async () => {
    const breaker = circuitBreaker();
    const pipe = pipeline('p', [breaker]);
    const keys: unknown[] = [];
    pipe.subscribe((event) => event.type === 'circuit_state' && keys.push(event.key));
    breaker.isolate();
    await pipe.tryExecute(() => 1, { key: 'tenant' });
    expect(keys).toEqual([undefined]);
  });

  it('a pipeline that could not be made leaves its policies free', () => {
    const again = retry();
    expect(() => pipeline('bad', [again, 5 as never])).toThrow(TypeError);
    expect(() => pipeline('good', [again])).not.toThrow();
  });

  it('wrap says at once what is wrong with the function or the options', () => {
    const pipe = pipeline('p', []);
    expect(() => pipe.wrap(undefined as never)).toThrow('the first argument must be a function, received undefined');
    expect(() => pipe.wrapWithCall(() => 1, { timeoutMs: 'soon' as never })).toThrow('"timeoutMs" must be');
  });

  it('timeout takes a function alone', async () => {
    const clock = virtualClock();
    const pipe = pipeline('p', [timeout(() => 50)], { clock });
    const outcome = pipe.tryExecute(() => new Promise(() => {}));
    await clock.advance(50);
    expect((await outcome).error).toMatchObject({ code: 'timeout', timeoutMs: 50 });
  });

  it('a leading fallback has the time that its own limits leave, whatever became of the deadline', async () => {
    const clock = virtualClock();
    let left = 0;
    const pipe = pipeline('p', [fallback((_outcome, { remainingMs }) => (left = remainingMs))], { clock });
    const answer = pipe.execute(() => new Promise<never>(() => {}), { timeoutMs: 10 });
    await clock.advance(11);
    await answer;
    expect(left).toBe(Number.POSITIVE_INFINITY);
  });

  it('a nested pipeline that was disposed of takes no calls from outside either', async () => {
    const inner = pipeline('inner', [retry()]);
    const outer = pipeline('outer', [inner]);
    inner.dispose();
    expect((await outer.tryExecute(() => 'ran')).error).toMatchObject({ code: 'draining', pipeline: 'inner' });
    expect(inner.snapshot().rejections.draining).toBe(1);
  });

  it('a call that a bug in a policy ended has failed', async () => {
    const pipe = pipeline('p', [policy({ kind: 'fine', around: (_call, next) => next() })]);
    const buggy = {
      kind: 'buggy',
      stage: () => {
        throw new Error('no stage');
      },
    };
    expect(() => pipeline('q', [buggy])).toThrow('no stage');
    expect(await pipe.execute(() => 1)).toBe(1);
  });

  it('an error without a key has no such field', async () => {
    const { error } = await pipeline('p', [timeout(() => 0)]).tryExecute(() => 1);
    expect(Object.hasOwn(error as object, 'key')).toBe(false);
  });

  it('attempts that a middleware runs at a time keep their own number and span', async () => {
    const seen: unknown[] = [];
    const attempts = new Map<number, unknown[]>();
    const slots = bulkhead({ limit: 1, queue: 2, maxWaitMs: Number.POSITIVE_INFINITY });
    const all = policy({ kind: 'all', repeats: true, around: (_call, next) => Promise.all([next(), next(), next()]) });
    const pipe = pipeline('p', [all, slots], {
      telemetry: false,
      observers: [
        {
          start: (name, { attempt }) => (name === 'attempt' ? attempt : name),
          event: ({ type }, { attempt }, token) => seen.push([type, attempt, token]),
          within: (token, run) => (attempts.set(attempts.size, [token]), run()),
          end: (name, token, { attempts }) => seen.push([name, token, attempts]),
        },
      ],
    });
    expect(await pipe.execute(async (call) => call.attempt)).toEqual([1, 2, 3]);
    expect([...attempts.values()].flat()).toEqual([1, 2, 3]);
    expect(seen).toEqual([
      ['attempt', 1, 1],
      ['dequeued', 2, 2],
      ['attempt', 2, 2],
      ['dequeued', 3, 3],
      ['attempt', 3, 3],
      ['execution', 'execution', 3],
    ]);
  });

  it('work that a middleware gave up and that ends later is counted as late', async () => {
    const work = gate();
    const hasty = policy({ kind: 'hasty', around: (_call, next) => (next(), 'early') });
    const pipe = pipeline('p', [hasty]);
    const heard: unknown[] = [];
    pipe.subscribe((event) => event.type === 'late' && heard.push(event.policy));
    expect(await pipe.execute(() => work.promise)).toBe('early');
    work.open('late');
    await turn();
    expect(heard).toEqual(['p/hasty']);
    expect(pipe.snapshot().late).toBe(1);
  });

  it('a call context is logged as what it shows, which is no circle', async () => {
    const pipe = pipeline('p', [timeout(100)], { clock: virtualClock() });
    const logged = await pipe.execute((call) => JSON.stringify({ call }), { key: 'k' });
    expect(JSON.parse(logged)).toEqual({ call: { pipeline: 'p', key: 'k', attempt: 1, remainingMs: 100 } });
  });

  it("a fallback's function sees its own limit in remainingMs", async () => {
    const clock = virtualClock();
    const left: number[] = [];
    const to = (_outcome: unknown, { remainingMs }: { remainingMs: number }) => void left.push(remainingMs);
    const down = () => {
      throw new Error('down');
    };
    await pipeline('p', [fallback({ to, timeoutMs: 50 })], { clock }).execute(down, { timeoutMs: 10 });
    await pipeline('q', [retry(), fallback({ to, timeoutMs: 50 })], { clock }).execute(down, { timeoutMs: 10 });
    expect(left).toEqual([50, 10]);
  });

  it('an ignored value earns no retry', async () => {
    const budget = retryBudget({ ratio: 1, minPerSecond: 0, capacity: 5 });
    const pipe = pipeline('p', [retry({ maxRetries: 1, backoff: 0, budget })], {
      classify: ({ status, value }) => (value === 'ignored' ? 'ignored' : status === 'value' ? 'success' : 'failure'),
    });
    await pipe.tryExecute(() => Promise.reject(new Error('down')));
    expect(budget.remaining).toBe(4);
    await pipe.execute(() => 'ignored');
    expect(budget.remaining).toBe(4);
    await pipe.execute(() => 'fine');
    expect(budget.remaining).toBe(5);
  });
});
