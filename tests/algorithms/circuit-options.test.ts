import {
  ConsecutiveBreaker,
  ConstantBackoff,
  type IBackoffFactory,
  type IHalfOpenAfterBackoffContext,
  IterableBackoff,
} from 'cockatiel';
import { describe, expect, it } from 'vitest';
import {
  type CircuitOptions,
  circuitRules,
  conflict,
  type Fault,
  isBreaker,
} from '../../src/algorithms/circuit-options.ts';
import type { CircuitRules } from '../../src/algorithms/circuit-state.ts';
import { turn } from '../policies/stand.ts';

/** The rules that these options mean, and the faults they have told of. */
function made(options: CircuitOptions = {}) {
  const faults: Fault[] = [];
  return { rules: circuitRules(options, (fault) => faults.push(fault)), faults };
}

/** Which of these calls opens it: `.` is a success, `x` a failure, `s` a slow success; each a millisecond after the other. */
function opensAt(calls: string, { trip }: CircuitRules): number | undefined {
  for (const [index, call] of [...calls].entries()) {
    const opens = call === 'x' ? trip.failure(index, false) : trip.success(index, call === 's');
    if (opens) return index + 1;
  }
  return undefined;
}

describe('the options of a circuit mean', () => {
  it.each<[CircuitOptions, string, number | undefined]>([
    [{}, '.....xxxx', undefined],
    [{}, '.....xxxxx', 10],
    [{}, '......xxxxx', undefined],
    [{ failureRatio: 0.25 }, '........x.xx', 12],
    [{ minimumCalls: 2 }, 'x.', 2],
    [{ windowCalls: 4 }, '.....xx', 7],
    [{ windowCalls: 20 }, 'xxxxxxxxx', undefined],
    [{ windowCalls: 20 }, 'xxxxxxxxxx', 10],
    [{ windowCalls: 4, minimumCalls: 1 }, '.x', 2],
    [{ windowMs: 5, minimumCalls: 4 }, '.....xxx', 8],
    [{ consecutiveFailures: 3 }, 'xx.xxx', 6],
    [{ consecutiveFailures: 3 }, '.x.x.x.x.x.x.x.x', undefined],
    [{ consecutiveFailures: 3, failureRatio: 1 }, 'xx.xxx', 6],
    [{ consecutiveFailures: 9, failureRatio: 0.5 }, '.....xxxxx', 10],
    [{ consecutiveFailures: 11, slowMs: 1 }, 'xxxxxxxxxx', undefined],
    [{ consecutiveFailures: 11, slowMs: 1 }, 'xxxxxxxxxxx', 11],
    [{ consecutiveFailures: 3, slowMs: 1 }, 'ssssssssss', 10],
    [{ slowMs: 1 }, 'ssssssssss', 10],
    [{ slowMs: 1 }, '.sssssssss', undefined],
    [{ slowMs: 1, slowRatio: 0.5 }, '.....sssss', 10],
    [{}, 'ssssssssssss', undefined],
    [{ breaker: new ConsecutiveBreaker(2) }, 'x.xx', 4],
  ])('%j: of the calls %s number %s opens it', (options, calls, at) => {
    expect(opensAt(calls, made(options).rules)).toBe(at);
  });

  it.each<[CircuitOptions, Partial<CircuitRules>]>([
    [{}, { halfOpenCalls: 3, halfOpenMs: 10_000, reopenRatio: 0.5, slowFails: false }],
    [
      { halfOpenCalls: 7, halfOpenMs: 8 },
      { halfOpenCalls: 7, halfOpenMs: 8 },
    ],
    [{ failureRatio: 0.3 }, { reopenRatio: 0.3 }],
    [{ consecutiveFailures: 3 }, { reopenRatio: 0 }],
    [{ consecutiveFailures: 3, failureRatio: 0.3 }, { reopenRatio: 0.3 }],
    [{ breaker: new ConsecutiveBreaker(3) }, { reopenRatio: 0 }],
    [{ slowMs: 5 }, { slowFails: true }],
  ])('%j: %j', (options, expected) => {
    expect(made(options).rules).toMatchObject(expected);
  });
});

describe('a break', () => {
  const lengths = ({ rules }: ReturnType<typeof made>, ...openings: number[]) => openings.map((n) => rules.breakMs(n));

  it('is five seconds by default, whenever it is', () => {
    expect(lengths(made(), 1, 2, 9)).toEqual([5_000, 5_000, 5_000]);
  });

  it('may be of another length', () => {
    expect(lengths(made({ breakMs: 7 }), 1, 2)).toEqual([7, 7]);
  });

  it('may grow by a backoff, which begins anew with each first opening', () => {
    const breaks = made({ breakMs: new IterableBackoff([1, 2, 3]) });
    expect(lengths(breaks, 1, 2, 3, 1, 2)).toEqual([1, 2, 3, 1, 2]);
  });

  it('goes on where an earlier life has ended', () => {
    expect(lengths(made({ breakMs: new IterableBackoff([1, 2, 3, 4]) }), 3, 4)).toEqual([3, 4]);
  });

  it('tells the backoff of each opening which one it is', () => {
    const heard: unknown[] = [];
    const counting: IBackoffFactory<IHalfOpenAfterBackoffContext> = {
      next({ attempt, result, signal }) {
        heard.push([attempt, result, signal.aborted]);
        return { duration: attempt, next: counting.next };
      },
    };
    expect(lengths(made({ breakMs: counting }), 3, 4, 1)).toEqual([3, 4, 1]);
    expect(heard).toEqual([1, 2, 3, 4, 1].map((attempt) => [attempt, { error: undefined }, false]));
  });

  it('of an earlier life costs a hundred steps at most', () => {
    let steps = 0;
    const endless: IBackoffFactory<unknown> = {
      next() {
        steps++;
        return { duration: 1, next: endless.next };
      },
    };
    expect(lengths(made({ breakMs: endless }), 1e9)).toEqual([1]);
    expect(steps).toBe(100);
  });

  it('may last for no time, and for ever', () => {
    expect(lengths(made({ breakMs: new ConstantBackoff(0) }), 1)).toEqual([0]);
    expect(lengths(made({ breakMs: new ConstantBackoff(Number.POSITIVE_INFINITY) }), 1)).toEqual([Infinity]);
  });

  it.each<[unknown, string]>([
    [-1, '-1'],
    [Number.NaN, 'NaN'],
    ['5', '5'],
    [undefined, 'undefined'],
  ])('of length %s is the default, and a fault that says so', (duration, word) => {
    const breaks = made({ breakMs: new ConstantBackoff(duration as number) });
    expect(lengths(breaks, 1)).toEqual([5_000]);
    const error = new TypeError(`breakMs must answer milliseconds from 0 up, received ${word}`);
    expect(breaks.faults).toEqual([{ where: 'breakMs', error }]);
  });

  it('whose backoff throws is the default, and a fault', () => {
    const error = new Error('no idea');
    const broken: IBackoffFactory<unknown> = {
      next() {
        throw error;
      },
    };
    const breaks = made({ breakMs: broken });
    expect(lengths(breaks, 1)).toEqual([5_000]);
    expect(breaks.faults).toEqual([{ where: 'breakMs', error }]);
  });
});

describe('a breaker of cockatiel', () => {
  const error = new Error('broken');
  const throwing = {
    state: undefined,
    success() {
      throw error;
    },
    failure() {
      throw error;
    },
  };

  it('may be made for each circuit', () => {
    let count = 0;
    const make = () => {
      count++;
      return new ConsecutiveBreaker(2);
    };
    const [one, other] = [made({ breaker: make }), made({ breaker: make })];
    expect(count).toBe(2);
    expect(opensAt('x', one.rules)).toBe(undefined);
    expect(opensAt('x', other.rules)).toBe(undefined);
    expect(opensAt('x', one.rules)).toBe(1);
    expect(one.faults).toEqual([]);
  });

  it('that throws at a failure says no, and is a fault', () => {
    const { rules, faults } = made({ breaker: throwing });
    expect(rules.trip.failure(0, false)).toBe(false);
    expect(faults).toEqual([{ where: 'breaker', error }]);
  });

  it('that throws at a success says no, and is a fault', () => {
    const { rules, faults } = made({ breaker: throwing });
    expect(rules.trip.success(0, false)).toBe(false);
    expect(faults).toEqual([{ where: 'breaker', error }]);
  });

  it('whose answer to a failure is neither yes nor no says no, and is a fault', () => {
    const { rules, faults } = made({ breaker: { state: undefined, success() {}, failure: () => 1 as never } });
    expect(rules.trip.failure(0, false)).toBe(false);
    const error = new TypeError('breaker must answer a failure with true or false, received number');
    expect(faults).toEqual([{ where: 'breaker', error }]);
  });

  it('that hears of a success in an async function which fails is a fault', async () => {
    const { rules, faults } = made({
      breaker: { state: undefined, success: () => Promise.reject(error) as never, failure: () => false },
    });
    rules.trip.success(0, false);
    await turn();
    expect(faults).toEqual([{ where: 'breaker', error }]);
  });

  it.each<[string, CircuitOptions]>([
    ['a breaker', { breaker: () => Promise.reject(error) as never }],
    [
      'its answer to a failure',
      { breaker: { state: undefined, success() {}, failure: () => Promise.reject(error) as never } },
    ],
    ['a step of a backoff', { breakMs: { next: () => Promise.reject(error) as never } }],
  ])('%s that is a promise is a fault, and its rejection nobody’s unhandled one', async (_, options) => {
    const unhandled: unknown[] = [];
    const hear = (reason: unknown) => unhandled.push(reason);
    process.on('unhandledRejection', hear);
    const { rules, faults } = made(options);
    rules.trip.failure(0, false);
    rules.breakMs(1);
    await turn();
    await turn();
    process.off('unhandledRejection', hear);
    expect([faults.length, unhandled]).toEqual([1, []]);
  });

  it('that cannot be made never opens, and is a fault', () => {
    const { rules, faults } = made({
      breaker() {
        throw error;
      },
    });
    expect(opensAt('xxxxxxxxxxxx.x', rules)).toBe(undefined);
    expect(faults).toEqual([{ where: 'breaker', error }]);
  });

  it('that is none never opens, and is a fault', () => {
    const { rules, faults } = made({ breaker: () => 5 as never });
    expect(opensAt('xxxxxxxxxxxx.x', rules)).toBe(undefined);
    expect(faults).toEqual([{ where: 'breaker', error: new TypeError('breaker must answer a cockatiel breaker') }]);
  });

  it('is heard with its own answer', () => {
    const heard: string[] = [];
    const { rules } = made({
      breaker: {
        state: undefined,
        success: (state) => void heard.push(`success ${state}`),
        failure: (state) => heard.push(`failure ${state}`) > 2,
      },
    });
    expect([rules.trip.success(0, false), rules.trip.failure(1, false), rules.trip.failure(2, false)]).toEqual([
      false,
      false,
      true,
    ]);
    rules.trip.reset();
    expect(heard).toEqual(['success 0', 'failure 0', 'failure 0', 'success 2']);
  });

  it.each<[string, unknown, boolean]>([
    ['cockatiel’s', new ConsecutiveBreaker(1), true],
    ['two functions', { success() {}, failure() {} }, true],
    ['no failure', { success() {} }, false],
    ['no success', { failure() {} }, false],
    ['null', null, false],
    ['undefined', undefined, false],
    ['a number', 5, false],
  ])('is what has success and failure: %s', (_, value, expected) => {
    expect(isBreaker(value)).toBe(expected);
  });
});

describe('options that do not go together', () => {
  const breaker = new ConsecutiveBreaker(1);

  it.each<[CircuitOptions, string | undefined]>([
    [{}, undefined],
    [{ failureRatio: 0.5, consecutiveFailures: 3 }, undefined],
    [{ windowMs: 1, windowCalls: 1 }, '"windowMs" excludes "windowCalls"'],
    [{ windowMs: 1 }, undefined],
    [{ slowRatio: 1 }, '"slowRatio" needs "slowMs"'],
    [{ slowRatio: 1, slowMs: 1 }, undefined],
    [{ windowCalls: 5 }, undefined],
    [{ windowCalls: 5, minimumCalls: 5 }, undefined],
    [{ minimumCalls: 6 }, undefined],
    [
      { windowCalls: 5, minimumCalls: 6 },
      '"minimumCalls" must be at most "windowCalls", received 6 and 5: it would never open',
    ],
    [{ consecutiveFailures: 3 }, undefined],
    ...(['minimumCalls', 'windowMs', 'windowCalls'] as const).map((name): [CircuitOptions, string] => [
      { consecutiveFailures: 3, [name]: 6 },
      `"${name}" beside "consecutiveFailures" needs "failureRatio" or "slowMs"`,
    ]),
    [
      { consecutiveFailures: 3, minimumCalls: 6, windowMs: 5 },
      '"minimumCalls", "windowMs" beside "consecutiveFailures" needs "failureRatio" or "slowMs"',
    ],
    [{ consecutiveFailures: 3, minimumCalls: 6, slowMs: 5 }, undefined],
    [{ consecutiveFailures: 3, minimumCalls: 6, failureRatio: 1 }, undefined],
    [{ breaker, breakMs: 5 }, undefined],
    [{ breaker, halfOpenCalls: 5, halfOpenMs: 5 }, undefined],
    ...(
      ['failureRatio', 'minimumCalls', 'windowMs', 'windowCalls', 'consecutiveFailures', 'slowMs', 'slowRatio'] as const
    ).map((name): [CircuitOptions, string] => [{ breaker, [name]: 1 }, `"breaker" excludes "${name}"`]),
    [{ breaker, windowMs: 5, slowMs: 6 }, '"breaker" excludes "windowMs", "slowMs"'],
  ])('%j: %s', (options, expected) => {
    expect(conflict(options)).toBe(expected);
  });
});
