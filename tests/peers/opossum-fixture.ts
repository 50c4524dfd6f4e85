import CircuitBreaker from 'opossum';
import { afterEach, vi } from 'vitest';
import { turn } from '../policies/stand.ts';

export const boom = new Error('boom');
export const down = () => Promise.reject(boom);

/** Calls what it is given: the action of a breaker whose calls differ. */
export const run = (fn: () => unknown) => fn();

export const rude = () => {
  throw new Error('rude');
};

const made: { shutdown(): void }[] = [];

/** An opossum breaker that is shut down after the test: it keeps two intervals otherwise. */
export function opossum<A extends unknown[], R>(
  action: (...args: A) => R | PromiseLike<R>,
  options: CircuitBreaker.Options,
): CircuitBreaker<A, R> {
  const breaker = new CircuitBreaker(action, options);
  made.push(breaker);
  return breaker;
}

afterEach(() => {
  for (const breaker of made.splice(0)) breaker.shutdown();
});

/** Keeps the warning about rude code out of the test's output. */
export async function quietly(scene: () => Promise<void>): Promise<void> {
  const told = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  try {
    await scene();
  } finally {
    told.mockRestore();
  }
}

/** The rejections nobody handled during a scene; they would fail the run otherwise. */
export async function unhandledDuring(scene: () => Promise<void>): Promise<unknown[]> {
  const others = process.listeners('unhandledRejection');
  const seen: unknown[] = [];
  process.removeAllListeners('unhandledRejection');
  process.on('unhandledRejection', (reason) => seen.push(reason));
  try {
    await scene();
    await turn();
  } finally {
    process.removeAllListeners('unhandledRejection');
    for (const other of others) process.on('unhandledRejection', other);
  }
  return seen;
}
