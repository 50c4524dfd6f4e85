import * as cockatiel from 'cockatiel';
import { fallback, pipeline, retry } from 'seaworthy';
import { seededRandom, virtualClock } from 'seaworthy/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { likeFetch, stand, turn, watch } from '../policies/stand.ts';
import { boom, down, gone } from './cockatiel-fixture.ts';
import { mended, onFakeTime } from './scene.ts';

const { ConstantBackoff, ExponentialBackoff, handleAll, handleWhenResult } = cockatiel;

describe('predicates', () => {
  // A fault of user code is also a warning.
  beforeEach(() => void vi.spyOn(process, 'emitWarning').mockImplementation(() => {}));
  afterEach(() => void vi.restoreAllMocks());

  it('C-26: a predicate that throws is reported, and is no failure of the function', async () => {
    await onFakeTime(async (pass) => {
      const fn = vi.fn(() => undefined);
      const policy = cockatiel.retry(
        handleAll.orWhenResult((result: any) => result.status === 503),
        { maxAttempts: 3 },
      );
      const call = watch(policy.execute(fn));
      await pass(10);
      expect(fn, mended).toHaveBeenCalledTimes(4);
      expect(call.error, mended).toBeInstanceOf(TypeError);
    });

    const { pipe, told } = stand([
      retry({ when: { error: () => true, result: (result: any) => result.status === 503 } }),
    ]);
    const fn = vi.fn(() => undefined);
    expect(await pipe.tryExecute(fn)).toEqual({ status: 'value', value: undefined });
    expect(fn).toHaveBeenCalledTimes(1);
    expect(told('fault')).toMatchObject([{ policy: 'shop/retry', where: 'when', error: expect.any(TypeError) }]);
    expect(told('retry_result')).toMatchObject([{ result: 'success' }]);
  });

  it('C-26: a predicate that answers a promise has not said yes', async () => {
    await onFakeTime(async (pass) => {
      const fn = vi.fn(() => 'good');
      const policy = cockatiel.retry(handleWhenResult((async () => false) as any), { maxAttempts: 3 });
      watch(policy.execute(fn));
      await pass(10);
      expect(fn, mended).toHaveBeenCalledTimes(4);
    });

    for (const when of [{ result: async () => false }, handleWhenResult((async () => false) as any)]) {
      const { pipe, told } = stand([retry({ when: when as any })]);
      const fn = vi.fn(() => 'good');
      expect(await pipe.execute(fn)).toBe('good');
      expect(fn).toHaveBeenCalledTimes(1);
      expect(told('fault')).toMatchObject([
        { where: 'when', error: { message: expect.stringContaining('true or false') } },
      ]);
    }
  });
});

describe('how often', () => {
  it('C-27: the limit of a retry is named for what it counts, and a misspelt one is refused', async () => {
    await onFakeTime(async (pass) => {
      const three = vi.fn(down);
      watch(cockatiel.retry(handleAll, { maxAttempts: 3 }).execute(three));
      await pass(10);
      expect(three, mended).toHaveBeenCalledTimes(4);

      let calls = 0;
      const call = watch(cockatiel.retry(handleAll, { attempts: 3 } as any).execute(() => ++calls > 2_000 || down()));
      await pass(10_000);
      expect(call.value, mended).toBe(true);
    });

    for (const [maxRetries, times] of [
      [3, 4],
      [0, 1],
      [undefined, 3],
    ] as const) {
      const { pipe, clock } = stand([retry({ maxRetries })]);
      const fn = vi.fn(down);
      watch(pipe.execute(fn));
      await clock.advance(3_600_000);
      expect(fn).toHaveBeenCalledTimes(times);
    }
    for (const name of ['attempts', 'maxAttempts', 'maxRetrys'])
      expect(() => retry({ [name]: 3 })).toThrow(`Cannot create retry: unknown option "${name}"`);
    for (const maxRetries of [-1, 1.5, Number.NaN]) expect(() => retry({ maxRetries })).toThrow(RangeError);
  });

  it('C-30: a backoff without a length ends the retrying, and any backoff may say stop', async () => {
    await onFakeTime(async (pass) => {
      const fn = vi.fn(down);
      const policy = cockatiel.retry(handleAll, { maxAttempts: 500, backoff: new cockatiel.IterableBackoff([]) });
      watch(policy.execute(fn));
      await pass(500);
      expect(fn, mended).toHaveBeenCalledTimes(501);
    });

    const word = ({ retry }: { retry: number }) => (retry > 2 ? 'stop' : 10);
    const ends = { next: () => ({ duration: 10, next: () => undefined }) } as any;
    for (const [backoff, times] of [
      [new cockatiel.IterableBackoff([]), 1],
      [word, 3],
      [ends, 2],
    ] as const) {
      const { pipe, clock, told } = stand([retry({ maxRetries: 500, backoff })]);
      const fn = vi.fn(down);
      const call = watch(pipe.execute(fn));
      await clock.advance(1_000);
      expect(call.error).toBe(boom);
      expect(fn).toHaveBeenCalledTimes(times);
      expect(told('retry_result')).toMatchObject([{ result: 'exhausted', retries: times - 1 }]);
    }
    expect(() => retry({ backoff: Number.NaN })).toThrow(RangeError);
    expect(() => retry({ backoff: -1 })).toThrow(RangeError);
  });
});

describe('how long', () => {
  it('C-28: the pauses grow by the exponent, and no option is silently ignored', async () => {
    const backoff = new ExponentialBackoff({
      generator: cockatiel.noJitterGenerator,
      exponent: 3,
      initialDelay: 100,
    });
    expect(durations(backoff, 3), mended).toEqual([100, 200, 400]);

    // The longest pause each time.
    const longest = () => 1 - Number.EPSILON;
    const own = await pauses(8, { random: longest });
    expect(own.map((ms) => Math.round(ms))).toEqual([100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000]);
    expect(await pauses(3, { backoff: ({ retry }) => 100 * 3 ** (retry - 1) })).toEqual([100, 300, 900]);
    expect(() => retry({ exponent: 3 } as any)).toThrow('unknown option "exponent"');
  });

  it('C-29: the pauses of two hundred clients differ also at the cap', async () => {
    const random = vi.spyOn(Math, 'random').mockImplementation(seededRandom(1));
    try {
      const clients = Array.from({ length: 200 }, () => durations(new ExponentialBackoff({ initialDelay: 1_000 }), 12));
      expect(new Set(clients.map((client) => client.at(-1))), mended).toEqual(new Set([30_000]));
      const first = clients.map((client) => client[0]!);
      expect(Math.min(...first), mended).toBeLessThan(200);
      expect(Math.max(...first), mended).toBeGreaterThan(1_200);
    } finally {
      random.mockRestore();
    }

    const chance = seededRandom(1);
    const twelfth: number[] = [];
    for (let n = 0; n < 200; n++) twelfth.push((await pauses(12, { random: chance })).at(-1)!);
    expect(new Set(twelfth).size).toBe(200);
    expect(Math.max(...twelfth)).toBeLessThanOrEqual(10_000);
    // As many in each fifth of the range as chance gives, give or take.
    for (let fifth = 0; fifth < 5; fifth++)
      expect(twelfth.filter((ms) => Math.floor(ms / 2_000) === fifth).length).toBeGreaterThan(20);
  });

  /** The first `n` lengths of a backoff of cockatiel's. */
  function durations(factory: cockatiel.IBackoffFactory<unknown>, n: number): number[] {
    const all: number[] = [];
    for (let step = factory.next({}); all.length < n; step = step.next({})) all.push(step.duration);
    return all;
  }

  /** The pauses of a call of ours that is retried `maxRetries` times. */
  async function pauses(
    maxRetries: number,
    { random = seededRandom(1), backoff }: { random?: () => number; backoff?: (info: { retry: number }) => number },
  ): Promise<number[]> {
    const { pipe, clock, events } = stand([retry({ maxRetries, budget: false, backoff })], { random });
    watch(pipe.execute(down));
    await clock.advance(maxRetries * 30_000);
    return events.flatMap((event) => (event.type === 'retry' ? [event.delayMs] : []));
  }
});

describe('the attempt', () => {
  it('C-36: attempts are told apart where retries are nested', async () => {
    const twice = () => cockatiel.retry(handleAll, { maxAttempts: 1, backoff: new ConstantBackoff(0) });
    await onFakeTime(async (pass) => {
      const seen: unknown[] = [];
      const policy = cockatiel.wrap(twice(), twice());
      watch(policy.execute(({ attempt }) => (seen.push(attempt), down())));
      await pass(10);
      expect(seen, mended).toEqual([0, 1, 0, 1]);
    });

    // Within one pipeline it counts through.
    const seen: unknown[] = [];
    const flat = stand([retry({ maxRetries: 1, backoff: 0 }), retry({ maxRetries: 1, backoff: 0 })]);
    await flat.pipe.tryExecute(({ attempt }) => (seen.push(attempt), down()));
    expect(seen).toEqual([1, 2, 3, 4]);

    // A pipeline within another has attempts of its own, under its own name.
    const clock = virtualClock();
    const inner = pipeline('stock', [retry({ maxRetries: 1, backoff: 0 })], { telemetry: false, clock });
    const { pipe, told } = stand([retry({ maxRetries: 1, backoff: 0 }), inner], { clock });
    const heard: unknown[] = [];
    inner.subscribe(({ type, pipeline, attempt }) => type === 'attempt_end' && heard.push([pipeline, attempt]));
    const called: unknown[] = [];
    await pipe.tryExecute(({ pipeline, attempt }) => (called.push([pipeline, attempt]), down()));
    expect(heard).toEqual([
      ['stock', 1],
      ['stock', 2],
      ['stock', 1],
      ['stock', 2],
    ]);
    expect(called).toEqual(heard);
    expect(told('attempt_end')).toMatchObject([
      { pipeline: 'shop', attempt: 1 },
      { pipeline: 'shop', attempt: 2 },
    ]);
  });
});

describe('the fallback', () => {
  it('C-31: a fallback gets what happened and the call', async () => {
    const factory = vi.fn(() => 'instead');
    const policy = cockatiel.fallback(handleAll, factory);
    await policy.execute(down);
    expect(factory.mock.calls, mended).toEqual([[]]);
    expect('onFallback' in policy, mended).toBe(false);

    const to = vi.fn((_outcome: unknown, _call: unknown) => 'instead');
    const { pipe, told } = stand([fallback({ to, when: { error: () => true, result: () => true } })]);
    await pipe.execute(down, { key: 'k' });
    await pipe.execute(() => 'bad');
    const call = { signal: expect.any(AbortSignal), pipeline: 'shop', key: 'k' };
    expect(to.mock.calls[0]).toMatchObject([{ status: 'failure', error: boom }, call]);
    expect(to.mock.calls[1]![0]).toEqual({ status: 'value', value: 'bad' });
    expect(told('fallback')).toMatchObject([
      { result: 'success', error: boom },
      { result: 'success', value: 'bad' },
    ]);
  });

  it('C-31: a fallback is not used for a caller who has gone', async () => {
    const caller = new AbortController();
    const policy = cockatiel.fallback(handleAll, () => 'instead');
    const call = watch(policy.execute(likeFetch, caller.signal));
    caller.abort(gone);
    await turn();
    expect(call.value, mended).toBe('instead');

    const own = new AbortController();
    const to = vi.fn(() => 'instead');
    const { pipe } = stand([fallback(to)]);
    const mine = watch(pipe.execute(likeFetch, own.signal));
    own.abort(gone);
    await turn();
    expect(mine.error).toBe(gone);
    expect(to).not.toHaveBeenCalled();
  });

  it('C-31: a fallback that fails itself keeps the original error', async () => {
    const broken = () => Promise.reject(new Error('no fallback either'));
    const policy = cockatiel.fallback(handleAll, broken);
    expect((await policy.execute(down).catch((error) => error)).cause, mended).toBeUndefined();

    const { pipe, told } = stand([fallback(broken)]);
    const { error } = (await pipe.tryExecute(down)) as { error: Error };
    expect(error.message).toBe('no fallback either');
    expect(error.cause).toBe(boom);
    expect(told('fallback')).toMatchObject([{ result: 'failure', error: boom, cause: error }]);
  });
});
