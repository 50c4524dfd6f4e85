import { setTimeout as sleep } from 'node:timers/promises';
import { peers } from '../cases.ts';
import { median } from '../measure.ts';

const limitMs = 100;

/** What the machine makes of a timer just now, without any library. */
export const alone = 'a setTimeout each';
const bare = () => sleep(limitMs);

export interface Lateness {
  /** Of a hundred timeouts the last but one came so many milliseconds after its time. */
  readonly p99Ms: number;
  /** How much too soon the earliest came; 0 for none. */
  readonly earlyMs: number;
}

/** Timeouts of 100 ms that begin at different moments, ten in a millisecond or so, with nothing else to do. */
export async function lateness(series: string, check: boolean): Promise<Lateness> {
  const call = series === alone ? bare : await (await peers[series]!()).timedOut!(limitMs);
  const rounds: number[][] = [];
  const once = async () => {
    const begun = performance.now();
    try {
      await call();
    } catch {
      // Its time is over.
    }
    return performance.now() - begun - limitMs;
  };
  for (let round = 0; round < (check ? 1 : 5); round++) {
    const late: Promise<number>[] = [];
    for (let i = 0; i < (check ? 10 : 200); i++) {
      for (let n = 0; n < 10; n++) late.push(once());
      await sleep(1);
    }
    rounds.push((await Promise.all(late)).sort((a, b) => a - b));
  }
  return {
    p99Ms: median(rounds.map((late) => late[Math.floor(late.length * 0.99)]!)),
    earlyMs: Math.max(0, ...rounds.map((late) => -late[0]!)),
  };
}
