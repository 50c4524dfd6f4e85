import * as cockatiel from 'cockatiel';
import { circuitBreaker } from 'seaworthy';
import { vi } from 'vitest';
import { deferred } from '../policies/stand.ts';

export const boom = new Error('boom');
export const gone = new Error('the user is gone');
export const down = () => Promise.reject(boom);

export class HttpError extends Error {
  readonly status: number;

  constructor(status: number) {
    super(String(status));
    this.status = status;
  }
}

/** cockatiel's breaker that opens at once and breaks for 100 ms. */
export const touchy = (failures = 1) =>
  cockatiel.circuitBreaker(cockatiel.handleAll, {
    halfOpenAfter: 100,
    breaker: new cockatiel.ConsecutiveBreaker(failures),
  });

/** Ours, with the same numbers. */
export const ours = (failures = 1) =>
  circuitBreaker({ consecutiveFailures: failures, breakMs: 100, halfOpenCalls: 1, halfOpenMs: 1_000 });

/** Works that end when told. */
export const works = (n: number) => Array.from({ length: n }, () => deferred<string>());

export const rude = () => {
  throw new Error('rude listener');
};

/**
 * Plays a scene with ours on the system's own clock: its timers, its `performance` and its `Date` only move when told, and
 * the date can be set as an operator or NTP does.
 */
export async function onFakeHost<T>(scene: (pass: (ms: number) => Promise<unknown>) => Promise<T>): Promise<T> {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date', 'performance'] });
  try {
    return await scene((ms) => vi.advanceTimersByTimeAsync(ms));
  } finally {
    vi.useRealTimers();
  }
}
