/** One library in the bench. What it does not have is left out. */
export interface Peer {
  fallback?(work: Work): Made;
  retry?(work: Work): Made;
  'circuit breaker'?(work: Work): Made;
  bulkhead?(work: Work): Made;
  timeout?(work: Work): Made;
  /** As many of fallback > retry > circuit breaker > bulkhead > timeout as there are. */
  five(work: Work): Made;
  /** The same in the opposite order. */
  turned?(work: Work): Made;
  /** The same, after the process has used pipelines of other shapes as much. */
  amongOthers?(work: Work): Made;
  /** The same around a function that reads its signal. */
  reading?(): Made;
  /** The same, called with a signal of the caller. */
  cancellable?(work: Work, signal: () => AbortSignal): Made;
  /** A circuit breaker that is open: calls reject. */
  open?(): Made;
  /** The same where the library can say so without rejecting. */
  openTold?(): Made;
  /** A bulkhead whose slots, and queue if it has one, are taken: calls reject. */
  full?(): Made;
  /** A retry without pause around a function that fails every other time. */
  retried?(work: Work): Made;
  /** A timeout of `ms` around a function that never ends: calls reject. */
  timedOut?(ms: number): Made;
}

export type Call = () => unknown;
export type Made = Call | Promise<Call>;

/** The function behind the policies. */
export interface Work {
  readonly kind: Kind;
  readonly fn: () => unknown;
  /** Calls a bulkhead lets in. @default enough for what runs at once */
  readonly limit?: number;
}

export type Kind = 'async' | 'immediate' | 'sync' | 'rejecting';

export const limitOf = ({ kind, limit }: Work): number => limit ?? (kind === 'immediate' ? 1_000 : 10);

/** Longer than anything here takes. */
export const longMs = 10_000;
/** Longer than the process lives; timers hold it. */
export const forEverMs = 100_000_000;

export const never = (): boolean => false;
export const endless = (): Promise<never> => new Promise(() => {});

/** Made beforehand: making an error costs more than most of what is measured. */
export const error: Error = new Error('the function has failed');

/** The functions that are called. */
export const works: Readonly<Record<Kind, Work & { readonly fn: () => unknown }>> = {
  async: { kind: 'async', fn: async () => 1 },
  immediate: { kind: 'immediate', fn: () => new Promise((resolve) => setImmediate(resolve, 1)) },
  sync: { kind: 'sync', fn: () => 1 },
  rejecting: {
    kind: 'rejecting',
    fn: async () => {
      throw error;
    },
  },
};

/** Fails every other time. */
export function unsteady(): Work {
  let calls = 0;
  return {
    kind: 'async',
    fn: async () => {
      if (calls++ % 2 === 0) throw error;
      return 1;
    },
  };
}

/** A call that is made once and forgotten; it is meant to fail, or never to end. */
export function spent(call: Call): void {
  Promise.resolve(call()).catch(() => {});
}

/** Signals of callers. */
export const sharedSignal = (): (() => AbortSignal) => {
  const { signal } = new AbortController();
  return () => signal;
};
export const ownSignal = (): AbortSignal => new AbortController().signal;
