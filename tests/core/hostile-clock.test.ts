import { bulkhead, type Clock, circuitBreaker, fallback, pipeline, retry, type Timer, timeout } from 'seaworthy';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { warn } from '../../src/ports/report.ts';
import { type VirtualClock, virtualClock } from '../../src/testing/virtual-clock.ts';
import { boom, down } from './hostile-stand.ts';
import { turn, unhandled, watch } from './spy.ts';

beforeAll(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  // The system's timers stand in for those that could not be made.
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});
afterAll(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** Moves on by a minute and more, by both clocks, until all timers are due. */
async function pass(clock: VirtualClock): Promise<void> {
  for (let step = 0; step < 8; step++) {
    vi.advanceTimersByTime(10_000);
    await clock.advance(10_000);
  }
}

type What = 'now' | 'after' | 'cancel';

/** Which asking goes wrong, and how: it throws, from then on, or answers nothing of use. */
interface Fault {
  readonly what: What;
  readonly nth: number;
  readonly how: 'once' | 'for ever' | 'nonsense';
}

function broken({ what, nth, how }: Fault) {
  const clock = virtualClock();
  let asked = 0;
  const on = { armed: false };
  /** Whether this asking is answered with nonsense. */
  const perhaps = (deed: What): boolean => {
    if (!on.armed || deed !== what) return false;
    asked++;
    if (how === 'nonsense') return asked === nth;
    if (how === 'for ever' ? asked >= nth : asked === nth) throw boom;
    return false;
  };
  const own: Clock = {
    now() {
      return perhaps('now') ? Number.NaN : clock.now();
    },
    after(ms, fn): Timer {
      const nonsense = perhaps('after');
      const timer = clock.after(ms, fn);
      if (nonsense) return undefined as never;
      return {
        ref() {},
        unref() {},
        cancel() {
          timer.cancel();
          perhaps('cancel');
        },
      };
    },
  };
  return { clock, own, on, reached: () => asked >= nth };
}

let cells = 0;

/** One call through everything that asks a clock; answers whether the clock was asked as often at all. */
async function call(fault: Fault, fn: () => unknown): Promise<boolean> {
  const { clock, own, on, reached } = broken(fault);
  const at = JSON.stringify(fault);
  const slots = bulkhead({ limit: 1, queue: 1, name: 'slots' });
  const circuit = circuitBreaker({
    consecutiveFailures: 1,
    breakMs: 0,
    halfOpenCalls: 1,
    halfOpenMs: 1e9,
    slowMs: 50,
    name: 'circuit',
    initialState: { version: 1, state: 'half_open', openForMs: 0, remainingMs: 0, openings: 1 },
  });
  const pipe = pipeline(
    `clock-${++cells}`,
    [
      fallback({ to: ({ error }) => Promise.reject(error), timeoutMs: 500 }),
      timeout(10_000),
      retry({ maxRetries: 1, backoff: 5 }),
      circuit,
      slots,
      timeout(100),
    ],
    { telemetry: false, clock: own, random: () => 0.5 },
  );
  pipe.subscribe(() => {});
  on.armed = true;
  const lost = await unhandled(async () => {
    const seen = watch(pipe.execute(fn, { timeoutMs: 5_000 }));
    await pass(clock);
    await turn();
    expect([seen.times, seen.state === 'pending'], at).toEqual([1, false]);
  });
  on.armed = false;
  expect(lost).toEqual([]);
  await pass(clock);
  const { active, calls, outcomes } = pipe.snapshot();
  const left = {
    active,
    slots: slots.active,
    held: slots.held,
    queued: slots.queued,
    timers: clock.pending + vi.getTimerCount(),
  };
  expect(left, at).toEqual({ active: 0, slots: 0, held: 0, queued: 0, timers: 0 });
  expect(
    Object.values(outcomes).reduce((sum, count) => sum + count),
    at,
  ).toBe(calls);
  expect((await pipe.tryExecute(() => 'free')).value, at).toBe('free');
  return reached();
}

const functions: [string, () => unknown][] = [
  ['answers', async () => 'good'],
  ['answers at once', () => 'good'],
  ['fails', () => Promise.reject(down)],
  ['hangs', () => new Promise(() => {})],
];

describe.each(functions)('around a function that %s', (does, fn) => {
  const deeds = ['now', 'after', 'cancel'] as const;

  it.each(deeds)('a clock whose %s throws once, whenever that is, leaves nothing', async (what) => {
    let nth = 1;
    while (await call({ what, nth, how: 'once' }, fn)) nth++;
    // Or nothing has been tried.
    expect(nth).toBeGreaterThan(1);
  });

  // A clock that never says the time again has stopped, and a function that hangs is not limited by it.
  it.each(deeds.filter((what) => what !== 'now' || does !== 'hangs'))(
    'a clock whose %s throws from then on leaves nothing',
    async (what) => {
      for (const nth of [1, 2, 3, 5]) await call({ what, nth, how: 'for ever' }, fn);
    },
  );

  it.each(['now', 'after'] as const)('a clock whose %s answers nonsense leaves nothing', async (what) => {
    let nth = 1;
    while (await call({ what, nth, how: 'nonsense' }, fn)) nth++;
    expect(nth).toBeGreaterThan(1);
  });
});

it('a clock that throws is told once', async () => {
  const told: string[] = [];
  vi.mocked(process.emitWarning).mockImplementation(((warning: Error) => told.push(warning.message)) as never);
  for (let i = 0; i < 256; i++) warn(`stuffing of clocks ${i}`);
  told.length = 0;
  await call({ what: 'now', nth: 1, how: 'for ever' }, () => 1);
  expect(told).toEqual(['A clock threw; its last reading, or a timer of the system, stands in for it.']);
});
