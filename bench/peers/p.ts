import pLimit from 'p-limit';
import pRetry from 'p-retry';
import pTimeout from 'p-timeout';
import { endless, limitOf, longMs, never, type Peer, type Work } from './peer.ts';

/** p-timeout needs a promise. */
const promised = ({ kind, fn }: Work): (() => PromiseLike<unknown>) =>
  kind === 'sync' ? () => Promise.resolve(fn()) : (fn as () => PromiseLike<unknown>);

const retries = ({ kind }: Work) => ({ retries: 2, ...(kind === 'rejecting' && { shouldRetry: never }) });

/** fallback > retry > bulkhead > timeout, by hand; of this family none is a circuit breaker. */
function four(work: Work) {
  const fn = promised(work);
  const limit = pLimit(limitOf(work));
  const options = retries(work);
  return async (signal?: AbortSignal) => {
    try {
      return await pRetry(() => limit(() => pTimeout(fn(), { milliseconds: longMs, ...(signal && { signal }) })), {
        ...options,
        ...(signal && { signal }),
      });
    } catch {
      return 0;
    }
  };
}

export const peer: Peer = {
  retry(work) {
    const options = retries(work);
    return () => pRetry(work.fn, options);
  },
  bulkhead(work) {
    const limit = pLimit(limitOf(work));
    return () => limit(work.fn);
  },
  timeout(work) {
    const fn = promised(work);
    return () => pTimeout(fn(), { milliseconds: longMs });
  },
  five(work) {
    const call = four(work);
    return () => call();
  },
  cancellable(work, signal) {
    const call = four(work);
    return () => call(signal());
  },
  retried:
    ({ fn }) =>
    () =>
      pRetry(fn, { retries: 1, minTimeout: 0 }),
  timedOut: (ms) => () => pTimeout(endless(), { milliseconds: ms }),
};
