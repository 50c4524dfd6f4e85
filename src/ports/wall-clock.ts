/**
 * Milliseconds since 1970 by the host's calendar, for dates that another machine wrote. It jumps when somebody sets the
 * clock, so no wait is ever measured with it: that is what `clock.ts` is for.
 */
export function wallClock(): number {
  return Date.now();
}
