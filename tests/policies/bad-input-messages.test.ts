import { ConsecutiveBreaker, handleAll, retry as retryOf } from 'cockatiel';
import { bulkhead, circuitBreaker, fallback, pipeline, policy, retry, retryBudget, timeout } from 'seaworthy';
import { resilientFetch } from 'seaworthy/fetch';
import { otelObserver } from 'seaworthy/otel';
import { describe, expect, it } from 'vitest';
import { takers } from './bad-input-table.ts';
import { thrownBy } from './stand.ts';

const fn = () => 1;
const quiet = { telemetry: false } as const;

/** What `make` throws, or rejects with. */
async function refused(make: () => unknown): Promise<Error> {
  try {
    await make();
  } catch (error) {
    return error as Error;
  }
  throw new Error('it was taken');
}

describe('what is no options object', () => {
  const no = [
    [null, 'null'],
    [true, 'true'],
    ['x', '"x"'],
    [5, '5'],
    [fn, 'a function'],
    [[], 'an array'],
    [new Map([['maxRetries', 3]]), 'a list'],
    [Promise.resolve({}), 'a promise'],
  ] as const;
  // These take more than options: milliseconds, a function, a pipeline, a function of the arguments.
  const more: Record<string, readonly string[]> = {
    timeout: ['true', '"x"', '5', 'a function'],
    fallback: ['a function'],
    resilientFetch: ['null', 'true', '"x"', '5', 'a function'],
    wrap: ['a function'],
  };
  // Inside another object's options the message names the field, in the other table.
  const whole = Object.entries(takers).filter(([name, { path }]) => path === undefined && !name.startsWith('resize'));

  it.each(whole)('%s says so', async (name, { make, action }) => {
    for (const [value, shown] of no) {
      if (more[name]?.includes(shown)) continue;
      const error = await refused(() => make(value));
      expect(error, shown).toBeInstanceOf(TypeError);
      expect(error.message).toBe(`Cannot ${action}: options must be an object, received ${shown}`);
    }
  });

  it('is not there where something else is taken', () => {
    expect(thrownBy(() => timeout('x' as never)).message).toBe(
      'Cannot create timeout: "ms" must be a number above 0 or Infinity, or a function, received "x"',
    );
    expect(thrownBy(() => resilientFetch(5 as never)).message).toBe(
      'Cannot create resilientFetch: "pipeline" must be a pipeline, received 5',
    );
    expect(thrownBy(() => pipeline('p', []).subscribe(5 as never)).message).toBe(
      'Cannot subscribe to "p": the listener must be a function, received 5',
    );
  });
});

// All but resize(), which takes a number.
const named = Object.entries(takers).filter(([name]) => !name.startsWith('resize'));

describe.each(named)('names that %s does not know', (_name, { action, make, needs, path = '', options }) => {
  it('are told, with the one that was meant', async () => {
    for (const option of Object.keys(options)) {
      const typos = [option.toUpperCase(), ...(option.length > 4 ? [option.slice(0, -1), `${option}s`] : [])];
      for (const typo of typos) {
        const error = await refused(() => make({ ...needs, [typo]: 1 }));
        expect(error, typo).toBeInstanceOf(TypeError);
        expect(error.message).toBe(
          `Cannot ${action}: unknown option "${path}${typo}", did you mean "${path}${option}"?`,
        );
      }
    }
  });

  it.each(['zzzzzzzzzz', '__proto', 'constructor', 'toString'])(
    'are told alone where none is near: %s',
    async (name) => {
      const error = await refused(() => make({ ...needs, [name]: 1 }));
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toBe(`Cannot ${action}: unknown option "${path}${name}"`);
    },
  );

  it('are told beside everything else that is wrong', async () => {
    const wrong = Object.keys(options).filter(
      (option) => !(options[option]!.takes as readonly string[]).includes('null'),
    );
    const error = await refused(() =>
      make({ zzzzzzzzzz: 1, ...Object.fromEntries(wrong.map((name) => [name, null])) }),
    );
    expect(error).toBeInstanceOf(TypeError);
    const all = wrong.map((name) => `"${path}${name}" must be ${options[name]!.must}, received null`);
    expect(error.message).toBe(`Cannot ${action}: ${[`unknown option "${path}zzzzzzzzzz"`, ...all].join('; ')}`);
  });
});

describe('several problems', () => {
  it('of range alone are a RangeError, and one of type makes it a TypeError', () => {
    const range = thrownBy(() => circuitBreaker({ failureRatio: 2, keys: { max: 0, idleMs: -1 } }));
    expect(range).toBeInstanceOf(RangeError);
    expect(range.message).toBe(
      'Cannot create circuit breaker: "failureRatio" must be a number above 0 and up to 1, received 2; ' +
        '"keys.max" must be a whole number from 1 up, received 0; "keys.idleMs" must be a number above 0, received -1',
    );
    const type = thrownBy(() => retry({ maxRetries: -1, budget: { ratio: 2, capacity: '5' as never } }));
    expect(type).toBeInstanceOf(TypeError);
    expect(type.message).toBe(
      'Cannot create retry: "maxRetries" must be a whole number from 0 up or Infinity, received -1; ' +
        '"budget.ratio" must be a number from 0 to 1, received 2; "budget.capacity" must be a number from 0 up, received "5"',
    );
  });

  it.each<[string, () => unknown, string]>([
    ['a ratio and no window', () => circuitBreaker({ slowRatio: 1 }), '"slowRatio" needs "slowMs"'],
    ['two windows', () => circuitBreaker({ windowMs: 1, windowCalls: 1 }), '"windowMs" excludes "windowCalls"'],
    [
      'a breaker and numbers',
      () => circuitBreaker({ breaker: new ConsecutiveBreaker(1), slowMs: 1 }),
      '"breaker" excludes "slowMs"',
    ],
  ])('that exclude each other, %s, are a TypeError', (_, make, message) => {
    const error = thrownBy(make);
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toBe(`Cannot create circuit breaker: ${message}`);
  });
});

describe('inside of options', () => {
  const of = { error: fn };
  it.each<[string, () => unknown, string]>([
    ['when with another field', () => retry({ when: { ...of, value: fn } as never }), '"when" must be a predicate'],
    ['when without a field', () => retry({ when: {} }), '"when" must be a predicate'],
    ['when with no function', () => retry({ when: { error: 5 } as never }), '"when" must be a predicate'],
    [
      'a cockatiel policy for a handler',
      () => retry({ when: retryOf(handleAll, {}) as never }),
      '"when" must be a pre',
    ],
    [
      'a value that is not named so',
      () => fallback({ to: { result: 1 } } as never),
      '"to" must be a function, or { value',
    ],
    [
      'an attribute',
      () => pipeline('p', [], { attributes: { a: null } } as never),
      '"attributes" must be an object of',
    ],
    [
      'an observer that is none',
      () => pipeline('p', [], { observers: [null] } as never),
      '"observers" must be an array of',
    ],
    ['its method', () => pipeline('p', [], { observers: [{ event: 5 }] } as never), '"observers" must be an array of'],
    ['half a clock', () => pipeline('p', [], { clock: { now: fn } } as never), '"clock" must be a clock, received an'],
    ['no bucket', () => otelObserver({ durationBuckets: [] }), '"durationBuckets" must be an array of seconds above 0'],
    ['a bucket of 0', () => otelObserver({ durationBuckets: [0, 1] }), '"durationBuckets" must be an array of seconds'],
    [
      'a kind',
      () => policy({ kind: 'Mine', around: fn as never }),
      '"kind" must be lower-case letters, digits and "_"',
    ],
    ['a long name', () => timeout({ ms: 1, name: 'x'.repeat(129) }), '"name" must be 1-128 characters of letters'],
    ['a name with a space', () => timeout({ ms: 1, name: 'a b' }), '"name" must be 1-128 characters of letters'],
  ])('%s', (_, make, message) => {
    const error = thrownBy(make);
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toContain(message);
  });

  it('maxAttempts of other libraries is maxRetries here', () => {
    expect(thrownBy(() => retry({ maxAttempts: 3 } as never)).message).toBe(
      'Cannot create retry: unknown option "maxAttempts", did you mean "maxRetries"?',
    );
    expect(thrownBy(() => retryBudget({ maxAttempts: 3 } as never)).message).not.toContain('maxRetries');
  });

  it('what is shown of a value is short, and calls nothing of its own', () => {
    const loud = { toString: () => thrownBy(fn), toJSON: () => thrownBy(fn), [Symbol.toPrimitive]: () => thrownBy(fn) };
    expect(thrownBy(() => retry({ maxRetries: loud as never })).message).toMatch(/received an object$/);
    expect(thrownBy(() => retry({ maxRetries: 'x'.repeat(500) as never })).message).toMatch(/received "x{40}…"$/);
  });
});

describe('a pipeline', () => {
  it.each<[unknown, string]>([
    [undefined, 'undefined'],
    [5, '5'],
    ['', '""'],
    ['a b', '"a b"'],
    ['x'.repeat(65), `"${'x'.repeat(40)}…"`],
    ['p\n', '"p\n"'],
  ])('%j is no name', (name, shown) => {
    const error = thrownBy(() => pipeline(name as string, []));
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toBe(
      `Cannot create pipeline: the name must be 1-64 characters of letters, digits, ".", "_", "-", "/", received ${shown}`,
    );
  });

  it.each<[unknown, string]>([
    [undefined, 'policies must be an array, received undefined'],
    [retry(), 'policies must be an array, received an object'],
    [new Set([retry()]), 'policies must be an array, received a list'],
    [[undefined], 'policies[0] must be a policy, a pipeline or a cockatiel policy, received undefined'],
    [[retry(), retry], 'policies[1] must be a policy, a pipeline or a cockatiel policy, received a function'],
    [[[retry()]], 'policies[0] must be a policy, a pipeline or a cockatiel policy, received an array'],
    [[{ kind: 'x' }], 'policies[0] must be a policy, a pipeline or a cockatiel policy, received an object'],
  ])('%o are no policies', (policies, message) => {
    const error = thrownBy(() => pipeline('p', policies as never));
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toBe(`Cannot create pipeline "p": ${message}`);
  });

  it('has two policies under one name: both places are told', () => {
    const twice = thrownBy(() => pipeline('p', [retry({ name: 'db' }), timeout(1), circuitBreaker({ name: 'db' })]));
    expect(twice).toBeInstanceOf(TypeError);
    expect(twice.message).toBe('Cannot create pipeline "p": policies[0] and policies[2] are both named "db"');
    // A name may be what another one's default is.
    expect(thrownBy(() => pipeline('p', [timeout({ ms: 1, name: 'p/retry' }), retry()])).message).toBe(
      'Cannot create pipeline "p": policies[0] and policies[1] are both named "p/retry"',
    );
  });

  it('may hold one policy twice, which is one state under one name', async () => {
    const again = retry({ maxRetries: 1, backoff: 0, name: 'db' });
    const pipe = pipeline('p', [again, again], quiet);
    let calls = 0;
    await pipe.tryExecute(() => {
      calls++;
      throw new Error('down');
    });
    expect(calls).toBe(4);
    expect(pipe.snapshot().policies.map(({ name }) => name)).toEqual(['db', 'db']);
    expect(thrownBy(() => pipeline('q', [bulkhead({ limit: 1, name: 'db' }), again])).message).toContain('"db"');
  });
});
