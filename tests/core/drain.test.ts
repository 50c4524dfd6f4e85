import {
  bulkhead,
  circuitBreaker,
  DrainingError,
  fallback,
  type Pipeline,
  pipeline,
  policy,
  retry,
  timeout,
} from 'seaworthy';
import { virtualClock } from 'seaworthy/testing';
import { describe, expect, it } from 'vitest';
import { gate, spy, turn, watch } from './spy.ts';

const draining = (name: string) => ({ name: 'DrainingError', code: 'draining', pipeline: name });

describe('drain', () => {
  it('takes no new calls, lets running ones finish, and resolves after the last', async () => {
    const pipe = pipeline('p', [retry()]);
    const work = gate<string>();
    const call = watch(pipe.execute(() => work.promise));
    const rest = watch(pipe.drain());
    await expect(pipe.execute(() => 'new')).rejects.toMatchObject(draining('p'));
    await turn();
    expect([call.state, rest.state]).toEqual(['pending', 'pending']);
    work.open('done');
    await turn();
    expect([call.result, rest.state]).toEqual(['done', 'value']);
  });

  it('resolves at once when nothing runs, and again when asked again', async () => {
    const pipe = pipeline('p', []);
    await pipe.execute(() => 1);
    await pipe.drain();
    await pipe.drain({ timeoutMs: 1 });
    expect(pipe.snapshot()).toMatchObject({ active: 0, rejections: { draining: 0 } });
  });

  it('rejects what waits in a queue at once, its function never called', async () => {
    const slots = bulkhead({ limit: 1, queue: 5 });
    const clock = virtualClock();
    const pipe = pipeline('p', [slots], { clock });
    const work = gate();
    const running = watch(pipe.execute(() => work.promise));
    let called = 0;
    const queued = [1, 2].map(() => watch(pipe.execute(() => ++called)));
    const rest = watch(pipe.drain());
    await turn();
    expect(queued.map(({ result }) => result)).toMatchObject([draining('p'), draining('p')]);
    expect([slots.queued, slots.active, running.state, rest.state]).toEqual([0, 1, 'pending', 'pending']);
    work.open(1);
    await turn();
    await turn();
    expect([called, rest.state, slots.active, clock.pending]).toEqual([0, 'value', 0, 0]);
  });

  it('ends what still runs when the time is up: its signal aborts with the same error, its slot comes back with its work', async () => {
    const clock = virtualClock();
    const slots = bulkhead({ limit: 3 });
    const breaker = circuitBreaker({ consecutiveFailures: 1 });
    const pipe = pipeline('p', [fallback({ to: { value: 'spare' } }), retry(), breaker, slots, timeout(60_000)], {
      clock,
    });
    const work = gate();
    let signal!: AbortSignal;
    const call = watch(pipe.execute((call) => ((signal = call.signal), work.promise)));
    const rest = watch(pipe.drain({ timeoutMs: 500 }));
    await clock.advance(499);
    expect([call.state, rest.state]).toEqual(['pending', 'pending']);
    await clock.advance(1);
    expect(call.result).toBeInstanceOf(DrainingError);
    expect(signal.reason).toBe(call.result);
    expect([rest.state, slots.active, breaker.state]).toEqual(['value', 1, 'closed']);
    work.open('late');
    await turn();
    await turn();
    expect([slots.active, clock.pending]).toEqual([0, 0]);
    expect(pipe.snapshot()).toMatchObject({
      active: 0,
      outcomes: { failure: 1 },
      rejections: { draining: 1 },
      late: 1,
    });
  });

  it('lets a retry go on while there is time, and ends its pause when there is none', async () => {
    const clock = virtualClock();
    const pipe = pipeline('p', [retry({ maxRetries: 5, backoff: 100 })], { clock });
    let calls = 0;
    const down = () => {
      calls++;
      throw new Error('down');
    };
    const call = watch(pipe.execute(down));
    const rest = watch(pipe.drain({ timeoutMs: 250 }));
    await clock.advance(249);
    expect([calls, call.state]).toEqual([3, 'pending']);
    await clock.advance(1);
    expect([calls, call.result, rest.state]).toEqual([3, expect.objectContaining(draining('p')), 'value']);
    expect(clock.pending).toBe(0);
  });

  it('of an inner pipeline ends what is inside that one; an outer one may still answer', async () => {
    const clock = virtualClock();
    const inner = pipeline('inner', [timeout(60_000)], { clock });
    const outer = pipeline('outer', [fallback({ to: { value: 'spare' } }), inner], { clock });
    const call = watch(outer.execute(() => new Promise(() => {})));
    const rest = watch(inner.drain({ timeoutMs: 10 }));
    await clock.advance(10);
    expect([call.result, rest.state]).toEqual(['spare', 'value']);
    expect(inner.snapshot()).toMatchObject({ active: 0, outcomes: { failure: 1 } });
    expect(outer.snapshot()).toMatchObject({ active: 0, outcomes: { fallback: 1 } });
    expect(await outer.execute(() => 1)).toBe('spare');
  });

  it('of an outer pipeline finds a call in the queue of an inner one, and in the hands of a middleware', async () => {
    const clock = virtualClock();
    const slots = bulkhead({ limit: 1, queue: 1 });
    const inner = pipeline('inner', [slots], { clock });
    const outer = pipeline('outer', [policy({ kind: 'plain', around: (_call, next) => next() }), inner], { clock });
    const direct = pipeline('direct', [inner], { clock });
    const busy = watch(direct.execute(() => new Promise(() => {})));
    const queued = watch(direct.execute(() => 1));
    const rest = watch(direct.drain({ timeoutMs: 20 }));
    await turn();
    expect([queued.result, busy.state]).toEqual([expect.objectContaining(draining('direct')), 'pending']);
    await clock.advance(20);
    expect([busy.result, rest.state]).toEqual([expect.objectContaining(draining('direct')), 'value']);
    const handed = watch(outer.execute(() => new Promise(() => {})));
    const over = watch(outer.drain({ timeoutMs: 20 }));
    await clock.advance(20);
    expect([handed.result, over.state]).toEqual([expect.objectContaining(draining('outer')), 'value']);
    // Its work hangs for ever, so the slot stays held.
    expect([slots.queued, slots.held, inner.snapshot().active]).toEqual([0, 1, 0]);
  });

  it('survives a call that ends another in its abort listener, and a pipeline drained from inside', async () => {
    const clock = virtualClock();
    const pipe = pipeline('p', [timeout(60_000)], { clock });
    const other = new AbortController();
    const first = watch(
      pipe.execute((call) => {
        call.signal.addEventListener('abort', () => other.abort('told'));
        return new Promise(() => {});
      }),
    );
    const second = watch(pipe.execute(() => new Promise(() => {}), other.signal));
    const third = watch(pipe.execute(async () => pipe.drain({ timeoutMs: 5 })));
    await clock.advance(5);
    expect([first.state, second.state, third.state]).toEqual(['error', 'error', 'error']);
    expect(pipe.snapshot()).toMatchObject({ active: 0 });
    expect(clock.pending).toBe(0);
  });

  it('counts only the calls that it ends itself, and what is inside those hears that they were cancelled', async () => {
    const clock = virtualClock();
    const log: string[] = [];
    const pipe = pipeline('p', [spy('in', log)], { clock });
    const other = new AbortController();
    const older = watch(pipe.execute(() => new Promise(() => {}), other.signal));
    const newer = watch(
      pipe.execute((call) => {
        call.signal.addEventListener('abort', () => other.abort('told'));
        return new Promise(() => {});
      }, new AbortController().signal),
    );
    const rest = watch(pipe.drain({ timeoutMs: 5 }));
    await clock.advance(5);
    expect([older.result, newer.result, rest.state]).toEqual([
      'told',
      expect.objectContaining({ ...draining('p'), policy: 'p' }),
      'value',
    ]);
    expect(pipe.snapshot()).toMatchObject({ rejections: { draining: 1 }, outcomes: { cancelled: 1, failure: 1 } });
    expect(log.slice(2)).toEqual(['in drop cancelled', 'in drop cancelled']);
  });

  it('that an abort listener asks for waits for the call that is just ending', async () => {
    const clock = virtualClock();
    const pipe = pipeline('p', [timeout(10)], { clock });
    let rest = watch(Promise.resolve());
    const call = watch(
      pipe.execute(({ signal }) => {
        signal.addEventListener('abort', () => {
          rest = watch(pipe.drain());
        });
        return new Promise(() => {});
      }),
    );
    await clock.advance(10);
    await turn();
    expect([call.result, rest]).toEqual([
      expect.objectContaining({ code: 'timeout' }),
      { state: 'value', result: undefined, times: 1 },
    ]);
  });

  it('is what `await using` does', async () => {
    let seen: Pipeline;
    const work = gate<number>();
    const block = watch(
      (async () => {
        await using pipe = pipeline('p', []);
        seen = pipe;
        void pipe.execute(() => work.promise);
      })(),
    );
    await turn();
    expect([block.state, seen!.snapshot().active]).toEqual(['pending', 1]);
    work.open(1);
    await turn();
    expect([block.state, seen!.snapshot().active]).toEqual(['value', 0]);
  });

  it('lets go of telemetry once, after the last call', async () => {
    const told: string[] = [];
    const pipe = pipeline('p', [], {
      telemetry: false,
      observers: [{ end: (name) => void told.push(name), dispose: () => void told.push('dispose') }],
    });
    const work = gate();
    const call = pipe.execute(() => work.promise);
    const rest = pipe.drain();
    work.open(1);
    await Promise.all([call, rest]);
    expect(told).toEqual(['execution', 'dispose']);
    pipe.dispose();
    expect(told).toEqual(['execution', 'dispose']);
  });

  it.each([
    [{ timeoutMs: 0 }, '"timeoutMs" must be a number above 0 or Infinity, received 0'],
    [{ timeoutMs: '5' }, '"timeoutMs" must be a number above 0 or Infinity, received "5"'],
    [{ timeout: 5 }, 'unknown option "timeout", did you mean "timeoutMs"?'],
  ])('says what is wrong with %j, and takes calls as before', async (options, message) => {
    const pipe = pipeline('p', []);
    await expect(pipe.drain(options as never)).rejects.toThrow(`Cannot drain "p": ${message}`);
    expect(await pipe.execute(() => 1)).toBe(1);
  });
});
