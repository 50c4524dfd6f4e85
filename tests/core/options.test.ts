import { handleType, handleWhenResult, noop } from 'cockatiel';
import { bulkhead, circuitBreaker, type Outcome, pipeline, type Policy, retry, retryBudget } from 'seaworthy';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { callable, check, needed, number, show } from '../../src/core/options.ts';
import { virtualClock } from '../../src/testing/virtual-clock.ts';
import { thrownBy } from '../policies/stand.ts';
import { unhandled } from './spy.ts';

const fn = () => 1;
const quiet = { telemetry: false } as const;

describe('what a value is shown as', () => {
  it.each<[string, unknown]>([
    [`"${'x'.repeat(40)}"`, 'x'.repeat(40)],
    [`"${'x'.repeat(40)}…"`, 'x'.repeat(41)],
    ['-0', -0],
    ['0', 0],
    ['5n', 5n],
    ['a symbol', Symbol('s')],
    ['a promise', Promise.resolve()],
    ['a list', new Set()],
    ['an array', []],
    ['null', null],
  ])('%s', (shown, value) => {
    expect(show(value)).toBe(shown);
  });
});

describe('the name that was meant', () => {
  it('is the first of several that are equally near', () => {
    const rules = { bat: callable, hat: callable, cat: callable };
    expect(thrownBy(() => check('x', { rat: fn }, rules)).message).toBe(
      'Cannot x: unknown option "rat", did you mean "bat"?',
    );
  });

  it('is none where more than a third of the letters differ', () => {
    const rules = { window: callable };
    const told = (name: string) => thrownBy(() => check('x', { [name]: fn }, rules)).message;
    expect(told('wandaw')).toContain('did you mean "window"?');
    expect(told('wandas')).not.toContain('did you mean');
  });
});

describe('a rule of a number', () => {
  it('names its bounds, and only range is about them', () => {
    const rules = { between: number(0, 1), above: number(0, 1, { above: true }), needed: needed(number(1)) };
    const error = thrownBy(() => check('x', { between: 2, above: 0, needed: 0 }, rules));
    expect(error).toBeInstanceOf(RangeError);
    expect(error.message).toBe(
      'Cannot x: "between" must be a number from 0 to 1, received 2; ' +
        '"above" must be a number above 0 and up to 1, received 0; "needed" must be a number from 1 up, received 0',
    );
  });
});

describe('an option that is nearly right is refused:', () => {
  const observer = (method: string) => () => pipeline('p', [], { observers: [{ [method]: 5 }] } as never);
  it.each<[string, () => unknown, string]>([
    ...['interest', 'event', 'start', 'end', 'within', 'dispose'].map((method): [string, () => unknown, string] => [
      `an observer whose ${method} is no function`,
      observer(method),
      '"observers" must be an array of observers, received an array',
    ]),
    ['a clock without now', () => pipeline('p', [], { clock: { after: fn } } as never), '"clock" must be a clock'],
    ['a clock without after', () => pipeline('p', [], { clock: { now: fn } } as never), '"clock" must be a clock'],
    [
      'half a cockatiel handler, as when',
      () => retry({ when: { options: { errorFilter: fn } } as never }),
      '"when" must be a predicate',
    ],
    [
      'half a cockatiel handler, as classify',
      () => pipeline('p', [], { classify: { options: { errorFilter: fn } } as never }),
      '"classify" must be a function or a cockatiel handler',
    ],
    ['a policy without a kind', () => pipeline('p', [{ stage: fn } as never]), 'policies[0] must be a policy'],
    ['a policy without a stage', () => pipeline('p', [{ kind: 'k' } as never]), 'policies[0] must be a policy'],
    ['null for a policy', () => pipeline('p', [null as never]), 'policies[0] must be a policy'],
    [
      'a function with the fields of a policy',
      () => pipeline('p', [Object.assign(fn.bind(null), { kind: 'k', stage: fn, execute: fn }) as never]),
      'policies[0] must be a policy, a pipeline or a cockatiel policy, received a function',
    ],
  ])('%s', (_what, make, message) => {
    const error = thrownBy(make);
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toContain(message);
  });

  it.each(['aborted', 'addEventListener', 'removeEventListener'])('a signal without %s', async (member) => {
    const signal = { aborted: false, addEventListener: fn, removeEventListener: fn, [member]: undefined };
    const pipe = pipeline('p', [], quiet);
    await expect(pipe.execute(fn, { signal: signal as never })).rejects.toThrow(
      'Cannot execute "p": "signal" must be an AbortSignal, received an object',
    );
    // Alone it is taken for options.
    await expect(pipe.execute(fn, signal as never)).rejects.toThrow('Cannot execute "p": unknown option "aborted"');
  });
});

describe('a cockatiel handler', () => {
  const down = new Error('down');
  it.each<[string, () => unknown, 'failure' | 'success']>([
    ['an error it handles', () => Promise.reject(new TypeError()), 'failure'],
    ['an error it does not', () => Promise.reject(down), 'success'],
    ['a value it handles', () => 503, 'failure'],
    ['a value it does not', () => 200, 'success'],
  ])('as classify: %s is a %s', async (_what, run, outcome) => {
    const pipe = pipeline('p', [], { ...quiet, classify: handleType(TypeError).orWhenResult((r) => r === 503) });
    const faults: unknown[] = [];
    pipe.subscribe((event) => event.type === 'fault' && faults.push(event));
    await pipe.tryExecute(run);
    expect(pipe.snapshot().outcomes).toMatchObject({ [outcome]: 1 });
    expect(faults).toEqual([]);
  });

  it('as when of a retry: its values are tried again', async () => {
    let calls = 0;
    const when = handleWhenResult((status) => status === 503);
    const pipe = pipeline('p', [retry({ maxRetries: 1, backoff: 0, when })], quiet);
    expect(await pipe.execute(() => (++calls === 1 ? 503 : 200))).toBe(200);
    expect(calls).toBe(2);
  });
});

describe('one policy in several pipelines', () => {
  it('needs no name where the pipeline is made anew under its own', () => {
    const own = retry();
    pipeline('same', [own], quiet);
    expect(pipeline('same', [own], quiet).snapshot().policies[0]!.name).toBe('same/retry');
    expect(thrownBy(() => pipeline('other', [own], quiet)).message).toContain('is in pipeline "same" already');
  });

  it("needs none where it is cockatiel's", async () => {
    const foreign = noop;
    for (const name of ['one', 'two'])
      expect(await pipeline(name, [foreign], quiet).execute(() => 'through')).toBe('through');
  });

  const named: [string, () => Policy<any>][] = [
    ['circuit breaker', () => circuitBreaker({ name: 'db' })],
    ['bulkhead', () => bulkhead({ limit: 1, name: 'db' })],
    ['a retry budget', () => retry({ budget: retryBudget() as never, name: 'db' })],
  ];
  it.each(named)('keeps one clock: %s', (kind, make) => {
    const own = make();
    const clock = virtualClock();
    pipeline('first', [own], { ...quiet, clock });
    expect(() => pipeline('second', [own], { ...quiet, clock })).not.toThrow();
    const error = thrownBy(() => pipeline('third', [own], { ...quiet, clock: virtualClock() }));
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toMatch(
      new RegExp(
        `^Cannot put .*${kind}.* into pipeline "third": it keeps the clock of pipeline "first", and this one has another$`,
      ),
    );
  });
});

describe('retryable', () => {
  beforeEach(() => void vi.spyOn(process, 'emitWarning').mockImplementation(() => {}));
  afterEach(() => vi.restoreAllMocks());

  const down = new Error('down');
  const run = async (retryable: ((outcome: Outcome) => unknown) | undefined) => {
    const pipe = pipeline('p', [retry({ maxRetries: 1, backoff: 0 })], quiet);
    const faults: unknown[] = [];
    pipe.subscribe((event) => event.type === 'fault' && faults.push([event.where, (event.error as Error).message]));
    let calls = 0;
    const fail = () => {
      calls++;
      throw down;
    };
    const { error } = await pipe.tryExecute(fail, { idempotent: false, retryable: retryable as never });
    expect(error).toBe(down);
    return { calls, faults };
  };

  it.each<[string, () => unknown, number, string[]]>([
    ['yes runs it again', () => true, 2, []],
    ['no does not', () => false, 1, []],
    ['what is neither does not, and is told', () => 'yes', 1, ['"yes"']],
    ['a promise does not, and is told', () => Promise.resolve(true), 1, ['a promise']],
    ['a promise that fails does not, and ends no process', () => Promise.reject(down), 1, ['a promise']],
  ])('%s', async (_what, answer, times, shown) => {
    let came!: Awaited<ReturnType<typeof run>>;
    expect(await unhandled(async () => (came = await run(answer)))).toEqual([]);
    const { calls, faults } = came;
    expect(calls).toBe(times);
    expect(faults).toEqual(
      shown.map((received) => ['retryable', `retryable must answer true or false, received ${received}`]),
    );
  });

  it('missing does not, and there is nothing to tell', async () => {
    expect(await run(undefined)).toEqual({ calls: 1, faults: [] });
  });
});

describe('what a backoff hears', () => {
  it.each<[string, () => unknown, object]>([
    ['an error', () => Promise.reject('down'), { error: 'down' }],
    ['a value', () => 503, { value: 503 }],
  ])('of %s', async (_what, run, result) => {
    const heard: unknown[] = [];
    const backoff = (info: { result: unknown; retry: number; attempt: number }) =>
      heard.push([info.result, info.retry, info.attempt]) && 'stop';
    const pipe = pipeline('p', [retry({ maxRetries: 2, backoff: backoff as never })], {
      ...quiet,
      classify: () => 'failure',
    });
    await pipe.tryExecute(run);
    expect(heard).toEqual([[result, 1, 1]]);
  });
});
