import { BreakerState, Bulkhead, Circuit, Fallback, type Module, Retry, SlidingCountBreaker, Timeout } from 'mollitia';
import { type Call, endless, forEverMs, limitOf, longMs, never, type Peer, spent, type Work, works } from './peer.ts';

const around = ({ fn }: Work, ...modules: Module[]): Call => {
  const circuit = new Circuit({ func: fn as () => Promise<unknown>, options: { modules } });
  return () => circuit.execute();
};

/** It can change the error and not answer in its place, so what fails still rejects. */
const fallback = () => new Fallback({ callback: () => 0 });
const retry = ({ kind }: Work) =>
  new Retry({ attempts: 2, interval: 100, ...(kind === 'rejecting' && { onRejection: never }) });
/** Its window costs by its length on every call, so the shortest; at 100 % it never opens. */
const breaker = () => new SlidingCountBreaker({ slidingWindowSize: 10, failureRateThreshold: 100 });
const bulkhead = (work: Work) => new Bulkhead({ concurrentSize: limitOf(work) });
const timeout = (delay: number) => new Timeout({ delay });

// Only its timeout takes a function that returns no promise.
const promises = (made: (work: Work) => Call) => (work: Work) =>
  made(work.kind === 'sync' ? { ...work, fn: async () => work.fn() } : work);

export const peer: Peer = {
  fallback: promises((work) => around(work, fallback())),
  retry: promises((work) => around(work, retry(work))),
  'circuit breaker': promises((work) => around(work, breaker())),
  bulkhead: promises((work) => around(work, bulkhead(work))),
  timeout: (work) => around(work, timeout(longMs)),
  five: (work) => around(work, fallback(), retry(work), breaker(), bulkhead(work), timeout(longMs)),
  open: () => around(works.async, new SlidingCountBreaker({ state: BreakerState.OPENED, openStateDelay: forEverMs })),
  full() {
    const call = around({ kind: 'async', fn: endless }, new Bulkhead({ concurrentSize: 1, queueSize: 1 }));
    for (let i = 0; i < 2; i++) spent(call);
    return call;
  },
  retried: (work) => around(work, new Retry({ attempts: 1, fastFirst: true })),
  timedOut: (ms) => around({ kind: 'async', fn: endless }, timeout(ms)),
};
