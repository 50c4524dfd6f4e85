import { AsyncLocalStorage } from 'node:async_hooks';
import { getEventListeners } from 'node:events';
import { bulkhead, circuitBreaker, fallback, pipeline, policy, retry, retryBudget, timeout } from 'seaworthy';
import { describe, expect, it, vi } from 'vitest';
import { script } from '../../src/testing/script.ts';
import { virtualClock } from '../../src/testing/virtual-clock.ts';
import { deaf, deferred, stand, stateOf, turn, watch } from '../policies/stand.ts';

describe('timeout -> breaker', () => {
  it('opens on a black hole: calls that never answer are failures', async () => {
    const breaker = circuitBreaker({ minimumCalls: 3 });
    const { pipe, clock } = stand([timeout(100), breaker]);
    for (let n = 0; n < 3; n++) {
      watch(pipe.execute(deaf));
      await clock.advance(100);
    }
    expect(breaker.state).toBe('open');
    const { error } = await pipe.tryExecute(deaf);
    expect(error).toMatchObject({ code: 'circuit_open' });
  });

  it("also opens when the time that passes is the caller's own timeoutMs", async () => {
    const breaker = circuitBreaker({ consecutiveFailures: 1 });
    const { pipe, clock } = stand([breaker]);
    watch(pipe.execute(deaf, { timeoutMs: 100 }));
    await clock.advance(100);
    expect(breaker.state).toBe('open');
  });

  it('a half-open probe that meets the timeout opens it again', async () => {
    const breaker = circuitBreaker({ consecutiveFailures: 1, breakMs: 1_000 });
    const { pipe, clock } = stand([timeout(100), breaker]);
    watch(pipe.execute(deaf));
    await clock.advance(1_100);
    expect(breaker.state).toBe('half_open');
    watch(pipe.execute(deaf));
    await clock.advance(100);
    expect(breaker.state).toBe('open');
  });
});

describe('fallback -> deadline', () => {
  it('the fallback answers when timeoutMs passes', async () => {
    const { pipe, clock } = stand([fallback(() => 'instead'), retry(), bulkhead({ limit: 1 })]);
    const call = watch(pipe.execute(deaf, { timeoutMs: 250 }));
    await clock.advance(250);
    expect(call.value).toBe('instead');
  });

  it('the fallback answers when timeoutMs passes in a queue or in a backoff', async () => {
    const queue = stand([fallback(() => 'instead'), bulkhead({ limit: 1, queue: 1 })]);
    watch(queue.pipe.execute(deaf));
    const waiting = watch(queue.pipe.execute(deaf, { timeoutMs: 250 }));
    await queue.clock.advance(250);
    expect(waiting.value).toBe('instead');
    const backoff = stand([fallback(() => 'instead'), retry({ backoff: 1_000 })]);
    const pausing = watch(backoff.pipe.execute(script('fail'), { timeoutMs: 250 }));
    await backoff.clock.advance(1);
    expect(pausing.value).toBe('instead');
  });

  it('a fallback that does not lead is inside the deadline', async () => {
    const { pipe, clock } = stand([retry({ maxRetries: 0 }), fallback(deaf)]);
    const call = watch(pipe.execute(script('fail'), { timeoutMs: 250 }));
    await clock.advance(250);
    expect(call.error).toMatchObject({ code: 'timeout', policy: 'deadline' });
    const behind = stand([bulkhead({ limit: 1 }), fallback(deaf)]);
    const cut = watch(behind.pipe.execute(script('fail'), { timeoutMs: 250 }));
    await behind.clock.advance(250);
    expect(cut.error).toMatchObject({ code: 'timeout', policy: 'deadline' });
  });
});

describe('retry -> breaker -> bulkhead -> timeout', () => {
  const chain = (server: (context: any) => unknown) => {
    const breaker = circuitBreaker({ consecutiveFailures: 3, breakMs: 1_000, halfOpenCalls: 1 });
    const slots = bulkhead({ limit: 2, queue: 2 });
    const at = stand([retry({ backoff: 10 }), breaker, slots, timeout(50)]);
    return { ...at, breaker, slots, call: (options = {}) => watch(at.pipe.execute(server, options)) };
  };

  it('a slow first attempt is timed out, and the second answers', async () => {
    const clock0 = { server: undefined as any };
    const at = chain((context) => clock0.server(context));
    clock0.server = script.with(at.clock, 'hang', { delayMs: 20, then: 'ok' });
    const call = at.call();
    await at.clock.advance(80);
    expect(call.value).toBe('ok');
    expect(clock0.server.calls.map((c: any) => c.at)).toEqual([0, 60]);
    expect([at.slots.active, at.slots.held]).toEqual([0, 0]);
  });

  it('a dead server opens the breaker, whose rejections are not retried, and one probe closes it again', async () => {
    const server = script('fail', 'fail', 'fail', 'ok');
    const at = chain(server);
    const call = at.call();
    await at.clock.advance(100);
    expect(call.error).toMatchObject({ call: 3 });
    expect(at.breaker.state).toBe('open');
    const rejected = at.call();
    await at.clock.advance(100);
    expect(rejected.error).toMatchObject({ code: 'circuit_open' });
    expect(server.calls).toHaveLength(3);
    await at.clock.advance(1_000);
    const probe = at.call();
    await turn();
    expect(probe.value).toBe('ok');
    expect(at.breaker.state).toBe('closed');
  });

  it('a crowd: the queue fills, the rest is turned away, and nothing of that opens the breaker', async () => {
    const at = chain(deaf);
    const calls = Array.from({ length: 10 }, () => at.call());
    await turn();
    expect(calls.filter(({ error }) => error?.code === 'bulkhead_full')).toHaveLength(6);
    expect(stateOf(at.pipe, 1)).toMatchObject({ state: 'closed', executions: { ignored: 6 } });
  });

  it("the caller's abort empties it at every place at once", async () => {
    const at = chain(deaf);
    const caller = new AbortController();
    const calls = Array.from({ length: 4 }, () => at.call({ signal: caller.signal }));
    caller.abort('enough');
    await turn();
    expect(calls.map(({ error }) => error)).toEqual(Array(4).fill('enough'));
    expect([at.slots.queued, at.clock.pending > 0]).toEqual([0, true]);
    // What is left is the two abandoned works' hold on their slots, and it ends.
    await at.clock.advance(60_000);
    expect([at.slots.active, at.clock.pending]).toEqual([0, 0]);
  });
});

describe('bulkhead -> retry -> timeout', () => {
  it('holds its slot until the last work has ended', async () => {
    const slots = bulkhead({ limit: 1 });
    const { pipe, clock } = stand([slots, retry({ backoff: 0, maxRetries: 1 }), timeout(10)]);
    const works = [deferred(), deferred()];
    let n = 0;
    const call = watch(pipe.execute(() => works[n++]!.promise));
    await clock.advance(20);
    expect(call.error).toMatchObject({ code: 'timeout' });
    expect(slots.active).toBe(1);
    works[1]!.resolve('late');
    await turn();
    expect(slots.active).toBe(1);
    works[0]!.resolve('late');
    await turn();
    expect(slots.active).toBe(0);
  });
});

describe('retry -> breaker', () => {
  it('retry does not retry our rejections, and fails as fast as the breaker', async () => {
    const { pipe, clock } = stand([retry({ backoff: 100 }), circuitBreaker({ consecutiveFailures: 1 })]);
    watch(pipe.execute(script('fail')));
    await clock.advance(1_000);
    const rejected = watch(pipe.execute(script('ok')));
    await turn();
    expect(rejected.error).toMatchObject({ code: 'circuit_open' });
    expect(clock.pending).toBe(0);
  });
});

describe('breaker -> bulkhead', () => {
  it('the breaker ignores what the bulkhead turned away, and what waited too long in its queue', async () => {
    const breaker = circuitBreaker({ consecutiveFailures: 1 });
    const { pipe, clock } = stand([breaker, bulkhead({ limit: 1, queue: 1, maxWaitMs: 10 })]);
    for (let n = 0; n < 3; n++) watch(pipe.execute(deaf));
    await clock.advance(10);
    expect(stateOf(pipe).executions).toMatchObject({ ignored: 2, failure: 0 });
    expect(breaker.state).toBe('closed');
  });

  it('a probe that the bulkhead turned away gives its place back and decides nothing', async () => {
    const breaker = circuitBreaker({ consecutiveFailures: 1, breakMs: 100, halfOpenCalls: 1 });
    const slots = bulkhead({ limit: 2 });
    const { pipe, clock } = stand([breaker, slots]);
    watch(pipe.execute(deaf));
    await pipe.tryExecute(script('fail'));
    slots.resize(1);
    await clock.advance(100);
    expect((await pipe.tryExecute(script('ok'))).error).toMatchObject({ code: 'bulkhead_full' });
    expect(breaker.state).toBe('half_open');
    slots.resize(2);
    expect(await pipe.execute(script('ok'))).toBe('ok');
    expect(breaker.state).toBe('closed');
  });
});

describe('retry + retry, one budget', () => {
  it('an outage of one dependency leaves the other no retries to multiply the load with', async () => {
    const budget = retryBudget({ capacity: 4, minPerSecond: 0, ratio: 0.5 });
    const clock = virtualClock();
    const [a, b] = ['a', 'b'].map((name) =>
      pipeline(name, [retry({ backoff: 0, budget })], { telemetry: false, clock }),
    );
    for (let n = 0; n < 3; n++) watch(a!.execute(script('fail')));
    await clock.advance(0);
    const server = script('fail');
    watch(b!.execute(server));
    await clock.advance(0);
    expect(server.calls).toHaveLength(1);
    await b!.execute(() => 1);
    await a!.execute(() => 1);
    expect(budget.remaining).toBe(1);
    watch(b!.execute(server));
    await clock.advance(0);
    expect(server.calls).toHaveLength(3);
  });
});

describe('a middleware of your own around a backoff', () => {
  it('ends the wait by its signal, as a timeout of its own would', async () => {
    const clock = virtualClock();
    const impatient = policy({
      kind: 'impatient',
      around: async (_, next) => {
        const mine = new AbortController();
        clock.after(50, () => mine.abort(new Error('impatient')));
        return next(mine.signal);
      },
    });
    const pipe = pipeline('own', [impatient, retry({ backoff: 1_000 })], { telemetry: false, clock });
    const call = watch(pipe.execute(script('fail')));
    await clock.advance(50);
    expect(call.error).toMatchObject({ message: 'impatient' });
    await turn();
    expect(clock.pending).toBe(0);
  });
});

describe('each call has its own AsyncLocalStorage context', () => {
  const who = new AsyncLocalStorage<string>();

  it('a queued call runs in the context of the one who queued it, not of the one who made room', async () => {
    const { pipe } = stand([bulkhead({ limit: 1, queue: 5 })]);
    const works = Array.from({ length: 3 }, () => deferred());
    const seen: unknown[] = [];
    for (const n of [0, 1, 2])
      who.run(`req${n}`, () => watch(pipe.execute(() => (seen.push(who.getStore()), works[n]!.promise))));
    for (const work of works) {
      who.run('somebody else', () => work.resolve('done'));
      await turn();
    }
    expect(seen).toEqual(['req0', 'req1', 'req2']);
  });

  it('the attempt after a timeout, which is ended by a timer that all calls share', async () => {
    const { pipe, clock } = stand([retry({ backoff: 0 }), timeout(10)]);
    const seen: unknown[] = [];
    for (const name of ['a', 'b']) who.run(name, () => watch(pipe.execute(() => (seen.push(who.getStore()), deaf()))));
    await clock.advance(15);
    expect(seen).toEqual(['a', 'b', 'a', 'b']);
  });

  it('the attempt after a backoff', async () => {
    const { pipe, clock } = stand([retry({ backoff: 10 })]);
    const seen: unknown[] = [];
    for (const name of ['a', 'b'])
      who.run(name, () => watch(pipe.execute(() => (seen.push(who.getStore()), Promise.reject(new Error('down'))))));
    await clock.advance(20);
    expect(seen).toEqual(['a', 'b', 'a', 'b', 'a', 'b']);
  });

  it('the fallback after a timeout, and after a deadline', async () => {
    const { pipe, clock } = stand([fallback(() => who.getStore()), timeout(20)]);
    const calls = ['a', 'b'].map((name) => who.run(name, () => watch(pipe.execute(deaf))));
    const late = ['c', 'd'].map((name) => who.run(name, () => watch(pipe.execute(deaf, { timeoutMs: 5 }))));
    await clock.advance(20);
    expect([...calls, ...late].map(({ value }) => value)).toEqual(['a', 'b', 'c', 'd']);
  });

  it('a predicate, a backoff, onDiscard and a listener that hear of a timeout', async () => {
    const seen: string[] = [];
    const note = (what: string) => seen.push(`${what}: ${who.getStore()}`);
    const { pipe, clock } = stand([
      retry({ maxRetries: 1, backoff: () => (note('backoff'), 0), when: { result: () => (note('when'), false) } }),
      timeout(10),
    ]);
    pipe.subscribe(({ type }) => (type === 'timeout' || type === 'retry') && note(type));
    who.run('caller', () => watch(pipe.execute(script('hang', 'ok'))));
    await clock.advance(20);
    expect(new Set(seen)).toEqual(new Set(['timeout: caller', 'backoff: caller', 'retry: caller', 'when: caller']));
  });

  it("the listener of a signal that was aborted by somebody else's hand", async () => {
    const { pipe, clock } = stand([timeout(10)]);
    const seen: unknown[] = [];
    for (const name of ['a', 'b'])
      who.run(name, () =>
        watch(
          pipe.execute(({ signal }) => {
            signal.addEventListener('abort', () => seen.push(who.getStore()));
            return deaf();
          }),
        ),
      );
    await clock.advance(10);
    expect(seen).toEqual(['a', 'b']);
    const bare = pipeline('bare', [], { telemetry: false });
    const shared = new AbortController();
    for (const name of ['c', 'd'])
      who.run(name, () =>
        watch(
          bare.execute(({ signal }) => {
            signal.addEventListener('abort', () => seen.push(who.getStore()));
            return deaf();
          }, shared.signal),
        ),
      );
    who.run('somebody else', () => shared.abort());
    expect(seen.toSorted()).toEqual(['a', 'b', 'c', 'd']);
  });
});

describe('a thousand calls behind one signal', () => {
  it('cost one listener while they run, and none afterwards', async () => {
    const { pipe } = stand([timeout(100), retry(), bulkhead({ limit: 10, queue: 2_000 })]);
    const caller = new AbortController();
    const calls = Array.from({ length: 1_000 }, () => watch(pipe.execute(deaf, caller.signal)));
    expect(getEventListeners(caller.signal, 'abort')).toHaveLength(1);
    caller.abort('all of you');
    await turn();
    expect(calls.filter(({ error }) => error === 'all of you')).toHaveLength(1_000);
    expect(getEventListeners(caller.signal, 'abort')).toHaveLength(0);
  });
});

describe('the wall clock', () => {
  it.each([3_600_000, -3_600_000])('jumps by %d ms: no timeout, backoff, break or window notices', async (jump) => {
    const breaker = circuitBreaker({ consecutiveFailures: 2, breakMs: 60_000 });
    const pipe = pipeline('wall', [timeout(60_000), retry({ backoff: 5 }), breaker], { telemetry: false });
    const real = Date.now;
    const started = performance.now();
    const now = vi.spyOn(Date, 'now').mockImplementation(() => real() + (performance.now() - started > 2 ? jump : 0));
    try {
      expect(await pipe.execute(script('fail', 'ok'))).toBe('ok');
      await pipe.tryExecute(script('fail'));
      expect(breaker.state).toBe('open');
      now.mockImplementation(() => real() + 2 * jump);
      expect(breaker.state).toBe('open');
      expect((await pipe.tryExecute(() => 1)).error).toMatchObject({ code: 'circuit_open' });
      expect(performance.now() - started).toBeLessThan(2_000);
    } finally {
      now.mockRestore();
    }
  });
});
