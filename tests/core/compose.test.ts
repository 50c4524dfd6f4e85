import {
  type Classify,
  circuitBreaker,
  fallback,
  type Policy,
  pipeline,
  policy,
  retry,
  Stage,
  timeout,
} from 'seaworthy';
import { virtualClock } from 'seaworthy/testing';
import { describe, expect, it } from 'vitest';
import type { Call } from '../../src/core/call.ts';
import { turn, watch } from './spy.ts';

const boom = new Error('boom');
const hang = () => new Promise<never>(() => {});

describe('a nested pipeline with a policy of the outer one inside it', () => {
  it('is where the function is at home: its name, and its attempts', async () => {
    const clock = virtualClock();
    const inner = pipeline('inner', [retry({ maxRetries: 2, backoff: 0 })], { clock });
    const outer = pipeline('outer', [inner, timeout(1_000)], { clock });
    const seen: unknown[] = [];
    await outer.execute(({ pipeline, attempt }) => {
      seen.push([pipeline, attempt]);
      if (attempt < 3) throw boom;
    });
    expect(seen).toEqual([
      ['inner', 1],
      ['inner', 2],
      ['inner', 3],
    ]);
  });

  it('whose retry stands outside of it: the attempts are those of the outer one', async () => {
    const inner = pipeline('inner', [timeout(1_000)]);
    const outer = pipeline('outer', [retry({ maxRetries: 1, backoff: 0 }), inner]);
    const seen: unknown[] = [];
    await outer.tryExecute(({ pipeline, attempt }) => {
      seen.push([pipeline, attempt]);
      throw boom;
    });
    expect(seen).toEqual([
      ['inner', 1],
      ['inner', 1],
    ]);
    expect([outer.snapshot(), inner.snapshot()]).toMatchObject([
      { calls: 1, attempts: 2 },
      { calls: 2, attempts: 2 },
    ]);
  });
});

describe('who classifies', () => {
  const bad: Classify = ({ value }) => (value === 'bad' ? 'failure' : 'success');

  it.each([
    ['nobody', undefined, undefined, 'success', 'success'],
    ['the outer pipeline', bad, undefined, 'failure', 'success'],
    ['the inner pipeline', undefined, bad, 'success', 'failure'],
    ['both', bad, bad, 'failure', 'failure'],
  ] as const)('%s: each by itself', async (_who, ours, theirs, outside, inside) => {
    const inner = pipeline('inner', [], { ...(theirs && { classify: theirs }) });
    const outer = pipeline('outer', [inner], { ...(ours && { classify: ours }) });
    await outer.execute(() => 'bad');
    expect([outer.snapshot().outcomes[outside], inner.snapshot().outcomes[inside]]).toEqual([1, 1]);
  });

  it('the call, where no pipeline does', async () => {
    const breaker = circuitBreaker({ consecutiveFailures: 1 });
    const pipe = pipeline('p', [breaker]);
    await pipe.execute(() => 'bad', { classify: bad });
    expect([breaker.state, pipe.snapshot().outcomes.failure]).toEqual(['open', 1]);
  });
});

describe('a policy that is bypassed in a pipeline', () => {
  it('is walked past in pipelines around that one, made before or afterwards, until it is disposed of', async () => {
    const inner = pipeline('inner', [fallback({ to: { value: 'spare' } })]);
    const before = pipeline('before', [inner]);
    const hold = inner.bypass('inner/fallback');
    const after = pipeline('after', [inner]);
    const fail = () => Promise.reject(boom);
    for (const outer of [before, after]) await expect(outer.execute(fail)).rejects.toBe(boom);
    hold.dispose();
    for (const outer of [before, after]) expect(await outer.execute(fail)).toBe('spare');
  });
});

describe('a bypass by the name of the pipeline, which a policy bears too', () => {
  it('means the policy alone: attempts are counted as before', async () => {
    const pipe = pipeline('p', [retry({ maxRetries: 1, backoff: 0 }), fallback({ to: { value: 'spare' }, name: 'p' })]);
    pipe.bypass('p');
    const attempts: number[] = [];
    await expect(
      pipe.execute(({ attempt }) => {
        attempts.push(attempt);
        throw boom;
      }),
    ).rejects.toBe(boom);
    expect(attempts).toEqual([1, 2]);
    expect(pipe.snapshot()).toMatchObject({ calls: 1, attempts: 2, active: 0 });
  });
});

describe('which fallbacks answer when the deadline has passed', () => {
  const spare = (name: string) => fallback({ to: { value: name }, name });
  const passes = () => policy({ kind: 'passes', around: (_call, next) => next() });

  it.each([
    ['the innermost of those that lead', () => [spare('a'), spare('b'), timeout(1_000)], 'b'],
    ['one that leads, whatever follows', () => [spare('a'), passes(), spare('b')], 'a'],
    [
      'none inside of a nested pipeline',
      () => [spare('a'), pipeline('inner', [spare('b')], { telemetry: false }), spare('c')],
      'a',
    ],
  ])('%s', async (_which, policies, answer) => {
    const clock = virtualClock();
    const seen = watch(pipeline('p', policies(), { clock }).execute(hang, { timeoutMs: 10 }));
    await clock.advance(10);
    await turn();
    expect(seen.result).toBe(answer);
  });
});

describe('a policy that limits and stands twice in a row of stages', () => {
  it('is refused by name, also where a nested pipeline holds it', () => {
    const breaker = circuitBreaker({ name: 'db' });
    const message = '"db" stands in it twice, and a call would be in its own way there';
    expect(() => pipeline('p', [breaker, breaker])).toThrow(new TypeError(`Cannot create pipeline "p": ${message}`));
    const inner = pipeline('inner', [breaker]);
    expect(() => pipeline('outer', [breaker, inner])).toThrow(
      new TypeError(`Cannot create pipeline "outer": ${message}`),
    );
  });
});

describe('a stage that wants to hear when the function is called', () => {
  it('hears it of the call that came to it, in and around what a middleware runs beside itself', async () => {
    const entered: Call[] = [];
    const started: Call[] = [];
    class Times extends Stage {
      override readonly timesWork = true;
      override enter(call: Call): void {
        entered.push(call);
        this.proceed(call);
      }
      override started(call: Call): void {
        started.push(call);
      }
    }
    /** Runs what is inside it as a fork. */
    class Forks extends Times {
      override enter(call: Call): void {
        entered.push(call);
        const fork = call.fork(this);
        fork.guarded(() => this.inner.enter(fork));
      }
      override succeed(fork: Call, value: unknown): void {
        fork.at = -1;
        this.pass(fork.parent!, value);
      }
    }
    const own = (stage: () => Stage, name: string): Policy => ({ kind: 'own', name, stage });
    const passes = (name: string) => policy({ kind: 'passes', name, around: (_call, next) => next() });
    const times = (name: string) => own(() => new Times(), name);
    const forks = own(() => new Forks(), 'forks');
    const policies = [times('a'), passes('b'), times('c'), forks, times('d'), passes('e'), times('f')];
    await pipeline('p', policies).execute(() => 1);
    expect(entered.map(({ parent }) => parent === null)).toEqual([true, false, false, false, false]);
    expect(new Set(entered).size).toBe(4);
    expect(started).toHaveLength(5);
    started.forEach((call, i) => void expect(call).toBe(entered[i]));
  });

  it('hears it as the function is called, not as the call comes in: a slow middleware or queue is no slow function', async () => {
    const clock = virtualClock();
    const waits = () =>
      policy({
        kind: 'waits',
        around: async (_call, next) => {
          await new Promise<void>((resolve) => clock.after(200, resolve));
          return next();
        },
      });
    for (const make of [
      (breaker: Policy) => [breaker, waits()],
      (breaker: Policy) => [waits(), breaker],
      (breaker: Policy) => [breaker, pipeline('inner', [waits()], { clock })],
    ])
      for (const [ms, state] of [
        [99, 'closed'],
        [101, 'open'],
      ] as const) {
        const breaker = circuitBreaker({ slowMs: 100, minimumCalls: 1 });
        const call = pipeline('p', make(breaker), { clock }).execute(
          () => new Promise<void>((resolve) => clock.after(ms, resolve)),
        );
        await clock.advance(200 + ms);
        await call;
        expect(breaker.state).toBe(state);
      }
  });
});
