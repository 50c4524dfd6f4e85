import type { Clock } from '../ports/clock.ts';
import { reliable } from '../ports/reliable-clock.ts';
import type { Host } from './policy.ts';

/**
 * A policy with state reads one clock. It takes that of its first pipeline; two clocks would make its state nonsense.
 * `adopt` is told each host and throws a `TypeError` that names both pipelines.
 */
export function oneClock(kind: string, system: Clock): { readonly clock: Clock; adopt(host: Host): void } {
  let first: Host | undefined;
  return {
    get clock() {
      return first?.clock ?? system;
    },
    adopt(host) {
      if (first !== undefined && reliable(host.clock) !== reliable(first.clock))
        throw new TypeError(
          `Cannot put ${kind} into pipeline "${host.pipeline}": it keeps the clock of pipeline "${first.pipeline}", and this one has another`,
        );
      first ??= host;
    },
  };
}
