import { circuitBreaker, pipeline, retry, timeout, TimeoutError } from 'seaworthy';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { virtualClock } from '../../src/testing/virtual-clock.ts';
import { thrownBy } from '../policies/stand.ts';
import { unhandled } from './spy.ts';

const down = new Error('down');
const quiet = { telemetry: false } as const;

beforeEach(() => void vi.spyOn(process, 'emitWarning').mockImplementation(() => {}));
afterEach(() => vi.restoreAllMocks());

/** How one call of `fn` counts, how often it ran, and what was reported. */
async function judged(
  fn: () => unknown,
  { when, classify, own }: { when?: unknown; classify?: unknown; own?: unknown } = {},
) {
  const pipe = pipeline(
    'p',
    [retry({ maxRetries: 1, backoff: 0, ...(when !== undefined && { when: when as never }) })],
    {
      ...quiet,
      ...(classify !== undefined && { classify: classify as never }),
    },
  );
  const faults = new Set<string>();
  pipe.subscribe((event) => {
    if (event.type === 'fault') faults.add(`${event.where}: ${(event.error as Error).message}`);
  });
  let calls = 0;
  const lost = await unhandled(() =>
    pipe.tryExecute(
      () => {
        calls++;
        return fn();
      },
      own === undefined ? {} : { classify: own as never },
    ),
  );
  expect(lost).toEqual([]);
  const { success, failure, ignored } = pipe.snapshot().outcomes;
  return { calls, outcomes: { success, failure, ignored }, faults: [...faults] };
}

const success = { success: 1, failure: 0, ignored: 0 };
const failure = { success: 0, failure: 1, ignored: 0 };
const ignored = { success: 0, failure: 0, ignored: 1 };
const fail = () => Promise.reject(down);
const fine = () => 'fine';
const thrower = () => {
  throw down;
};

describe('what an outcome counts as', () => {
  it.each<[string, () => unknown, object, number, object]>([
    ['a value, where nobody says', fine, {}, 1, success],
    ['an error, where nobody says', fail, {}, 2, failure],
    ['what classify calls a success', fail, { classify: () => 'success' }, 1, success],
    ['what classify calls a failure', fine, { classify: () => 'failure' }, 2, failure],
    ['what classify calls ignored', fail, { classify: () => 'ignored' }, 1, ignored],
    ['what classify says with more', fine, { classify: () => ({ verdict: 'failure' }) }, 2, failure],
    ['what the call classifies', fine, { own: () => 'failure' }, 2, failure],
    ['what both classify: the pipeline decides', fine, { classify: () => 'success', own: () => 'failure' }, 1, success],
    ['what `when` handles', fine, { when: { result: () => true }, classify: () => 'success' }, 2, success],
    ['what `when` does not handle', fail, { when: () => false, classify: () => 'failure' }, 1, failure],
    ['a value, where `when` is about errors', fine, { when: () => true, classify: () => 'failure' }, 2, failure],
  ])('%s', async (_what, fn, rules, calls, outcomes) => {
    expect(await judged(fn, rules)).toEqual({ calls, outcomes, faults: [] });
  });

  it.each<[string, (answer: () => unknown) => object, (received: string) => string]>([
    ['when', (when) => ({ when }), (received) => `when must answer true or false, received ${received}`],
    ['classify', (classify) => ({ classify }), () => 'classify must answer "success", "failure" or "ignored"'],
  ])('%s that answers nonsense, or throws, counts as not handled, and is reported', async (where, rules, message) => {
    for (const [received, answer] of [
      ['undefined', () => undefined],
      ['"nonsense"', () => 'nonsense'],
      ['an object', () => ({ verdict: 'nonsense' })],
      ['5', () => 5],
      ['a promise', () => Promise.reject(down)],
    ] as [string, () => unknown][]) {
      const { calls, faults } = await judged(fail, rules(answer));
      expect([received, calls]).toEqual([received, 1]);
      expect(faults).toEqual([`${where}: ${message(received)}`]);
    }
    const { calls, faults } = await judged(fail, rules(thrower));
    expect([calls, faults]).toEqual([1, [`${where}: down`]]);
  });

  it('an error of ours that is a value is a value', async () => {
    const clock = virtualClock();
    const breaker = circuitBreaker({ consecutiveFailures: 1 });
    const pipe = pipeline('p', [retry({ maxRetries: 1 }), breaker], { ...quiet, clock, classify: () => 'success' });
    const values = [
      new TimeoutError(1, { policy: 'x', pipeline: 'x' }),
      (await pipeline('q', []).tryExecute(fine, { timeoutMs: 0 })).error,
    ];
    for (const value of values) expect(await pipe.execute(() => value)).toBe(value);
    expect(pipe.snapshot()).toMatchObject({ attempts: 2, outcomes: { success: 2, failure: 0 } });
    expect(breaker.state).toBe('closed');
  });

  it('a timeout of ours is a failure whatever classify says, and a rejection moves no breaker', async () => {
    const clock = virtualClock();
    const breaker = circuitBreaker({ consecutiveFailures: 1 });
    const pipe = pipeline('p', [breaker, timeout(() => 0)], { ...quiet, clock, classify: () => 'success' });
    await pipe.tryExecute(fine);
    expect([breaker.state, pipe.snapshot().outcomes.failure]).toEqual(['closed', 1]);
    const slow = pipeline('s', [circuitBreaker({ consecutiveFailures: 1 }), timeout(10)], {
      ...quiet,
      clock,
      classify: () => 'success',
    });
    const seen = slow.tryExecute(() => new Promise(() => {}));
    await clock.advance(10);
    expect((await seen).error).toMatchObject({ code: 'timeout' });
    expect(slow.snapshot()).toMatchObject({ outcomes: { failure: 1 }, policies: [{ state: 'open' }, {}] });
  });
});

describe('what wrap and subscribe refuse', () => {
  it('is told where it is written, with the name of the pipeline', () => {
    const pipe = pipeline('shop', [], quiet);
    expect(thrownBy(() => pipe.wrap(fine, { timeoutMs: 'soon' as never })).message).toBe(
      'Cannot wrap with "shop": "timeoutMs" must be a number of milliseconds, received "soon"',
    );
    expect(thrownBy(() => pipe.subscribe(undefined as never)).message).toBe(
      'Cannot subscribe to "shop": the listener must be a function, received undefined',
    );
  });

  it('is a promise of options, whose failure ends no process', async () => {
    const wrapped = pipeline('shop', [], quiet).wrap(fine, (() => Promise.reject(down)) as never);
    const lost = await unhandled(() => expect(wrapped()).rejects.toThrow('received a promise'));
    expect(lost).toEqual([]);
  });
});
