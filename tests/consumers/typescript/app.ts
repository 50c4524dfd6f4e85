import { bulkhead, circuitBreaker, fallback, isResilienceError, pipeline, retry, timeout } from 'seaworthy';
import { toCockatiel } from 'seaworthy/cockatiel';
import { resilientFetch } from 'seaworthy/fetch';
import { getAttempt } from 'seaworthy/otel';
import { virtualClock } from 'seaworthy/testing';

const users = pipeline('users', [
  fallback({ to: () => [] as string[] }),
  retry({ maxRetries: 1 }),
  circuitBreaker(),
  bulkhead({ limit: 4 }),
  timeout(1_000),
]);

export async function names(): Promise<readonly (string | number)[]> {
  // The compiler refuses this assignment when the fallback's type or the function's is lost on the way.
  const answer: string[] | number[] = await users.execute(async ({ signal, attempt }) => [
    signal.aborted ? 0 : attempt,
  ]);
  return answer;
}

export const byId = users.wrap(async (id: number) => [`user ${id}`]);
export const typed: Promise<string[]> = byId(1);
// @ts-expect-error: the wrapped function keeps its parameters
export const wrong = byId('1');

export const get: typeof fetch = resilientFetch(pipeline('get', [fallback(() => new Response('[]')), retry()]));
// @ts-expect-error: what answers in place of a response must be one
export const notAResponse = resilientFetch(users);
export const inCockatiel = toCockatiel(users);
export { getAttempt, isResilienceError };

export function scoped(): number {
  // `using` needs the library's declarations to bring `Symbol.dispose` along.
  using clock = { now: virtualClock().now, [Symbol.dispose]() {} };
  using own = pipeline('own', []);
  return clock.now() + own.name.length;
}
