import { fallback, pipeline, policy, type Policy, retry, Stage, timeout } from 'seaworthy';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Pipeline } from '../../src/core/pipeline.ts';
import type { PipelineInfo } from '../../src/telemetry/observer.ts';
import { virtualClock } from '../../src/testing/virtual-clock.ts';
import { gate, microtasks, turn, watch } from './spy.ts';

const quiet = { telemetry: false } as const;
const down = new Error('down');
const hang = () => new Promise<never>(() => {});

afterEach(() => vi.restoreAllMocks());

describe('a snapshot', () => {
  it('of a pipeline that has done nothing is all zero', () => {
    const pipe = pipeline('p', [timeout(10), pipeline('inner', [], quiet)], { ...quiet, clock: virtualClock() });
    const nothing = {
      name: 'p',
      calls: 0,
      outcomes: { success: 0, fallback: 0, failure: 0, cancelled: 0, ignored: 0 },
      attempts: 0,
      attemptsPerCall: 0,
      active: 0,
      late: 0,
      timeouts: 0,
      rejections: { deadline_exceeded: 0, draining: 0 },
      last10s: { calls: 0, failures: 0 },
      latency: null,
    };
    const policies = [
      expect.objectContaining({ name: 'p/timeout', bypassed: false, kind: 'timeout' }),
      { name: 'inner', bypassed: false, kind: 'custom' },
    ];
    expect(pipe.snapshot()).toEqual({ ...nothing, policies });
    // Percentiles are wanted from now on, and there are none yet.
    expect(pipe.snapshot()).toEqual({ ...nothing, policies });
  });

  it('has counts of the last ten seconds without the calls that run', async () => {
    const clock = virtualClock();
    const pipe = pipeline('p', [], { ...quiet, clock });
    await pipe.execute(() => 1);
    await clock.advance(1_000);
    await pipe.tryExecute(() => Promise.reject(down));
    watch(pipe.execute(hang));
    watch(pipe.execute(hang));
    expect(pipe.snapshot()).toMatchObject({ calls: 4, active: 2, last10s: { calls: 2, failures: 1 } });
  });

  describe('has percentiles', () => {
    const stand = () => {
      const clock = virtualClock();
      const pipe = pipeline('p', [], { ...quiet, clock });
      const take = async (ms: number) => {
        const work = gate();
        const seen = watch(pipe.execute(() => work.promise));
        await clock.advance(ms);
        work.open(0);
        await turn();
        expect(seen.state).toBe('value');
      };
      /** The median to one digit, which is more than the error of a reading. */
      const median = () => {
        const p50 = pipe.snapshot().latency?.p50;
        return p50 === undefined ? null : Number(p50.toPrecision(1));
      };
      return { clock, pipe, take, median };
    };

    it('of all calls of the last seconds since somebody has listened, or looked', async () => {
      const { pipe, take } = stand();
      pipe.subscribe(() => {}).dispose();
      for (let i = 0; i < 8; i++) await take(10);
      await take(100);
      pipe.snapshot();
      await take(1_000);
      const { p50, p90, p99 } = pipe.snapshot().latency!;
      for (const [quantile, ms] of [
        [p50, 10],
        [p90, 100],
        [p99, 1_000],
      ] as const) {
        expect(quantile).toBeGreaterThan(ms * 0.8);
        expect(quantile).toBeLessThan(ms * 1.25);
      }
    });

    it('of now and not of the week, within twenty seconds of a change', async () => {
      const { clock, take, median } = stand();
      median();
      for (let i = 0; i < 50; i++) {
        await take(10);
        await clock.advance(990);
      }
      expect(median()).toBe(10);
      for (let i = 0; i < 20; i++) await take(1_000);
      expect(median()).toBe(1_000);
      for (let i = 0; i < 21; i++) {
        await take(10);
        await clock.advance(990);
      }
      expect(median()).toBe(10);
    });

    it('for ten seconds after the last call and no longer than twenty', async () => {
      const { clock, take, median } = stand();
      median();
      await take(10);
      await clock.advance(9_900);
      expect(median()).toBe(10);
      await clock.advance(10_100);
      expect(median()).toBe(null);
    });

    it('only while they are asked for: ten minutes after the last look calls are not timed any more', async () => {
      const { clock, pipe, take, median } = stand();
      const reads = vi.spyOn(clock, 'now');
      const cost = async () => {
        reads.mockClear();
        await pipe.execute(() => 1);
        return reads.mock.calls.length;
      };
      const unasked = await cost();
      median();
      expect(await cost()).toBe(unasked + 2);
      await clock.advance(595_000);
      await take(10);
      expect(median()).toBe(10);
      await clock.advance(600_000);
      expect(await cost()).toBe(unasked + 2);
      await clock.advance(1_000);
      await pipe.execute(() => 1);
      expect(await cost()).toBe(unasked);
      expect(median()).toBe(null);
      await take(10);
      expect(median()).toBe(10);
    });
  });

  it("holds what a user's policy says, and where it says nothing or throws just that it is one", () => {
    const warned: unknown[] = [];
    vi.spyOn(process, 'emitWarning').mockImplementation(((warning: Error) =>
      warned.push([warning.message, warning.cause])) as never);
    const own = (name: string, snapshot?: () => never): Policy => ({
      kind: 'own',
      name,
      stage: () => new (class extends Stage {})(),
      ...(snapshot && { snapshot }),
    });
    const says = own('says', () => ({ kind: 'custom', level: 5 }) as never);
    const throws = own('throws', () => {
      throw down;
    });
    const trap = own(
      'trap',
      () => Object.defineProperty({}, 'level', { enumerable: true, get: throws.snapshot! }) as never,
    );
    expect(pipeline('p', [own('silent'), says, throws, trap], quiet).snapshot().policies).toEqual([
      { name: 'silent', bypassed: false, kind: 'custom' },
      { name: 'says', bypassed: false, kind: 'custom', level: 5 },
      { name: 'throws', bypassed: false, kind: 'custom' },
      { name: 'trap', bypassed: false, kind: 'custom' },
    ]);
    expect(warned).toEqual([
      ['throws: snapshot threw.', down],
      ['trap: snapshot threw.', down],
    ]);
  });
});

describe('what the default observer of a pipeline is told of it', () => {
  it('is its name, its policies in order, whether it repeats, and a copy of its attributes', () => {
    const infos: { info: PipelineInfo; telemetry: unknown; handle: object }[] = [];
    const defaults = {
      observer: (telemetry: unknown) => (info: PipelineInfo, handle: object) => {
        infos.push({ info, telemetry, handle });
        return {};
      },
      telemetry: () => undefined,
      adopt: (foreign: never) => foreign,
    };
    const [limit, again] = [timeout(10), retry({ name: 'again' })];
    const inner = pipeline('inner', [], quiet);
    const attributes = { team: 'shop' };
    const make = (telemetry?: unknown) =>
      new Pipeline('p', [limit, again, inner], { attributes, ...(telemetry !== undefined && { telemetry }) }, defaults);
    const made = [make(), make(true), make({ traces: false })];
    attributes.team = 'changed';
    make(false);
    expect(infos.map(({ telemetry }) => telemetry)).toEqual([undefined, undefined, { traces: false }]);
    expect(infos.map(({ handle }) => handle)).toEqual(made);
    const { info } = infos[0]!;
    expect([info.name, info.repeats, info.attributes]).toEqual(['p', true, { team: 'shop' }]);
    expect(info.policies).toEqual([
      { name: 'p/timeout', kind: 'timeout', identity: limit },
      { name: 'again', kind: 'retry', identity: again },
      { name: 'inner', kind: 'pipeline', identity: expect.anything() },
    ]);
    expect(info.policies[0]!.identity).toBe(limit);
    expect(info.snapshot()).toMatchObject({ name: 'p', calls: 0 });
    new Pipeline('q', [timeout(1)], {}, defaults);
    expect(infos.at(-1)!.info).toMatchObject({ repeats: false, attributes: undefined });
  });
});

describe('letting go of a pipeline', () => {
  it.each<[string, (pipe: Pipeline) => void]>([
    ['dispose', (pipe) => pipe.dispose()],
    ['using', (pipe) => pipe[Symbol.dispose]()],
  ])('by %s tells its observers, once, and takes no calls any more', async (_how, end) => {
    const dispose = vi.fn();
    const pipe = pipeline('p', [], { ...quiet, observers: [{ dispose }] });
    end(pipe);
    end(pipe);
    expect(dispose).toHaveBeenCalledTimes(1);
    await expect(pipe.execute(() => 1)).rejects.toMatchObject({ code: 'draining' });
  });
});

describe('onSuccess and onFailure', () => {
  const ends: [string, (caller: AbortController) => unknown, object[]][] = [
    ['a value', () => 1, [{ duration: 0 }]],
    ['a failing value', () => 503, [{ duration: 0, handled: true, reason: { value: 503 } }]],
    ['an error', () => Promise.reject(down), [{ duration: 0, handled: true, reason: { error: down } }]],
    [
      'an error that is none of the kind',
      () => Promise.reject('ignored'),
      [{ duration: 0, handled: false, reason: { error: 'ignored' } }],
    ],
    ['what a fallback answers', () => Promise.reject('spare'), [{ duration: 0 }]],
    ['a cancelled call', (caller) => (caller.abort('enough'), hang()), []],
  ];
  it.each(ends)('of %s', async (_what, fn, heard) => {
    const chain = [
      fallback({ to: () => 'spare', when: { error: (error) => error === 'spare', result: () => false } }),
    ] as const;
    const pipe = pipeline('p', chain, {
      ...quiet,
      clock: virtualClock(),
      classify: ({ status, value, error }) =>
        error === 'ignored' ? 'ignored' : status === 'value' && value !== 503 ? 'success' : 'failure',
    });
    const told: object[] = [];
    pipe.onSuccess((event) => told.push(event));
    pipe.onFailure((event) => told.push(event));
    const caller = new AbortController();
    watch(pipe.execute(() => fn(caller), caller.signal));
    await microtasks();
    expect(told).toEqual(heard);
  });
});

it('onFailure does not hear of an error that classify was asked about when it aborted the caller', async () => {
  const caller = new AbortController();
  const classify = () => {
    caller.abort('enough');
    return 'failure' as const;
  };
  const pipe = pipeline('p', [], { ...quiet, classify });
  const told: object[] = [];
  const ends: object[] = [];
  pipe.onFailure((event) => told.push(event));
  pipe.subscribe((event) => ends.push(event));
  await expect(pipe.execute(() => Promise.reject(down), caller.signal)).rejects.toBe('enough');
  expect(ends).toMatchObject([{ type: 'execution_end', outcome: 'cancelled', error: down }]);
  expect(told).toEqual([]);
});

describe('a policy made with policy()', () => {
  it('is custom in a snapshot', () => {
    const own = policy({ kind: 'mine', around: (_call, next) => next() });
    expect(pipeline('p', [own], quiet).snapshot().policies[0]).toMatchObject({ name: 'p/mine', kind: 'custom' });
  });
});
