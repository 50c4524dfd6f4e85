import { vi } from 'vitest';

/** What a test says when a peer no longer does what its name claims. */
export const mended = 'The peer behaves otherwise now: if it has mended this, take the claim out.';

/**
 * Plays a scene with a peer on timers and a `Date` that only move when told, because peers take no clock of their own.
 * `setImmediate` and promises stay real.
 */
export async function onFakeTime<T>(scene: (pass: (ms: number) => Promise<unknown>) => Promise<T>): Promise<T> {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date'] });
  try {
    return await scene((ms) => vi.advanceTimersByTimeAsync(ms));
  } finally {
    vi.useRealTimers();
  }
}
