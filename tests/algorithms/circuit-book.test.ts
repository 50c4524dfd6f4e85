import { describe, expect, it } from 'vitest';
import { book } from './circuit-fixture.ts';

describe('CircuitBook', () => {
  it('admits, settles and counts', () => {
    const { it, call } = book();
    expect([
      call(undefined, 'success'),
      call(undefined, 'ignored'),
      call(undefined, 'failure'),
      call(undefined, 'success'),
    ]).toEqual([true, true, true, false]);
    expect(it.read()).toMatchObject({
      state: 'open',
      executions: { success: 1, failure: 1, ignored: 1, rejected: 1 },
      rejections: { circuit_open: 1, circuit_isolated: 0 },
      transitions: { open: 1 },
      circuits: 1,
    });
  });

  it('says why it refuses, and when asking again makes sense', () => {
    const { it, time, call } = book();
    call(undefined, 'failure');
    time.now = 400;
    expect(it.admit(it.main)).toBeUndefined();
    expect(it.refuse(it.main)).toEqual({ reason: 'circuit_open', retryAfterMs: 600 });
    const release = it.hold('isolated', undefined);
    expect(it.refuse(it.main)).toEqual({ reason: 'circuit_isolated', retryAfterMs: Number.POSITIVE_INFINITY });
    release();
  });

  it('keeps the failure that opened a circuit until that closes', () => {
    const { it, time, call } = book();
    call(undefined, 'failure', 'why');
    expect(it.main.cause).toBe('why');
    time.now = 1_000;
    call(undefined, 'success');
    expect(it.main.cause).toBe(undefined);
    call(undefined, 'failure', 'again');
    it.reset(undefined);
    expect([it.main.cause, it.state(it.main)]).toEqual([undefined, 'closed']);
  });

  it('hands each change of state out once, in order', () => {
    const { it, time, call } = book();
    call(undefined, 'failure');
    time.now = 5_000;
    call(undefined, 'success');
    expect(it.news(it.main).map(({ from, to, at }) => [from, to, at])).toEqual([
      ['closed', 'open', 0],
      ['open', 'half_open', 1_000],
      ['half_open', 'closed', 5_000],
    ]);
    expect(it.news(it.main)).toEqual([]);
  });

  it('measures slowness from the start of the work', () => {
    const { it, time } = book({ slowMs: 100, minimumCalls: 1 });
    expect(it.timed).toBe(true);
    const waited = it.admit(it.main)!;
    time.now = 550;
    it.settle(waited, 'success', 550, undefined, 500);
    expect(it.state(it.main)).toBe('closed');
    it.reset(undefined);
    const slow = it.admit(it.main)!;
    it.settle(slow, 'success', 700, undefined, 550);
    expect(it.state(it.main)).toBe('open');
    expect(book().it.timed).toBe(false);
  });

  it('holds by hand add up, isolation before the rest, and do not settle with the circuit', () => {
    const { it } = book();
    const [a, b] = [it.hold('isolated', undefined), it.hold('isolated', it.main)];
    const c = it.hold('disabled', undefined);
    a();
    expect(it.state(it.main)).toBe('isolated');
    b();
    expect(it.state(it.main)).toBe('disabled');
    const admission = it.admit(it.main)!;
    it.settle(admission, 'failure', 0);
    c();
    expect(it.state(it.main)).toBe('closed');
  });

  it('never forgets a key that is open, held or has a call in flight while others can go', () => {
    const { it, call } = book(undefined, { max: 4, idleMs: 1e6 });
    call('open', 'failure');
    it.news(it.record('open'));
    const release = it.hold('isolated', it.record('held'));
    it.admit(it.record('busy'));
    for (let n = 0; n < 20; n++) call(`k${n}`, 'success');
    expect(it.state(it.record('open'))).toBe('open');
    expect(it.state(it.record('held'))).toBe('isolated');
    expect(it.record('busy').inFlight).toBe(1);
    release();
  });

  it('restores the circuits of keys as of now, and again when its clock becomes another', () => {
    const open = { version: 1 as const, state: 'open' as const, openForMs: 0, remainingMs: 500, openings: 1 };
    const { it, time } = book({ consecutiveFailures: 1, initialState: { ...open, keys: { a: open } } });
    time.now = 1e6;
    expect(it.state(it.record('a'))).toBe('half_open');
    it.restore();
    expect([it.state(it.main), it.state(it.record('a'))]).toEqual(['open', 'open']);
  });
});

it('CircuitBook never forgets a key that is held both open and out of the way', () => {
  const { it: book_, call } = book(undefined, { max: 1, idleMs: 1e6 });
  const held = book_.record('a');
  book_.hold('isolated', held);
  book_.hold('disabled', held);
  call('b', 'success');
  call('c', 'success');
  expect(book_.glance('a')).toBe(held);
});

it('CircuitBook never forgets a key held by hand, whatever is busy', () => {
  const { it: book_, call } = book(undefined, { max: 2, idleMs: 1e6 });
  const releases = ['a', 'b', 'c'].map((key) => book_.hold('isolated', book_.record(key)));
  for (let n = 0; n < 10; n++) call(`k${n}`, 'failure');
  expect(['a', 'b', 'c'].map((key) => book_.state(book_.record(key)))).toEqual(['isolated', 'isolated', 'isolated']);
  for (const release of releases) release();
  for (const key of ['a', 'b', 'c']) book_.news(book_.record(key));
  call('last', 'success');
  expect(book_.read().circuits).toBe(1 + 2);
});
