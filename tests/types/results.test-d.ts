import * as cockatiel from 'cockatiel';
import {
  bulkhead,
  circuitBreaker,
  fallback,
  type Outcome,
  type Pipeline,
  type Policy,
  pipeline,
  policy,
  retry,
  type Stage,
  timeout,
} from 'seaworthy';
import { expectTypeOf } from 'vitest';

/**
 * What a call answers, exactly: the function's own result or what a policy answers in its place, and never `unknown`.
 * `npm run typecheck` fails when a type comes out otherwise.
 */

interface Item {
  readonly sku: string;
}
declare function listItems(sku: string, options: { signal: AbortSignal }): Promise<Item[]>;
declare const response: Response;

// The example of the README.
const inventory = pipeline('inventory', [
  fallback({ to: () => [] as Item[] }),
  timeout(3_000),
  retry({ maxRetries: 2 }),
  circuitBreaker(),
  bulkhead({ limit: 32, queue: 64 }),
  timeout(800),
]);
expectTypeOf(inventory).toEqualTypeOf<Pipeline<Item[]>>();
expectTypeOf(inventory.execute(({ signal }) => listItems('sku', { signal }))).toEqualTypeOf<Promise<Item[]>>();
expectTypeOf(inventory.execute(() => 1)).toEqualTypeOf<Promise<number | Item[]>>();
expectTypeOf(inventory.execute(async () => 'text')).toEqualTypeOf<Promise<string | Item[]>>();
expectTypeOf(pipeline('void', [retry()]).execute(() => {})).toEqualTypeOf<Promise<void>>();
expectTypeOf(inventory.execute(() => undefined)).toEqualTypeOf<Promise<undefined | Item[]>>();

// Three orders of the policies.
const five = [timeout(3_000), retry(), circuitBreaker(), bulkhead({ limit: 1 })] as const;
expectTypeOf(pipeline('a', [fallback(() => null), ...five]).execute(() => 1)).toEqualTypeOf<Promise<number | null>>();
expectTypeOf(pipeline('b', [...five, fallback(() => null)]).execute(() => 1)).toEqualTypeOf<Promise<number | null>>();
expectTypeOf(
  pipeline('c', [retry(), fallback(() => null), timeout(1), circuitBreaker()]).execute(() => 1),
).toEqualTypeOf<Promise<number | null>>();
expectTypeOf(pipeline('d', five).execute(() => 1)).toEqualTypeOf<Promise<number>>();
expectTypeOf(pipeline('e', []).execute(async () => response)).toEqualTypeOf<Promise<Response>>();
expectTypeOf(pipeline('f', [])).toEqualTypeOf<Pipeline<never>>();

// Several fallbacks: the union.
expectTypeOf(pipeline('g', [fallback(() => 'text'), retry(), fallback(() => null)]).execute(() => 1)).toEqualTypeOf<
  Promise<number | string | null>
>();

// A fallback: a value, a function, an async function, one that looks at the outcome.
expectTypeOf(pipeline('h', [fallback({ to: { value: 0 } })]).execute(() => 'text')).toEqualTypeOf<
  Promise<string | 0>
>();
expectTypeOf(pipeline('i', [fallback({ to: { value: [] as Item[] } })]).execute(() => 'text')).toEqualTypeOf<
  Promise<string | Item[]>
>();
expectTypeOf(pipeline('j', [fallback(async () => 'spare')]).execute(() => 1)).toEqualTypeOf<Promise<number | string>>();
expectTypeOf(pipeline('k', [fallback({ to: async () => 'spare', timeoutMs: 10 })]).execute(() => 1)).toEqualTypeOf<
  Promise<number | string>
>();
expectTypeOf(pipeline('l', [fallback(() => undefined)]).execute(() => 1)).toEqualTypeOf<Promise<number | undefined>>();
expectTypeOf(
  pipeline('m', [
    fallback(() => {
      throw new Error('other');
    }),
  ]).execute(() => 1),
).toEqualTypeOf<Promise<number>>();
fallback(({ error, status }, call) => {
  expectTypeOf(error).toEqualTypeOf<unknown>();
  expectTypeOf(status).toEqualTypeOf<'value' | 'failure'>();
  expectTypeOf(call.signal).toEqualTypeOf<AbortSignal>();
});

// A user's own plain object.
const own: Policy<Date> = { kind: 'own', stage: () => ({}) as Stage };
const silent: Policy = { kind: 'silent', stage: () => ({}) as Stage };
const shaped = { kind: 'shaped', stage: () => ({}) as Stage } as {
  kind: string;
  stage: () => Stage;
  readonly _alt?: readonly [RegExp];
};
const bare = { kind: 'bare', stage: () => ({}) as Stage };
expectTypeOf(pipeline('n', [own, retry()]).execute(() => 1)).toEqualTypeOf<Promise<number | Date>>();
expectTypeOf(pipeline('o', [silent, retry()]).execute(() => 1)).toEqualTypeOf<Promise<number>>();
expectTypeOf(pipeline('p', [retry(), shaped]).execute(() => 1)).toEqualTypeOf<Promise<number | RegExp>>();
expectTypeOf(pipeline('q', [bare]).execute(() => 1)).toEqualTypeOf<Promise<number>>();

// One made of a middleware function.
const passing = policy({ kind: 'passing', around: (_call, next) => next() });
// What is inside it may answer anything, so an answer of its own beside that has to be said.
const maybe = policy<null>({ kind: 'maybe', around: async (_call, next) => (Math.random() < 0.5 ? next() : null) });
const instead = policy({ kind: 'instead', around: async () => 'mine' });
expectTypeOf(pipeline('r', [passing]).execute(() => 1)).toEqualTypeOf<Promise<number>>();
expectTypeOf(pipeline('s', [maybe]).execute(() => 1)).toEqualTypeOf<Promise<number | null>>();
expectTypeOf(pipeline('s1', [instead]).execute(() => 1)).toEqualTypeOf<Promise<number | string>>();
expectTypeOf(
  pipeline('s2', [policy<'spare'>({ kind: 'told', around: (_call, next) => next() })]).execute(() => 1),
).toEqualTypeOf<Promise<number | 'spare'>>();

// A nested pipeline.
const nested = pipeline('t', [retry(), pipeline('u', [fallback(() => 'inner')]), timeout(1)]);
expectTypeOf(nested.execute(() => 1)).toEqualTypeOf<Promise<number | string>>();
expectTypeOf(pipeline('v', [pipeline('w', [retry()])]).execute(() => 1)).toEqualTypeOf<Promise<number>>();

// cockatiel's policies.
const spare = cockatiel.fallback(cockatiel.handleAll, 'spare');
const again = cockatiel.retry(cockatiel.handleAll, { maxAttempts: 2 });
expectTypeOf(pipeline('x', [spare, again]).execute(() => 1)).toEqualTypeOf<Promise<number | string>>();
expectTypeOf(pipeline('y', [retry(), again]).execute(() => 1)).toEqualTypeOf<Promise<number>>();
expectTypeOf(
  pipeline('z', [
    cockatiel.wrap(
      again,
      cockatiel.circuitBreaker(cockatiel.handleAll, { halfOpenAfter: 1, breaker: new cockatiel.ConsecutiveBreaker(1) }),
    ),
  ]).execute(() => 1),
).toEqualTypeOf<Promise<number>>();

// tryExecute: an outcome that is told apart by its status, and taken apart without it.
const outcome = await inventory.tryExecute(() => 1);
expectTypeOf(outcome).toEqualTypeOf<Outcome<number | Item[]>>();
if (outcome.status === 'value') expectTypeOf(outcome.value).toEqualTypeOf<number | Item[]>();
else {
  expectTypeOf(outcome.error).toEqualTypeOf<unknown>();
  expectTypeOf(outcome.value).toEqualTypeOf<undefined>();
}
const { error, value } = outcome;
expectTypeOf(error).toEqualTypeOf<unknown>();
expectTypeOf(value).toEqualTypeOf<number | Item[] | undefined>();
export const failed = ({ error }: Outcome) => error !== undefined;

// The result of a generic function stays generic.
export async function generic<T extends Item>(fetch: () => Promise<T>): Promise<T> {
  const result = await pipeline('generic', [retry(), timeout(1)]).execute(fetch);
  const same: Awaited<T> = result;
  return same;
}
