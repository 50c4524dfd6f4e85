import { pipeline, policy, retry, timeout } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { virtualClock } from '../../src/testing/virtual-clock.ts';

/** Runs of the function, each with its signal; they fail with its reason once it aborts, unless they are deaf. */
const runs = (deaf: (attempt: number) => boolean = () => false) => {
  const signals: AbortSignal[] = [];
  const fn = ({ signal }: { signal: AbortSignal }) =>
    new Promise<never>((_, reject) => {
      const attempt = signals.push(signal);
      if (!deaf(attempt)) signal.addEventListener('abort', () => reject(signal.reason));
    });
  return { signals, fn };
};

/** A middleware that tells what is inside it to stop after 10 ms, and waits for its answer. */
const tells = (clock: ReturnType<typeof virtualClock>) =>
  policy({
    kind: 'tells',
    around: (_call, next) => {
      const own = new AbortController();
      clock.after(10, () => own.abort(new Error('enough')));
      return next(own.signal);
    },
  });

describe('what random operations have found', () => {
  it('a retry does not go again inside a middleware that has told it to stop', async () => {
    const clock = virtualClock();
    const { signals, fn } = runs();
    const p = pipeline('p', [tells(clock), retry({ backoff: 0 })], { clock, telemetry: false });
    const end = expect(p.execute(fn)).rejects.toThrow('enough');
    await clock.advance(10);
    await end;
    expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
    expect(p.snapshot().policies[1]).toMatchObject({ attempts: 0, executions: { deadline: 1 } });
  });

  it('a middleware that has been told to stop starts nothing by another next()', async () => {
    const clock = virtualClock();
    const { signals, fn } = runs();
    const again = policy({ kind: 'again', repeats: true, around: (_call, next) => next().catch(() => next()) });
    const p = pipeline('p', [tells(clock), again], { clock, telemetry: false });
    const end = expect(p.execute(fn)).rejects.toThrow('enough');
    await clock.advance(10);
    await end;
    expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
  });

  it('a cooperative timeout waits for what it started, not for what an earlier attempt left running', async () => {
    const clock = virtualClock();
    const { fn } = runs((attempt) => attempt === 1);
    const policies = [retry({ maxRetries: 1, backoff: 0 }), timeout(6), timeout({ ms: 5, mode: 'cooperative' })];
    const end = expect(pipeline('p', policies, { clock, telemetry: false }).execute(fn)).rejects.toThrow('5 ms');
    await clock.advance(11);
    await end;
  });
});
