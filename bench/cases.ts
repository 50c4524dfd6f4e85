import * as cockatiel from 'cockatiel';
import CircuitBreaker from 'opossum';
import { bulkhead, circuitBreaker, fallback, pipeline, retry, timeout } from 'seaworthy';
import type { Variant } from './measure.ts';

const noop = async () => 1;
const noopSync = () => 1;
const five = (name: string, telemetry: boolean) =>
  pipeline(
    name,
    [fallback({ to: { value: 0 } }), retry(), circuitBreaker(), bulkhead({ limit: 10 }), timeout(10_000)],
    { telemetry },
  );

const cockatielFive = (abortOnReturn: boolean) =>
  cockatiel.wrap(
    cockatiel.fallback(cockatiel.handleAll, 0),
    cockatiel.retry(cockatiel.handleAll, { maxAttempts: 2, backoff: new cockatiel.ExponentialBackoff() }),
    cockatiel.circuitBreaker(cockatiel.handleAll, {
      halfOpenAfter: 5_000,
      breaker: new cockatiel.SamplingBreaker({ threshold: 0.5, duration: 30_000 }),
    }),
    cockatiel.bulkhead(10),
    cockatiel.timeout(10_000, { strategy: cockatiel.TimeoutStrategy.Aggressive, abortOnReturn }),
  );

/** The base of every ratio. */
export const bare: Variant = { name: 'bare await', call: noop };

/** Everything that is compared, with other pipeline shapes alive in the same process as in a real service. */
export function variants(): Variant[] {
  const off = five('five-off', false);
  const on = five('five-on', true);
  const shared = new AbortController().signal;
  const others = [
    pipeline('other-1', [timeout(1_000)]),
    pipeline('other-2', [retry(), timeout(1_000)]),
    pipeline('other-3', [circuitBreaker(), retry(), fallback({ to: { value: 1 } })]),
    pipeline('other-4', [timeout(5_000), bulkhead({ limit: 5 })]),
  ];
  let turn = 0;

  const peers = cockatielFive(true);
  const lean = cockatielFive(false);
  const opossum = new CircuitBreaker(noop, { timeout: 10_000, capacity: 10, rollingCountTimeout: 30_000 });
  opossum.fallback(() => 0);

  return [
    { name: 'five policies, telemetry off', call: () => off.execute(noop) },
    { name: 'five policies, telemetry on, no SDK', call: () => on.execute(noop) },
    { name: 'five policies, synchronous function', call: () => off.execute(noopSync) },
    { name: 'five policies, fn reads signal', call: () => off.execute(async (call) => (call.signal.aborted ? 0 : 1)) },
    { name: 'five policies, one shared caller signal', call: () => off.execute(noop, shared) },
    {
      name: 'five policies, with four other shapes',
      call: () => (turn++ % 2 === 0 ? off : others[(turn >> 1) % 4]!).execute(noop),
    },
    { name: 'timeout alone', call: () => others[0]!.execute(noop) },
    { name: 'cockatiel, its five', call: () => peers.execute(noop), calls: 4_000 },
    { name: 'cockatiel, its five, abortOnReturn: false', call: () => lean.execute(noop), calls: 4_000 },
    { name: 'opossum: breaker, timeout, capacity, fallback', call: () => opossum.fire(), calls: 10_000 },
  ];
}
