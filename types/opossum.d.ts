/** What our tests and benchmarks use of opossum, which brings no types of its own. */
declare module 'opossum' {
  import type { EventEmitter } from 'node:events';

  class CircuitBreaker<A extends unknown[], R> extends EventEmitter {
    constructor(action: (...args: A) => R | PromiseLike<R>, options?: CircuitBreaker.Options);
    readonly opened: boolean;
    readonly closed: boolean;
    readonly halfOpen: boolean;
    readonly stats: { readonly fires: number; readonly failures: number; readonly successes: number };
    fire(...args: A): Promise<R>;
    fallback(answer: (...args: unknown[]) => unknown): this;
    getSignal(): AbortSignal | undefined;
    shutdown(): void;
  }

  namespace CircuitBreaker {
    /** Milliseconds throughout. */
    interface Options {
      readonly timeout?: number | false;
      readonly resetTimeout?: number;
      readonly errorThresholdPercentage?: number;
      readonly volumeThreshold?: number;
      readonly rollingCountTimeout?: number;
      readonly rollingCountBuckets?: number;
      readonly capacity?: number;
      readonly abortController?: AbortController;
      readonly autoRenewAbortController?: boolean;
      readonly errorFilter?: (error: unknown) => boolean;
    }
  }

  export = CircuitBreaker;
}
