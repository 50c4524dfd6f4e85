import fc from 'fast-check';

/** What a chain is made of; `Link` is one policy, a list is a nested pipeline. */
export type Link =
  | { is: 'retry'; maxRetries: number; backoff: number; rejected: boolean; aborts: Aborts }
  | { is: 'timeout'; ms: number; cooperative: boolean; dynamic: boolean }
  | { is: 'breaker'; failures: number; slow: boolean; aborts: Aborts }
  | { is: 'bulkhead'; limit: number; queue: number; maxWaitMs: number; hold: boolean | number }
  | { is: 'fallback'; to: 'value' | 'ok' | 'fail' | 'hang'; timeoutMs: number | undefined; aborts: Aborts }
  | { is: 'around'; does: Middleware }
  | { is: 'nested'; chain: Link[] };
/** What a predicate answers after it has aborted the caller, when it does that. */
export type Aborts = boolean | undefined;
export type Middleware = 'pass' | 'twice' | 'race' | 'any' | 'early' | 'late' | 'signal' | 'own' | 'throw';

/** What the function does when it is called: `deaf` works pay no heed to their signal, `rude` ones abort the caller when told to stop. */
export type Step =
  | { does: 'ok' | 'fail' | 'throw' | 'hang' | 'deaf' | 'rude' }
  | { does: 'slow'; ms: number; ok: boolean };

export interface Plan {
  at: number;
  steps: Step[];
  abortAt: number | undefined;
  timeoutMs: number | undefined;
  idempotent: boolean;
}

const ms = fc.integer({ min: 1, max: 40 });
const aborts = fc.constantFrom<Aborts>(undefined, undefined, undefined, undefined, undefined, undefined, true, false);
const link: fc.Arbitrary<Link> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      is: fc.constant('retry' as const),
      maxRetries: fc.nat(2),
      backoff: fc.constantFrom(0, 0, 5, 20),
      rejected: fc.boolean(),
      aborts,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      is: fc.constant('timeout' as const),
      ms,
      cooperative: fc.nat(3).map((n) => n === 0),
      dynamic: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      is: fc.constant('breaker' as const),
      failures: fc.integer({ min: 1, max: 4 }),
      slow: fc.boolean(),
      aborts,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      is: fc.constant('bulkhead' as const),
      limit: fc.integer({ min: 1, max: 2 }),
      queue: fc.nat(3),
      maxWaitMs: fc.constantFrom(5, 30, Number.POSITIVE_INFINITY),
      hold: fc.constantFrom<boolean | number>(true, false, 15),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      is: fc.constant('fallback' as const),
      to: fc.constantFrom('value' as const, 'ok' as const, 'fail' as const, 'hang' as const),
      timeoutMs: fc.option(ms, { nil: undefined }),
      aborts,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      is: fc.constant('around' as const),
      does: fc.constantFrom<Middleware>('pass', 'twice', 'race', 'any', 'early', 'late', 'signal', 'own', 'throw'),
    }),
  },
);
export const chain: fc.Arbitrary<Link[]> = fc.array(
  fc.oneof(
    { weight: 8, arbitrary: link },
    {
      weight: 1,
      arbitrary: fc.record({ is: fc.constant('nested' as const), chain: fc.array(link, { maxLength: 3 }) }),
    },
  ),
  { maxLength: 6, size: 'max' },
);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    does: fc.constantFrom(
      'ok' as const,
      'fail' as const,
      'fail' as const,
      'throw' as const,
      'hang' as const,
      'deaf' as const,
      'rude' as const,
    ),
  }),
  fc.record({ does: fc.constant('slow' as const), ms, ok: fc.boolean() }),
);
export const plan: fc.Arbitrary<Plan> = fc.record({
  at: fc.nat(40),
  steps: fc.array(step, { minLength: 1, maxLength: 5 }),
  abortAt: fc.option(fc.nat(60), { nil: undefined }),
  timeoutMs: fc.option(fc.integer({ min: 0, max: 60 }), { nil: undefined }),
  idempotent: fc.nat(4).map((n) => n > 0),
});
