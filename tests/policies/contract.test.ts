import { bulkhead, circuitBreaker, fallback, policy, retry, timeout } from 'seaworthy';
import { policyContract } from 'seaworthy/testing';
import { describe, it } from 'vitest';

/** What every policy promises; one line for each of ours, and for each way of setting it that takes another road. */
const ours = {
  'timeout(60_000)': policyContract(() => timeout(60_000)),
  'timeout of a function': policyContract(() => timeout({ ms: () => 60_000 })),
  'timeout, cooperative': policyContract(() => timeout({ ms: 60_000, mode: 'cooperative' })),
  'retry()': policyContract(() => retry()),
  'retry without pauses': policyContract(() => retry({ backoff: 0, budget: false })),
  'circuitBreaker()': policyContract(() => circuitBreaker()),
  'circuitBreaker of a window of calls, with a slow limit': policyContract(() =>
    circuitBreaker({ windowCalls: 20, slowMs: 500 }),
  ),
  'bulkhead({ limit: 10 })': policyContract(() => bulkhead({ limit: 10, queue: 5 })),
  'bulkhead with a long queue': policyContract(() => bulkhead({ limit: 2, queue: 1_000 })),
  'fallback that answers': policyContract(() => fallback(() => 'instead'), { rescues: true }),
  'fallback to a value': policyContract(() => fallback({ to: { value: 'instead' } }), { rescues: true }),
  'fallback that looks on': policyContract(() => fallback({ to: () => 'instead', when: () => false })),
  'a policy of one function': policyContract(() => policy({ kind: 'plain', around: (_call, next) => next() })),
  'a policy of one function that repeats': policyContract(() =>
    policy({ kind: 'twice', repeats: true, around: (_call, next) => next().catch(() => next()) }),
  ),
};

describe.each(Object.entries(ours))('%s', (_name, cases) => {
  it.each(cases)('$name', ({ run }) => run());
});
