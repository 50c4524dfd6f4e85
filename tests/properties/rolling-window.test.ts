import fc from 'fast-check';
import { describe, it } from 'vitest';
import { countWindow, tally, timeWindow } from '../../src/algorithms/rolling-window.ts';
import { commands, explore, holds, patience, same } from './explore.ts';

const windowMs = 1000;
const command = fc.record({
  do: fc.nat(30).map((n) => (n === 0 ? 'clear' : n < 8 ? 'look' : 'record')),
  // Mostly small steps, some whole windows, some idle hours, some backwards.
  wait: fc.oneof(
    { weight: 6, arbitrary: fc.nat(150) },
    { weight: 2, arbitrary: fc.nat(2000) },
    fc.constant(3_600_000),
    fc.integer({ min: -500, max: 0 }),
  ),
  failed: fc.boolean(),
  slow: fc.boolean(),
});

interface Done {
  readonly at: number;
  readonly failed: boolean;
  readonly slow: boolean;
}
const sums = (done: readonly Done[]) => ({
  calls: done.length,
  failures: done.filter(({ failed }) => failed).length,
  slow: done.filter(({ slow }) => slow).length,
});

describe('a window agrees with a list of what happened', () => {
  it(
    'timeWindow: nothing older than the window, everything younger than all but one bucket',
    () =>
      explore(
        'window in time',
        fc.tuple(fc.constantFrom(1, 2, 5, 10), commands(command, 200)),
        ([buckets, run], did) => {
          const window = timeWindow(windowMs, buckets);
          const bucketMs = windowMs / buckets;
          let done: Done[] = [];
          let now = 0;
          let latest = -Infinity;
          let firstAt: number | undefined;
          for (const next of run) {
            did();
            now += next.wait;
            // Time begins with the first record, and does not go back.
            latest = firstAt === undefined ? now : Math.max(latest, now);
            if (next.do === 'clear') {
              window.clear();
              done = [];
            } else if (next.do === 'record') {
              const { failed, slow } = next;
              window.record(now, failed, slow);
              firstAt ??= now;
              done.push({ at: latest, failed, slow });
            }
            // In buckets counted from the first record, exactly; and so never out of these bounds.
            const bucket = (at: number) => Math.floor((at - firstAt!) / bucketMs);
            const kept = done.filter(({ at }) => bucket(latest) - bucket(at) < buckets);
            same('sums', tally(window, now), sums(kept));
            holds(
              'nothing is older than the window',
              kept.every(({ at }) => latest - at < windowMs),
            );
            const young = done.filter(({ at }) => latest - at <= windowMs - bucketMs);
            holds(
              'nothing young is forgotten',
              young.every((own) => kept.includes(own)),
            );
          }
          same('sums in the end', tally(window, latest + windowMs), { calls: 0, failures: 0, slow: 0 });
        },
      ),
    patience,
  );

  it(
    'countWindow: the last n, exactly',
    () =>
      explore(
        'window of calls',
        fc.tuple(fc.integer({ min: 1, max: 12 }), commands(command, 200)),
        ([size, run], did) => {
          const window = countWindow(size);
          let done: Done[] = [];
          for (const { do: what, wait, failed, slow } of run) {
            did();
            if (what === 'clear') {
              window.clear();
              done = [];
            } else if (what === 'record') {
              window.record(wait, failed, slow);
              done = [...done, { at: wait, failed, slow }].slice(-size);
            }
            same('sums', tally(window, wait), sums(done));
          }
        },
      ),
    patience,
  );
});
