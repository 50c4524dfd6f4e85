import { handleType } from 'cockatiel';
import {
  bulkhead,
  circuitBreaker,
  fallback,
  type Observer,
  type Outcome,
  pipeline,
  retry,
  TimeoutError,
  timeout,
} from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { script } from '../../src/testing/script.ts';
import { virtualClock } from '../../src/testing/virtual-clock.ts';
import { deaf, deferred, stand, stateOf, thrownBy, turn, watch } from './stand.ts';

const down = new Error('down');
const bad = () => Promise.reject(down);

describe('fallback', () => {
  it('answers in place of a call that failed, and stays out of the way of one that did not', async () => {
    const { pipe } = stand([fallback(() => 'instead')]);
    expect(await pipe.execute(bad)).toBe('instead');
    expect(await pipe.execute(() => 'mine')).toBe('mine');
  });

  it('takes a function, sync or async, or a value', async () => {
    expect(await stand([fallback(async () => 1)]).pipe.execute(bad)).toBe(1);
    expect(await stand([fallback({ to: () => 2 })]).pipe.execute(bad)).toBe(2);
    expect(await stand([fallback({ to: { value: 3 } })]).pipe.execute(bad)).toBe(3);
    expect(await stand([fallback({ to: { value: undefined } })]).pipe.execute(bad)).toBe(undefined);
  });

  it('answers with the value it was made with, whatever becomes of its options', async () => {
    const to = { value: 'first' };
    const { pipe } = stand([fallback({ to })]);
    to.value = 'second';
    expect(await pipe.execute(bad)).toBe('first');
  });

  it.each([
    ['a value', { to: { value: 'instead' } }],
    ['a function', () => 'instead'],
  ])('tells of what type the failure was that it answered with %s', async (_what, to) => {
    const told: unknown[] = [];
    const observer: Observer = { event: (event) => void told.push(event) };
    const classify = () => ({ verdict: 'failure', errorType: '503' }) as const;
    const { pipe } = stand([fallback(to as () => string)], { observers: [observer], classify });
    await pipe.execute(bad);
    expect(told).toContainEqual(expect.objectContaining({ type: 'fallback', result: 'success', errorType: '503' }));
  });

  it('gets the outcome and the call', async () => {
    const seen: unknown[] = [];
    const { pipe } = stand([
      fallback((outcome, call) => {
        seen.push(outcome, call.key, call.pipeline, call.signal.aborted);
        return 0;
      }),
    ]);
    await pipe.execute(bad, { key: 'k' });
    expect(seen).toEqual([{ status: 'failure', error: down }, 'k', 'shop', false]);
  });

  it('runs at most once per call', async () => {
    let runs = 0;
    const { pipe, clock } = stand([fallback(() => ++runs), retry({ backoff: 1 })]);
    const call = watch(pipe.execute(script('fail')));
    await clock.advance(10);
    expect(call.value).toBe(1);
    expect(runs).toBe(1);
  });

  it('may stand for a value that counts as a failure, which then goes to onDiscard', async () => {
    const discarded: unknown[] = [];
    const outcomes: Outcome[] = [];
    const { pipe } = stand([
      fallback({ to: (outcome) => (outcomes.push(outcome), 'instead'), when: { result: (r: number) => r === 503 } }),
    ]);
    expect(await pipe.execute(() => 503, { onDiscard: (value) => discarded.push(value) })).toBe('instead');
    expect(outcomes).toEqual([{ status: 'value', value: 503 }]);
    expect(discarded).toEqual([503]);
  });

  it('that answers with the very value it was given discards nothing', async () => {
    const discarded: unknown[] = [];
    const { pipe } = stand([fallback({ to: ({ value }) => value, when: { result: () => true } })]);
    expect(await pipe.execute(() => 'same', { onDiscard: (value) => discarded.push(value) })).toBe('same');
    expect(discarded).toEqual([]);
  });

  describe('is used for', () => {
    it('our rejections', async () => {
      const { pipe } = stand([fallback({ to: () => 'instead', when: () => false }), bulkhead({ limit: 1 })]);
      watch(pipe.execute(deaf));
      expect(await pipe.execute(() => 'mine')).toBe('instead');
    });

    it('our timeouts, whatever when says', async () => {
      const { pipe, clock } = stand([fallback({ to: () => 'instead', when: () => false }), timeout(10)]);
      const call = watch(pipe.execute(deaf));
      await clock.advance(10);
      expect(call.value).toBe('instead');
    });

    it('a deadline that has passed, and one that leaves no time at all', async () => {
      const { pipe, clock } = stand([fallback((outcome) => (outcome.error as { code: string }).code)]);
      const call = watch(pipe.execute(deaf, { timeoutMs: 10 }));
      await clock.advance(10);
      expect(call.value).toBe('timeout');
      expect(await pipe.execute(() => 'mine', { timeoutMs: 0 })).toBe('deadline_exceeded');
    });

    it('what when says: yes, and not no', async () => {
      const { pipe } = stand([fallback({ to: () => 'instead', when: (error) => error === down })]);
      expect(await pipe.execute(bad)).toBe('instead');
      const other = new Error('other');
      expect((await pipe.tryExecute(() => Promise.reject(other))).error).toBe(other);
      const byType = stand([fallback({ to: () => 'instead', when: handleType(TypeError) })]);
      expect(await byType.pipe.execute(() => Promise.reject(new TypeError()))).toBe('instead');
      expect((await byType.pipe.tryExecute(bad)).error).toBe(down);
    });

    it('what classify calls a failure, and not what it calls a success or ignores', async () => {
      for (const verdict of ['failure', 'success', 'ignored'] as const) {
        const { pipe } = stand([fallback(() => 'instead')], { classify: () => verdict });
        expect(await pipe.execute(() => 'mine')).toBe(verdict === 'failure' ? 'instead' : 'mine');
      }
    });

    it('nothing when its predicate throws, which is reported', async () => {
      const when = () => {
        throw new Error('broken');
      };
      const { pipe, told } = stand([fallback({ to: () => 'instead', when })]);
      expect((await pipe.tryExecute(bad)).error).toBe(down);
      expect(told('fault')).toHaveLength(1);
    });
  });

  describe('cancellation', () => {
    it("is not used for the caller's own abort", async () => {
      let runs = 0;
      const { pipe } = stand([fallback(() => ++runs)]);
      const caller = new AbortController();
      const call = watch(pipe.execute(deaf, caller.signal));
      caller.abort('mine');
      await turn();
      expect(call.error).toBe('mine');
      expect((await pipe.tryExecute(() => 1, caller.signal)).error).toBe('mine');
      expect(runs).toBe(0);
    });

    it('is itself cancellable: the caller gets its reason at once, and its signal is aborted', async () => {
      let signal!: AbortSignal;
      const { pipe } = stand([fallback((_, call) => ((signal = call.signal), deaf()))]);
      const caller = new AbortController();
      const call = watch(pipe.execute(bad, caller.signal));
      await turn();
      caller.abort('mine');
      await turn();
      expect(call.error).toBe('mine');
      expect(signal.reason).toBe('mine');
    });

    it('by its own predicate keeps it from running', async () => {
      const caller = new AbortController();
      let runs = 0;
      const when = () => {
        caller.abort('mine');
        return true;
      };
      const { pipe } = stand([fallback({ to: () => ++runs, when })]);
      expect((await pipe.tryExecute(bad, caller.signal)).error).toBe('mine');
      expect(runs).toBe(0);
    });

    it('by its own predicate counts as no answer, and nobody hears of one', async () => {
      const caller = new AbortController();
      const begun: string[] = [];
      const when = () => {
        caller.abort('mine');
        return true;
      };
      const { pipe, told } = stand(
        [fallback({ to: { value: 1 }, when, name: 'value' }), fallback({ to: () => 1, when, name: 'function' })],
        { observers: [{ start: (name) => void begun.push(name) }] },
      );
      await pipe.tryExecute(bad, caller.signal);
      for (const index of [0, 1]) expect(stateOf(pipe, index).executions).toEqual({ success: 0, failure: 0 });
      expect([begun, told('fallback')]).toEqual([['execution'], []]);
    });

    it('by whoever hears that it begins keeps it from running, and it ends as cancelled', async () => {
      const caller = new AbortController();
      const ends: unknown[] = [];
      let runs = 0;
      const observer: Observer = {
        start: (name) => (name === 'fallback' && caller.abort('mine'), name),
        end: (name, token, { outcome, error }) => void (name === 'fallback' && ends.push([token, outcome, error])),
      };
      const { pipe } = stand([fallback(() => ++runs)], { observers: [observer] });
      expect((await pipe.tryExecute(bad, caller.signal)).error).toBe('mine');
      expect([runs, ends]).toEqual([0, [['fallback', 'cancelled', undefined]]]);
    });

    it.each<[string, () => unknown, unknown[]]>([
      ['the value it stood for', () => 503, [503]],
      ['nothing when it stood for an error', bad, []],
    ])('in the middle of it discards %s', async (_, fn, expected) => {
      const discarded: unknown[] = [];
      const { pipe } = stand([fallback({ to: deaf, when: { result: () => true } })]);
      const caller = new AbortController();
      watch(pipe.execute(fn, { signal: caller.signal, onDiscard: (value) => discarded.push(value) }));
      await turn();
      caller.abort();
      await turn();
      expect(discarded).toEqual(expected);
    });
  });

  describe('that fails', () => {
    it('surfaces its own error, with the original as its cause', async () => {
      const worse = new Error('worse');
      const { pipe, told } = stand([fallback(() => Promise.reject(worse))]);
      expect((await pipe.tryExecute(bad)).error).toBe(worse);
      expect(worse.cause).toBe(down);
      expect(told('fallback')).toEqual([expect.objectContaining({ result: 'failure', error: down, cause: worse })]);
    });

    it('in place of a value discards that value, and names no cause', async () => {
      const worse = new Error('worse');
      const discarded: unknown[] = [];
      const { pipe, told } = stand([fallback({ to: () => Promise.reject(worse), when: { result: () => true } })]);
      const { error } = await pipe.tryExecute(() => 503, { onDiscard: (value) => discarded.push(value) });
      expect([error, 'cause' in worse, discarded]).toEqual([worse, false, [503]]);
      expect(told('fallback')).toEqual([expect.objectContaining({ result: 'failure', value: 503, cause: worse })]);
    });

    it('leaves a cause, a frozen error and what is no error as they are', async () => {
      const kept = new Error('kept', { cause: 'its own' });
      const frozen = Object.freeze(new Error('frozen'));
      for (const error of [kept, frozen, 'a string', undefined, down]) {
        const { pipe, told } = stand([fallback(() => Promise.reject(error))]);
        expect((await pipe.tryExecute(bad)).error).toBe(error);
        expect(told('fallback')).toEqual([expect.objectContaining({ error: down })]);
      }
      expect(kept.cause).toBe('its own');
      expect(frozen.cause).toBe(undefined);
      expect(down.cause).toBe(undefined);
    });

    it('synchronously is no different', async () => {
      const { pipe } = stand([
        fallback(() => {
          throw new Error('worse');
        }),
      ]);
      expect((await pipe.tryExecute(bad)).error).toMatchObject({ message: 'worse', cause: down });
    });
  });

  describe('timeoutMs', () => {
    it('limits the fallback alone', async () => {
      const { pipe, clock, told } = stand([fallback({ to: deaf, timeoutMs: 50 })]);
      const call = watch(pipe.execute(script.with(clock, { delayMs: 500, then: 'fail' })));
      await clock.advance(549);
      expect(call.state).toBe('pending');
      await clock.advance(1);
      expect(call.error).toBeInstanceOf(TimeoutError);
      expect(call.error).toMatchObject({ timeoutMs: 50, policy: 'shop/fallback', cause: { name: 'ScriptedError' } });
      expect(told('timeout')).toEqual([expect.objectContaining({ policy: 'shop/fallback' })]);
      expect(pipe.snapshot().policies[0]).toMatchObject({ timeouts: 1, late: 0 });
    });

    it('aborts the signal of the fallback and discards what comes late', async () => {
      const late = deferred();
      const discarded: unknown[] = [];
      let signal!: AbortSignal;
      const { pipe, clock } = stand([
        fallback({ to: (_, call) => ((signal = call.signal), late.promise), timeoutMs: 50 }),
      ]);
      const call = watch(pipe.execute(bad, { onDiscard: (value) => discarded.push(value) }));
      await clock.advance(50);
      expect(signal.reason).toBe(call.error);
      late.resolve('late');
      await turn();
      expect(discarded).toEqual(['late']);
      expect(clock.pending).toBe(0);
    });

    it('is none by default, and the deadline does not cut a leading fallback', async () => {
      const { pipe, clock } = stand([
        fallback(async () => (await new Promise<void>((r) => clock.after(1e6, r)), 'instead')),
      ]);
      const call = watch(pipe.execute(deaf, { timeoutMs: 10 }));
      await clock.advance(1e6 + 10);
      expect(call.value).toBe('instead');
      let runs = 0;
      const clock2 = virtualClock();
      const slow = async () => (runs++, await new Promise<void>((r) => clock2.after(100, r)), 'instead');
      const early = stand([fallback(slow)], { clock: clock2 });
      const answering = watch(early.pipe.execute(bad, { timeoutMs: 10 }));
      await clock2.advance(100);
      expect([answering.value, runs]).toEqual(['instead', 1]);
    });
  });

  it('tells how it went once, and counts it', async () => {
    const { pipe, told } = stand([fallback({ to: () => 1, name: 'plan-b' })]);
    await pipe.execute(bad);
    await pipe.execute(() => 0);
    expect(told('fallback')).toEqual([expect.objectContaining({ policy: 'plan-b', result: 'success', error: down })]);
    expect(stateOf(pipe)).toMatchObject({ name: 'plan-b', executions: { success: 1, failure: 0 } });
    expect(pipe.snapshot().outcomes).toMatchObject({ fallback: 1, success: 1 });
  });

  it('ends once for whoever listens, also when a listener ends the call in the middle of that', async () => {
    const ends: string[] = [];
    const caller = new AbortController();
    const observer = {
      start: () => undefined,
      end: (name: string, _token: unknown, end: { outcome: string }) => void ends.push(`${name} ${end.outcome}`),
    };
    const { pipe } = stand([fallback(() => 'instead')], { observers: [observer] });
    pipe.subscribe((event) => event.type === 'fallback' && caller.abort('mine'));
    expect((await pipe.tryExecute(bad, caller.signal)).error).toBe('mine');
    expect(ends.filter((end) => end.startsWith('fallback'))).toHaveLength(1);
  });

  it('inside another: the outer answers for the inner', async () => {
    const { pipe } = stand([fallback(() => 'outer'), fallback(() => Promise.reject(new Error('inner')))]);
    expect(await pipe.execute(bad)).toBe('outer');
  });

  it('inside a breaker hides the failure from it, outside does not', async () => {
    const inside = circuitBreaker({ consecutiveFailures: 1 });
    await stand([inside, fallback(() => 0)]).pipe.execute(bad);
    expect(inside.state).toBe('closed');
    const outside = circuitBreaker({ consecutiveFailures: 1 });
    await stand([fallback(() => 0), outside]).pipe.execute(bad);
    expect(outside.state).toBe('open');
  });

  it('adds its type to the result: the union', async () => {
    const pipe = pipeline('typed', [fallback(() => [] as string[])], { telemetry: false });
    const result: number | string[] = await pipe.execute(() => 1);
    expect(result).toBe(1);
  });

  describe('bad options', () => {
    const one = () => 1;
    it.each<[unknown, string]>([
      [undefined, 'options must be an object, received undefined'],
      ['value', 'options must be an object, received "value"'],
      [{}, '"to" must be a function, or { value }, received undefined'],
      [{ to: 5 }, '"to" must be a function, or { value }, received 5'],
      [{ to: {} }, '"to" must be a function, or { value }, received an object'],
      [{ to: one, timeoutms: 5 }, 'unknown option "timeoutms", did you mean "timeoutMs"?'],
      [{ to: one, when: 5 }, '"when" must be a predicate, { error, result } or a cockatiel handler, received 5'],
      [{ value: 5 }, 'unknown option "value"; "to" must be a function, or { value }, received undefined'],
    ])('%j is a TypeError', (options, message) => {
      const error = thrownBy(() => fallback(options as never));
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toBe(`Cannot create fallback: ${message}`);
    });

    it('a timeoutMs out of range is a RangeError', () => {
      const error = thrownBy(() => fallback({ to: () => 1, timeoutMs: 0 }));
      expect(error).toBeInstanceOf(RangeError);
      expect(error.message).toBe(
        'Cannot create fallback: "timeoutMs" must be a number above 0 or Infinity, received 0',
      );
    });
  });
});
