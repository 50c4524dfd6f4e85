// From cockatiel, step by step: what is there goes on working, and each policy can be replaced when it is time to.
import * as cockatiel from 'cockatiel';
import { circuitBreaker, pipeline, retry, timeout } from 'seaworthy';
import { toCockatiel } from 'seaworthy/cockatiel';

let calls = 0;
const flaky = async () => {
  if (++calls % 3 !== 0) throw new Error('connection reset');
  return `answered at call ${calls}`;
};

// Before.
const network = cockatiel.handleWhen((error) => error instanceof Error && error.message === 'connection reset');
const before = cockatiel.wrap(
  cockatiel.retry(network, { maxAttempts: 3, backoff: new cockatiel.ConstantBackoff(5) }),
  cockatiel.circuitBreaker(network, { halfOpenAfter: 5_000, breaker: new cockatiel.ConsecutiveBreaker(10) }),
);
console.log(await before.execute(flaky));

// #region readme
// 1. The same policies in a pipeline: spans, metrics, an abort that is instant. Nothing else changes.
const first = pipeline('first', [before]);

// 2. Ours, with cockatiel's handlers, backoffs and breakers where they were.
const second = pipeline('second', [
  retry({ maxRetries: 3, backoff: new cockatiel.ConstantBackoff(5), when: network }),
  circuitBreaker({ breaker: new cockatiel.ConsecutiveBreaker(10), breakMs: 5_000, when: network }),
  timeout(1_000),
]);

// 3. The other way round: a pipeline inside cockatiel's wrap, which copies contexts.
const third = cockatiel.wrap(cockatiel.bulkhead(10), toCockatiel(second));
// #endregion
console.log(await first.execute(flaky));
console.log(await second.execute(flaky));
console.log(await third.execute(flaky));

// Its guards know our errors.
const hold = pipeline('held', [circuitBreaker({ consecutiveFailures: 1 })]);
await hold.tryExecute(() => Promise.reject(new Error('down')));
console.log(cockatiel.isBrokenCircuitError((await hold.tryExecute(() => 1)).error)); // true
