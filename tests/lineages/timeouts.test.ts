import { bulkhead, circuitBreaker, fallback, pipeline, retry, type Stackable, TimeoutError, timeout } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { recorder } from '../../src/testing/recorder.ts';
import { script } from '../../src/testing/script.ts';
import { virtualClock } from '../../src/testing/virtual-clock.ts';
import { unhandled } from '../core/spy.ts';
import { deaf, deferred, likeFetch, stand, stateOf, turn, watch } from '../policies/stand.ts';

const down = new Error('down');
const cooperative = (ms: number) => timeout({ ms, mode: 'cooperative' });

describe('several ends are due in the same tick', () => {
  const rows: [string, () => Stackable[], object][] = [
    ['a timeout and the function', () => [timeout(100)], {}],
    ['two timeouts', () => [timeout(100), timeout(100)], {}],
    ['a timeout of the call and one of the attempt', () => [timeout(100), retry({ backoff: 0 }), timeout(100)], {}],
    ['a cooperative timeout and the function', () => [cooperative(100)], {}],
    ['two cooperative timeouts', () => [cooperative(100), cooperative(100)], {}],
    ['a cooperative timeout inside one that is not', () => [timeout(100), cooperative(100)], {}],
    ['one that is not inside a cooperative timeout', () => [cooperative(100), timeout(100)], {}],
    ['the deadline and a timeout', () => [timeout(100)], { timeoutMs: 100 }],
    ['the deadline and a cooperative timeout', () => [cooperative(100)], { timeoutMs: 100 }],
  ];
  const table = rows.flatMap(([what, policies, options]) =>
    (['value', 'error', 'nothing', 'abort'] as const).flatMap((own) =>
      [true, false].map((first) => ({ what, policies, options, own, first })),
    ),
  );

  it.each(table)(
    'J-13: $what, and the function or caller brings $own (first: $first): one outcome, told once',
    async ({ policies, options, own, first }) => {
      const lost = await unhandled(async () => {
        const at = stand(policies());
        const work = deferred();
        const caller = new AbortController();
        const answers: unknown[] = [];
        const end = () => {
          if (own === 'value') work.resolve('mine');
          else if (own === 'error') work.reject(down);
          else if (own === 'abort') caller.abort('enough');
        };
        if (first) at.clock.after(100, end);
        const call = at.pipe.execute(() => work.promise, { signal: caller.signal, ...options });
        call.then(
          (value) => answers.push(value),
          (error) => answers.push(error),
        );
        if (!first) at.clock.after(100, end);
        await at.clock.advance(100);
        work.resolve('at last');
        await at.clock.advance(1_000);
        expect(answers).toHaveLength(1);
        const timedOut = answers[0] instanceof TimeoutError;
        expect(timedOut || ['mine', 'enough', down].includes(answers[0] as string)).toBe(true);
        expect(at.told('execution_end')).toHaveLength(1);
        if (timedOut) expect(at.told('timeout').length).toBeGreaterThan(0);
        if (own === 'abort' && first) expect(answers).toEqual(['enough']);
        expect(at.pipe.snapshot()).toMatchObject({ active: 0, calls: 1 });
        expect(at.clock.pending).toBe(0);
      });
      expect(lost).toEqual([]);
    },
  );

  it('J-12: whatever the function does first, a call leaves no timer of its timeouts, deadline or queue behind', async () => {
    for (const fn of [() => 1, async () => 1, () => Promise.reject(down), likeFetch]) {
      const at = stand([
        timeout(1_000),
        retry({ maxRetries: 0 }),
        bulkhead({ limit: 1, queue: 1 }),
        cooperative(500),
        timeout(() => 400),
      ]);
      const caller = new AbortController();
      const call = watch(at.pipe.execute(fn as never, { timeoutMs: 2_000, signal: caller.signal }));
      await turn();
      if (fn === likeFetch) caller.abort();
      await turn();
      await turn();
      expect([call.state === 'pending', at.clock.pending]).toEqual([false, 0]);
    }
  });
});

describe("the user's own timeout errors are not ours", () => {
  it.each([
    ['of AbortSignal.timeout', () => new DOMException('The operation was aborted due to timeout', 'TimeoutError')],
    [
      'with our name and code',
      () => Object.assign(new Error('mine'), { name: 'TimeoutError', code: 'timeout', timeoutMs: 100 }),
    ],
    ['of a class of theirs', () => new (class TimeoutError extends Error {})('mine')],
  ])('J-14: one %s passes as it is, and is judged as any error', async (_, make) => {
    const mine = make();
    const { pipe, told } = stand([timeout(100), circuitBreaker({ consecutiveFailures: 1, when: () => false })]);
    expect((await pipe.tryExecute(() => Promise.reject(mine))).error).toBe(mine);
    expect(told('timeout')).toEqual([]);
    expect(stateOf(pipe)).toMatchObject({ timeouts: 0 });
    expect(stateOf(pipe, 1)).toMatchObject({ state: 'closed', executions: { success: 1 } });
  });

  it('J-14: one of another pipeline names that pipeline, and no timeout of this one is told or counted', async () => {
    const { pipe, clock, told } = stand([timeout({ ms: 100, name: 'patience' })]);
    const other = pipeline('other', [timeout(10)], { telemetry: false, clock });
    const call = watch(pipe.execute(() => other.execute(deaf)));
    await clock.advance(10);
    expect(call.error).toMatchObject({ pipeline: 'other', policy: 'other/timeout', timeoutMs: 10 });
    expect(told('timeout')).toEqual([]);
    expect(stateOf(pipe)).toMatchObject({ timeouts: 0, late: 0 });
  });

  it('P-4: an abort error of the function that nobody asked for keeps its own reason', async () => {
    const { pipe } = stand([timeout(100), cooperative(50)]);
    const mine = new DOMException('by somebody else', 'AbortError');
    expect((await pipe.tryExecute(() => Promise.reject(mine))).error).toBe(mine);
  });
});

describe('timeouts in timeouts, and the caller', () => {
  const nests: [string, () => Stackable[]][] = [
    ['timeout', () => [timeout(100)]],
    ['retry -> timeout', () => [retry({ backoff: 0 }), timeout(100)]],
    ['timeout -> retry', () => [timeout(100), retry({ backoff: 0 })]],
    ['three timeouts', () => [timeout(300), timeout(200), timeout(100)]],
    ['three cooperative timeouts', () => [cooperative(300), cooperative(200), cooperative(100)]],
    ['timeout -> cooperative -> timeout', () => [timeout(300), cooperative(200), timeout(100)]],
  ];

  it.each(nests)(
    'P-4, P-5: %s: the caller who gives up hears his own reason, the function too, and no timeout is told',
    async (_, policies) => {
      const { pipe, clock, told } = stand(policies());
      const caller = new AbortController();
      const reason = { mine: true };
      const signals: AbortSignal[] = [];
      const call = watch(pipe.execute((context) => (signals.push(context.signal), likeFetch(context)), caller.signal));
      await clock.advance(50);
      caller.abort(reason);
      await clock.advance(1_000);
      expect(call.error).toBe(reason);
      expect(signals.map((signal) => signal.reason)).toEqual([reason]);
      expect(told('timeout')).toEqual([]);
    },
  );

  it.each(nests)(
    'P-4: %s: a real timeout is a TimeoutError, and a caller who gives up afterwards is not heard',
    async (_, policies) => {
      const { pipe, clock } = stand(policies());
      const caller = new AbortController();
      const call = watch(pipe.execute(likeFetch, caller.signal));
      await clock.advance(1_000);
      caller.abort('too late');
      await turn();
      expect(call.error).toBeInstanceOf(TimeoutError);
    },
  );

  it('nested_timeout_test: the shorter one ends it, whichever side it is on; the other tells nothing', async () => {
    for (const [outer, inner, policy] of [
      [100, 50, 'inner'],
      [50, 100, 'outer'],
    ] as const) {
      const { pipe, clock, told } = stand([
        timeout({ ms: outer, name: 'outer' }),
        timeout({ ms: inner, name: 'inner' }),
      ]);
      const call = watch(pipe.execute(deaf));
      await clock.advance(500);
      expect(call.error).toMatchObject({ policy, timeoutMs: 50 });
      expect(told('timeout')).toEqual([expect.objectContaining({ policy })]);
    }
  });

  it('nested_timeout_test: three cooperative timeouts around a deaf function answer with the outermost that passed, when it ends', async () => {
    const { pipe, clock, told } = stand([cooperative(300), cooperative(200), cooperative(100)]);
    const call = watch(pipe.execute(script.with(clock, { delayMs: 250, then: 'ok', ignoreAbort: true })));
    await clock.advance(249);
    expect(call.state).toBe('pending');
    await clock.advance(1);
    expect(call.error).toMatchObject({ timeoutMs: 200 });
    await clock.advance(1_000);
    expect(told('timeout').map((event: any) => event.timeoutMs)).toEqual([100, 200]);
    expect(clock.pending).toBe(0);
  });

  it('P-6: after a timeout, the next attempt and the fallback have signals of their own that are not aborted', async () => {
    const seen: boolean[] = [];
    const { pipe, clock } = stand([
      fallback((_, { signal }) => (seen.push(signal.aborted), 'instead')),
      retry({ backoff: 0, maxRetries: 1 }),
      timeout(10),
    ]);
    const signals = new Set<AbortSignal>();
    const call = watch(pipe.execute(({ signal }) => (seen.push(signal.aborted), signals.add(signal), deaf())));
    await clock.advance(20);
    expect([call.value, seen, signals.size]).toEqual(['instead', [false, false, false], 2]);
  });

  it('P-24: its message says how long, it says who, and has a stack where one is wanted', async () => {
    for (const stackTraces of [false, true]) {
      const { pipe, clock } = stand([timeout(1_500)], { stackTraces });
      const call = watch(pipe.execute(deaf));
      await clock.advance(1_500);
      expect(String(call.error)).toBe('TimeoutError: timed out after 1500 ms');
      expect(call.error).toMatchObject({ policy: 'shop/timeout', pipeline: 'shop' });
      expect(/\n\s+at /.test(call.error.stack)).toBe(stackTraces);
    }
  });
});

describe('timeouts and fallbacks', () => {
  it('Timeout -> Fallback: interrupts a fallback that runs, whose signal hears of it', async () => {
    let signal!: AbortSignal;
    const { pipe, clock } = stand([timeout(100), fallback((_, call) => ((signal = call.signal), deaf()))]);
    const call = watch(pipe.execute(() => Promise.reject(down)));
    await clock.advance(100);
    expect(call.error).toMatchObject({ code: 'timeout', policy: 'shop/timeout' });
    expect(signal.reason).toBe(call.error);
  });

  it('Fallback -> Timeout: does not interrupt the fallback outside of it', async () => {
    const clock = virtualClock();
    const slowly = async () => (await new Promise<void>((resolve) => clock.after(500, resolve)), 'instead');
    let signal!: AbortSignal;
    const { pipe } = stand([fallback((_, call) => ((signal = call.signal), slowly())), timeout(100)], { clock });
    const call = watch(pipe.execute(deaf));
    await clock.advance(599);
    expect(call.state).toBe('pending');
    await clock.advance(1);
    expect([call.value, signal.aborted]).toEqual(['instead', false]);
  });

  it('Timeout -> RetryPolicy: a pause that no longer fits when time is up is not waited out', async () => {
    const heard = recorder();
    const { pipe, clock } = stand(
      [timeout(100), fallback((outcome) => Promise.reject(outcome.error)), retry({ backoff: 60, maxRetries: 9 })],
      {
        observers: [heard],
      },
    );
    const server = script.with(clock, { delayMs: 30, then: 'fail' });
    const call = watch(pipe.execute(server));
    await clock.advance(1_000);
    // 0-30, a pause of 60, then at 90 an attempt that the timeout ends.
    expect(server.calls.map(({ at }) => at)).toEqual([0, 90]);
    expect(call.error).toMatchObject({ code: 'timeout' });
    expect(heard.of('retry_result')).toEqual([expect.objectContaining({ result: 'deadline', retries: 1 })]);
  });
});
