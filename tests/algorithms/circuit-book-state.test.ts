import { ConsecutiveBreaker } from 'cockatiel';
import { describe, expect, it } from 'vitest';
import { book } from './circuit-fixture.ts';

const open = { version: 1 as const, state: 'open' as const, openForMs: 0, remainingMs: 500, openings: 1 };
const closed = { version: 1 as const, state: 'closed' as const, openForMs: 0, remainingMs: 0, openings: 0 };

describe('a call and the holds by hand', () => {
  it('is not admitted while all are isolated, and counted as such', () => {
    const { it, call } = book();
    it.hold('isolated', undefined);
    expect([call(undefined, 'success'), call('a', 'success')]).toEqual([false, false]);
    expect(it.read()).toMatchObject({
      executions: { rejected: 2, success: 0 },
      rejections: { circuit_open: 0, circuit_isolated: 2 },
    });
  });

  it('is not admitted while its own is isolated, others are', () => {
    const { it, call } = book();
    it.hold('isolated', it.record('a'));
    expect([call('a', 'success'), call('b', 'success'), call(undefined, 'success')]).toEqual([false, true, true]);
  });

  it('is admitted by an open circuit that is disabled, and counted without moving it', () => {
    const { it, call } = book();
    call('a', 'failure');
    const enable = it.hold('disabled', it.record('a'));
    expect([call('a', 'success'), call('a', 'failure')]).toEqual([true, true]);
    enable();
    expect(it.state(it.record('a'))).toBe('open');
    expect(it.read().executions).toEqual({ success: 1, failure: 2, ignored: 0, rejected: 0 });
  });

  it('that fails while all are disabled opens nothing', () => {
    const { it, call } = book();
    const enable = it.hold('disabled', undefined);
    call(undefined, 'failure');
    call('a', 'failure');
    enable();
    expect([it.state(it.main), it.state(it.record('a'))]).toEqual(['closed', 'closed']);
  });

  it('is in flight until it is settled, disabled or not', () => {
    const { it } = book();
    const first = it.admit(it.main)!;
    it.hold('disabled', undefined);
    const second = it.admit(it.main)!;
    expect(it.main.inFlight).toBe(2);
    it.settle(first, 'success', 0);
    it.settle(second, 'success', 0);
    expect(it.main.inFlight).toBe(0);
  });
});

describe('slowness', () => {
  const slow = { slowMs: 100, slowRatio: 1, minimumCalls: 1 };
  const after = (ms: number, options: object = slow, started = true) => {
    const { it } = book(options);
    const admission = it.admit(it.main)!;
    it.settle(admission, 'success', ms, undefined, started ? 0 : undefined);
    return it.state(it.main);
  };

  it('begins above slowMs', () => {
    expect([after(100), after(100.1)]).toEqual(['closed', 'open']);
  });

  it('of what has never started is none', () => {
    expect(after(1e9, slow, false)).toBe('closed');
  });

  it('is measured only where it counts', () => {
    expect([book(slow).it.timed, book({}).it.timed]).toEqual([true, false]);
  });
});

describe('the state of all', () => {
  it('is the main circuit’s where that is not closed', () => {
    const { it, time, call } = book();
    call(undefined, 'failure');
    call('a', 'failure');
    expect(it.state(undefined)).toBe('open');
    time.now = 1_000;
    expect(it.state(undefined)).toBe('half_open');
  });

  it.each([
    ['half', 'open', 'closed'],
    ['open', 'half', 'closed'],
    ['closed', 'open', 'half'],
  ])('is open where any key is, whatever stands before and after it: %s, %s, %s', (...keys) => {
    const { it, time, call } = book();
    for (const key of keys) it.record(key);
    call('half', 'failure');
    time.now = 500;
    call('open', 'failure');
    time.now = 1_000;
    expect([it.state(it.record('half')), it.state(it.record('open'))]).toEqual(['half_open', 'open']);
    expect(it.state(undefined)).toBe('open');
  });

  it('is half-open where a key is and none is open', () => {
    const { it, time, call } = book();
    call('half', 'failure');
    call('closed', 'success');
    time.now = 1_000;
    expect(it.state(undefined)).toBe('half_open');
  });

  it('is not that of a key held by hand, nor is that of one key that of the others', () => {
    const { it, call } = book();
    it.hold('isolated', it.record('held'));
    expect(it.state(undefined)).toBe('closed');
    call('a', 'failure');
    expect(it.state(it.main)).toBe('closed');
  });

  it('is isolated or disabled where all are, isolated before disabled', () => {
    const { it } = book();
    const enable = it.hold('disabled', undefined);
    expect(it.state(undefined)).toBe('disabled');
    const release = it.hold('isolated', undefined);
    expect(it.state(it.record('a'))).toBe('isolated');
    release();
    enable();
    expect(it.state(undefined)).toBe('closed');
  });

  it('that is disabled by key as well as for all is so until both are over', () => {
    const { it } = book();
    const all = it.hold('disabled', undefined);
    const one = it.hold('disabled', it.record('a'));
    expect(it.state(it.record('a'))).toBe('disabled');
    all();
    expect([it.state(it.record('a')), it.state(it.main)]).toEqual(['disabled', 'closed']);
    one();
    expect(it.state(it.record('a'))).toBe('closed');
  });
});

describe('looking at a key', () => {
  it('makes none', () => {
    const { it } = book();
    expect(it.state(it.glance('a'))).toBe('closed');
    expect([it.glance('a')?.key, it.read().circuits]).toEqual([undefined, 1]);
  });

  it('finds the one that is there', () => {
    const { it } = book();
    expect(it.glance('a')).not.toBe(it.record('a'));
    expect(it.glance('a')).toBe(it.record('a'));
  });

  it('that is none leads nowhere', () => {
    expect(book().it.glance(undefined)).toBe(undefined);
  });

  it('leads to the only circuit where there is one breaker', () => {
    const { it } = book({ breaker: new ConsecutiveBreaker(1) });
    expect([it.glance('a') === it.main, it.record('a') === it.main]).toEqual([true, true]);
    expect(it.read().circuits).toBe(1);
  });
});

describe('reset', () => {
  it('of all closes the main circuit and those of all keys', () => {
    const { it, call } = book();
    for (const key of [undefined, 'a', 'b']) call(key, 'failure', 'why');
    it.reset(undefined);
    expect(it.all().map((record) => [it.state(record), record.cause])).toEqual(Array(3).fill(['closed', undefined]));
    expect(it.read().transitions).toMatchObject({ open: 3, closed: 3 });
  });

  it('of one leaves the others open', () => {
    const { it, call } = book();
    for (const key of [undefined, 'a', 'b']) call(key, 'failure', 'why');
    it.reset(it.record('a'));
    expect(it.all().map((record) => it.state(record))).toEqual(['open', 'closed', 'open']);
    expect(it.record('a').cause).toBe(undefined);
  });
});

describe('a snapshot', () => {
  it('of all has the keys that are not closed', () => {
    const { it, call } = book();
    call('a', 'failure');
    call('b', 'success');
    expect(it.toJSON(undefined)).toEqual({ ...closed, keys: { a: { ...open, remainingMs: 1_000 } } });
  });

  it('of all has no keys where all are closed', () => {
    const { it, call } = book();
    call('b', 'success');
    expect(it.toJSON(undefined)).toEqual(closed);
  });

  it('of one key is its own', () => {
    const { it, call } = book();
    call('a', 'failure');
    expect(it.toJSON(it.record('a'))).toEqual({ ...open, remainingMs: 1_000 });
    expect(it.toJSON(it.record('b'))).toEqual(closed);
  });

  it.each([[null], [5], ['a']])('with %j for keys is refused', (keys) => {
    expect(() => book({ initialState: { ...closed, keys } as never })).toThrow(
      new TypeError('Cannot restore a circuit: "keys" must be an object'),
    );
  });

  it('with a key that is none is refused', () => {
    expect(() => book({ initialState: { ...closed, keys: { a: {} } } as never })).toThrow('Cannot restore a circuit');
  });

  it('without keys restores the main circuit alone', () => {
    const { it } = book({ initialState: open });
    expect([it.state(it.main), it.read().circuits]).toEqual(['open', 1]);
  });

  it('with keys restores no key where there is one breaker', () => {
    const { it } = book({ breaker: new ConsecutiveBreaker(1), initialState: { ...closed, keys: { a: open } } });
    expect([it.state(it.main), it.read().circuits]).toEqual(['closed', 1]);
  });
});

describe('what is read', () => {
  it('has the worst share of failures, whichever circuit it is of', () => {
    const shares = (...keys: string[]) => {
      const { it, call } = book({ minimumCalls: 4, failureRatio: 0.9 });
      for (const key of keys) for (let n = 0; n < 4; n++) call(key, n < Number(key) ? 'failure' : 'success');
      return it.read().failureRatio;
    };
    expect([shares('1', '3', '2'), shares('3', '1'), shares('1', '3'), shares('0')]).toEqual([0.75, 0.75, 0.75, 0]);
  });

  it('has no share where none is judged', () => {
    const { it, call } = book({ minimumCalls: 4 });
    call('a', 'failure');
    expect(it.read().failureRatio).toBe(null);
  });

  it('counts what has become due meanwhile', () => {
    const { it, time, call } = book();
    call('a', 'failure');
    time.now = 1_000;
    expect(it.read()).toMatchObject({ state: 'half_open', transitions: { open: 1, half_open: 1 }, circuits: 2 });
  });

  it('is no alias', () => {
    const { it, call } = book();
    const before = it.read();
    call(undefined, 'failure');
    expect([before.executions.failure, before.transitions.open]).toEqual([0, 0]);
  });
});
