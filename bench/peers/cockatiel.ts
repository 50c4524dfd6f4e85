import * as cockatiel from 'cockatiel';
import {
  type Call,
  endless,
  error,
  forEverMs,
  limitOf,
  longMs,
  never,
  type Peer,
  spent,
  type Work,
  works,
} from './peer.ts';

const nothing = cockatiel.handleWhen(never);

const retrying = ({ kind }: Work) =>
  cockatiel.retry(kind === 'rejecting' ? nothing : cockatiel.handleAll, {
    maxAttempts: 2,
    backoff: new cockatiel.ExponentialBackoff(),
  });

/** So many calls a second never come, so it never opens. */
const breaker = () =>
  cockatiel.circuitBreaker(cockatiel.handleAll, {
    halfOpenAfter: 5_000,
    breaker: new cockatiel.SamplingBreaker({ threshold: 0.5, duration: 30_000, minimumRps: 1e12 }),
  });

const limited = (ms: number, abortOnReturn: boolean) =>
  cockatiel.timeout(ms, { strategy: cockatiel.TimeoutStrategy.Aggressive, abortOnReturn });

const around =
  (policy: cockatiel.IPolicy<any, any>, { fn }: Work): Call =>
  () =>
    policy.execute(fn);

/** `abortOnReturn` is cockatiel's default, and the half of what its timeout costs. */
const cockatielPeer = (abortOnReturn: boolean): Peer => {
  const five = (work: Work) =>
    cockatiel.wrap(
      cockatiel.fallback(cockatiel.handleAll, 0),
      retrying(work),
      breaker(),
      cockatiel.bulkhead(limitOf(work)),
      limited(longMs, abortOnReturn),
    );
  return {
    timeout: (work) => around(limited(longMs, abortOnReturn), work),
    five: (work) => around(five(work), work),
    reading() {
      const peer = five(works.async);
      return () => peer.execute(async ({ signal }) => (signal.aborted ? 0 : 1));
    },
    cancellable(work, signal) {
      const peer = five(work);
      return () => peer.execute(work.fn, signal());
    },
    timedOut: (ms) => around(limited(ms, abortOnReturn), { kind: 'async', fn: endless }),
  };
};

export const peer: Peer = {
  ...cockatielPeer(true),
  fallback: (work) => around(cockatiel.fallback(cockatiel.handleAll, 0), work),
  retry: (work) => around(retrying(work), work),
  'circuit breaker': (work) => around(breaker(), work),
  bulkhead: (work) => around(cockatiel.bulkhead(limitOf(work)), work),
  async open() {
    const policy = cockatiel.circuitBreaker(cockatiel.handleAll, {
      halfOpenAfter: forEverMs,
      breaker: new cockatiel.ConsecutiveBreaker(1),
    });
    await policy.execute(() => Promise.reject(error)).catch(() => {});
    return around(policy, works.async);
  },
  full() {
    const policy = cockatiel.bulkhead(1, 1);
    for (let i = 0; i < 2; i++) spent(() => policy.execute(endless));
    return around(policy, works.async);
  },
  retried: (work) =>
    around(cockatiel.retry(cockatiel.handleAll, { maxAttempts: 1, backoff: new cockatiel.ConstantBackoff(0) }), work),
};

/** What it costs when it leaves the signal alone after a success. */
export const withoutAbort: Peer = cockatielPeer(false);
