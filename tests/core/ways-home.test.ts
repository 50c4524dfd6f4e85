import { bulkhead, type Clock, type Policy, pipeline, retry, Stage, timeout } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import type { Call } from '../../src/core/call.ts';
import { gate, microtasks, watch } from './spy.ts';

const boom = new Error('boom');

describe('a result comes home', () => {
  /** A pipeline in which a call waits before its function runs, and what ends the wait. */
  const queue = () => {
    const work = gate();
    const pipe = pipeline('p', [bulkhead({ limit: 1, queue: 1 })]);
    void pipe.execute(() => work.promise);
    return { pipe, go: () => work.open(0) };
  };
  const straight = () => ({ pipe: pipeline('p', []), go() {} });

  for (const [when, make] of [
    ['at once', straight],
    ['after a wait', queue],
  ] as const)
    for (const [how, value, error] of [
      ['answered', () => 'value', () => fail()],
      ['promised', async () => 'value', async () => fail()],
    ] as const)
      it(`${when}, ${how}: to execute and to tryExecute, as a value or as an error`, async () => {
        for (const [fn, came, outcome] of [
          [value, 'value', { status: 'value', value: 'value' }],
          [error, boom, { status: 'failure', error: boom }],
        ] as const) {
          const first = make();
          const executed = first.pipe.execute(fn as () => unknown).catch((error: unknown) => error);
          first.go();
          expect(await executed).toBe(came);
          const second = make();
          const tried = second.pipe.tryExecute(fn as () => unknown);
          second.go();
          const got = await tried;
          expect(got).toMatchObject(outcome);
          expect(Object.keys(got).sort()).toEqual(Object.keys(outcome).sort());
        }
      });

  function fail(): never {
    throw boom;
  }
});

describe('a timer that rings between the end of a function and the news of it', () => {
  it('ends the call: it is not tried again', async () => {
    let now = 0;
    const timers: (() => void)[] = [];
    const timer = { cancel() {}, ref() {}, unref() {} };
    const clock: Clock = { now: () => now, after: (_ms, fn) => (timers.push(fn), timer) };
    const pipe = pipeline('p', [timeout(10), retry({ backoff: 1_000 })], { clock, telemetry: false });
    let calls = 0;
    const work = gate();
    const seen = watch(pipe.execute(() => (calls++, work.promise)));
    work.break(boom);
    // The promise that the caller's depends on is settled by now, and nobody has heard of it.
    await undefined;
    now = 10;
    timers[0]!();
    await microtasks();
    expect(seen).toMatchObject({ state: 'error', result: { code: 'timeout', policy: 'p/timeout' } });
    expect([calls, pipe.snapshot().active, timers.length]).toEqual([1, 0, 1]);
  });
});

describe('a call of a function that answers something else than a promise is over when execute returns', () => {
  it.each([
    ['undefined', undefined],
    ['null', null],
    ['an object', {}],
    ['an object whose "then" is none', { then: 5 }],
    ['a function', () => 1],
  ])('%s', async (_what, value) => {
    const pipe = pipeline('p', []);
    const answer = pipe.execute(() => value);
    expect(pipe.snapshot()).toMatchObject({ active: 0, outcomes: { success: 1 } });
    expect(await answer).toBe(value);
  });
});

describe('a promise that is not quite one', () => {
  it('but a function with a then() is waited for', async () => {
    const later = Object.assign(() => {}, { then: (yes: (value: unknown) => void) => setImmediate(yes, 'value') });
    const pipe = pipeline('p', []);
    const answer = pipe.execute(() => later as unknown);
    expect(pipe.snapshot().active).toBe(1);
    expect(await answer).toBe('value');
    expect(pipe.snapshot().active).toBe(0);
  });

  it('with a then() of its own that answers twice is heard once', async () => {
    const pipe = pipeline('p', []);
    const twice = Object.assign(Promise.resolve('unused'), {
      then(yes: (value: unknown) => void, no: (error: unknown) => void) {
        yes('first');
        yes('second');
        no(boom);
      },
    });
    expect(await pipe.execute(() => twice as Promise<unknown>)).toBe('first');
    expect(pipe.snapshot()).toMatchObject({ active: 0, late: 0, outcomes: { success: 1, failure: 0 } });
  });

  it('whose then() makes something silent is heard all the same', async () => {
    class Silent {
      constructor(executor: (yes: () => void, no: () => void) => void) {
        executor(
          () => {},
          () => {},
        );
      }
      then(): void {}
    }
    class Odd<T> extends Promise<T> {
      static override get [Symbol.species](): PromiseConstructor {
        return Silent as never;
      }
    }
    const pipe = pipeline('p', []);
    expect(await pipe.execute(() => new Odd((resolve) => resolve('value')))).toBe('value');
  });
});

describe('a stage that forks the call after it went inwards itself', () => {
  /** Goes inwards, and when that fails once more beside itself. */
  class Forks extends Stage {
    override readonly repeats = true;

    override fail(call: Call): void {
      const fork = call.fork(this);
      fork.guarded(() => this.inner.enter(fork));
    }

    override succeed(fork: Call, value: unknown): void {
      fork.at = -1;
      this.pass(fork.parent!, value);
    }
  }

  it('finds what the stages inside it kept forgotten in the fork', async () => {
    const kept: unknown[] = [];
    class Keeps extends Stage {
      override enter(call: Call): void {
        kept.push(call.memo[this.slot]);
        call.memo[this.slot] = 'mine';
        this.proceed(call);
      }
    }
    const stage = (make: () => Stage): Policy => ({ kind: 'own', stage: make });
    const pipe = pipeline('p', [stage(() => new Forks()), stage(() => new Keeps())]);
    let calls = 0;
    const answer = await pipe.execute(() => {
      if (++calls === 1) throw boom;
      return calls;
    });
    expect([answer, kept]).toEqual([2, [undefined, undefined]]);
    expect(pipe.snapshot()).toMatchObject({ active: 0, attempts: 2 });
  });
});
