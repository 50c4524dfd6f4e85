import { ConsecutiveBreaker, type IBackoffFactory, type IHalfOpenAfterBackoffContext } from 'cockatiel';
import { describe, expect, it } from 'vitest';
import type { CircuitBook } from '../../src/algorithms/circuit-book.ts';
import type { CircuitOptions } from '../../src/algorithms/circuit-options.ts';
import { book } from './circuit-fixture.ts';

const error = new Error('broken');
/** Its news, one line each. */
const lines = (news: ReturnType<CircuitBook['news']>) => news.map(({ from, to, at }) => `${at}: ${from} > ${to}`);

describe('news of a circuit', () => {
  it('there is none in the beginning', () => {
    const { it } = book();
    expect([it.hasNews(it.main), it.news(it.main)]).toEqual([false, []]);
  });

  it('there is none of a call that changes nothing', () => {
    const { it, call } = book();
    call(undefined, 'success');
    expect([it.hasNews(it.main), it.news(it.main)]).toEqual([false, []]);
  });

  it('is told once', () => {
    const { it, call } = book();
    call(undefined, 'failure');
    expect(it.hasNews(it.main)).toBe(true);
    expect(lines(it.news(it.main))).toEqual(['0: closed > open']);
    expect([it.hasNews(it.main), it.news(it.main)]).toEqual([false, []]);
  });

  it('names the failure that opened it, its type and its share', () => {
    const { it, call } = book({ failureRatio: 0.5, minimumCalls: 2 });
    call(undefined, 'success');
    call(undefined, 'failure', error, 'ECONNRESET');
    expect(it.news(it.main)).toEqual([
      { from: 'closed', to: 'open', at: 0, failureRatio: 0.5, key: undefined, error, errorType: 'ECONNRESET' },
    ]);
  });

  it('names the failure of the probe that opened it again', () => {
    const { it, time, call } = book();
    call(undefined, 'failure', 'first');
    time.now = 1_000;
    call(undefined, 'failure', error, 'Other');
    expect(it.news(it.main).slice(1)).toEqual([
      {
        from: 'open',
        to: 'half_open',
        at: 1_000,
        failureRatio: undefined,
        key: undefined,
        error: undefined,
        errorType: undefined,
      },
      { from: 'half_open', to: 'open', at: 1_000, failureRatio: 1, key: undefined, error, errorType: 'Other' },
    ]);
    expect(it.main.cause).toBe(error);
  });

  it('blames nobody for a lease that has ended: the call that notices it did nothing', () => {
    const { it, time, call } = book({ consecutiveFailures: 1, breakMs: 1_000, halfOpenCalls: 1, halfOpenMs: 500 });
    call(undefined, 'failure', 'first');
    time.now = 1_000;
    const probe = it.admit(it.main)!;
    it.news(it.main);
    time.now = 1_600;
    it.settle(probe, 'failure', 1_600, { error: 'late', errorType: 'Late' });
    expect(it.news(it.main)).toEqual([
      {
        from: 'half_open',
        to: 'open',
        at: 1_500,
        failureRatio: 1,
        key: undefined,
        error: undefined,
        errorType: undefined,
      },
    ]);
    expect(it.main.cause).toBe('first');
  });

  it('blames nobody for closing', () => {
    const { it, time, call } = book();
    call(undefined, 'failure', 'first');
    time.now = 1_000;
    call(undefined, 'success', error, 'Other');
    expect(it.news(it.main).at(-1)).toMatchObject({ to: 'closed', error: undefined, errorType: undefined });
  });

  it('is of its own key alone', () => {
    const { it, call } = book();
    call('a', 'failure');
    expect([it.hasNews(it.main), it.hasNews(it.record('b')), it.hasNews(it.record('a'))]).toEqual([false, false, true]);
    expect(it.news(it.record('a'))).toMatchObject([{ key: 'a', to: 'open' }]);
  });

  it('is there for a change that only looking has brought about', () => {
    const { it, time, call } = book();
    call(undefined, 'failure');
    it.news(it.main);
    time.now = 1_000;
    it.read();
    expect(it.hasNews(it.main)).toBe(true);
    expect(lines(it.news(it.main))).toEqual(['1000: open > half_open']);
    expect(it.read().transitions).toMatchObject({ open: 1, half_open: 1 });
  });

  it('keeps a key from being forgotten until it is told', () => {
    const { it, time, call } = book({ consecutiveFailures: 1, breakMs: 1, halfOpenCalls: 1 }, { max: 2, idleMs: 1e6 });
    call('told', 'failure');
    call('untold', 'failure');
    time.now = 5;
    for (const key of ['told', 'untold']) call(key, 'success');
    it.news(it.record('told'));
    // The longest unused of the two, but what became of it is not told yet.
    it.record('told');
    call('new', 'success');
    expect([it.glance('told')?.key, it.glance('untold')?.key]).toEqual([undefined, 'untold']);
  });
});

describe('news of holds by hand', () => {
  const hold = (to: string, key?: string) => ({
    from: 'closed',
    to,
    at: 7,
    failureRatio: undefined,
    key,
    error: undefined,
    errorType: undefined,
  });

  it('on all is told to whoever asks first, once', () => {
    const { it, time } = book();
    time.now = 7;
    it.hold('isolated', undefined);
    expect([it.hasNews(it.main), it.hasNews(it.record('a'))]).toEqual([true, true]);
    expect(it.news(it.record('a'))).toEqual([hold('isolated')]);
    expect([it.hasNews(it.main), it.news(it.main)]).toEqual([false, []]);
  });

  it('on one is news of that one', () => {
    const { it, time } = book();
    time.now = 7;
    it.hold('disabled', it.record('a'));
    expect([it.hasNews(it.main), it.hasNews(it.record('a'))]).toEqual([false, true]);
    expect(it.news(it.record('a'))).toEqual([hold('disabled', 'a')]);
    expect(it.hasNews(it.record('a'))).toBe(false);
  });

  it('comes in order of time with that of a circuit', () => {
    const { it, time, call } = book();
    it.hold('isolated', undefined)();
    time.now = 5;
    call(undefined, 'failure');
    time.now = 10;
    it.hold('isolated', undefined);
    expect(lines(it.news(it.main))).toEqual([
      '0: closed > isolated',
      '0: isolated > closed',
      '5: closed > open',
      '10: open > isolated',
    ]);
  });

  it('that changes nothing is none', () => {
    const { it } = book();
    const first = it.hold('isolated', undefined);
    it.news(it.main);
    const second = it.hold('isolated', undefined);
    first();
    expect([it.hasNews(it.main), it.news(it.main)]).toEqual([false, []]);
    second();
    expect(lines(it.news(it.main))).toEqual(['0: isolated > closed']);
  });

  it('is counted by the state it leads to', () => {
    const { it } = book();
    it.hold('isolated', undefined)();
    it.hold('disabled', undefined)();
    expect(it.read().transitions).toEqual({ closed: 2, open: 0, half_open: 0, isolated: 1, disabled: 1 });
  });
});

describe('faults of user code', () => {
  const throwing = {
    state: undefined,
    success() {
      throw error;
    },
    failure: () => false,
  };

  it('are news for every circuit until they are taken, once', () => {
    const { it, call } = book({ breaker: throwing });
    expect(it.hasNews(it.main)).toBe(false);
    call(undefined, 'success');
    expect(it.hasNews(it.main)).toBe(true);
    expect(it.takeFaults()).toEqual([{ where: 'breaker', error }]);
    expect([it.hasNews(it.main), it.takeFaults()]).toEqual([false, []]);
  });

  it('are no changes of state', () => {
    const { it, call } = book({ breaker: throwing });
    call(undefined, 'success');
    expect(it.news(it.main)).toEqual([]);
    expect(it.takeFaults().length).toBe(1);
  });

  it('in making the first breaker are thrown at whoever makes the book', () => {
    const breaker = () => {
      throw error;
    };
    expect(() => book({ breaker })).toThrow(error);
  });

  it('in making the breaker of a key are not', () => {
    let made = 0;
    const { it } = book({
      breaker() {
        if (made++ > 0) throw error;
        return new ConsecutiveBreaker(1);
      },
    });
    it.record('a');
    expect(it.takeFaults()).toEqual([{ where: 'breaker', error }]);
  });
});

describe('telling news', () => {
  it('goes in order, one after the other, each once', () => {
    const { it, time, call } = book();
    call(undefined, 'failure', error, 'Broken');
    time.now = 1_000;
    it.hold('isolated', undefined);
    const told: unknown[] = [];
    it.tellNews(it.main, ({ previous, state, at, errorType }) => told.push([previous, state, at, errorType]));
    expect(told).toEqual([
      ['closed', 'open', 0, 'Broken'],
      ['half_open', 'isolated', 1_000, undefined],
    ]);
    it.tellNews(it.main, () => told.push('again'));
    expect(told.length).toBe(2);
  });

  it('goes on in order where a listener changes more', () => {
    const { it, time, call } = book();
    call(undefined, 'failure');
    time.now = 1_000;
    const release = it.hold('isolated', undefined);
    const told: string[] = [];
    const hear = ({ previous, state }: { previous: string; state: string }) => {
      told.push(`${previous} > ${state}`);
      if (told.length > 1) return;
      release();
      it.tellNews(it.main, hear);
    };
    it.tellNews(it.main, hear);
    expect(told).toEqual(['closed > open', 'half_open > isolated', 'isolated > half_open']);
  });
});

describe('what opened a circuit', () => {
  type End = [result: 'success' | 'failure', error: unknown, value: unknown, tookMs: number];

  /** What the backoff of its break is told. */
  const reasonsOf = (options: CircuitOptions, ...ends: End[]) => {
    const heard: unknown[] = [];
    const breakMs: IBackoffFactory<IHalfOpenAfterBackoffContext> = {
      next({ result }) {
        heard.push(result);
        return { duration: 0, next: breakMs.next };
      },
    };
    const { it, time } = book({ breakMs, slowMs: 100, halfOpenCalls: 1, ...options });
    for (const [result, error, value, tookMs] of ends) {
      const admission = it.admit(it.main)!;
      const startedAt = time.now;
      time.now += tookMs;
      it.settle(admission, result, time.now, { error, value }, startedAt);
    }
    return heard;
  };
  const reasons = (...ends: End[]) => reasonsOf({ failureRatio: 1, minimumCalls: 1 }, ...ends);

  it('is told to the backoff: an error', () => {
    expect(reasons(['failure', error, undefined, 0])).toEqual([{ error }]);
  });

  it('is told to the backoff: a value that counts as a failure', () => {
    expect(reasons(['failure', undefined, 503, 0])).toEqual([{ value: 503 }]);
  });

  it('is told to the backoff: a value that came too late', () => {
    expect(reasons(['success', undefined, 'slow', 200])).toEqual([{ value: 'slow' }]);
  });

  it('is nothing where a success has completed the minimum of calls', () => {
    const half = { failureRatio: 0.5, minimumCalls: 2 };
    expect(reasonsOf(half, ['failure', error, undefined, 0], ['success', undefined, 'fine', 0])).toEqual([
      { error: undefined },
    ]);
  });

  it('is told again for the probe that opened it again', () => {
    expect(reasons(['failure', 'first', undefined, 0], ['failure', 'second', undefined, 0])).toEqual([
      { error: 'first' },
      { error: 'second' },
    ]);
  });
});
