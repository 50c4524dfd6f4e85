import { ExponentialBackoff, handleType, handleWhenResult, ConsecutiveBreaker } from 'cockatiel';
import {
  type CallContext,
  circuitBreaker,
  fallback,
  type Outcome,
  pipeline,
  type Policy,
  retry,
  type RetryInfo,
  timeout,
  type When,
} from 'seaworthy';
import { expectTypeOf } from 'vitest';

/** What policies take, and what they refuse before anything runs. */

// A predicate on the error, on the result, or a handler of cockatiel's.
retry({ when: (error) => error instanceof Error });
retry({ when: (error: NodeJS.ErrnoException) => error.code === 'ECONNRESET' });
retry({ when: { result: (response: Response) => response.status === 503 } });
retry({ when: { error: (error: Error) => error.name === 'x', result: (response: Response) => !response.ok } });
retry({ when: handleType(TypeError).orWhenResult((result) => result === null) });
circuitBreaker({ when: { result: (response: Response) => response.status >= 500 } });
circuitBreaker({ when: handleWhenResult((result) => result === 1) });
fallback({ to: () => 1, when: (error) => error === 1 });
expectTypeOf<(result: Response) => boolean>().toExtend<
  NonNullable<Extract<When<Response>, { result?: unknown }>['result']>
>();

// A promise is always true, so an async predicate would retry everything.
// @ts-expect-error async predicate on the error
retry({ when: async (error) => error instanceof Error });
// @ts-expect-error async predicate on the result
retry({ when: { result: async (response: Response) => response.ok } });
// @ts-expect-error async predicate of a breaker
circuitBreaker({ when: async () => true });
// @ts-expect-error async predicate of a fallback
fallback({ to: () => 1, when: async () => true });
// @ts-expect-error async classify
pipeline('p', [], { classify: async () => 'success' });
// @ts-expect-error no such verdict
pipeline('p', [], { classify: () => 'fine' });
pipeline('p', [], { classify: ({ error }) => (error === undefined ? 'success' : 'ignored') });

// Backoffs.
retry({ backoff: 100 });
retry({ backoff: new ExponentialBackoff() });
retry({
  backoff: (info) => {
    expectTypeOf(info).toEqualTypeOf<RetryInfo>();
    expectTypeOf(info.outcome).toEqualTypeOf<Outcome>();
    return info.retry > 3 ? 'stop' : 10;
  },
});
// @ts-expect-error a word that is no answer
retry({ backoff: () => 'halt' });
circuitBreaker({ breakMs: new ExponentialBackoff(), breaker: new ConsecutiveBreaker(3) });

// Timeouts.
expectTypeOf(timeout(1)).toEqualTypeOf<Policy>();
timeout({
  ms: (call) => {
    expectTypeOf(call).toEqualTypeOf<CallContext>();
    return undefined;
  },
});
// @ts-expect-error a length is needed
timeout({});
// @ts-expect-error no such mode
timeout({ ms: 1, mode: 'optimistic' });
// @ts-expect-error misspelt
retry({ maxRetry: 1 });

// Calls.
const p = pipeline('p', []);
p.execute(() => 1, new AbortController().signal);
p.execute(
  ({ signal, attempt, remainingMs, pipeline, key }) => {
    expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
    expectTypeOf(attempt).toEqualTypeOf<number>();
    expectTypeOf(remainingMs).toEqualTypeOf<number>();
    expectTypeOf(pipeline).toEqualTypeOf<string>();
    expectTypeOf(key).toEqualTypeOf<string | undefined>();
  },
  { signal: undefined, timeoutMs: 10, key: 'k', idempotent: false },
);
// @ts-expect-error no such option
p.execute(() => 1, { timeout: 10 });
// @ts-expect-error not a function
p.execute(Promise.resolve(1));
// @ts-expect-error not a policy
pipeline('p', [{}]);
// @ts-expect-error the factory, not the policy
pipeline('p', [retry]);

// Handles are disposable.
{
  using subscription = p.subscribe((event) => {
    expectTypeOf(event.executionId).toEqualTypeOf<string>();
    if (event.type === 'retry') expectTypeOf(event.delayMs).toEqualTypeOf<number>();
    if (event.type === 'execution_end') expectTypeOf(event.durationMs).toEqualTypeOf<number>();
  });
  subscription.dispose();
}
