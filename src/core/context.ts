import { AsyncResource } from 'node:async_hooks';

/** A place to go on in, later. */
export interface AsyncContext {
  runInAsyncScope<R>(step: () => R): R;
}

/** Given as a bare number, which Node takes without looking into an options object for every call. */
const TRIGGER = 1 as unknown as { triggerAsyncId: number };

/**
 * The async context of here (AsyncLocalStorage, the active span), to go on in later from a timer or from somebody else's
 * code. A resource with a trigger id given costs a quarter of `AsyncLocalStorage.snapshot()` and less than a promise.
 */
export function capture(): AsyncContext {
  return new AsyncResource('seaworthy', TRIGGER);
}
