import CircuitBreaker from 'opossum';
import { type Call, endless, forEverMs, limitOf, longMs, type Peer, spent, type Work, works } from './peer.ts';

/** Without the once-a-second snapshots and the percentiles, which cost it a sort per failure; it never opens. */
const lean = {
  enableSnapshots: false,
  rollingPercentilesEnabled: false,
  rollingCountTimeout: 30_000,
  errorThresholdPercentage: 100,
  volumeThreshold: Number.MAX_SAFE_INTEGER,
} as const;

function breakerOf(fn: Work['fn'], options: CircuitBreaker.Options): CircuitBreaker<[], unknown> {
  return new CircuitBreaker(fn, { ...lean, ...options });
}

/** It has no retry. */
function four(work: Work) {
  const breaker = breakerOf(work.fn, { timeout: longMs, capacity: limitOf(work) });
  breaker.fallback(() => 0);
  return breaker;
}

const fired =
  (breaker: CircuitBreaker<[], unknown>): Call =>
  () =>
    breaker.fire();

export const peer: Peer = {
  'circuit breaker': ({ fn }) => fired(breakerOf(fn, { timeout: false })),
  five: (work) => fired(four(work)),
  async open() {
    const options = {
      timeout: false,
      resetTimeout: forEverMs,
      errorThresholdPercentage: 50,
      volumeThreshold: 0,
    } as const;
    const call = fired(breakerOf(works.rejecting.fn, options));
    await Promise.resolve(call()).catch(() => {});
    return call;
  },
  full() {
    const breaker = breakerOf(endless, { timeout: false, capacity: 1 });
    spent(fired(breaker));
    return fired(breaker);
  },
  timedOut: (ms) => fired(breakerOf(endless, { timeout: ms })),
};

/** The usual loop around `fire`, and the fallback outside it, where it belongs. */
export const withRetry: Peer = {
  five(work) {
    const breaker = breakerOf(work.fn, { timeout: longMs, capacity: limitOf(work) });
    const attempts = work.kind === 'rejecting' ? 1 : 3;
    return async () => {
      for (let attempt = 1; ; attempt++) {
        try {
          return await breaker.fire();
        } catch {
          if (attempt === attempts) return 0;
        }
      }
    };
  },
};
