import {
  bulkhead,
  type CallContext,
  circuitBreaker,
  fallback,
  type PipelineEvent,
  pipeline,
  policy,
  retry,
  snapshots,
  Stage,
  timeout,
} from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { virtualClock } from '../../src/testing/virtual-clock.ts';
import { gate, microtasks, spy, turn, unhandled, watch } from './spy.ts';

const hang = () => new Promise<never>(() => {});
const boom = new Error('boom');
const five = () => [
  fallback({ to: () => 'spare', when: () => false }),
  retry(),
  circuitBreaker(),
  bulkhead({ limit: 5 }),
  timeout(1_000),
];

describe('what a function may be', () => {
  for (const [name, policies] of [
    ['no policies', () => []],
    ['five policies', five],
    ['an around', () => [policy({ kind: 'passes', around: (_call, next) => next() })]],
    ['a nested pipeline', () => [pipeline('inner', five())]],
  ] as const)
    describe(`with ${name}`, () => {
      const run = (fn: (call: CallContext) => unknown) => pipeline('p', policies()).execute(fn);
      const attempt = (fn: (call: CallContext) => unknown) => pipeline('p', policies()).tryExecute(fn);

      it('synchronous or not, with any value', async () => {
        for (const value of [undefined, null, 0, '', false, Number.NaN, Symbol.iterator, { then: 1 }, () => {}]) {
          expect(await run(() => value)).toBe(value);
          expect(await run(async () => value)).toBe(value);
          expect(await attempt(() => value)).toEqual({ status: 'value', value });
        }
      });

      it('rejecting or throwing, with any reason, the same object', async () => {
        for (const reason of [boom, undefined, null, 0, 'text', Object.freeze({})]) {
          const once = { idempotent: false };
          expect(
            await pipeline('p', policies())
              .execute(() => Promise.reject(reason), once)
              .then(String, (error) => [error]),
          ).toEqual([reason]);
          expect(
            await pipeline('p', policies())
              .execute(() => {
                throw reason;
              }, once)
              .then(String, (error) => [error]),
          ).toEqual([reason]);
          expect(await pipeline('p', policies()).tryExecute(() => Promise.reject(reason), once)).toEqual({
            status: 'failure',
            error: reason,
          });
        }
      });

      it('a thenable of somebody else', async () => {
        const thenable = (then: (yes: (value: unknown) => void, no: (error: unknown) => void) => void) => () => ({
          then,
        });
        await expect(run(thenable((yes) => yes(1)))).resolves.toBe(1);
        await expect(run(thenable((yes) => setImmediate(yes, 2)))).resolves.toBe(2);
        // Settles twice: the first counts.
        await expect(run(thenable((yes, no) => (yes(3), no(boom), yes(4))))).resolves.toBe(3);
        await expect(
          run(
            thenable(
              (yes) => (
                yes(5),
                (() => {
                  throw boom;
                })()
              ),
            ),
          ),
        ).resolves.toBe(5);
        // Settles with another one.
        await expect(run(thenable((yes) => yes({ then: (yes: (value: unknown) => void) => yes(6) })))).resolves.toBe(6);
        const bare = pipeline('p', []);
        await expect(bare.execute(thenable((_yes, no) => no('no')))).rejects.toBe('no');
        await expect(
          bare.execute(
            thenable(() => {
              throw boom;
            }),
          ),
        ).rejects.toBe(boom);
        await expect(
          bare.execute(() =>
            Object.defineProperty({}, 'then', {
              get: () => {
                throw boom;
              },
            }),
          ),
        ).rejects.toBe(boom);
        const callable = Object.assign(() => 0, { then: (yes: (value: unknown) => void) => yes(7) });
        await expect(bare.execute(() => callable)).resolves.toBe(7);
        // Never settles: the caller can still give up.
        const caller = new AbortController();
        const seen = watch(
          bare.execute(
            thenable(() => {}),
            caller.signal,
          ),
        );
        await turn();
        expect(seen.state).toBe('pending');
        caller.abort('enough');
        await microtasks();
        expect(seen.result).toBe('enough');
      });

      it('a subclass of Promise, or one of another realm', async () => {
        class Sub<T> extends Promise<T> {}
        await expect(run(() => Sub.resolve(1))).resolves.toBe(1);
        const foreign = new (await import('node:vm')).Script('Promise.resolve(2)').runInNewContext();
        await expect(run(() => foreign)).resolves.toBe(2);
      });
    });

  it('is called with the context and nothing else, and never twice for one attempt', async () => {
    const p = pipeline('p', five());
    const all: unknown[][] = [];
    await p.execute(((...args: unknown[]) => void all.push(args)) as () => void);
    expect(all).toHaveLength(1);
    expect(all[0]).toHaveLength(1);
    expect(all[0]![0]).toMatchObject({ attempt: 1, pipeline: 'p', key: undefined, remainingMs: expect.any(Number) });
  });

  it('never throws synchronously, whatever it is given', async () => {
    const p = pipeline('p', []);
    for (const bad of [undefined, null, 1, {}]) {
      await expect(p.execute(bad as never)).rejects.toThrow(
        'Cannot execute "p": the first argument must be a function',
      );
      await expect(p.tryExecute(bad as never)).resolves.toMatchObject({ status: 'failure' });
      if (bad !== undefined)
        await expect(
          p.execute(() => 1, (bad === null || bad === 1 ? { timeoutMs: 'soon' } : { tiemoutMs: 1 }) as never),
        ).rejects.toThrow('Cannot execute "p": ');
    }
  });

  it('a rejection nobody listens to is one unhandled rejection, as everywhere', async () => {
    const p = pipeline('p', five());
    const reasons = await unhandled(async () => {
      await p.tryExecute(() => Promise.reject(boom), { idempotent: false });
      const outcome = p.execute(() => Promise.reject(boom), { idempotent: false });
      await outcome.catch(() => {});
    });
    expect(reasons).toEqual([]);
  });
});

describe('tryExecute', () => {
  it('tells "rejected with undefined" from a value, and hands own rejections out', async () => {
    const p = pipeline('p', [bulkhead({ limit: 1 })]);
    expect(await p.tryExecute(() => Promise.reject(undefined))).toEqual({ status: 'failure', error: undefined });
    expect(await p.tryExecute(() => undefined)).toEqual({ status: 'value', value: undefined });
    const work = gate();
    const first = p.tryExecute(() => work.promise);
    expect(await p.tryExecute(() => 1)).toMatchObject({ status: 'failure', error: { code: 'bulkhead_full' } });
    work.open(1);
    expect(await first).toEqual({ status: 'value', value: 1 });
    const caller = new AbortController();
    const seen = p.tryExecute(hang, caller.signal);
    caller.abort('enough');
    expect(await seen).toEqual({ status: 'failure', error: 'enough' });
  });
});

describe('wrap', () => {
  class Shop {
    readonly prefix = 'sku-';
    async item(id: number, ...more: string[]) {
      return [this.prefix + id, ...more].join();
    }
  }

  it("keeps the caller's this and arguments, and adds nothing", async () => {
    const p = pipeline('p', [retry()]);
    const shop = Object.assign(new Shop(), { item: p.wrap(Shop.prototype.item) });
    await expect(shop.item(1, 'a', 'b')).resolves.toBe('sku-1,a,b');
    const lengths: number[] = [];
    const wrapped = p.wrap(function (this: unknown, ...args: unknown[]) {
      lengths.push(args.length);
    });
    await wrapped();
    await wrapped(undefined);
    expect(lengths).toEqual([0, 1]);
  });

  it('wrapWithCall puts the context first', async () => {
    const p = pipeline('p', [retry({ backoff: 0 })]);
    const shop = {
      prefix: 'sku-',
      item: p.wrapWithCall(function (this: { prefix: string }, { attempt }, id: number) {
        if (attempt < 3) throw boom;
        return `${this.prefix}${id} ${attempt}`;
      }),
    };
    await expect(shop.item(7)).resolves.toBe('sku-7 3');
  });

  it('takes options, or makes them of the arguments; what that throws rejects', async () => {
    const p = pipeline('p', []);
    const key = p.wrapWithCall((call, _id: number) => call.key, { key: 'fixed' });
    await expect(key(1)).resolves.toBe('fixed');
    const keyed = p.wrapWithCall(
      (call, _id: number) => call.key,
      (id) => ({ key: `k${id}` }),
    );
    await expect(keyed(5)).resolves.toBe('k5');
    const aborted = p.wrap(
      (_signal: AbortSignal) => 1,
      (signal) => ({ signal }),
    );
    await expect(aborted(AbortSignal.abort('enough'))).rejects.toBe('enough');
    const broken = p.wrap(
      (_id: number) => 1,
      () => {
        throw boom;
      },
    );
    await expect(broken(1)).rejects.toBe(boom);
  });
});

describe('subscribe', () => {
  it('tells everything with execution id, attempt and key', async () => {
    const clock = virtualClock();
    const p = pipeline('p', [retry({ maxRetries: 1, backoff: 5 }), timeout(10)], { clock });
    const events: PipelineEvent[] = [];
    p.subscribe((event) => events.push(event));
    const first = watch(p.execute(({ attempt }) => (attempt === 1 ? hang() : 'ok'), { key: 'k' }));
    const second = watch(p.execute(() => 'ok'));
    await clock.advance(20);
    expect([first.result, second.result]).toEqual(['ok', 'ok']);
    const [one, two] = ['k', undefined].map((wanted) =>
      events
        .filter(({ key }) => key === wanted)
        .map(({ type, attempt, key, pipeline }) => [type, attempt, key, pipeline].join()),
    );
    expect(one).toEqual([
      'timeout,1,k,p',
      'attempt_end,1,k,p',
      'retry,1,k,p',
      'attempt_end,2,k,p',
      'retry_result,2,k,p',
      'execution_end,2,k,p',
    ]);
    expect(two).toEqual(['attempt_end,1,,p', 'retry_result,1,,p', 'execution_end,1,,p']);
    const ids = (wanted?: string) =>
      new Set(events.filter(({ key }) => key === wanted).map(({ executionId }) => executionId));
    expect([ids('k').size, ids().size, new Set([...ids('k'), ...ids()]).size]).toEqual([1, 1, 2]);
    expect(events.find(({ type, key }) => type === 'execution_end' && key === 'k')).toMatchObject({
      outcome: 'success',
      durationMs: 15,
    });
  });

  it('a listener that throws changes nothing, and the others hear', async () => {
    const clock = virtualClock();
    const slots = bulkhead({ limit: 1 });
    const p = pipeline('p', [fallback(() => 'spare'), retry({ backoff: 0, maxRetries: 1 }), slots, timeout(10)], {
      clock,
    });
    const heard: string[] = [];
    p.subscribe(() => {
      throw boom;
    });
    p.subscribe(({ type }) => heard.push(type));
    let calls = 0;
    await expect(
      p.execute(() => {
        calls++;
        throw boom;
      }),
    ).resolves.toBe('spare');
    expect(calls).toBe(2);
    expect(heard).toEqual(['attempt_end', 'retry', 'attempt_end', 'retry_result', 'fallback', 'execution_end']);
    expect(slots.active).toBe(0);
    expect(p.snapshot().active).toBe(0);
  });

  it('ends with its handle, which may be disposed twice, and refuses what is no function', async () => {
    const p = pipeline('p', []);
    const heard: string[] = [];
    {
      using _handle = p.subscribe(({ type }) => heard.push(type));
      await p.execute(() => 1);
    }
    await p.execute(() => 1);
    const handle = p.subscribe(() => {});
    handle.dispose();
    handle.dispose();
    expect(heard).toEqual(['execution_end']);
    expect(() => p.subscribe(1 as never)).toThrow(TypeError);
  });

  it('a call cancelled in the middle ends its attempt and its execution, as cancelled', async () => {
    const p = pipeline('p', [retry(), timeout(1_000)]);
    const events: PipelineEvent[] = [];
    p.subscribe((event) => events.push(event));
    const caller = new AbortController();
    watch(p.execute(hang, caller.signal));
    caller.abort('enough');
    await microtasks();
    expect(events.map((event) => [event.type, 'outcome' in event ? event.outcome : '', event.attempt])).toEqual([
      ['attempt_end', 'cancelled', 1],
      ['retry_result', '', 1],
      ['execution_end', 'cancelled', 1],
    ]);
  });

  it('onSuccess and onFailure are cockatiel events', async () => {
    const p = pipeline('p', [fallback({ to: () => 'spare', when: (error) => error === 'spare' })]);
    const heard: unknown[] = [];
    const success = p.onSuccess(({ duration }) => heard.push(typeof duration));
    p.onFailure((event) => heard.push(event.reason));
    await p.execute(() => 1);
    await p.execute(() => Promise.reject('spare'));
    await p.execute(() => Promise.reject(boom)).catch(() => {});
    success.dispose();
    await p.execute(() => 1);
    expect(heard).toEqual(['number', 'number', { error: boom }]);
  });
});

describe('snapshot', () => {
  it('holds the totals of everything that happened', async () => {
    const clock = virtualClock();
    const p = pipeline(
      'p',
      [
        fallback({ to: () => 'spare', when: (error) => error === 'spare' }),
        retry({ maxRetries: 1, backoff: 0 }),
        timeout(10),
      ],
      {
        clock,
        classify: ({ error }) => (error === 'ignore' ? 'ignored' : error === undefined ? 'success' : 'failure'),
      },
    );
    const caller = new AbortController();
    watch(p.execute(hang, caller.signal));
    caller.abort();
    await p.execute(() => 1);
    await p.execute(() => Promise.reject('spare'));
    await p.execute(() => Promise.reject(boom)).catch(() => {});
    await p.execute(() => Promise.reject('ignore')).catch(() => {});
    const late = gate();
    watch(p.execute(() => late.promise));
    await clock.advance(20);
    const running = watch(p.execute(hang));
    expect(running.state).toBe('pending');
    expect(p.snapshot()).toMatchObject({
      name: 'p',
      calls: 7,
      active: 1,
      attempts: 1 + 1 + 2 + 2 + 1 + 2 + 1,
      attemptsPerCall: 10 / 7,
      // A timeout of ours is answered by the fallback whatever its `when` says.
      outcomes: { success: 1, fallback: 2, failure: 1, cancelled: 1, ignored: 1 },
      last10s: { calls: 6, failures: 1 },
    });
    expect(JSON.parse(JSON.stringify(p.snapshot()))).toEqual(p.snapshot());
    await clock.advance(20_000);
    expect(p.snapshot().last10s.calls).toBeLessThanOrEqual(1);
  });

  it('has percentiles from the first snapshot on, and is no alias', async () => {
    const clock = virtualClock();
    const p = pipeline('p', [], { clock });
    const before = p.snapshot();
    expect(before.latency).toBeNull();
    const work = gate();
    const seen = watch(p.execute(() => work.promise));
    await clock.advance(100);
    work.open(1);
    await turn();
    expect(seen.result).toBe(1);
    expect(p.snapshot().latency?.p50).toBeGreaterThan(90);
    expect(before).toMatchObject({ calls: 0, latency: null });
  });

  it('of all living pipelines', () => {
    const p = pipeline('one-of-many', []);
    expect(snapshots().map(({ name }) => name)).toContain('one-of-many');
    expect(p.name).toBe('one-of-many');
  });
});

describe('nested pipelines', () => {
  it('keep name, classifier, scope and counts; attempt restarts at 1; signal, deadline and key come from the call', async () => {
    const clock = virtualClock();
    const inner = pipeline('inner', [retry({ maxRetries: 1, backoff: 0, budget: false })], {
      clock,
      classify: ({ error }) => (error === 'fine' ? 'success' : error === undefined ? 'success' : 'failure'),
    });
    const outer = pipeline('outer', [retry({ maxRetries: 1, backoff: 0, budget: false }), inner], { clock });
    const contexts: object[] = [];
    const events: string[] = [];
    for (const p of [inner, outer])
      p.subscribe(
        (event) =>
          event.type === 'execution_end' &&
          events.push(`${event.pipeline} ${event.executionId} ${event.attempt} ${event.outcome}`),
      );
    const caller = new AbortController();
    await expect(
      outer.execute(
        ({ attempt, pipeline, key, remainingMs, signal }) => {
          contexts.push({ attempt, pipeline, key, remainingMs, aborted: signal.aborted });
          return Promise.reject(boom);
        },
        { key: 'k', timeoutMs: 500, signal: caller.signal },
      ),
    ).rejects.toBe(boom);
    const at = (attempt: number) => ({ attempt, pipeline: 'inner', key: 'k', remainingMs: 500, aborted: false });
    expect(contexts).toEqual([at(1), at(2), at(1), at(2)]);
    expect(events).toEqual(['inner inner-1 2 failure', 'inner inner-2 2 failure', 'outer outer-1 2 failure']);
    expect(inner.snapshot()).toMatchObject({ calls: 2, attempts: 4, outcomes: { failure: 2 }, active: 0 });
    expect(outer.snapshot()).toMatchObject({ calls: 1, attempts: 4, outcomes: { failure: 1 }, active: 0 });
    // A success for the inner classifier, judged again by the outer one.
    await expect(outer.execute(() => Promise.reject('fine'))).rejects.toBe('fine');
    expect(inner.snapshot()).toMatchObject({ outcomes: { success: 2 } });
    expect(outer.snapshot()).toMatchObject({ outcomes: { failure: 2 } });
  });

  it('an own error says its own pipeline', async () => {
    const clock = virtualClock();
    const inner = pipeline('inner', [timeout(10)], { clock });
    const outer = pipeline('outer', [inner], { clock });
    const seen = watch(outer.execute(hang));
    await clock.advance(10);
    expect(seen.result).toMatchObject({ pipeline: 'inner', policy: 'inner/timeout' });
  });

  it('a cancelled call is cancelled in both', async () => {
    const inner = pipeline('inner', [bulkhead({ limit: 1, holdUntilSettled: false })]);
    const outer = pipeline('outer', [retry(), inner]);
    const caller = new AbortController();
    const seen = watch(outer.execute(hang, caller.signal));
    caller.abort('enough');
    await microtasks();
    expect(seen.result).toBe('enough');
    for (const p of [inner, outer]) expect(p.snapshot()).toMatchObject({ active: 0, outcomes: { cancelled: 1 } });
  });

  it('a pipeline still works by itself, and in several others', async () => {
    const inner = pipeline('inner', [retry({ backoff: 0 })]);
    const a = pipeline('a', [inner]);
    const b = pipeline('b', [inner, pipeline('c', [inner])]);
    let calls = 0;
    for (const p of [inner, a])
      await p.execute(() => {
        if (++calls % 2 === 1) throw boom;
      });
    await b.execute(() => {
      if (++calls % 2 === 1) throw boom;
    });
    expect(inner.snapshot()).toMatchObject({ calls: 4, active: 0 });
  });

  it('a limiter that would wait for itself is refused, nesting included', () => {
    const slots = bulkhead({ limit: 1, name: 'shared' });
    expect(() => pipeline('p', [slots, slots])).toThrow(TypeError);
    expect(() => pipeline('p', [slots, pipeline('inner', [slots])])).toThrow(/stands in it twice/);
    expect(() => pipeline('p', [pipeline('one', [slots]), pipeline('two', [slots])])).toThrow(/stands in it twice/);
  });
});

describe('bypass', () => {
  it('lets new calls past until disposed, shows in the snapshot and in events; holds add up', async () => {
    const breaker = circuitBreaker({ consecutiveFailures: 1 });
    const p = pipeline('p', [breaker]);
    const events: PipelineEvent[] = [];
    p.subscribe((event) => events.push(event));
    await expect(p.execute(() => Promise.reject(boom))).rejects.toBe(boom);
    await expect(p.execute(() => 1)).rejects.toMatchObject({ code: 'circuit_open' });
    const hold = p.bypass('circuit_breaker');
    const second = p.bypass('p/circuit_breaker');
    expect(p.snapshot().policies[0]).toMatchObject({ bypassed: true });
    await expect(p.execute(() => 1)).resolves.toBe(1);
    hold.dispose();
    hold.dispose();
    await expect(p.execute(() => 1)).resolves.toBe(1);
    second[Symbol.dispose]();
    expect(p.snapshot().policies[0]).toMatchObject({ bypassed: false });
    await expect(p.execute(() => 1)).rejects.toMatchObject({ code: 'circuit_open' });
    expect(events.filter((event) => event.type === 'bypass').map((event) => 'active' in event && event.active)).toEqual(
      [true, true, false, false],
    );
  });

  it('calls in flight come out through it, and those that went past do not', async () => {
    const clock = virtualClock();
    const slots = bulkhead({ limit: 1, queue: 1 });
    const p = pipeline('p', [slots], { clock });
    const works = [gate(), gate(), gate(), gate()];
    const seen = works.slice(0, 2).map((work) => watch(p.execute(() => work.promise)));
    expect([slots.active, slots.queued]).toEqual([1, 1]);
    const hold = p.bypass('bulkhead');
    const past = works.slice(2).map((work) => watch(p.execute(() => work.promise)));
    expect([slots.active, slots.queued]).toEqual([1, 1]);
    works[0]!.open(0);
    await turn();
    expect([slots.active, slots.queued]).toEqual([1, 0]);
    hold.dispose();
    works[1]!.open(1);
    works[2]!.open(2);
    works[3]!.break(boom);
    await turn();
    expect([...seen, ...past].map(({ result }) => result)).toEqual([0, 1, 2, boom]);
    expect([slots.active, slots.queued]).toEqual([0, 0]);
    const caller = new AbortController();
    const again = p.bypass('bulkhead');
    const dropped = watch(p.execute(hang, caller.signal));
    again.dispose();
    caller.abort('enough');
    await microtasks();
    expect(dropped.result).toBe('enough');
    expect(slots.active).toBe(0);
  });

  it('of every kind of policy', async () => {
    const clock = virtualClock();
    const p = pipeline('p', [...five(), policy({ kind: 'own', around: () => Promise.reject('own') })], { clock });
    using _all = { [Symbol.dispose]: () => {} };
    for (const { name } of p.snapshot().policies) p.bypass(name);
    await expect(p.execute(() => 'through')).resolves.toBe('through');
    await expect(p.execute(() => Promise.reject(boom))).rejects.toBe(boom);
    expect(p.snapshot()).toMatchObject({ attempts: 2 });
    await turn();
    expect(clock.pending).toBe(0);
  });

  it('of a policy whose stage is made of closures', async () => {
    let entered = 0;
    const stage = () => {
      const own = new (class extends Stage {})();
      own.enter = (call) => {
        entered++;
        own.proceed(call);
      };
      return own;
    };
    const p = pipeline('p', [{ kind: 'closures', stage }]);
    await p.execute(() => 1);
    const hold = p.bypass('closures');
    await p.execute(() => 1);
    hold.dispose();
    await p.execute(() => 1);
    expect(entered).toBe(2);
  });

  it('of a policy that bears the name of its pipeline', async () => {
    const p = pipeline('same', [retry({ name: 'same', backoff: 0 })]);
    p.bypass('same');
    let calls = 0;
    await expect(
      p.execute(() => {
        calls++;
        throw boom;
      }),
    ).rejects.toBe(boom);
    expect(calls).toBe(1);
    expect(p.snapshot()).toMatchObject({ calls: 1, active: 0, outcomes: { failure: 1 } });
  });

  it('refuses a name that is not there, and says which are', () => {
    const p = pipeline('p', [retry(), pipeline('inner', [timeout(1)])]);
    expect(() => p.bypass('rety')).toThrow('Cannot bypass "rety": pipeline "p" has p/retry');
    expect(() => pipeline('q', []).bypass('retry')).toThrow('has no policies');
  });
});

describe('dispose', () => {
  it('takes no new calls, lets running ones finish', async () => {
    const p = pipeline('p', [retry({ backoff: 0 })]);
    let calls = 0;
    const work = gate();
    const seen = watch(p.execute(() => (++calls === 1 ? work.promise : 'again')));
    p.dispose();
    p[Symbol.dispose]();
    await expect(p.execute(() => ++calls)).rejects.toMatchObject({
      name: 'DrainingError',
      code: 'draining',
      pipeline: 'p',
    });
    await expect(p.tryExecute(() => ++calls)).resolves.toMatchObject({
      status: 'failure',
      error: { code: 'draining' },
    });
    work.break(boom);
    await turn();
    expect(seen.result).toBe('again');
    expect(calls).toBe(2);
    expect(p.snapshot()).toMatchObject({ calls: 1, active: 0, rejections: { draining: 2 } });
  });
});

describe('what a pipeline is made of', () => {
  it('refuses what is no name, no list, no policy or no option', () => {
    for (const name of ['', 'a b', 'x'.repeat(65), undefined, 1])
      expect(() => pipeline(name as string, [])).toThrow(/name must be 1-64 characters/);
    expect(() => pipeline('p', retry() as never)).toThrow(/policies must be an array/);
    expect(() => pipeline('p', [retry] as never)).toThrow('policies[0] must be a policy');
    expect(() => pipeline('p', [retry(), undefined] as never)).toThrow('policies[1] must be a policy');
    expect(() => pipeline('p', [], { clocks: 1 } as never)).toThrow('unknown option "clocks", did you mean "clock"?');
    expect(() => pipeline('p', [], { clock: {} } as never)).toThrow('"clock" must be a clock');
  });

  it('numbers policies of one kind, and asks for a name in a second pipeline', () => {
    const again = retry();
    const p = pipeline('p', [again, retry(), timeout(1), retry({ name: 'mine' })]);
    expect(p.snapshot().policies.map(({ name }) => name)).toEqual(['p/retry', 'p/retry#2', 'p/timeout', 'mine']);
    expect(() => pipeline('q', [again])).toThrow(/must be given a name/);
    const named = retry({ name: 'shared' });
    pipeline('r', [named]);
    expect(pipeline('s', [named]).snapshot().policies[0]!.name).toBe('shared');
  });

  it('asks each policy for one stage per place', () => {
    let made = 0;
    const log: string[] = [];
    const counting = { kind: 'counting', name: 'counting', stage: () => (made++, spy('in', log).stage({} as never)) };
    pipeline('p', [counting, counting]);
    expect(made).toBe(2);
  });
});
