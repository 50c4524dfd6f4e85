import { setTimeout as sleep } from 'node:timers/promises';
import { peers } from '../cases.ts';
import { median } from '../measure.ts';
import type { Call } from '../peers/peer.ts';

const full = 10_000;
/** Milliseconds that the other side takes for an answer. */
const answerMs = 20;

/** The other side: answers whatever it is asked after about 20 ms, all that are due in one millisecond by one timer. */
class Server {
  private readonly due: (() => void)[][] = Array.from({ length: answerMs }, () => []);
  private ticks = 0;
  private readonly begun = performance.now();
  private readonly timer = setInterval(() => this.answer(), 1);

  readonly ask = (): Promise<number> =>
    new Promise((resolve) => this.due[this.ticks % answerMs]!.push(() => resolve(1)));

  /** Also what it has missed while the loop was busy. */
  private answer(): void {
    const passed = Math.floor(performance.now() - this.begun);
    const missed = Math.min(answerMs, passed - this.ticks);
    this.ticks = passed - missed;
    for (let i = 0; i < missed; i++) {
      this.ticks++;
      const slot = this.ticks % answerMs;
      const answers = this.due[slot]!;
      this.due[slot] = [];
      for (const answer of answers) answer();
    }
  }

  close(): void {
    clearInterval(this.timer);
  }
}

/** Nanoseconds of processor time per call while `crowd` callers make one call after the other. */
async function cpuNsPerCall(call: Call, crowd: number, settleMs: number, ms: number): Promise<number> {
  let calls = 0;
  let stopped = false;
  const caller = async () => {
    while (!stopped) {
      if ((await call()) !== 1) throw new Error('A call was turned away, so there were fewer in flight');
      calls++;
    }
  };
  const callers: Promise<void>[] = [];
  // Not all at once, or they would stay together.
  for (let i = 0; i < answerMs; i++) {
    for (let n = 0; n < crowd / answerMs; n++) callers.push(caller());
    await sleep(1);
  }
  await sleep(settleMs);
  const [since, before] = [process.cpuUsage(), calls];
  await sleep(ms);
  const { user, system } = process.cpuUsage(since);
  const made = calls - before;
  stopped = true;
  await Promise.all(callers);
  return ((user + system) * 1e3) / made;
}

export interface Steady {
  readonly cpuNs: number;
  readonly bareNs: number;
  readonly ratio: number;
}

/** The library's five policies and the bare function, in turns. */
export async function steady(series: string, rounds: number, check: boolean): Promise<Steady> {
  const [crowd, settleMs, ms] = check ? [100, 0, 30] : [full, 500, 1_000];
  const server = new Server();
  const fn = server.ask;
  const call = await (await peers[series]!()).five({ kind: 'async', fn, limit: crowd });
  const times: [bare: number, own: number][] = [];
  for (let round = 0; round < rounds; round++)
    times.push([await cpuNsPerCall(fn, crowd, settleMs, ms), await cpuNsPerCall(call, crowd, settleMs, ms)]);
  server.close();
  return {
    cpuNs: median(times.map(([, own]) => own)),
    bareNs: median(times.map(([bare]) => bare)),
    ratio: median(times.map(([bare, own]) => own / bare)),
  };
}
