import { ConsecutiveBreaker, handleAll, timeout as cockatielTimeout, TimeoutStrategy } from 'cockatiel';
import {
  bulkhead,
  circuitBreaker,
  fallback,
  type Next,
  pipeline,
  policy,
  retry,
  Stage,
  type Stackable,
  timeout,
} from 'seaworthy';
import { describe, expect, it } from 'vitest';
import type { Call } from '../../src/core/call.ts';
import { DeadlineList } from '../../src/core/deadlines.ts';
import { type VirtualClock, virtualClock } from '../../src/testing/virtual-clock.ts';
import { gate, microtasks, spy, turn, unhandled, watch } from './spy.ts';

const hang = () => new Promise<never>(() => {});
const boom = new Error('boom');

describe('cases that broke the prototypes', () => {
  describe('1. a predicate aborts the caller', () => {
    for (const answer of [true, false]) {
      it(`and then answers ${answer ? 'yes' : 'no'} to a retry`, async () => {
        const clock = virtualClock();
        const caller = new AbortController();
        const reason = { gone: true };
        let asked = 0;
        let calls = 0;
        const again = retry({
          backoff: 100,
          budget: { capacity: 5, ratio: 0, minPerSecond: 0 },
          when: () => {
            asked++;
            caller.abort(reason);
            return answer;
          },
        });
        const p = pipeline('p', [again], { clock });
        const seen = watch(
          p.execute(() => {
            calls++;
            throw boom;
          }, caller.signal),
        );
        await microtasks();
        expect(seen).toEqual({ state: 'error', result: reason, times: 1 });
        await turn();
        expect([asked, calls, clock.pending]).toEqual([1, 1, 0]);
        expect(again.snapshot!()).toMatchObject({ attempts: 0, budget: { remaining: 5 } });
        const { executions } = again.snapshot!() as { executions: Record<string, number> };
        expect(Object.values(executions).reduce((a, b) => a + b)).toBe(1);
      });

      it(`and then answers ${answer ? 'yes' : 'no'} to a fallback, which does not run`, async () => {
        const caller = new AbortController();
        let ran = 0;
        const p = pipeline('p', [
          fallback({
            to: () => ++ran,
            when: () => {
              caller.abort('enough');
              return answer;
            },
          }),
        ]);
        await expect(p.execute(() => Promise.reject(boom), caller.signal)).rejects.toBe('enough');
        expect(ran).toBe(0);
        expect(p.snapshot()).toMatchObject({ active: 0, calls: 1 });
      });

      it(`and then answers ${answer ? 'yes' : 'no'} to a breaker, whose permit is back`, async () => {
        const clock = virtualClock();
        const caller = new AbortController();
        const breaker = circuitBreaker({
          consecutiveFailures: 1,
          breakMs: 10,
          halfOpenCalls: 1,
          when: (error) => {
            if (error === 'second') caller.abort('enough');
            return error !== 'second' || answer;
          },
        });
        const p = pipeline('p', [breaker], { clock });
        await expect(p.execute(() => Promise.reject('first'))).rejects.toBe('first');
        await clock.advance(10);
        await expect(p.execute(() => Promise.reject('second'), caller.signal)).rejects.toBe('enough');
        await clock.advance(10);
        await expect(p.execute(() => 'probe')).resolves.toBe('probe');
        expect(breaker.state).toBe('closed');
      });

      it(`and then answers ${answer ? 'yes' : 'no'} to classify: each call still counts once, as cancelled`, async () => {
        const caller = new AbortController();
        const p = pipeline('p', [], {
          classify: () => {
            caller.abort('enough');
            return answer ? 'failure' : 'success';
          },
        });
        await expect(p.execute(() => Promise.reject(boom), caller.signal)).rejects.toBe('enough');
        const { outcomes } = p.snapshot();
        expect(outcomes).toEqual({ success: 0, fallback: 0, failure: 0, cancelled: 1, ignored: 0 });
      });
    }

    it('in the length of a timeout: no timer is armed', async () => {
      const clock = virtualClock();
      const caller = new AbortController();
      const limit = timeout({
        ms: () => {
          caller.abort('enough');
          return 50;
        },
      });
      const p = pipeline('p', [limit], { clock });
      let calls = 0;
      await expect(p.execute(() => ++calls, caller.signal)).rejects.toBe('enough');
      await turn();
      expect([calls, clock.pending]).toEqual([0, 0]);
      await clock.advance(100);
      expect(limit.snapshot!()).toMatchObject({ timeouts: 0 });
    });

    it('in a backoff: nothing waits', async () => {
      const clock = virtualClock();
      const caller = new AbortController();
      const again = retry({
        backoff: () => {
          caller.abort('enough');
          return 50;
        },
        budget: { capacity: 5, ratio: 0, minPerSecond: 0 },
      });
      const p = pipeline('p', [again], { clock });
      await expect(p.execute(() => Promise.reject(boom), caller.signal)).rejects.toBe('enough');
      await turn();
      expect(clock.pending).toBe(0);
      expect(again.snapshot!()).toMatchObject({ attempts: 0, budget: { remaining: 5 } });
    });

    it('in a listener told of an admission: the probe is free again', async () => {
      const clock = virtualClock();
      const breaker = circuitBreaker({ consecutiveFailures: 1, breakMs: 10, halfOpenCalls: 1, halfOpenMs: 1_000_000 });
      const p = pipeline('p', [breaker], { clock });
      const caller = new AbortController();
      p.subscribe((event) => {
        if (event.type === 'circuit_state' && event.state === 'half_open') caller.abort('enough');
      });
      await expect(p.execute(() => Promise.reject(boom))).rejects.toBe(boom);
      await clock.advance(10);
      let calls = 0;
      await expect(p.execute(() => ++calls, caller.signal)).rejects.toBe('enough');
      await expect(p.execute(() => ++calls)).resolves.toBe(1);
    });
  });

  describe('2. somebody told of the end ends it again', () => {
    it('an abort listener aborts the caller while a timeout takes the call out: the caller wins, drops stay in order', async () => {
      const clock = virtualClock();
      const caller = new AbortController();
      const log: string[] = [];
      const p = pipeline('p', [spy('out', log), timeout(10), spy('mid', log), spy('in', log)], { clock });
      const seen = watch(
        p.execute(({ signal }) => {
          signal.addEventListener('abort', () => {
            log.push('abort');
            caller.abort('caller');
          });
          return hang();
        }, caller.signal),
      );
      await clock.advance(10);
      expect(seen).toEqual({ state: 'error', result: 'caller', times: 1 });
      expect(log.slice(3)).toEqual(['abort', 'in drop timed_out', 'mid drop timed_out', 'out drop cancelled']);
      expect(p.snapshot()).toMatchObject({ active: 0, outcomes: { cancelled: 1, failure: 0 } });
      expect(clock.pending).toBe(0);
    });

    it('an abort listener aborts the caller who is aborting: one end, one drop each', async () => {
      const caller = new AbortController();
      const second = new AbortController();
      const log: string[] = [];
      const p = pipeline('p', [spy('out', log), spy('in', log)]);
      const seen = watch(
        p.execute(({ signal }) => {
          signal.addEventListener('abort', () => {
            second.abort();
            caller.abort('again');
          });
          return hang();
        }, caller.signal),
      );
      caller.abort('first');
      await microtasks();
      expect(seen).toEqual({ state: 'error', result: 'first', times: 1 });
      expect(log).toEqual(['out enter', 'in enter', 'in drop cancelled', 'out drop cancelled']);
    });

    it('a drop aborts the caller: stages outside are dropped after it', async () => {
      const clock = virtualClock();
      const caller = new AbortController();
      const log: string[] = [];
      class Aborting extends Stage {
        override drop(): void {
          log.push('aborting drop');
          caller.abort('caller');
        }
      }
      const aborting = { kind: 'aborting', stage: () => new Aborting() };
      const p = pipeline('p', [spy('out', log), timeout(10), spy('mid', log), aborting, spy('in', log)], { clock });
      const seen = watch(p.execute(hang, caller.signal));
      await clock.advance(10);
      expect(seen.result).toBe('caller');
      expect(log.slice(3)).toEqual(['in drop timed_out', 'aborting drop', 'mid drop timed_out', 'out drop cancelled']);
    });
  });

  describe('3. a bulkhead around a timeout hears of a failure while the function still runs', () => {
    it('keeps the slot until the work has ended', async () => {
      const clock = virtualClock();
      const slots = bulkhead({ limit: 1 });
      const p = pipeline('p', [slots, timeout(10)], { clock });
      const work = gate();
      const seen = watch(p.execute(() => work.promise));
      await clock.advance(10);
      expect(seen.result).toMatchObject({ code: 'timeout' });
      expect([slots.active, slots.held]).toEqual([1, 1]);
      await expect(p.execute(() => 1)).rejects.toMatchObject({ code: 'bulkhead_full' });
      work.open('late');
      await turn();
      expect([slots.active, slots.held]).toEqual([0, 0]);
    });

    it('inside a retry, attempt 2 does not wait for the orphan of attempt 1 of another slot', async () => {
      const clock = virtualClock();
      const slots = bulkhead({ limit: 2 });
      const p = pipeline('p', [retry({ backoff: 0 }), slots, timeout(10)], { clock });
      let calls = 0;
      const first = gate();
      const seen = watch(p.execute(() => (++calls === 1 ? first.promise : 'second')));
      await clock.advance(10);
      expect(seen.result).toBe('second');
      expect([slots.active, slots.held]).toEqual([1, 1]);
      first.open(1);
      await turn();
      expect(slots.active).toBe(0);
    });

    it('around the retry, a slot waits for the works of both attempts', async () => {
      const clock = virtualClock();
      const slots = bulkhead({ limit: 1 });
      const p = pipeline('p', [slots, retry({ backoff: 0, maxRetries: 1 }), timeout(10)], { clock });
      const works = [gate(), gate()];
      let calls = 0;
      const seen = watch(p.execute(() => works[calls++]!.promise));
      await clock.advance(20);
      expect(seen.result).toMatchObject({ code: 'timeout' });
      works[1]!.open('late');
      await turn();
      expect(slots.active).toBe(1);
      works[0]!.break('late');
      await turn();
      expect(slots.active).toBe(0);
    });
  });

  it('4. a waiter woken and aborted before its microtask passes the slot on', async () => {
    const slots = bulkhead({ limit: 1, queue: 2 });
    const p = pipeline('p', [slots]);
    const works = [gate(), gate(), gate()];
    const caller = new AbortController();
    const started: number[] = [];
    const start = (i: number, signal?: AbortSignal) =>
      watch(
        p.execute(() => {
          started.push(i);
          return works[i]!.promise;
        }, signal),
      );
    start(0);
    const waiter = start(1, caller.signal);
    start(2);
    expect([slots.active, slots.queued]).toEqual([1, 2]);
    // The resize wakes the waiter; its own microtask has not come when its caller gives up.
    slots.resize(2);
    expect(slots.queued).toBe(1);
    caller.abort('enough');
    slots.resize(1);
    await microtasks();
    expect(waiter.result).toBe('enough');
    expect(started).toEqual([0, 2]);
    works[0]!.open(0);
    works[2]!.open(2);
    await turn();
    expect([slots.active, slots.queued]).toEqual([0, 0]);
  });

  it("5. cockatiel's aggressive timeout aborts and then throws: its own error wins", async () => {
    const p = pipeline('p', [cockatielTimeout(5, TimeoutStrategy.Aggressive)]);
    const error = await p
      .execute(
        ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
      )
      .catch((error: unknown) => error);
    expect(error).toMatchObject({ isTaskCancelledError: true });
    expect((error as Error).message).toMatch(/timed out after 5/);
  });

  it('6. an around with several next() in flight is dropped: each inner call is, once, before it', async () => {
    const caller = new AbortController();
    const log: string[] = [];
    const several = policy({
      kind: 'several',
      repeats: true,
      around: async (_call, next) => Promise.race([next(), next(), next()]),
    });
    const p = pipeline('p', [spy('out', log), several, spy('in', log)]);
    const reasons: unknown[] = [];
    const rejections = await unhandled(async () => {
      const seen = watch(
        p.execute(({ signal }) => {
          signal.addEventListener('abort', () => reasons.push(signal.reason));
          return hang();
        }, caller.signal),
      );
      caller.abort('enough');
      await microtasks();
      expect(seen.result).toBe('enough');
    });
    expect(rejections).toEqual([]);
    expect(reasons).toEqual(['enough', 'enough', 'enough']);
    expect(log).toEqual([
      'out enter',
      ...Array.from({ length: 3 }, () => 'in enter'),
      ...Array.from({ length: 3 }, () => 'in drop cancelled'),
      'out drop cancelled',
    ]);
    expect(p.snapshot()).toMatchObject({ active: 0, attempts: 3 });
  });

  describe('7. generations', () => {
    it('a cancelled probe gives its place back', async () => {
      const clock = virtualClock();
      const breaker = circuitBreaker({ consecutiveFailures: 1, breakMs: 10, halfOpenCalls: 1, halfOpenMs: 1e9 });
      const p = pipeline('p', [breaker], { clock });
      await expect(p.execute(() => Promise.reject(boom))).rejects.toBe(boom);
      await clock.advance(10);
      const caller = new AbortController();
      const probe = watch(p.execute(hang, caller.signal));
      await expect(p.execute(() => 1)).rejects.toMatchObject({ code: 'circuit_open' });
      caller.abort('enough');
      await microtasks();
      expect(probe.result).toBe('enough');
      await expect(p.execute(() => 1)).resolves.toBe(1);
    });

    it('a late failure of an old generation moves nothing', async () => {
      const clock = virtualClock();
      const breaker = circuitBreaker({ consecutiveFailures: 1, breakMs: 10, halfOpenCalls: 1 });
      const p = pipeline('p', [breaker], { clock });
      const old = gate();
      const late = watch(p.execute(() => old.promise));
      await expect(p.execute(() => Promise.reject(boom))).rejects.toBe(boom);
      await clock.advance(10);
      await expect(p.execute(() => 1)).resolves.toBe(1);
      old.break(boom);
      await turn();
      expect(late.result).toBe(boom);
      expect(breaker.state).toBe('closed');
    });

    it('a late answer of abandoned work moves neither breaker nor retry', async () => {
      const clock = virtualClock();
      const breaker = circuitBreaker({ consecutiveFailures: 2, breakMs: 1_000 });
      const p = pipeline('p', [breaker, timeout(10)], { clock });
      const old = gate();
      const seen = watch(p.execute(() => old.promise));
      await clock.advance(10);
      old.break(boom);
      await turn();
      expect(seen.times).toBe(1);
      expect(breaker.state).toBe('closed');
      expect(breaker.snapshot!()).toMatchObject({ executions: { failure: 1 } });
    });
  });

  describe('8. next()', () => {
    it('rejects after the call has ended', async () => {
      let kept: Next | undefined;
      const p = pipeline('p', [policy({ kind: 'keeps', around: (_call, next) => ((kept = next), next()) })]);
      await expect(p.execute(() => 1)).resolves.toBe(1);
      const called = false;
      await expect(kept!()).rejects.toThrow('next() was called after the call had ended');
      await turn();
      expect(called).toBe(false);
    });

    it('rejects with the reason after the caller has given up, and does not call the function', async () => {
      const caller = new AbortController();
      const started = gate();
      let late: Promise<unknown> | undefined;
      const p = pipeline('p', [
        policy({
          kind: 'slow',
          around: async (_call, next) => {
            await started.promise;
            late = next();
            return late;
          },
        }),
      ]);
      let calls = 0;
      const seen = watch(p.execute(() => ++calls, caller.signal));
      caller.abort('enough');
      await microtasks();
      expect(seen.result).toBe('enough');
      started.open(0);
      await turn();
      await expect(late).rejects.toBe('enough');
      expect(calls).toBe(0);
    });

    it('of an earlier attempt rejects in a later one, and does not call the function', async () => {
      const kept: Next[] = [];
      let stale: Promise<unknown> | undefined;
      const keeps = policy({
        kind: 'keeps',
        around: (_call, next) => {
          kept.push(next);
          if (kept.length === 2) stale = kept[0]!();
          return next();
        },
      });
      const p = pipeline('p', [retry({ backoff: 0 }), keeps]);
      let calls = 0;
      await expect(
        p.execute(() => {
          if (++calls === 1) throw boom;
          return calls;
        }),
      ).resolves.toBe(2);
      await expect(stale).rejects.toThrow('next() was called after the call had ended');
      expect(calls).toBe(2);
    });

    it('that nobody looks at is no unhandled rejection', async () => {
      const p = pipeline('p', [
        policy({
          kind: 'careless',
          around: (_call, next) => {
            void next();
            return 'mine';
          },
        }),
      ]);
      const rejections = await unhandled(async () => {
        await expect(p.execute(() => Promise.reject(boom))).resolves.toBe('mine');
        await expect(
          p.execute(() => {
            throw boom;
          }),
        ).resolves.toBe('mine');
      });
      expect(rejections).toEqual([]);
    });
  });

  it('9. "not needed any more" is one shared reason without a stack per call', async () => {
    const reasons: unknown[] = [];
    const p = pipeline('p', [
      policy({
        kind: 'first_wins',
        repeats: true,
        around: (_call, next) => Promise.race([next(), next()]),
      }),
    ]);
    for (let i = 0; i < 2; i++) {
      let first = true;
      await p.execute(({ signal }) => {
        if (first) {
          first = false;
          return 'won';
        }
        signal.addEventListener('abort', () => reasons.push(signal.reason));
        return hang();
      });
    }
    expect(reasons).toHaveLength(2);
    expect(reasons[0]).toBe(reasons[1]);
    expect(reasons[0]).toMatchObject({ name: 'AbortError' });
  });

  it('10. retry in retry calls four times', async () => {
    const clock = virtualClock();
    const attempts: number[] = [];
    const p = pipeline(
      'p',
      [retry({ maxRetries: 1, backoff: 0, budget: false }), retry({ maxRetries: 1, backoff: 0, budget: false })],
      { clock },
    );
    await expect(
      p.execute(({ attempt }) => {
        attempts.push(attempt);
        throw boom;
      }),
    ).rejects.toBe(boom);
    expect(attempts).toEqual([1, 2, 3, 4]);
  });

  describe('11. aborted before, or in the middle of a synchronous function', () => {
    it('an already aborted signal: fn is never called, and nothing is entered', async () => {
      const log: string[] = [];
      const p = pipeline('p', [spy('in', log)]);
      const reason = { gone: true };
      const seen = watch(p.execute(() => log.push('called'), AbortSignal.abort(reason)));
      await microtasks();
      expect(seen).toEqual({ state: 'error', result: reason, times: 1 });
      expect(log).toEqual([]);
      expect(p.snapshot()).toMatchObject({ calls: 1, active: 0, attempts: 0, outcomes: { cancelled: 1 } });
    });

    for (const [what, answer] of [
      ['a value', () => 'value'],
      ['a promise that hangs', hang],
      ['a promise that succeeds', () => Promise.resolve('value')],
      ['a promise that fails', () => Promise.reject(boom)],
    ] as const)
      it(`an abort during the synchronous part of a function that answers ${what}`, async () => {
        const log: string[] = [];
        const caller = new AbortController();
        const p = pipeline('p', [spy('in', log)]);
        const rejections = await unhandled(async () => {
          const seen = watch(
            p.execute(() => {
              caller.abort('enough');
              return answer();
            }, caller.signal),
          );
          await microtasks();
          expect(seen).toEqual({ state: 'error', result: 'enough', times: 1 });
        });
        expect(rejections).toEqual([]);
        expect(log).toEqual(['in enter', 'in drop cancelled']);
        expect(p.snapshot()).toMatchObject({ active: 0, outcomes: { cancelled: 1 } });
      });

    it('tryExecute hears of it the same way', async () => {
      const caller = new AbortController();
      const p = pipeline('p', []);
      await expect(
        p.tryExecute(() => {
          caller.abort('enough');
          return hang();
        }, caller.signal),
      ).resolves.toEqual({ status: 'failure', error: 'enough' });
    });

    it('an abort during a synchronous throw', async () => {
      const caller = new AbortController();
      const p = pipeline('p', [retry({ backoff: 0 })]);
      let calls = 0;
      await expect(
        p.execute(() => {
          calls++;
          caller.abort('enough');
          throw boom;
        }, caller.signal),
      ).rejects.toBe('enough');
      await turn();
      expect(calls).toBe(1);
    });
  });

  it('12. a fire that throws does not stop the other deadlines of its list', async () => {
    const clock = virtualClock();
    const fired: number[] = [];
    const list = new DeadlineList<number>(clock, 10, (i) => {
      fired.push(i);
      if (i === 1) throw boom;
    });
    for (const i of [1, 2, 3]) list.add(i);
    await clock.advance(10);
    expect(fired).toEqual([1, 2, 3]);
    expect(clock.pending).toBe(0);
  });
});

describe('a stage that throws', () => {
  const throwing = (where: 'enter' | 'succeed' | 'fail' | 'drop') => {
    class Throwing extends Stage {
      override enter(call: Call): void {
        if (where === 'enter') throw boom;
        this.proceed(call);
      }
      override succeed(call: Call, value: unknown): void {
        if (where === 'succeed') throw boom;
        this.pass(call, value);
      }
      override fail(call: Call, error: unknown): void {
        if (where === 'fail') throw boom;
        this.raise(call, error);
      }
      override drop(): void {
        if (where === 'drop') throw boom;
      }
    }
    return { kind: 'throwing', stage: () => new Throwing() };
  };

  for (const [where, fn] of [
    ['enter', () => 1],
    ['succeed', () => 1],
    ['succeed', async () => 1],
    ['fail', () => Promise.reject('other')],
    [
      'fail',
      () => {
        throw 'other';
      },
    ],
  ] as const)
    it(`in ${where}, ${fn.constructor.name}: the caller hears it, the neighbours give back`, async () => {
      const slots = bulkhead({ limit: 1 });
      const log: string[] = [];
      const p = pipeline('p', [slots, spy('out', log), throwing(where)]);
      await expect(p.execute(fn as () => unknown)).rejects.toBe(boom);
      expect(slots.active).toBe(0);
      expect(log).toEqual(['out enter', 'out drop lost']);
      expect(p.snapshot().active).toBe(0);
    });

  it('in drop: the others are dropped and the caller hears his reason', async () => {
    const caller = new AbortController();
    const log: string[] = [];
    const p = pipeline('p', [spy('out', log), throwing('drop'), spy('in', log)]);
    const seen = watch(p.execute(hang, caller.signal));
    caller.abort('enough');
    await microtasks();
    expect(seen.result).toBe('enough');
    expect(log.slice(2)).toEqual(['in drop cancelled', 'out drop cancelled']);
  });

  it('after a wait or a timeout: the same', async () => {
    const clock = virtualClock();
    const slots = bulkhead({ limit: 1 });
    const p = pipeline('p', [slots, throwing('fail'), timeout(10)], { clock });
    const seen = watch(p.execute(({ signal }) => new Promise((resolve) => signal.addEventListener('abort', resolve))));
    await clock.advance(10);
    expect(seen.result).toBe(boom);
    expect([slots.active, clock.pending]).toEqual([0, 0]);
  });
});

describe('a stage that throws when work it had waited for is over', () => {
  it('keeps nobody from hearing of that', async () => {
    const clock = virtualClock();
    class Throwing extends Stage {
      override fail(): void {
        throw boom;
      }
    }
    const slots = bulkhead({ limit: 1 });
    const throwing = { kind: 'throwing', stage: () => new Throwing() };
    const p = pipeline('p', [slots, throwing, timeout({ ms: 10, mode: 'cooperative' })], { clock });
    const work = gate();
    const seen = watch(p.execute(() => work.promise));
    await clock.advance(10);
    expect(seen.state).toBe('pending');
    work.open('late');
    await turn();
    expect(seen).toEqual({ state: 'error', result: boom, times: 1 });
    expect(slots.active).toBe(0);
    expect(p.snapshot().active).toBe(0);
  });
});

describe('the fences', () => {
  it('a stage that speaks twice is heard once', async () => {
    const log: string[] = [];
    class Twice extends Stage {
      override succeed(call: Call, value: unknown): void {
        this.pass(call, value);
        this.pass(call, 'again');
        this.raise(call, boom);
        this.proceed(call);
      }
      override fail(call: Call, error: unknown): void {
        this.raise(call, error);
        this.raise(call, boom);
        this.pass(call, 'again');
        this.again(call);
      }
    }
    const twice = { kind: 'twice', stage: () => new Twice() };
    const p = pipeline('p', [spy('out', log), twice, spy('in', log)]);
    await expect(p.execute(() => 1)).resolves.toBe(1);
    await expect(p.execute(() => Promise.reject('no'))).rejects.toBe('no');
    expect(log).toEqual([
      'out enter',
      'in enter',
      'in succeed',
      'out succeed',
      'out enter',
      'in enter',
      'in fail',
      'out fail',
    ]);
  });

  it('a raise after the call has gone on is lost', async () => {
    // The listener of a timeout event aborts the caller: what the timeout says afterwards must not reach the outer stage.
    const clock = virtualClock();
    const log: string[] = [];
    const caller = new AbortController();
    const p = pipeline('p', [spy('out', log), timeout(10), spy('in', log)], { clock });
    p.subscribe((event) => {
      if (event.type === 'timeout') caller.abort('enough');
    });
    const seen = watch(p.execute(hang, caller.signal));
    await clock.advance(10);
    expect(seen).toEqual({ state: 'error', result: 'enough', times: 1 });
    expect(log).toEqual(['out enter', 'in enter', 'in drop cancelled', 'out drop cancelled']);
    expect(p.snapshot()).toMatchObject({ active: 0, outcomes: { cancelled: 1, failure: 0 } });
  });

  it('a wait that was ended before its microtask is not resumed', async () => {
    const caller = new AbortController();
    const again = retry({ backoff: 0, budget: { capacity: 5, ratio: 0, minPerSecond: 0 } });
    const p = pipeline('p', [again]);
    let calls = 0;
    const seen = watch(
      p.execute(() => {
        calls++;
        throw boom;
      }, caller.signal),
    );
    caller.abort('enough');
    await turn();
    expect([seen.result, calls]).toEqual(['enough', 1]);
    expect(again.snapshot!()).toMatchObject({ attempts: 0, budget: { remaining: 5 } });
  });

  it('drops come innermost first', async () => {
    const log: string[] = [];
    const caller = new AbortController();
    const p = pipeline(
      'p',
      ['a', 'b', 'c'].map((name) => spy(name, log)),
    );
    watch(p.execute(hang, caller.signal));
    caller.abort();
    expect(log.slice(3)).toEqual(['c drop cancelled', 'b drop cancelled', 'a drop cancelled']);
  });

  it('what stages inside kept is forgotten when the call comes anew', async () => {
    const kept: unknown[] = [];
    class Keeps extends Stage {
      override readonly slots = 2;
      override enter(call: Call): void {
        kept.push(call.memo[this.slot], call.memo[this.slot + 1]);
        call.memo[this.slot] = call.memo[this.slot + 1] = 'mine';
        this.proceed(call);
      }
    }
    const keeps = () => ({ kind: 'keeps', stage: () => new Keeps() });
    let calls = 0;
    const p = pipeline('p', [retry({ backoff: 0 }), keeps(), bulkhead({ limit: 1 }), keeps()]);
    await p.execute(() => {
      if (++calls < 3) throw boom;
    });
    expect(kept).toEqual(Array.from({ length: 12 }));
  });

  it('an answer in the middle of the way in ends the stages it has passed, once', async () => {
    const log: string[] = [];
    class Answers extends Stage {
      override enter(call: Call): void {
        this.pass(call, 'early');
      }
    }
    const p = pipeline('p', [spy('out', log), { kind: 'answers', stage: () => new Answers() }, spy('in', log)]);
    await expect(p.execute(() => log.push('called'))).resolves.toBe('early');
    expect(log).toEqual(['out enter', 'out succeed']);
  });

  it('a stage that is hearing of an end is not told of a second one', async () => {
    // A predicate of the retry ends the call: the retry has heard `fail`, and so gets no drop.
    const heard: string[] = [];
    const caller = new AbortController();
    class Ends extends Stage {
      override fail(call: Call, error: unknown): void {
        heard.push('fail');
        caller.abort('enough');
        this.raise(call, error);
      }
      override drop(): void {
        heard.push('drop');
      }
    }
    const p = pipeline('p', [{ kind: 'ends', stage: () => new Ends() }, timeout(50)]);
    await expect(p.execute(() => Promise.reject(boom), caller.signal)).rejects.toBe('enough');
    expect(heard).toEqual(['fail']);
  });
});

describe('the stack does not grow', () => {
  it('with 100,000 queued synchronous calls', async () => {
    const count = 100_000;
    const slots = bulkhead({ limit: 1, queue: count, maxWaitMs: Number.POSITIVE_INFINITY });
    const p = pipeline('p', [slots]);
    const work = gate();
    void p.execute(() => work.promise);
    let done = 0;
    const all = Array.from({ length: count }, () => p.execute(() => ++done));
    expect(slots.queued).toBe(count);
    work.open(0);
    await Promise.all(all);
    expect([done, slots.active, slots.queued]).toEqual([count, 0, 0]);
  });

  it('with 100,000 retries without delay', async () => {
    const p = pipeline('p', [retry({ maxRetries: Number.POSITIVE_INFINITY, backoff: 0, budget: false })]);
    let calls = 0;
    await p.execute(() => {
      if (calls++ < 100_000) throw boom;
    });
    expect(calls).toBe(100_001);
  });
});

describe('foreign policies', () => {
  it('a cockatiel breaker decides', async () => {
    const breaker = circuitBreaker({ breaker: new ConsecutiveBreaker(2), when: handleAll });
    const p = pipeline('p', [breaker]);
    for (let i = 0; i < 2; i++) await expect(p.execute(() => Promise.reject(boom))).rejects.toBe(boom);
    await expect(p.execute(() => 1)).rejects.toMatchObject({ code: 'circuit_open', cause: boom });
  });
});

describe('a breaker whose call was still waiting further inside when an outer timeout came', () => {
  const full = async (clock: VirtualClock) => {
    const slots = bulkhead({ limit: 1, queue: 1, name: 'slots' });
    void pipeline('other', [slots], { clock }).execute(hang);
    return slots;
  };

  for (const [what, middle] of [
    ['nothing', () => []],
    ['a middleware', () => [policy({ kind: 'passes', around: (_call, next) => next() })]],
    ['a nested pipeline', (clock) => [pipeline('inner', [timeout(1_000)], { clock })]],
  ] satisfies [string, (clock: VirtualClock) => Stackable[]][])
    it(`ignores it, with ${what} in between`, async () => {
      const clock = virtualClock();
      const breaker = circuitBreaker({ consecutiveFailures: 1 });
      const p = pipeline('p', [timeout(10), breaker, ...middle(clock), await full(clock)], { clock });
      const seen = watch(p.execute(() => 1));
      await clock.advance(10);
      expect(seen.result).toMatchObject({ code: 'timeout' });
      expect(breaker.snapshot!()).toMatchObject({ executions: { ignored: 1, failure: 0 } });
    });

  it('ignores it while a sibling runs, and counts the sibling', async () => {
    const clock = virtualClock();
    const breaker = circuitBreaker({ consecutiveFailures: 5 });
    const slots = bulkhead({ limit: 1, queue: 2, name: 'slots', holdUntilSettled: false });
    const both = policy({ kind: 'both', repeats: true, around: (_call, next) => Promise.race([next(), next()]) });
    const p = pipeline('p', [timeout(10), both, breaker, slots], { clock });
    const first = gate();
    void pipeline('other', [slots], { clock }).execute(() => first.promise);
    const seen = watch(p.execute(hang));
    // Both wait when one of them gets the slot.
    first.open(0);
    await clock.advance(10);
    expect(seen.result).toMatchObject({ code: 'timeout' });
    expect(breaker.snapshot!()).toMatchObject({ executions: { ignored: 1, failure: 1 } });
  });

  it('counts it as a failure when the function was running', async () => {
    const clock = virtualClock();
    const breaker = circuitBreaker({ consecutiveFailures: 1 });
    const p = pipeline('p', [timeout(10), breaker, policy({ kind: 'passes', around: (_call, next) => next() })], {
      clock,
    });
    const seen = watch(p.execute(hang));
    await clock.advance(10);
    expect(seen.result).toMatchObject({ code: 'timeout' });
    expect(breaker.state).toBe('open');
  });
});
