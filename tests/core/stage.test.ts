import { bulkhead, pipeline, policy, type Policy, retry, Stage, timeout } from 'seaworthy';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Call } from '../../src/core/call.ts';
import { failInside } from '../../src/core/interrupt.ts';
import { Work } from '../../src/core/work.ts';
import { virtualClock } from '../../src/testing/virtual-clock.ts';
import { gate, microtasks, turn, watch } from './spy.ts';

const boom = new Error('boom');
const quiet = { telemetry: false } as const;
const hang = () => new Promise<never>(() => {});

const own = (stage: Stage, name = 'own'): Policy => ({ kind: 'own', name, stage: () => stage });

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

describe('a stage that says nothing of its own', () => {
  it('is walked through either way, and neither queues nor ends a call', async () => {
    const bare = new (class extends Stage {})();
    const pipe = pipeline('p', [own(bare)], quiet);
    expect(await pipe.execute(() => 'value')).toBe('value');
    await expect(pipe.execute(() => Promise.reject(boom))).rejects.toBe(boom);
    expect(await pipe.execute(({ remainingMs }) => remainingMs)).toBe(Number.POSITIVE_INFINITY);
    expect(bare).toMatchObject({ slots: 1, repeats: false, rescues: false, timesWork: false, frame: false });
    expect([bare.queues({} as Call), bare.due({} as Call)]).toEqual([false, Number.POSITIVE_INFINITY]);
  });

  it('passes on how user code that it had started ended', async () => {
    const starts = (body: () => unknown) =>
      own(
        new (class extends Stage {
          override enter(call: Call): void {
            new Work(call, this, this.attemptOf(call)).start(body, undefined);
          }
        })(),
      );
    const run = (body: () => unknown) => pipeline('p', [starts(body)], quiet).execute(() => 'unused');
    expect(await run(async () => 'started')).toBe('started');
    await expect(run(() => Promise.reject(boom))).rejects.toBe(boom);
    await expect(
      run(() => {
        throw boom;
      }),
    ).rejects.toBe(boom);
  });

  it('is in the count of its pipeline when work it gave up has ended', async () => {
    const gives = own(
      new (class extends Stage {
        override enter(call: Call): void {
          this.proceed(call);
          failInside(call, this, 'timed_out', boom, this);
        }
      })(),
    );
    const pipe = pipeline('p', [gives], quiet);
    const work = gate();
    const seen = watch(pipe.execute(() => work.promise));
    await microtasks();
    expect([seen.result, pipe.snapshot().late]).toEqual([boom, 0]);
    work.open('late');
    await turn();
    expect(pipe.snapshot().late).toBe(1);
  });
});

describe('the words of a stage', () => {
  /** Says `word` for a call that has gone on. */
  const stale = (word: (stage: Stage, call: Call) => void) =>
    own(
      new (class extends Stage {
        override enter(call: Call): void {
          this.proceed(call);
          word(this, call);
        }
      })(),
    );

  it.each<[string, (stage: Stage, call: Call) => void]>([
    ['proceed', (stage, call) => stage.proceed(call)],
    ['again', (stage, call) => stage.again(call)],
    ['pass', (stage, call) => stage.pass(call, 'stale')],
    ['raise', (stage, call) => stage.raise(call, boom)],
  ])('%s is lost once the call has gone on', async (_word, say) => {
    let calls = 0;
    const work = gate();
    const pipe = pipeline('p', [stale(say)], quiet);
    const seen = watch(
      pipe.execute(() => {
        calls++;
        return work.promise;
      }),
    );
    work.open('right');
    await turn();
    expect([seen.result, seen.times, calls]).toEqual(['right', 1, 1]);
  });

  it('again, said too late, leaves alone what the stages inside keep', async () => {
    const kept: unknown[] = [];
    class Keeps extends Stage {
      override enter(call: Call): void {
        call.memo[this.slot] = 'kept';
        this.proceed(call);
      }
      override succeed(call: Call, value: unknown): void {
        kept.push(call.memo[this.slot]);
        this.pass(call, value);
      }
    }
    const late = stale((stage, call) => stage.again(call));
    const pipe = pipeline('p', [late, own(new Keeps(), 'keeps')], quiet);
    const work = gate();
    const seen = watch(pipe.execute(() => work.promise));
    work.open('value');
    await turn();
    expect([seen.result, kept]).toEqual(['value', ['kept']]);
  });

  it.each(['pass', 'raise'] as const)('%s: who is hearing of the end is not dropped as well', async (word) => {
    const caller = new AbortController();
    const heard: string[] = [];
    class Aborts extends Stage {
      override succeed(call: Call, value: unknown): void {
        heard.push('succeed');
        caller.abort('enough');
        this.pass(call, value);
      }
      override fail(call: Call, error: unknown): void {
        heard.push('fail');
        caller.abort('enough');
        this.raise(call, error);
      }
      override drop(): void {
        heard.push('drop');
      }
    }
    const pipe = pipeline('p', [own(new Aborts(), 'aborts'), own(new (class extends Stage {})(), 'bare')], quiet);
    const fn = () => (word === 'pass' ? 1 : Promise.reject(boom));
    await expect(pipe.execute(fn, caller.signal)).rejects.toBe('enough');
    expect(heard).toEqual([word === 'pass' ? 'succeed' : 'fail']);
  });

  it('again forgets what the stages inside kept, and keeps its own', async () => {
    const kept: unknown[] = [];
    class Twice extends Stage {
      override readonly repeats = true;
      override enter(call: Call): void {
        call.memo[this.slot] = 'outer';
        this.proceed(call);
      }
      override succeed(call: Call, value: unknown): void {
        kept.push(call.memo[this.slot]);
        if (value === 1) this.again(call);
        else this.pass(call, value);
      }
    }
    class Inside extends Stage {
      override readonly slots = 2;
      override enter(call: Call): void {
        kept.push(call.memo[this.slot], call.memo[this.slot + 1]);
        call.memo[this.slot] = 'first';
        call.memo[this.slot + 1] = 'second';
        this.proceed(call);
      }
    }
    let calls = 0;
    const pipe = pipeline('p', [own(new Twice(), 'twice'), own(new Inside(), 'inside')], quiet);
    expect(await pipe.execute(() => ++calls)).toBe(2);
    expect(kept).toEqual([undefined, undefined, 'outer', undefined, undefined, 'outer']);
  });
});

describe('what a stage knows of its call', () => {
  const asks = (answer: (stage: Stage, call: Call) => unknown, name = 'own') =>
    own(
      new (class extends Stage {
        override enter(call: Call): void {
          this.pass(call, answer(this, call));
        }
      })(),
      name,
    );

  it('is the attempt, from 1, inside a retry or not', async () => {
    const attempt = asks((stage, call) => stage.attemptOf(call));
    expect(await pipeline('p', [attempt], quiet).execute(() => 0)).toBe(1);
    expect(
      await pipeline(
        'p',
        [retry({ maxRetries: 2, backoff: 0, when: { result: (n) => n < 3 } }), attempt],
        quiet,
      ).execute(() => 0),
    ).toBe(3);
  });

  it('is that nobody listens, or that somebody does', async () => {
    const heard = asks((stage, call) => stage.heardBy(call));
    const pipe = pipeline('p', [heard], quiet);
    expect(await pipe.execute(() => 0)).toBe(false);
    const handle = pipe.subscribe(() => {});
    expect(await pipe.execute(() => 0)).toBe(true);
    handle.dispose();
    expect(await pipe.execute(() => 0)).toBe(false);
    const starts = pipeline('q', [heard], { ...quiet, observers: [{ interest: () => 1 }] });
    expect(await starts.execute(() => 0)).toBe(false);
  });

  it('is who speaks, for an error', async () => {
    const origin = asks((stage, call) => stage.origin(call, boom), 'mine');
    expect(await pipeline('p', [origin], quiet).execute(() => 0, { key: 'k' })).toEqual({
      policy: 'mine',
      pipeline: 'p',
      key: 'k',
      cause: boom,
    });
  });

  it('is told with a fault of user code, once to the process and each time to who listens', async () => {
    const warned: unknown[] = [];
    vi.spyOn(process, 'emitWarning').mockImplementation(((warning: Error) =>
      warned.push([warning.message, warning.cause])) as never);
    const faulty = asks((stage, call) => stage.fault(call, 'it', boom), 'stage.test');
    const pipe = pipeline('p', [faulty], quiet);
    const told: unknown[] = [];
    pipe.subscribe((event) => event.type === 'fault' && told.push(event));
    await pipe.execute(() => 0, { key: 'k' });
    await pipe.execute(() => 0, { key: 'k' });
    expect(warned).toEqual([['stage.test: it threw; the call went on without it.', boom]]);
    expect(told).toHaveLength(2);
    const starts: unknown[] = [];
    const observer = { interest: () => 1 as const, event: (event: object) => void starts.push(event) };
    await pipeline('q', [faulty], { ...quiet, observers: [observer] }).execute(() => 0);
    expect(starts).toEqual([]);
    expect(told[0]).toMatchObject({ policy: 'stage.test', where: 'it', error: boom, pipeline: 'p', key: 'k' });
  });
});

describe('going past a policy', () => {
  it('has no limit of it, and leaves that of others', async () => {
    const clock = virtualClock();
    const pipe = pipeline('p', [timeout({ ms: 10, name: 'short' }), timeout({ ms: 50, name: 'long' })], {
      ...quiet,
      clock,
    });
    const left = () => pipe.execute(({ remainingMs }) => remainingMs);
    expect(await left()).toBe(10);
    const hold = pipe.bypass('short');
    expect(await left()).toBe(50);
    const seen = watch(pipe.execute(hang));
    await clock.advance(49);
    expect(seen.state).toBe('pending');
    await clock.advance(1);
    expect(seen.result).toMatchObject({ code: 'timeout', policy: 'long' });
    hold.dispose();
    expect(await left()).toBe(10);
  });

  it('is not told when the function starts', async () => {
    let started = 0;
    const timer = own(
      new (class extends Stage {
        override readonly timesWork = true;
        override started(): void {
          started++;
        }
      })(),
    );
    const pipe = pipeline('p', [timer], quiet);
    await pipe.execute(() => 1);
    const hold = pipe.bypass('own');
    await pipe.execute(() => 1);
    expect(started).toBe(1);
    hold.dispose();
    await pipe.execute(() => 1);
    expect(started).toBe(2);
  });

  it('is not dropped with the call, unless the call was inside already', async () => {
    const drops: unknown[] = [];
    const stage = own(
      new (class extends Stage {
        override enter(call: Call): void {
          this.proceed(call);
        }
        override drop(_call: Call, why: string, reason: unknown): void {
          drops.push([why, reason]);
        }
      })(),
    );
    const pipe = pipeline('p', [stage], quiet);
    const [inside, past] = [new AbortController(), new AbortController()];
    watch(pipe.execute(hang, inside.signal));
    pipe.bypass('own');
    watch(pipe.execute(hang, past.signal));
    inside.abort('was inside');
    past.abort('went past');
    await microtasks();
    expect(drops).toEqual([['cancelled', 'was inside']]);
  });

  it('holds in pipelines that are made around it later, and for its own policy alone', async () => {
    const inner = pipeline('inner', [retry({ maxRetries: 1, backoff: 0 }), bulkhead({ limit: 1 })], quiet);
    const before = pipeline('before', [inner], quiet);
    const hold = inner.bypass('retry');
    const after = pipeline('after', [inner], quiet);
    let calls = 0;
    const fail = () => {
      calls++;
      throw boom;
    };
    for (const pipe of [inner, before, after]) await expect(pipe.execute(fail)).rejects.toBe(boom);
    expect(calls).toBe(3);
    expect(inner.snapshot().policies.map(({ bypassed }) => bypassed)).toEqual([true, false]);
    watch(inner.execute(hang));
    await expect(after.execute(() => 1)).rejects.toMatchObject({ code: 'bulkhead_full' });
    hold.dispose();
    expect(inner.snapshot().policies[0]!.bypassed).toBe(false);
  });

  it('may begin and end any number of times', async () => {
    const pipe = pipeline('p', [retry()], quiet);
    for (let i = 0; i < 20_000; i++) pipe.bypass('retry').dispose();
    expect(await pipe.execute(() => 'through')).toBe('through');
  });

  it('does not mind that an outer pipeline has been collected', async () => {
    let collected = false;
    vi.stubGlobal(
      'WeakRef',
      class {
        private readonly target: object;

        constructor(target: object) {
          this.target = target;
        }

        deref(): object | undefined {
          return collected ? undefined : this.target;
        }
      },
    );
    const inner = pipeline('inner', [retry()], quiet);
    pipeline('outer', [inner], quiet);
    collected = true;
    expect(() => inner.bypass('retry').dispose()).not.toThrow();
  });

  it('is told to observers as nobody’s event', () => {
    const told: unknown[] = [];
    const pipe = pipeline('p', [retry()], {
      ...quiet,
      observers: [{ event: (event, call, token) => void told.push([event, { ...call }, token]) }],
    });
    pipe.bypass('retry').dispose();
    const nobody = {
      executionId: '',
      pipeline: 'p',
      attempt: 0,
      attemptKind: 'initial',
      retryDelayMs: 0,
      key: undefined,
      attributes: undefined,
      deadline: Number.POSITIVE_INFINITY,
    };
    expect(told).toEqual([
      [{ type: 'bypass', policy: 'p/retry', active: true }, nobody, undefined],
      [{ type: 'bypass', policy: 'p/retry', active: false }, nobody, undefined],
    ]);
  });

  it('is refused with all names that there are, nested pipelines left out', () => {
    const pipe = pipeline(
      'p',
      [retry(), pipeline('inner', [], quiet), policy({ kind: 'own', around: (_, next) => next() })],
      quiet,
    );
    expect(() => pipe.bypass('inner')).toThrow(new TypeError('Cannot bypass "inner": pipeline "p" has p/retry, p/own'));
    expect(() => pipeline('q', [], quiet).bypass('x')).toThrow(
      new TypeError('Cannot bypass "x": pipeline "q" has no policies'),
    );
  });
});
