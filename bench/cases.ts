import * as cockatiel from 'cockatiel';
import CircuitBreaker from 'opossum';
import { bulkhead, circuitBreaker, fallback, pipeline, retry, timeout } from 'seaworthy';
import type { TelemetryOptions } from 'seaworthy/otel';
import type { Variant } from './measure.ts';

const noop = async () => 1;
const noopSync = () => 1;

/** The five policies of every comparison. */
export const five = (name: string, telemetry: boolean | TelemetryOptions) =>
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

/** Everything that is compared, each made only when it is measured. */
export const variants: Readonly<Record<string, () => Variant['call']>> = {
  'five policies, telemetry off': () => {
    const ours = five('five', false);
    return () => ours.execute(noop);
  },
  'five policies, telemetry on, no SDK': () => {
    const ours = five('five', true);
    return () => ours.execute(noop);
  },
  'five policies, synchronous function': () => {
    const ours = five('five', true);
    return () => ours.execute(noopSync);
  },
  'five policies, fn reads signal': () => {
    const ours = five('five', true);
    return () => ours.execute(async (call) => (call.signal.aborted ? 0 : 1));
  },
  'five policies, one shared caller signal': () => {
    const ours = five('five', true);
    const { signal } = new AbortController();
    return () => ours.execute(noop, signal);
  },
  // A real service has more than one pipeline, and then V8 can take less for granted.
  'five policies, four other shapes beside them': () => {
    const all = [
      five('five', true),
      pipeline('other-1', [timeout(1_000)]),
      pipeline('other-2', [retry(), timeout(1_000), circuitBreaker()]),
      pipeline('other-3', [circuitBreaker(), retry(), fallback({ to: { value: 1 } })]),
      pipeline('other-4', [timeout(5_000), bulkhead({ limit: 5 })]),
    ];
    let warm = 0;
    return () => (warm < 50_000 ? all[warm++ % all.length]! : all[0]!).execute(noop);
  },
  'timeout alone': () => {
    const ours = pipeline('timeout', [timeout(1_000)]);
    return () => ours.execute(noop);
  },
  'no policy': () => {
    const ours = pipeline('none', []);
    return () => ours.execute(noop);
  },
  "cockatiel's five": () => {
    const peer = cockatielFive(true);
    return () => peer.execute(noop);
  },
  "cockatiel's five, abortOnReturn: false": () => {
    const peer = cockatielFive(false);
    return () => peer.execute(noop);
  },
  'opossum: breaker, timeout, capacity, fallback': () => {
    const peer = new CircuitBreaker(noop, { timeout: 10_000, capacity: 10, rollingCountTimeout: 30_000 });
    peer.fallback(() => 0);
    return () => peer.fire();
  },
};
