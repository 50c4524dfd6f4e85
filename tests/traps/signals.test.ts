import { getEventListeners } from 'node:events';
import { bulkhead, type CallContext, circuitBreaker, fallback, pipeline, policy, retry, timeout } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { deaf, stand, turn, watch } from '../policies/stand.ts';

const quiet = { telemetry: false } as const;
const down = new Error('down');

describe('the signal, made when it is first read', () => {
  it('after a timeout is born aborted with the very error that the caller got, whoever timed out', async () => {
    const rows = [
      { policies: [timeout(10)], options: {} },
      { policies: [timeout(() => 10)], options: {} },
      { policies: [timeout({ ms: 10, name: 'outer' }), retry(), timeout({ ms: 50, name: 'inner' })], options: {} },
      { policies: [], options: { timeoutMs: 10 } },
      { policies: [policy({ kind: 'own', around: (_call, next) => next() }), timeout(10)], options: {} },
    ];
    for (const { policies, options } of rows) {
      const { clock, pipe } = stand(policies);
      let kept!: CallContext;
      const seen = watch(
        pipe.execute((call) => {
          kept = call;
          return deaf();
        }, options),
      );
      await clock.advance(10);
      expect(seen.state).toBe('error');
      const { signal } = kept;
      expect(signal.aborted).toBe(true);
      expect(signal.reason).toBe(seen.error);
      expect(kept.signal).toBe(signal);
      let heard = 0;
      signal.addEventListener('abort', () => heard++);
      await turn();
      // It has aborted before anybody listened, like AbortSignal.abort().
      expect(heard).toBe(0);
    }
  });

  it('of an attempt that was timed out is its own, though the call goes on in another attempt', async () => {
    const { clock, pipe } = stand([
      fallback((_, call) => (contexts.push(call), deaf())),
      retry({ maxRetries: 2, backoff: 0 }),
      timeout(10),
    ]);
    const contexts: CallContext[] = [];
    const seen = watch(
      pipe.execute((call) => {
        contexts.push(call);
        return deaf();
      }),
    );
    await clock.advance(10);
    await clock.advance(5);
    // Read late, in the middle of the second attempt.
    const [first, second] = contexts.map(({ signal }) => signal);
    expect([first!.aborted, second!.aborted]).toEqual([true, false]);
    expect(first!.reason).toMatchObject({ code: 'timeout' });
    await clock.advance(5);
    await clock.advance(10);
    expect(contexts).toHaveLength(4);
    const signals = contexts.map(({ signal }) => signal);
    expect(new Set(signals).size).toBe(4);
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true, true, false]);
    expect(new Set(signals.map(({ reason }) => reason)).size).toBe(4);
    expect(contexts.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 3]);
    expect(seen.state).toBe('pending');
  });

  it('comes out of a call by name, and not by `{ ...call }`, which makes none', async () => {
    const { pipe } = stand([timeout(10)]);
    await pipe.execute((call) => {
      const copy: object = { ...call };
      expect('signal' in copy).toBe(false);
      const { signal, attempt, remainingMs, pipeline: name } = call;
      expect(signal).toBe(call.signal);
      expect([signal.aborted, attempt, remainingMs, name]).toEqual([false, 1, 10, 'shop']);
    });
  });

  it('aborted by the caller in the synchronous part of the function is heard, whether it was read before or after', async () => {
    for (const read of ['before', 'after', 'later'] as const) {
      const { pipe } = stand([retry(), circuitBreaker(), bulkhead({ limit: 1, holdUntilSettled: false }), timeout(10)]);
      const caller = new AbortController();
      const reason = { read };
      const signals: AbortSignal[] = [];
      let kept!: CallContext;
      const seen = watch(
        pipe.execute((call) => {
          kept = call;
          if (read === 'before') signals.push(call.signal);
          caller.abort(reason);
          if (read === 'after') signals.push(call.signal);
          return deaf();
        }, caller.signal),
      );
      await turn();
      expect(seen.error).toBe(reason);
      signals.push(kept.signal);
      for (const signal of signals) expect([signal.aborted, signal.reason]).toEqual([true, reason]);
      expect(new Set(signals).size).toBe(1);
      expect(pipe.snapshot().active).toBe(0);
    }
  });
});

describe('the listener behind one signal', () => {
  it('tells calls in the order in which they came, as the signal tells its listeners, whoever has left', async () => {
    const pipe = pipeline('order', [], quiet);
    const caller = new AbortController();
    const ends: (() => void)[] = [];
    const order: number[] = [];
    const call = (n: number) =>
      watch(
        pipe.execute(({ signal }) => {
          signal.addEventListener('abort', () => order.push(n));
          return new Promise<void>((resolve) => ends.push(resolve));
        }, caller.signal),
      );
    for (let n = 0; n < 6; n++) call(n);
    for (const n of [3, 0, 5]) ends[n]!();
    await turn();
    call(6);
    caller.abort('enough');
    expect(order).toEqual([1, 2, 4, 6]);
  });

  it('is one for all pipelines and nested ones that are behind it, and is gone when the last call has ended', async () => {
    const caller = new AbortController();
    const ends: (() => void)[] = [];
    const wait = () => new Promise<void>((resolve) => ends.push(resolve));
    const inner = pipeline('inner', [timeout(10_000)], quiet);
    const calls = [
      pipeline('a', [retry(), timeout(10_000)], quiet).execute(wait, caller.signal),
      pipeline('b', [inner], quiet).execute(wait, { signal: caller.signal }),
      pipeline('c', [], quiet).execute(({ signal }) => inner.execute(wait, signal), caller.signal),
    ];
    expect(getEventListeners(caller.signal, 'abort')).toHaveLength(1);
    for (const end of ends) end();
    await Promise.all(calls);
    await turn();
    await turn();
    expect(getEventListeners(caller.signal, 'abort')).toEqual([]);
  });

  it('may be on a signal of somebody else’s making: abort, reason and letting go work by its own methods', async () => {
    const listeners = new Set<any>();
    const foreign = {
      aborted: false,
      reason: undefined as unknown,
      addEventListener: (_type: string, listener: unknown) => void listeners.add(listener),
      removeEventListener: (_type: string, listener: unknown) => void listeners.delete(listener),
    };
    const signal = foreign as unknown as AbortSignal;
    const pipe = pipeline('foreign', [retry(), timeout(10_000)], quiet);
    await pipe.execute(async () => 1, signal);
    await turn();
    await turn();
    expect(listeners.size).toBe(0);
    let own!: AbortSignal;
    const seen = [1, 2].map(() =>
      watch(
        pipe.execute((call) => {
          own = call.signal;
          return deaf();
        }, signal),
      ),
    );
    expect(listeners.size).toBe(1);
    Object.assign(foreign, { aborted: true, reason: down });
    for (const listener of listeners) listener.handleEvent?.({ type: 'abort' }) ?? listener;
    await turn();
    await turn();
    expect(seen.map(({ error }) => error)).toEqual([down, down]);
    expect(own.reason).toBe(down);
    expect(listeners.size).toBe(0);
    await expect(pipe.execute(() => 1, signal)).rejects.toBe(down);
  });
});
