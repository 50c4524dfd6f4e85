import { type CallContext, bulkhead, circuitBreaker, fallback, pipeline, retry, timeout } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { deferred, turn } from '../policies/stand.ts';

const quiet = { telemetry: false } as const;
const collect = (globalThis as { gc?: () => void }).gc!;
const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

const pipe = pipeline(
  'memory',
  [fallback({ to: () => 'spare', when: () => false }), retry(), circuitBreaker({ minimumCalls: 1_000 }), timeout(20)],
  quiet,
);

/** What a call was made of, to be asked whether it is still there. */
interface Parts {
  fn: WeakRef<object>;
  parent: WeakRef<object>;
  value: WeakRef<object>;
}

/** Runs `body` in a function of its own, so that nothing of it stays in a register, and answers what it wants kept. */
async function life<T>(body: (parent: AbortSignal, value: object) => [fn: object, kept: Promise<T>]) {
  const parts = {} as Parts;
  const kept = await (async () => {
    const { signal } = new AbortController();
    const value = { big: new Array(100).fill(0) };
    const [fn, kept] = body(signal, value);
    Object.assign(parts, { fn: new WeakRef(fn), parent: new WeakRef(signal), value: new WeakRef(value) });
    return kept;
  })();
  for (let round = 0; round < 5; round++) {
    await turn();
    collect();
  }
  const left = Object.entries(parts).filter(([, ref]) => (ref as WeakRef<object>).deref() !== undefined);
  return { kept, left: left.map(([name]) => name) };
}

describe('what is kept after a call has ended keeps nothing of the call:', () => {
  it('its signal', async () => {
    const { kept, left } = await life<AbortSignal>((parent, value) => {
      let signal!: AbortSignal;
      const fn = async (call: CallContext) => {
        signal = call.signal;
        return value;
      };
      return [fn, pipe.execute(fn, parent).then(() => signal)];
    });
    expect(kept.aborted).toBe(false);
    expect(left).toEqual([]);
  });

  it('the signal of one that was timed out, and the error of it', async () => {
    const { kept, left } = await life<unknown[]>((parent) => {
      const slow = pipeline('slow', [timeout(5)], quiet);
      let signal!: AbortSignal;
      const fn = (call: CallContext) => {
        signal = call.signal;
        return new Promise(() => {});
      };
      return [fn, slow.tryExecute(fn, parent).then(({ error }) => [signal, error])];
    });
    expect(kept[1]).toMatchObject({ code: 'timeout' });
    expect((kept[0] as AbortSignal).reason).toBe(kept[1]);
    expect(left).toEqual([]);
  });

  it('the promise of the caller, but for what it answers', async () => {
    const { kept, left } = await life<{ promise: Promise<unknown> }>((parent, value) => {
      const fn = async () => value;
      const promise = pipe.execute(fn, parent);
      return [fn, promise.then(() => ({ promise }))];
    });
    await expect(kept.promise).resolves.toHaveProperty('big');
    expect(left).toEqual(['value']);
  });

  it('the pipeline, its window, its counts and its shared timers', async () => {
    const failing = pipeline('failing', [retry({ backoff: 0 }), circuitBreaker({ minimumCalls: 1_000 }), timeout(20)], {
      ...quiet,
      classify: () => 'failure',
    });
    const { left } = await life<unknown>((parent, value) => {
      const fn = async () => value;
      return [fn, failing.execute(fn, parent).then(() => 0)];
    });
    expect(left).toEqual([]);
    expect(failing.snapshot()).toMatchObject({ calls: 1, attempts: 3 });
  });

  it('the signal of the caller, which lives on with a thousand calls behind it', async () => {
    const { signal } = new AbortController();
    const refs: WeakRef<object>[] = [];
    await (async () => {
      for (let n = 0; n < 1_000; n++) {
        const fn = async (call: CallContext) => call.signal.aborted;
        refs.push(new WeakRef(fn));
        await pipe.execute(fn, signal);
      }
    })();
    await turn();
    await turn();
    collect();
    // The last may still be in the hands of whoever ran them.
    expect(refs.filter((ref) => ref.deref() !== undefined).length).toBeLessThanOrEqual(5);
  });
});

describe('work that was given up and goes on', () => {
  it('keeps its call only as long as it runs: what it answers late frees it', async () => {
    const work = deferred();
    const refs: WeakRef<object>[] = [];
    await (async () => {
      const held = pipeline('held', [retry({ maxRetries: 2, backoff: 0 }), bulkhead({ limit: 10 }), timeout(5)], quiet);
      const fn = (call: CallContext) => {
        refs.push(new WeakRef(call));
        return work.promise;
      };
      refs.push(new WeakRef(fn));
      await held.tryExecute(fn);
    })();
    await sleep(5);
    collect();
    expect(refs).toHaveLength(4);
    work.resolve('late');
    for (let round = 0; round < 5; round++) {
      await turn();
      collect();
    }
    expect(refs.filter((ref) => ref.deref() !== undefined)).toEqual([]);
  });

  it('keeps, while it hangs, none of the calls beside it, nor of those beside these', async () => {
    const busy = pipeline('busy', [], quiet);
    const held: unknown[] = [];
    const refs: WeakRef<object>[] = [];
    const begin = () => {
      const work = deferred();
      const fn = () => work.promise;
      refs.push(new WeakRef(fn));
      return { work, ended: busy.execute(fn) };
    };
    await (async () => {
      const hung = busy.tryExecute(() => new Promise((resolve) => held.push(resolve)), { timeoutMs: 5 });
      let older = begin();
      await hung;
      for (let n = 0; n < 100; n++) {
        const newer = begin();
        older.work.resolve(n);
        await older.ended;
        older = newer;
      }
      older.work.resolve('the last');
      await older.ended;
    })();
    for (let round = 0; round < 5; round++) {
      await turn();
      collect();
    }
    expect(refs.filter((ref) => ref.deref() !== undefined)).toEqual([]);
    expect(held).toHaveLength(1);
  });

  it('keeps, while it hangs, less than 2.2 kB of a call that was timed out, and the same for each', async () => {
    const held: unknown[] = [];
    const slow = pipeline('slow', [timeout(5)], quiet);
    const round = async (calls: number) => {
      // Settled by nobody, and held as a socket would.
      const hang = () => new Promise((resolve) => held.push(resolve));
      await Promise.all(Array.from({ length: calls }, () => slow.tryExecute(hang)));
      for (let n = 0; n < 3; n++) {
        await turn();
        collect();
      }
      return process.memoryUsage().heapUsed;
    };
    await round(2_000);
    const before = await round(1_000);
    const after = await round(10_000);
    expect((after - before) / 10_000).toBeLessThan(2_200);
  });
});
