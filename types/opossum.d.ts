/** What our tests and benchmarks use of opossum, which brings no types of its own. */
declare module 'opossum' {
  import type { EventEmitter } from 'node:events';

  class CircuitBreaker<A extends unknown[], R> extends EventEmitter {
    constructor(action: (...args: A) => R | PromiseLike<R>, options?: CircuitBreaker.Options);
    readonly opened: boolean;
    readonly closed: boolean;
    readonly halfOpen: boolean;
    readonly isShutdown: boolean;
    readonly stats: CircuitBreaker.Stats;
    readonly status: { readonly window: readonly CircuitBreaker.Stats[] };
    readonly semaphore: { readonly count: number };
    readonly options: Record<string, unknown>;
    fire(...args: A): Promise<R>;
    fallback(answer: (...args: unknown[]) => unknown): this;
    healthCheck(check: () => Promise<unknown>, interval?: number): void;
    getSignal(): AbortSignal | undefined;
    toJSON(): { readonly state: CircuitBreaker.State; readonly status: CircuitBreaker.Stats };
    shutdown(): void;
  }

  namespace CircuitBreaker {
    interface Stats {
      readonly fires: number;
      readonly failures: number;
      readonly successes: number;
      readonly latencyTimes: readonly number[];
    }

    interface State {
      readonly lastTimerAt?: number;
    }

    /** Milliseconds throughout. */
    interface Options {
      readonly timeout?: number | false;
      readonly resetTimeout?: number;
      readonly errorThresholdPercentage?: number;
      readonly volumeThreshold?: number;
      readonly rollingCountTimeout?: number;
      readonly rollingCountBuckets?: number;
      readonly capacity?: number;
      readonly enabled?: boolean;
      readonly cache?: boolean;
      readonly cacheTransport?: { get(key: string): unknown; set(...entry: unknown[]): void; flush(): void };
      readonly coalesce?: boolean;
      readonly abortController?: AbortController;
      readonly autoRenewAbortController?: boolean;
      readonly errorFilter?: (error: unknown) => boolean;
      readonly state?: State;
      readonly status?: Stats;
    }
  }

  export = CircuitBreaker;
}
