import {
  bulkhead,
  circuitBreaker,
  fallback,
  type Observer,
  type PipelineOptions,
  pipeline,
  policy,
  retry,
  type SpanEnd,
  Stage,
  type Stackable,
  type TelemetryOptions,
  timeout,
} from 'seaworthy';
import { virtualClock } from 'seaworthy/testing';
import { describe, expect, it } from 'vitest';
import { gate, spy, turn, watch } from './spy.ts';

const boom = new Error('boom');
const hang = () => new Promise<never>(() => {});

/** A pipeline and how its executions and attempts end. */
function setup(policies: readonly Stackable[], options: PipelineOptions<TelemetryOptions> = {}) {
  const clock = virtualClock(1_000);
  const ends: Record<string, SpanEnd[]> = { execution: [], attempt: [], fallback: [] };
  const observer: Observer = { attempts: true, end: (name, _token, end) => void ends[name]!.push(end) };
  const pipe = pipeline('p', policies, { clock, telemetry: false, observers: [observer], ...options });
  return { clock, pipe, ends };
}

describe('how an execution and its attempt end', () => {
  const isBad = {
    classify: ({ status, value }: { status: string; value?: unknown }) =>
      status === 'failure' || value === 'bad' ? 'failure' : 'success',
  } as const;
  const end = (outcome: string, rest: object = {}) => ({
    outcome,
    error: undefined,
    errorType: undefined,
    durationMs: 0,
    attempts: 1,
    rejected: false,
    ...rest,
  });

  it.each<[string, Stackable[], () => unknown, PipelineOptions<any>, object, object?]>([
    ['with a value', [], () => 'good', {}, end('success')],
    ['with a value that is a failure', [], () => 'bad', isBad, end('failure', { value: 'bad' })],
    ['with an error', [], () => Promise.reject(boom), {}, end('failure', { error: boom })],
    [
      'with an error that counts for nothing',
      [],
      () => Promise.reject(boom),
      { classify: () => 'ignored' },
      end('ignored', { error: boom }),
    ],
    [
      'with a fallback around the attempt',
      [fallback(() => 'spare'), retry({ maxRetries: 0 })],
      () => Promise.reject(boom),
      {},
      end('fallback'),
      end('failure', { error: boom }),
    ],
    [
      'with a fallback inside the attempt',
      [retry({ maxRetries: 0 }), fallback(() => 'spare')],
      () => Promise.reject(boom),
      {},
      end('fallback'),
    ],
    [
      'with a failing value of a fallback',
      [fallback(() => 'bad')],
      () => Promise.reject(boom),
      isBad,
      end('failure', { value: 'bad' }),
      end('failure', { error: boom }),
    ],
  ])('%s', async (_how, policies, fn, options, execution, attempt = execution) => {
    const { pipe, ends } = setup(policies, options);
    await pipe.tryExecute(fn);
    expect(ends.execution).toEqual([execution]);
    // Without a retry the attempt is innermost, inside of any fallback.
    expect(ends.attempt).toEqual([attempt]);
  });

  it('by the caller: cancelled, without an error', async () => {
    const { pipe, ends, clock } = setup([]);
    const caller = new AbortController();
    watch(pipe.execute(hang, caller.signal));
    await clock.advance(7);
    caller.abort('enough');
    expect(ends.attempt).toEqual([end('cancelled', { durationMs: 7 })]);
    expect(ends.execution).toEqual([end('cancelled', { durationMs: 7 })]);
  });

  it('by a timeout around the attempt: a failure of both', async () => {
    const { pipe, ends, clock } = setup([timeout(10), retry()]);
    const seen = watch(pipe.execute(hang));
    await clock.advance(10);
    const failed = end('failure', { durationMs: 10, error: seen.result });
    expect(seen.result).toMatchObject({ code: 'timeout' });
    expect([ends.attempt, ends.execution]).toEqual([[failed], [failed]]);
  });

  it('by a timeout of an outer pipeline: a failure of the inner one too', async () => {
    const { pipe, ends, clock } = setup([]);
    const seen = watch(pipeline('outer', [timeout(10), pipe], { clock, telemetry: false }).execute(hang));
    await clock.advance(10);
    expect(ends.execution).toEqual([end('failure', { durationMs: 10, error: seen.result })]);
    expect(pipe.snapshot().outcomes).toMatchObject({ failure: 1, cancelled: 0 });
  });

  it('by a bug in a policy: a failure of the execution, while the attempt was only cancelled', async () => {
    class Buggy extends Stage {
      override succeed(): void {
        throw boom;
      }
    }
    const { pipe, ends } = setup([retry(), { kind: 'buggy', stage: () => new Buggy() }]);
    await expect(pipe.execute(() => 1)).rejects.toBe(boom);
    expect(ends.attempt).toEqual([end('cancelled')]);
    expect(ends.execution).toEqual([end('failure', { error: boom })]);
    expect(pipe.snapshot().outcomes).toMatchObject({ failure: 1, cancelled: 0 });
  });

  it('when another one won: cancelled', async () => {
    const race = policy({ kind: 'race', repeats: true, around: (_call, next) => Promise.race([next(), next()]) });
    const { pipe, ends, clock } = setup([race]);
    const works = [gate(), gate()];
    let calls = 0;
    const seen = watch(pipe.execute(() => works[calls++]!.promise));
    await clock.advance(3);
    works[1]!.open('won');
    await turn();
    expect(seen.result).toBe('won');
    expect(ends.attempt).toEqual([
      end('success', { durationMs: 3, attempts: 2 }),
      end('cancelled', { durationMs: 3, attempts: 1 }),
    ]);
    expect(ends.execution).toEqual([end('success', { durationMs: 3, attempts: 2 })]);
  });

  it('turned away: rejected, and the function was not called', async () => {
    const slots = bulkhead({ limit: 1 });
    const { pipe, ends } = setup([slots]);
    const work = gate();
    const first = pipe.execute(() => work.promise);
    const { error } = (await pipe.tryExecute(() => 1)) as { error: unknown };
    // The attempt is inside the bulkhead, so there was none.
    expect(ends.attempt).toEqual([]);
    expect(ends.execution).toEqual([end('failure', { error, attempts: 0, rejected: true })]);
    work.open(1);
    await first;
    expect(ends.execution![1]).toEqual(end('success'));
  });

  it('turned away inside a retry: the attempt is rejected as well', async () => {
    const slots = bulkhead({ limit: 1 });
    const { pipe, ends } = setup([retry({ maxRetries: 0 }), slots]);
    const work = gate();
    const first = pipe.execute(() => work.promise);
    const { error } = (await pipe.tryExecute(() => 1)) as { error: unknown };
    const rejected = end('failure', { error, rejected: true });
    expect([ends.attempt, ends.execution]).toEqual([[rejected], [rejected]]);
    work.open(1);
    await first;
  });

  const both = policy({
    kind: 'both',
    repeats: true,
    around: (_call, next) => Promise.allSettled([next(), next()]),
  });
  const through = policy({ kind: 'through', around: (_call, next) => next() });
  it.each<[string, Stackable[], boolean[]]>([
    ['one after the other', [retry({ backoff: 0 }), circuitBreaker({ consecutiveFailures: 1 })], [false, true]],
    ['two at a time', [both, bulkhead({ limit: 1 })], [true, false]],
    ['around a middleware', [retry({ maxRetries: 0 }), through], [false]],
    ['in a nested pipeline', [retry({ maxRetries: 0 }), pipeline('inner', [], { telemetry: false })], [false]],
  ])(
    'attempts know, each for itself, whether the function was called in them: %s',
    async (_how, policies, rejected) => {
      const { pipe, ends } = setup(policies);
      await pipe.tryExecute(() => Promise.reject(boom));
      expect(ends.attempt!.map((attempt) => attempt.rejected)).toEqual(rejected);
    },
  );

  it('without attempts being wanted, the count says whether the function was called', async () => {
    const counts: number[] = [];
    const observer: Observer = { end: (name, _token, { attempts }) => name === 'execution' && counts.push(attempts) };
    const pipe = pipeline('p', [fallback(() => 'spare'), timeout(() => 0)], {
      telemetry: false,
      observers: [observer],
    });
    await pipe.execute(() => 1);
    await pipeline('q', [], { telemetry: false, observers: [observer] }).execute(() => 1);
    expect(counts).toEqual([0, 1]);
  });
});

describe('the outcome of an execution', () => {
  it('is success when a later attempt went well without the fallback of an earlier one', async () => {
    const { pipe, ends } = setup([
      retry({ backoff: 0, when: { result: (value) => value === 'spare' } }),
      fallback(() => 'spare'),
    ]);
    const answer = await pipe.execute(({ attempt }) => {
      if (attempt === 1) throw boom;
      return 'good';
    });
    expect(answer).toBe('good');
    expect(ends.attempt!.map(({ outcome }) => outcome)).toEqual(['fallback', 'success']);
    expect(ends.execution!.map(({ outcome }) => outcome)).toEqual(['success']);
    expect(pipe.snapshot().outcomes).toMatchObject({ success: 1, fallback: 0 });
  });

  it('is cancelled, once, when the classifier of a value ends the call', async () => {
    const caller = new AbortController();
    const { pipe, ends } = setup([], {
      classify: () => {
        caller.abort('enough');
        return 'success';
      },
    });
    await expect(pipe.execute(() => 'value', caller.signal)).rejects.toBe('enough');
    expect(ends.execution!.map(({ outcome }) => outcome)).toEqual(['cancelled']);
    expect(pipe.snapshot()).toMatchObject({ active: 0, outcomes: { success: 0, failure: 0, cancelled: 1 } });
  });
});

describe('an execution of a nested pipeline', () => {
  it('that lost against another is cancelled', async () => {
    const race = policy({ kind: 'race', repeats: true, around: (_call, next) => Promise.race([next(), next()]) });
    const inner = pipeline('inner', [], { telemetry: false });
    let calls = 0;
    expect(await pipeline('p', [race, inner]).execute(() => (++calls === 1 ? hang() : 'won'))).toBe('won');
    expect(inner.snapshot()).toMatchObject({ active: 0, outcomes: { success: 1, cancelled: 1, failure: 0 } });
  });

  it.each([
    ['value', (): unknown => 'value'],
    ['error', (): unknown => Promise.reject(boom)],
  ] as const)('whose classifier ends the call for a %s: what is outside hears of that end alone', async (_what, fn) => {
    const caller = new AbortController();
    const log: string[] = [];
    const classify = () => {
      caller.abort('enough');
      return 'success' as const;
    };
    const inner = pipeline('inner', [], { telemetry: false, classify });
    const pipe = pipeline('p', [spy('out', log), inner], { telemetry: false });
    await expect(pipe.execute(fn, caller.signal)).rejects.toBe('enough');
    expect(log).toEqual(['out enter', 'out drop cancelled']);
    expect(inner.snapshot()).toMatchObject({ active: 0, outcomes: { cancelled: 1 } });
  });
});

describe('an observer that ends the call', () => {
  it.each(['execution', 'attempt'] as const)('as its %s begins: nothing inside of that begins', async (span) => {
    const caller = new AbortController();
    const log: string[] = [];
    const ends: string[] = [];
    const observer: Observer = {
      start: (name) => {
        if (name === span) caller.abort('enough');
      },
      end: (name, _token, { outcome }) => void ends.push(`${name} ${outcome}`),
    };
    const pipe = pipeline('p', [spy('out', log), retry(), spy('in', log)], { telemetry: false, observers: [observer] });
    let calls = 0;
    await expect(pipe.execute(() => ++calls, caller.signal)).rejects.toBe('enough');
    expect([calls, log]).toEqual([0, span === 'execution' ? [] : ['out enter', 'out drop cancelled']]);
    expect(ends).toEqual(span === 'execution' ? ['execution cancelled'] : ['attempt cancelled', 'execution cancelled']);
    expect(pipe.snapshot().active).toBe(0);
  });

  it.each([
    ['went well', (): unknown => 1],
    ['failed', (): unknown => Promise.reject(boom)],
  ] as const)(
    'as an attempt has ended that %s: the caller hears his reason, and no other attempt begins',
    async (_how, fn) => {
      const caller = new AbortController();
      const ends: string[] = [];
      const observer: Observer = {
        end: (name, _token, { outcome }) => {
          ends.push(`${name} ${outcome}`);
          if (name === 'attempt') caller.abort('enough');
        },
      };
      const log: string[] = [];
      const pipe = pipeline('p', [retry({ backoff: 0 }), spy('in', log)], { telemetry: false, observers: [observer] });
      await expect(pipe.execute(fn, caller.signal)).rejects.toBe('enough');
      await turn();
      expect(ends).toHaveLength(2);
      expect(ends[1]).toBe('execution cancelled');
      expect(log).toHaveLength(2);
      expect(pipe.snapshot()).toMatchObject({ active: 0, outcomes: { cancelled: 1 } });
    },
  );
});

describe('the deadline of a call through a nested pipeline', () => {
  it('is counted and told once, by the outer one', async () => {
    const clock = virtualClock();
    const inner = pipeline('inner', [], { clock, telemetry: false });
    const outer = pipeline('outer', [inner], { clock, telemetry: false });
    const told: string[] = [];
    for (const pipe of [inner, outer])
      pipe.subscribe(({ type, pipeline }) => type === 'timeout' && told.push(pipeline));
    const seen = watch(outer.execute(hang, { timeoutMs: 10 }));
    expect(clock.pending).toBe(1);
    await clock.advance(10);
    expect(seen.result).toMatchObject({ code: 'timeout', policy: 'deadline', pipeline: 'outer' });
    expect([outer.snapshot().timeouts, inner.snapshot().timeouts, told]).toEqual([1, 0, ['outer']]);
  });
});

describe('durations', () => {
  it('are measured without a word to observers that want to hear nothing', async () => {
    const told: string[] = [];
    const observer: Observer = {
      interest: () => 0,
      start: (name) => void told.push(`${name} starts`),
      end: (name) => void told.push(`${name} ends`),
    };
    const clock = virtualClock();
    const pipe = pipeline('p', [retry()], { clock, telemetry: false, observers: [observer] });
    pipe.snapshot();
    await pipe.execute(() => 1);
    expect(pipe.snapshot().latency).not.toBeNull();
    expect(told).toEqual([]);
  });

  it('are measured from the first snapshot on, where nobody watches: percentiles of the time that calls took', async () => {
    const clock = virtualClock();
    const pipe = pipeline('p', [], { clock, telemetry: false });
    const spend = async (ms: number) => {
      const work = gate();
      const call = pipe.execute(() => work.promise);
      await clock.advance(ms);
      work.open(1);
      await call;
    };
    await spend(1_000);
    expect(pipe.snapshot().latency).toBeNull();
    await spend(100);
    const { p50, p99 } = pipe.snapshot().latency!;
    for (const ms of [p50, p99]) expect(ms).toBeGreaterThan(80);
    for (const ms of [p50, p99]) expect(ms).toBeLessThan(125);
  });
});
