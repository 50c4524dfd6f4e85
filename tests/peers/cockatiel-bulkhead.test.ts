import { AsyncLocalStorage } from 'node:async_hooks';
import * as cockatiel from 'cockatiel';
import { bulkhead, retry } from 'seaworthy';
import { describe, expect, it, vi } from 'vitest';
import { deaf, deferred, stand, turn, watch } from '../policies/stand.ts';
import { down, gone, works } from './cockatiel-fixture.ts';
import { mended } from './scene.ts';

describe('the bulkhead', () => {
  it('C-13: the successes and failures of a bulkhead are told, also when it is the outermost policy', async () => {
    const inner = cockatiel.retry(cockatiel.handleAll, { maxAttempts: 0 });
    const policy = cockatiel.bulkhead(1);
    for (const execute of [policy, cockatiel.wrap(policy, inner)]) {
      const told = vi.fn();
      execute.onSuccess(told);
      execute.onFailure(told);
      await execute.execute(() => 'ok');
      await execute.execute(down).catch(() => {});
      expect(told, mended).not.toHaveBeenCalled();
    }

    for (const policies of [[bulkhead({ limit: 1 })], [bulkhead({ limit: 1 }), retry({ maxRetries: 0 })]]) {
      const { pipe } = stand(policies);
      const onSuccess = vi.fn();
      const onFailure = vi.fn();
      pipe.onSuccess(onSuccess);
      pipe.onFailure(onFailure);
      await pipe.execute(() => 'ok');
      await pipe.tryExecute(down);
      expect(onSuccess).toHaveBeenCalledTimes(1);
      expect(onFailure).toHaveBeenCalledTimes(1);
    }
  });

  it('C-14: a queued call that is aborted leaves at once, and its place is free', async () => {
    const caller = new AbortController();
    const policy = cockatiel.bulkhead(1, 1);
    watch(policy.execute(deaf));
    const queued = watch(policy.execute(() => 'queued', caller.signal));
    caller.abort(gone);
    await turn();
    expect(queued.state, mended).toBe('pending');
    await expect(
      policy.execute(() => 'next'),
      mended,
    ).rejects.toThrow(cockatiel.BulkheadRejectedError);

    const again = new AbortController();
    const slots = bulkhead({ limit: 1, queue: 1 });
    const { pipe } = stand([slots]);
    const first = deferred<string>();
    watch(pipe.execute(() => first.promise));
    const waiting = watch(pipe.execute(() => 'queued', again.signal));
    again.abort(gone);
    await turn();
    expect(waiting.error).toBe(gone);
    expect(slots.queued).toBe(0);
    const next = watch(pipe.execute(() => 'next'));
    expect(slots.queued).toBe(1);
    first.resolve('done');
    await turn();
    expect(next.value).toBe('next');
  });

  it('C-15: a newcomer neither overtakes the queue nor pushes out a call that was accepted', async () => {
    /** A runs, B waits; C and D arrive in the burst of microtasks in which A ends. */
    async function burst(execute: (fn: () => unknown) => Promise<unknown>) {
      const started: string[] = [];
      const work = deferred<string>();
      const hold = deferred<string>();
      const run = (name: string, answer: () => unknown) => watch(execute(() => (started.push(name), answer())));
      const calls: Record<string, ReturnType<typeof watch>> = {};
      calls.A = run('A', () => work.promise);
      calls.B = run('B', () => hold.promise);
      void work.promise.then(() => {
        calls.C = run('C', () => hold.promise);
        calls.D = run('D', () => hold.promise);
      });
      work.resolve('done');
      await turn();
      const rejected = Object.keys(calls).filter((name) => calls[name]!.state === 'error');
      hold.resolve('done');
      await turn();
      return { started, rejected };
    }

    const policy = cockatiel.bulkhead(1, 1);
    expect(await burst((fn) => policy.execute(fn)), mended).toEqual({ started: ['A', 'C', 'D'], rejected: ['B'] });

    const { pipe } = stand([bulkhead({ limit: 1, queue: 1 })]);
    expect(await burst((fn) => pipe.execute(fn))).toEqual({ started: ['A', 'B'], rejected: ['C', 'D'] });
  });

  it('C-16: a queued call runs in the async context of the one who queued it', async () => {
    const who = new AsyncLocalStorage<string>();
    async function seen(execute: (fn: () => unknown) => Promise<unknown>) {
      const contexts: unknown[] = [];
      const held = works(3);
      for (const n of [0, 1, 2])
        who.run(`req${n + 1}`, () => watch(execute(() => (contexts.push(who.getStore()), held[n]!.promise))));
      for (const work of held) {
        work.resolve('done');
        await turn();
      }
      return contexts;
    }

    const policy = cockatiel.bulkhead(1, 5);
    expect(await seen((fn) => policy.execute(fn)), mended).toEqual(['req1', 'req1', 'req1']);

    const { pipe } = stand([bulkhead({ limit: 1, queue: 5 })]);
    expect(await seen((fn) => pipe.execute(fn))).toEqual(['req1', 'req2', 'req3']);
  });
});
