import { bulkhead, fallback, type Pipeline, pipeline, retry, timeout } from 'seaworthy';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { deaf, watch } from '../policies/stand.ts';

const most = 2 ** 31 - 1;
const year = 365 * 86_400_000;
const fail = () => {
  throw new Error('no');
};
const on = (...policies: Parameters<typeof pipeline>[1]) => pipeline('long', policies, { telemetry: false });

/** Everything that waits, as calls that end after exactly `ms` milliseconds. */
const waits: Record<string, { call(ms: number): Promise<unknown>; ends: object }> = {
  'a timeout': { call: (ms) => on(timeout(ms)).execute(deaf), ends: { code: 'timeout' } },
  'a timeout of a function': { call: (ms) => on(timeout(() => ms)).execute(deaf), ends: { code: 'timeout' } },
  "the caller's deadline": { call: (ms) => on().execute(deaf, { timeoutMs: ms }), ends: { policy: 'deadline' } },
  'a pause before a retry': {
    call: (ms) => on(retry({ maxRetries: 1, backoff: ms })).execute(fail),
    ends: { message: 'no' },
  },
  'a wait for a slot': {
    call(ms) {
      const full: Pipeline<any> = on(bulkhead({ limit: 1, queue: 1, maxWaitMs: ms }));
      full.execute(deaf);
      return full.execute(deaf);
    },
    ends: { code: 'queue_timeout' },
  },
  "a fallback's limit": {
    call: (ms) => on(fallback({ to: deaf, timeoutMs: ms })).execute(fail),
    ends: { code: 'timeout' },
  },
};

/** Fake timers that refuse what the platform would fire at once, and the delays they were asked for. */
let asked: number[];

describe("on the system's clock", () => {
  beforeEach(() => {
    vi.useFakeTimers();
    asked = [];
    const fake = globalThis.setTimeout;
    vi.spyOn(globalThis, 'setTimeout').mockImplementation(((fn: () => void, ms: number, ...rest: unknown[]) => {
      asked.push(ms);
      if (!(ms >= 0 && ms <= most)) throw new RangeError(`a timer was asked for ${ms} ms`);
      return fake(fn, ms, ...(rest as []));
    }) as typeof setTimeout);
  });
  afterEach(() => {
    vi.restoreAllMocks();
    vi.useRealTimers();
  });

  describe.each(Object.entries(waits))('%s', (_, { call, ends }) => {
    it.each([most, most + 1, year])(`of %i ms ends then, and asks for no delay above ${most}`, async (ms) => {
      const seen = watch(call(ms));
      await vi.advanceTimersByTimeAsync(ms - 1);
      expect(seen.state).toBe('pending');
      await vi.advanceTimersByTimeAsync(1);
      expect(seen).toMatchObject({ state: 'error', error: ends });
      expect(Math.max(...asked)).toBe(most);
    });
  });

  it('a slot is held for a year, and then given up', async () => {
    const slots = bulkhead({ limit: 1, holdUntilSettled: { maxMs: year } });
    watch(on(slots, timeout(10)).execute(deaf));
    await vi.advanceTimersByTimeAsync(10 + year - 1);
    expect(slots.held).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(slots).toMatchObject({ held: 0, active: 0 });
    expect(Math.max(...asked)).toBe(most);
  });
});
