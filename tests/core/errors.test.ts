import { isBrokenCircuitError, isBulkheadRejectedError, isIsolatedCircuitError, isTaskCancelledError } from 'cockatiel';
import {
  BulkheadFullError,
  CircuitOpenError,
  DeadlineExceededError,
  DrainingError,
  isRejectedError,
  isResilienceError,
  isTimeoutError,
  ResilienceError,
  TimeoutError,
} from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { because, withoutStack } from '../../src/core/errors.ts';

const origin = { policy: 'shop/it', pipeline: 'shop' };
const boom = new Error('boom');

const all = {
  timeout: () => new TimeoutError(50, origin),
  circuit_open: () => new CircuitOpenError('circuit_open', 100, origin),
  circuit_isolated: () => new CircuitOpenError('circuit_isolated', Number.POSITIVE_INFINITY, origin),
  bulkhead_full: () => new BulkheadFullError('bulkhead_full', 5, 2, origin),
  queue_timeout: () => new BulkheadFullError('queue_timeout', 5, 2, origin),
  deadline_exceeded: () => new DeadlineExceededError(-3, origin),
  draining: () => new DrainingError(origin),
};

describe('an error of ours', () => {
  it.each<[keyof typeof all, string, object]>([
    ['timeout', 'TimeoutError: timed out after 50 ms', { timeoutMs: 50 }],
    ['circuit_open', 'CircuitOpenError: circuit open', { retryAfterMs: 100 }],
    ['circuit_isolated', 'CircuitOpenError: circuit isolated', { retryAfterMs: Number.POSITIVE_INFINITY }],
    ['bulkhead_full', 'BulkheadFullError: bulkhead full', { limit: 5, queue: 2 }],
    ['queue_timeout', 'BulkheadFullError: queue wait exceeded', { limit: 5, queue: 2 }],
    ['deadline_exceeded', 'DeadlineExceededError: deadline exceeded', { remainingMs: -3 }],
    ['draining', 'DrainingError: pipeline is draining', {}],
  ])('%s says who, what and why, and nothing else', (code, words, more) => {
    const error = all[code]();
    expect(String(error)).toBe(words);
    expect({ ...error }).toEqual({ code, ...origin, ...more });
    expect([error instanceof ResilienceError, isResilienceError(error)]).toEqual([true, true]);
    expect([isTimeoutError(error), isRejectedError(error)]).toEqual([code === 'timeout', code !== 'timeout']);
  });

  it.each<[string, (error: unknown) => boolean, (keyof typeof all)[]]>([
    ['isTaskCancelledError', isTaskCancelledError, ['timeout']],
    ['isBrokenCircuitError', isBrokenCircuitError, ['circuit_open', 'circuit_isolated']],
    ['isIsolatedCircuitError', isIsolatedCircuitError, ['circuit_isolated']],
    ['isBulkheadRejectedError', isBulkheadRejectedError, ['bulkhead_full', 'queue_timeout']],
  ])('is known to %s of cockatiel, and bears its mark as true', (mark, is, which) => {
    const errors = Object.entries(all).map(([code, make]) => [code, make()] as const);
    expect(errors.filter(([, error]) => is(error)).map(([code]) => code)).toEqual(which);
    expect(errors.filter(([, error]) => (error as any)[mark] === true).map(([code]) => code)).toEqual(which);
  });

  it.each([boom, null, 0, false, ''])('has the cause it was given: %s', (cause) => {
    expect(new TimeoutError(1, { ...origin, cause }).cause).toBe(cause);
  });

  it('has neither cause nor key where there is none', () => {
    const error = new TimeoutError(1, { ...origin, cause: undefined, key: undefined });
    expect([Object.hasOwn(error, 'cause'), Object.hasOwn(error, 'key')]).toEqual([false, false]);
    expect(new TimeoutError(1, { ...origin, key: '' }).key).toBe('');
  });

  it('has a name that is not listed and may be changed, as that of any error', () => {
    const [error, other] = [new TimeoutError(1, origin), new TimeoutError(1, origin)];
    expect(Object.getOwnPropertyDescriptor(TimeoutError.prototype, 'name')).toEqual({
      value: 'TimeoutError',
      enumerable: false,
      configurable: true,
      writable: true,
    });
    error.name = 'Changed';
    expect([error.name, other.name]).toEqual(['Changed', 'TimeoutError']);
  });

  it('has its own name where its class has another, or is frozen', () => {
    class Several extends ResilienceError {}
    class Frozen extends ResilienceError {}
    Object.freeze(Frozen.prototype);
    const named = [Several, Several, Several, Frozen].map(
      (Made, i) => new Made(`Name${i % 2}`, 'code', 'words', origin),
    );
    expect(named.map(({ name }) => name)).toEqual(['Name0', 'Name1', 'Name0', 'Name1']);
    expect(named.map((error) => Object.keys(error).includes('name'))).toEqual([false, false, false, false]);
  });
});

describe('whose error it is', () => {
  /** What another copy of this package throws. */
  const foreign = (code: string, ...brands: string[]) =>
    Object.assign(new Error(code), { code }, ...brands.map((brand) => ({ [Symbol.for(`seaworthy.${brand}`)]: true })));

  it('is told by marks that every copy shares', () => {
    const rejected = all.draining() as any;
    expect([rejected[Symbol.for('seaworthy.error')], rejected[Symbol.for('seaworthy.rejected')]]).toEqual([true, true]);
    expect(Symbol.for('seaworthy.rejected') in all.timeout()).toBe(false);
  });

  it.each<[string, () => unknown, boolean[]]>([
    ["another copy's timeout", () => foreign('timeout', 'error'), [true, true, false]],
    ["another copy's rejection", () => foreign('draining', 'error', 'rejected'), [true, false, true]],
    ["a user's error of the same code", () => foreign('timeout'), [false, false, false]],
    ['a marked object', () => ({ ...foreign('timeout', 'error', 'rejected') }), [false, false, false]],
    ['undefined', () => undefined, [false, false, false]],
    [
      'a proxy that throws',
      () =>
        new Proxy(new Error(), {
          has() {
            throw boom;
          },
        }),
      [false, false, false],
    ],
  ])('%s', (_what, make, are) => {
    const error = make();
    expect([isResilienceError(error), isTimeoutError(error), isRejectedError(error)]).toEqual(are);
  });
});

describe('a cause for an error that has none', () => {
  it('is like one that it was made with', () => {
    const error = new Error('late');
    because(error, boom);
    expect(Object.getOwnPropertyDescriptor(error, 'cause')).toEqual(
      Object.getOwnPropertyDescriptor(new Error('late', { cause: boom }), 'cause'),
    );
  });

  it('is not given to itself, to what has one, to what is frozen or to what is no error', () => {
    const own = new Error('own', { cause: 'first' });
    const alone = new Error('alone');
    const frozen = Object.freeze(new Error('frozen'));
    const object = {};
    for (const [error, cause] of [
      [own, boom],
      [alone, alone],
      [frozen, boom],
      [object, boom],
      [undefined, boom],
    ] as const)
      expect(() => because(error, cause)).not.toThrow();
    expect(own.cause).toBe('first');
    for (const error of [alone, frozen, object]) expect(Object.hasOwn(error, 'cause')).toBe(false);
  });

  it('is not forced on an error that throws when it is looked at', () => {
    const error = Object.defineProperty(new Error(), 'cause', {
      get() {
        throw boom;
      },
    });
    expect(() => because(error, boom)).not.toThrow();
  });
});

describe('an error without a stack', () => {
  const make = () => new Error('plain');

  it('has frames only where they are asked for, and leaves the limit as it was', () => {
    const limit = Error.stackTraceLimit;
    expect(withoutStack(false, make).stack).toBe('Error: plain');
    expect(withoutStack(true, make).stack).toMatch(/\n +at /);
    expect(Error.stackTraceLimit).toBe(limit);
  });

  it('leaves the limit as it was when it cannot be made', () => {
    const limit = Error.stackTraceLimit;
    const fail = () => {
      throw boom;
    };
    expect(() => withoutStack(false, fail)).toThrow(boom);
    expect(Error.stackTraceLimit).toBe(limit);
  });

  it('has a stack where the limit cannot be changed', () => {
    const limit = Object.getOwnPropertyDescriptor(Error, 'stackTraceLimit')!;
    Object.defineProperty(Error, 'stackTraceLimit', { ...limit, writable: false });
    try {
      expect(withoutStack(false, make).stack).toMatch(/^Error: plain\n +at /);
    } finally {
      Object.defineProperty(Error, 'stackTraceLimit', limit);
    }
  });
});
