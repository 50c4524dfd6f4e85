import assert from 'node:assert/strict';
// By path, because growth-timing.ts is run by Node itself.
import { bulkhead, type CallContext, circuitBreaker, fallback, pipeline, retry, timeout } from '../../src/index.ts';

export const many = 100_000;

/** All five policies, with room for everybody. */
const five = () =>
  pipeline(
    'growth',
    [
      fallback({ to: () => 'instead', when: () => false }),
      retry(),
      circuitBreaker(),
      bulkhead({ limit: many }),
      timeout(600_000),
    ],
    { telemetry: false },
  );

/** `n` calls that are all in flight behind one signal, and what was left of them. */
type Run = (n: number) => Promise<{ signal: AbortSignal; active: number }>;

/** How they come to their end. */
export const ends: Readonly<Record<string, Run>> = {
  'end by themselves': async (n) => {
    const pipe = five();
    const { signal } = new AbortController();
    let open!: (value: string) => void;
    const gate = new Promise<string>((resolve) => {
      open = resolve;
    });
    const calls = Array.from({ length: n }, () => pipe.execute(() => gate, signal));
    assert.equal(pipe.snapshot().active, n);
    open('done');
    assert.ok((await Promise.all(calls)).every((value) => value === 'done'));
    const { active } = pipe.snapshot();
    pipe.dispose();
    return { signal, active };
  },

  'are ended by its abort': async (n) => {
    const pipe = five();
    const caller = new AbortController();
    const { signal } = caller;
    const untilAborted = (call: CallContext) =>
      new Promise<never>((_, reject) => call.signal.addEventListener('abort', () => reject(call.signal.reason)));
    const calls = Array.from({ length: n }, () => pipe.tryExecute(untilAborted, signal));
    assert.equal(pipe.snapshot().active, n);
    caller.abort(new Error('everybody out'));
    assert.ok((await Promise.all(calls)).every(({ error }) => error === signal.reason));
    const { active } = pipe.snapshot();
    pipe.dispose();
    return { signal, active };
  },
};
