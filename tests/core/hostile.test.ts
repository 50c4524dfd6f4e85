import { fallback, timeout } from 'seaworthy';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { type At, boom, type Came, cell, down, enough, type Hostile, type Place } from './hostile-stand.ts';

afterAll(() => void vi.restoreAllMocks());

const good = async () => 'good';
const bad = () => Promise.reject(down);
const yes = () => true;
const no = () => false;
const nothing = () => undefined;

/** Where user code decides or looks on; its faults are reported, and the call goes on as if it had not been asked. */
const places: Record<string, Place> = {
  'when of a retry, asked of an error': {
    sane: no,
    well: down,
    fault: 'when',
    plan: (when) => ({ retry: { when }, fn: bad }),
  },
  'when of a retry, asked of a value': {
    sane: no,
    well: 'good',
    fault: 'when',
    plan: (result) => ({ retry: { when: { result } }, fn: good }),
  },
  'when of a breaker, asked of an error': {
    sane: yes,
    well: down,
    fault: 'when',
    plan: (when) => ({ breaker: { when }, fn: bad }),
  },
  'when of a breaker, asked of a value': {
    sane: no,
    well: 'good',
    fault: 'when',
    plan: (result) => ({ breaker: { when: { result } }, fn: good }),
  },
  'when of a fallback, asked of an error': {
    sane: no,
    well: down,
    fault: 'when',
    plan: (when) => ({ outer: [fallback({ to: { value: 'instead' }, when })], fn: bad }),
  },
  'when of a fallback, asked of a value': {
    sane: no,
    well: 'good',
    fault: 'when',
    plan: (result) => ({ outer: [fallback({ to: { value: 'instead' }, when: { result } })], fn: good }),
  },
  'classify of the pipeline, asked of an error': {
    sane: () => 'success',
    well: down,
    fault: 'classify',
    plan: (classify) => ({ options: { classify }, fn: bad }),
  },
  'classify of the pipeline, asked of a value': {
    sane: () => 'success',
    well: 'good',
    fault: 'classify',
    plan: (classify) => ({ options: { classify }, fn: good }),
  },
  'classify of the call': {
    sane: () => 'ignored',
    well: down,
    fault: 'classify',
    plan: (classify) => ({ call: { classify }, fn: bad }),
  },
  'a backoff function': {
    sane: () => 5,
    well: down,
    fault: 'backoff',
    harmless: (answer) => answer === Number.POSITIVE_INFINITY || answer === 'stop',
    plan: (backoff) => ({ retry: { backoff }, fn: bad }),
  },
  "a backoff of cockatiel's": {
    sane: () => ({ duration: 5, next: nothing }),
    well: down,
    fault: 'backoff',
    // Older versions of cockatiel end a backoff so.
    harmless: (answer) => answer === undefined,
    plan: (next) => ({ retry: { backoff: { next } as never }, fn: bad }),
  },
  "a duration of a backoff of cockatiel's": {
    sane: () => 5,
    well: down,
    fault: 'backoff',
    harmless: (answer) => answer === undefined || answer === Number.POSITIVE_INFINITY || answer === 'stop',
    plan: (duration) => ({
      retry: {
        backoff: {
          next: () => ({
            next: nothing,
            get duration() {
              return duration();
            },
          }),
        } as never,
      },
      fn: bad,
    }),
  },
  'the source of chance': {
    sane: () => 0.5,
    well: down,
    fault: 'backoff',
    plan: (random) => ({ retry: { backoff: undefined }, options: { random }, fn: bad }),
  },
  "the length of a break, by cockatiel's backoff": {
    sane: function endless(): unknown {
      return { duration: 0, next: endless };
    },
    well: down,
    fault: 'breakMs',
    plan: (next) => ({ breaker: { breakMs: { next } as never }, fn: bad, retry: { maxRetries: 0 } }),
  },
  "a breaker of cockatiel's, told of a success": {
    sane: nothing,
    well: 'good',
    fault: 'breaker',
    harmless: () => true,
    plan: (success) => ({ breaker: { breaker: { state: 0, success, failure: no } as never }, fn: good }),
  },
  "a breaker of cockatiel's, told of a failure": {
    sane: no,
    well: down,
    fault: 'breaker',
    plan: (failure) => ({ breaker: { breaker: { state: 0, success: nothing, failure } as never }, fn: bad }),
  },
  'the function that makes a breaker per key': {
    sane: () => ({ state: 0, success: nothing, failure: no }),
    well: 'good',
    fault: 'breaker',
    plan: (hostile, { caller }) => {
      const fine = () => ({ state: 0, success: nothing, failure: no });
      // The circuit without a key is made when the policy is.
      let running = false;
      return {
        breaker: { breaker: () => (running ? hostile() : fine()) },
        fn: good,
        run: (pipe) => {
          running = true;
          return pipe.execute(good, { key: 'a', signal: caller.signal });
        },
      };
    },
  },
  'the length of a timeout': {
    sane: () => 50,
    well: 'good',
    fault: 'ms',
    harmless: (answer) => answer === undefined || (typeof answer === 'number' && !Number.isNaN(answer)),
    refusedFor: (answer) => (answer === -1 ? 'deadline_exceeded' : undefined),
    plan: (ms) => ({ inner: [timeout(ms)], fn: good }),
  },
  onDiscard: {
    sane: nothing,
    well: 'good',
    fault: 'onDiscard',
    harmless: () => true,
    plan: (onDiscard) => ({ call: { onDiscard }, retry: { when: { result: yes } }, fn: good }),
  },
  retryable: {
    sane: no,
    well: down,
    fault: 'retryable',
    plan: (retryable) => ({ call: { idempotent: false, retryable }, fn: bad }),
  },
};

/** What hostile code does, and what it answers after that. */
const deeds: Record<string, (place: Place, at: At) => Hostile> = {
  throws: () => () => {
    throw boom;
  },
  'throws undefined': () => () => {
    throw undefined;
  },
  rejects: () => () => Promise.reject(boom),
  hangs: () => () => new Promise(() => {}),
  'calls the same pipeline':
    (place, at) =>
    (...args) => {
      at.reenter();
      return place.sane(...args);
    },
  "aborts the caller's signal":
    (place, at) =>
    (...args) => {
      at.caller.abort(enough);
      return place.sane(...args);
    },
  "aborts the caller's signal and throws": (_place, at) => () => {
    at.caller.abort(enough);
    throw boom;
  },
  'aborts the caller from an abort listener, twice':
    (place, at) =>
    (...args) => {
      at.caller.signal.addEventListener('abort', () => at.caller.abort('again'));
      at.caller.abort(enough);
      return place.sane(...args);
    },
};

const variants = [
  { halfOpen: false, heard: false },
  { halfOpen: false, heard: true },
  { halfOpen: true, heard: false },
  { halfOpen: true, heard: true },
];

describe.each(Object.entries(places))('%s', (_where, place) => {
  it.each(Object.keys(deeds))('that %s', async (deed) => {
    for (const variant of variants) {
      let asked = 0;
      const came = await cell((at) => {
        const hostile = deeds[deed]!(place, at);
        return place.plan((...args) => {
          asked++;
          return hostile(...args);
        }, at);
      }, variant);
      const { seen, warnings, pending } = came;
      expect(asked).toBeGreaterThan(0);
      expect(pending).toBe(false);
      expect(seen.result, JSON.stringify(variant)).toBe(deed.startsWith('aborts') ? enough : place.well);
      const faults = /throws|rejects|hangs/.test(deed);
      if (!faults) expect(warnings).toEqual([]);
      else if (warnings.length > 0 || !(deed === 'hangs' && place.harmless?.(new Promise(() => {})) === true)) {
        once(place, warnings);
      }
      if (variant.heard)
        expect(came.spans.filter((type) => type === 'execution_end').length).toBe(
          asked > 0 && deed.startsWith('calls') ? 2 : 1,
        );
    }
  });

  it.each([
    undefined,
    null,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    -1,
    'nonsense',
    {},
    [],
    Symbol('nonsense'),
    5n,
    () => 5,
  ])('that answers %o', async (nonsense) => {
    for (const variant of variants) {
      const { seen, warnings, pending } = await cell((at) => place.plan(() => nonsense, at), variant);
      expect(pending).toBe(false);
      const code = place.refusedFor?.(nonsense);
      if (code === undefined) expect(seen.result).toBe(place.well);
      else expect(seen.result).toMatchObject({ code });
      if (place.harmless?.(nonsense)) continue;
      once(place, warnings);
    }
  });
});

/** Once for each policy that asked: only a classifier has several. */
function once({ fault }: Place, warnings: Came['warnings']): void {
  const policies = warnings.map(({ message }) => message.split(' threw')[0]);
  expect(policies.every((who) => who?.endsWith(fault!))).toBe(true);
  expect(new Set(policies).size).toBe(policies.length);
  if (fault === 'classify') expect(policies.length).toBeGreaterThan(0);
  else expect(policies).toHaveLength(1);
}
