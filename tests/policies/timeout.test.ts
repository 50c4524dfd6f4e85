import { isTaskCancelledError } from 'cockatiel';
import { DeadlineExceededError, pipeline, retry, TimeoutError, timeout } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { script } from '../../src/testing/script.ts';
import { deaf, deferred, likeFetch, stand, stateOf, thrownBy, turn, watch } from './stand.ts';

describe('timeout', () => {
  it('gives the caller a TimeoutError when time is up although the function ignores its signal', async () => {
    const { pipe, clock } = stand([timeout(100)]);
    const call = watch(pipe.execute(deaf));
    await clock.advance(99);
    expect(call.state).toBe('pending');
    await clock.advance(1);
    expect(call.error).toBeInstanceOf(TimeoutError);
    expect(call.error).toMatchObject({
      name: 'TimeoutError',
      code: 'timeout',
      timeoutMs: 100,
      policy: 'shop/timeout',
      pipeline: 'shop',
    });
    expect(isTaskCancelledError(call.error)).toBe(true);
  });

  it('passes value and error through untouched, and leaves no timer behind', async () => {
    const { pipe, clock } = stand([timeout(100)]);
    const mine = new Error('mine');
    expect(await pipe.execute(() => 1)).toBe(1);
    expect(await pipe.execute(async () => undefined)).toBe(undefined);
    expect(await pipe.execute(() => Promise.reject(mine)).catch((error) => error)).toBe(mine);
    await turn();
    expect(clock.pending).toBe(0);
  });

  it('aborts the signal of the function with the very TimeoutError that the caller gets', async () => {
    const { pipe, clock } = stand([timeout(100)]);
    let signal!: AbortSignal;
    const call = watch(pipe.execute((call) => ((signal = call.signal), deaf())));
    await clock.advance(100);
    expect(signal.aborted).toBe(true);
    expect(signal.reason).toBe(call.error);
  });

  it("keeps the function's own abort error as its cause", async () => {
    const { pipe, clock } = stand([timeout(100)]);
    const call = watch(pipe.execute(likeFetch));
    await clock.advance(100);
    expect(call.error).toBeInstanceOf(TimeoutError);
    expect(call.error.cause).toMatchObject({ name: 'AbortError' });
  });

  it('settles once: the function and its timeout due in the same tick give one outcome and one event', async () => {
    for (const ms of [100, 50]) {
      const { pipe, clock, told } = stand([timeout(ms)]);
      const answers: unknown[] = [];
      pipe.execute(script.with(clock, { delayMs: ms, then: 'ok', ignoreAbort: true })).then(
        (v) => answers.push(v),
        (e) => answers.push(e),
      );
      await clock.advance(ms);
      expect(answers).toHaveLength(1);
      expect(told('execution_end')).toHaveLength(1);
      expect(told('timeout').length).toBe(answers[0] === 'ok' ? 0 : 1);
    }
  });

  it('tells of each timeout once, and counts it', async () => {
    const { pipe, clock, told } = stand([timeout({ ms: 100, name: 'patience' })]);
    watch(pipe.execute(deaf));
    await clock.advance(500);
    expect(told('timeout')).toEqual([expect.objectContaining({ policy: 'patience', timeoutMs: 100 })]);
    expect(stateOf(pipe)).toMatchObject({ name: 'patience', kind: 'timeout', timeouts: 1, late: 0 });
  });

  it('discards a late value once, reports it as late, and never lets a late error be unhandled', async () => {
    const { pipe, clock, told } = stand([timeout(100)]);
    const discarded: unknown[] = [];
    const [good, bad] = [deferred(), deferred()];
    watch(pipe.execute(() => good.promise, { onDiscard: (value) => discarded.push(value) }));
    watch(pipe.execute(() => bad.promise));
    await clock.advance(100);
    good.resolve('too late');
    bad.reject(new Error('too late'));
    await turn();
    expect(discarded).toEqual(['too late']);
    expect(told('late')).toHaveLength(2);
    expect(stateOf(pipe).late).toBe(2);
  });

  it("never reports the caller's abort as a timeout", async () => {
    const { pipe, clock, told } = stand([timeout(100)]);
    const caller = new AbortController();
    const reason = new Error('gone');
    const call = watch(pipe.execute(likeFetch, caller.signal));
    await clock.advance(20);
    caller.abort(reason);
    await turn();
    expect(call.error).toBe(reason);
    await clock.advance(200);
    expect(told('timeout')).toEqual([]);
    expect(stateOf(pipe).timeouts).toBe(0);
    expect(clock.pending).toBe(0);
  });

  it('never aborts the signal after a success', async () => {
    const { pipe, clock } = stand([timeout(100)]);
    const signal = await pipe.execute(async ({ signal }) => signal);
    await clock.advance(1_000);
    expect(signal.aborted).toBe(false);
  });

  it('inside a retry ends one attempt', async () => {
    const { pipe, clock } = stand([retry({ backoff: 10 }), timeout(100)]);
    const server = script.with(clock, 'hang', 'hang', 'ok');
    const call = watch(pipe.execute(server));
    await clock.advance(250);
    expect(call.value).toBe('ok');
    expect(server.calls.map(({ at }) => at)).toEqual([0, 110, 220]);
  });

  it('outside a retry leaves no backoff pending: one that does not fit gives up at once with the last error', async () => {
    const { pipe, clock } = stand([timeout(100), retry({ backoff: 99 })]);
    const server = script.with(clock, { delayMs: 2, then: 'fail' }, 'ok');
    const call = watch(pipe.execute(server));
    await clock.advance(2);
    expect(call.error).toMatchObject({ name: 'ScriptedError' });
    expect(clock.pending).toBe(0);
  });

  it('outside a retry ends the attempt that runs, and none follows', async () => {
    const { pipe, clock, told } = stand([timeout(100), retry({ backoff: 50 })]);
    const call = watch(pipe.execute(script.with(clock, 'fail', 'hang')));
    await clock.advance(100);
    expect(call.error).toBeInstanceOf(TimeoutError);
    expect(told('retry')).toHaveLength(1);
    expect(stateOf(pipe, 1).executions.deadline).toBe(1);
  });

  it('is never early and at most a few milliseconds late on the real clock', async () => {
    const pipe = pipeline('real', [timeout(25)], { telemetry: false });
    const started = performance.now();
    await pipe.tryExecute(deaf);
    const took = performance.now() - started;
    expect(took).toBeGreaterThanOrEqual(25);
    expect(took).toBeLessThan(25 + 60);
  });

  describe('ms', () => {
    it('Infinity is no timeout and no timer', async () => {
      const { pipe, clock } = stand([timeout(Number.POSITIVE_INFINITY)]);
      const call = watch(pipe.execute(deaf));
      expect(clock.pending).toBe(0);
      await clock.advance(1e9);
      expect(call.state).toBe('pending');
    });

    it('as a function is asked per call, with the call', async () => {
      const { pipe, clock } = stand([timeout({ ms: ({ key }) => (key === 'fast' ? 10 : 50) })]);
      const fast = watch(pipe.execute(deaf, { key: 'fast' }));
      const slow = watch(pipe.execute(deaf));
      await clock.advance(10);
      expect([fast.state, slow.state]).toEqual(['error', 'pending']);
      await clock.advance(40);
      expect(slow.error).toMatchObject({ timeoutMs: 50 });
      expect(clock.pending).toBe(0);
    });

    it('as a function that answers undefined or Infinity is none', async () => {
      for (const ms of [undefined, Number.POSITIVE_INFINITY]) {
        const { pipe, clock } = stand([timeout({ ms: () => ms })]);
        const call = watch(pipe.execute(deaf));
        await clock.advance(1e6);
        expect(call.state).toBe('pending');
      }
    });

    it.each([0, -5])('as a function that answers %d is out of time: the function is not called', async (ms) => {
      const { pipe, told } = stand([timeout({ ms: () => ms })]);
      const server = script('ok');
      const { error } = await pipe.tryExecute(server);
      expect(error).toBeInstanceOf(DeadlineExceededError);
      expect(error).toMatchObject({ code: 'deadline_exceeded', remainingMs: ms, policy: 'shop/timeout' });
      expect(server.calls).toHaveLength(0);
      expect(told('rejected')).toEqual([expect.objectContaining({ reason: 'deadline_exceeded' })]);
      expect(stateOf(pipe).rejections).toEqual({ deadline_exceeded: 1 });
    });

    it.each([
      ['NaN', () => Number.NaN],
      ['a string', () => '100' as never],
      [
        'a throw',
        () => {
          throw new Error('broken');
        },
      ],
    ])('as a function that gives %s is reported, and fallbackMs holds', async (_, ms) => {
      const { pipe, clock, told } = stand([timeout({ ms, fallbackMs: 30 })]);
      const call = watch(pipe.execute(deaf));
      await clock.advance(30);
      expect(call.error).toMatchObject({ timeoutMs: 30 });
      expect(told('fault')).toEqual([expect.objectContaining({ where: 'ms', policy: 'shop/timeout' })]);
    });

    it('as a function that gives nonsense without fallbackMs is no timeout', async () => {
      const { pipe, clock } = stand([timeout({ ms: () => Number.NaN })]);
      const call = watch(pipe.execute(deaf));
      await clock.advance(1e6);
      expect(call.state).toBe('pending');
    });
  });

  describe("mode: 'cooperative'", () => {
    it('aborts the signal when time is up and settles when the function has ended', async () => {
      const { pipe, clock } = stand([timeout({ ms: 100, mode: 'cooperative' })]);
      const work = deferred();
      let signal!: AbortSignal;
      const call = watch(pipe.execute((call) => ((signal = call.signal), work.promise)));
      await clock.advance(100);
      expect(signal.reason).toBeInstanceOf(TimeoutError);
      expect(call.state).toBe('pending');
      work.resolve('late value');
      await turn();
      expect(call.error).toBe(signal.reason);
      expect(pipe.snapshot().policies[0]).toMatchObject({ timeouts: 1, late: 1 });
    });

    it('lets the caller give up while it waits for the function', async () => {
      const { pipe, clock } = stand([timeout({ ms: 100, mode: 'cooperative' })]);
      const caller = new AbortController();
      const call = watch(pipe.execute(deaf, caller.signal));
      await clock.advance(100);
      caller.abort('enough');
      await turn();
      expect(call.error).toBe('enough');
    });

    it('is not the default', async () => {
      const { pipe, clock } = stand([timeout({ ms: 100 })]);
      const call = watch(pipe.execute(deaf));
      await clock.advance(100);
      expect(call.state).toBe('error');
    });
  });

  it('shows what is left as remainingMs: the least of all around the call', async () => {
    const { pipe, clock } = stand([timeout(500), timeout(100)]);
    const seen: number[] = [];
    watch(
      pipe.execute(async (call) => {
        seen.push(call.remainingMs);
        await new Promise<void>((resolve) => clock.after(40, resolve));
        seen.push(call.remainingMs);
      }),
    );
    await clock.advance(40);
    expect(seen).toEqual([100, 60]);
    const free = stand([timeout(Number.POSITIVE_INFINITY)]);
    expect(await free.pipe.execute((call) => call.remainingMs)).toBe(Number.POSITIVE_INFINITY);
  });

  describe('bad options', () => {
    it.each([
      [0, '"ms" must be a number above 0 or Infinity, or a function, received 0'],
      [-1, '"ms" must be a number above 0 or Infinity, or a function, received -1'],
      [Number.NaN, '"ms" must be a number above 0 or Infinity, or a function, received NaN'],
      [{ ms: 10, fallbackMs: 0 }, '"fallbackMs" must be a number above 0 or Infinity, received 0'],
    ])('%j is a RangeError', (options, message) => {
      const error = thrownBy(() => timeout(options));
      expect(error).toBeInstanceOf(RangeError);
      expect(error.message).toBe(`Cannot create timeout: ${message}`);
    });

    it.each([
      ['100', '"ms" must be a number above 0 or Infinity, or a function, received "100"'],
      [undefined, '"ms" must be a number above 0 or Infinity, or a function, received undefined'],
      [{}, '"ms" must be a number above 0 or Infinity, or a function, received undefined'],
      [{ ms: '100' }, '"ms" must be a number above 0 or Infinity, or a function, received "100"'],
      [{ ms: 1, mode: 'aggressive' }, '"mode" must be "abandon" or "cooperative", received "aggressive"'],
      [{ ms: 1, fallbackms: 2 }, 'unknown option "fallbackms", did you mean "fallbackMs"?'],
      [{ ms: 1, strategy: 2 }, 'unknown option "strategy"'],
      [
        { ms: -1, mode: 1, name: '' },
        '"ms" must be a number above 0 or Infinity, or a function, received -1; "mode" must be "abandon" or "cooperative", received 1; ' +
          '"name" must be 1-128 characters of letters, digits, ".", "_", "-", "/", received ""',
      ],
    ])('%j is a TypeError', (options, message) => {
      const error = thrownBy(() => timeout(options as never));
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toBe(`Cannot create timeout: ${message}`);
    });
  });
});
