import { fork } from 'node:child_process';
import { once } from 'node:events';
import { median } from '../measure.ts';
import type { Call } from '../peers/peer.ts';
import { clients, connections, platforms } from './clients.ts';

/** One round of one client. */
interface Round {
  /** Milliseconds of processor time per request, of the client's process. */
  readonly cpuMs: number;
  /** Requests per second. */
  readonly perSecond: number;
  readonly p99Ms: number;
}

async function round(call: Call, ms: number): Promise<Round> {
  const latencies: number[] = [];
  const since = process.cpuUsage();
  const begun = performance.now();
  const end = begun + ms;
  const client = async () => {
    for (let start = begun; start < end; ) {
      const answer = (await call()) as { readonly items?: readonly unknown[] };
      if (answer.items?.length !== 20) throw new Error('A request was turned away');
      const now = performance.now();
      latencies.push(now - start);
      start = now;
    }
  };
  await Promise.all(Array.from({ length: connections }, client));
  const { user, system } = process.cpuUsage(since);
  latencies.sort((a, b) => a - b);
  return {
    cpuMs: (user + system) / 1e3 / latencies.length,
    perSecond: latencies.length / ((performance.now() - begun) / 1e3),
    p99Ms: latencies[Math.floor(latencies.length * 0.99)]!,
  };
}

export interface Paired {
  readonly series: string;
  readonly values: Readonly<Record<string, number>>;
}

/** Each client of the row beside the bare call, in turns; ratios within a round, medians of all. */
export async function paired(row: string, series: readonly string[], check: boolean): Promise<Paired[]> {
  const server = fork(new URL('server.mjs', import.meta.url), { execArgv: [] });
  const [port] = (await once(server, 'message')) as [number];
  const { on, by } = clients[row]!;
  const platform = platforms[on](`http://127.0.0.1:${port}`);
  const found: Paired[] = [];
  for (const name of series) {
    const calls = [() => platform.plain(), await by[name]!(platform)] as const;
    const rounds: [bare: Round, own: Round][] = [];
    const [count, ms] = check ? [1, 20] : [9, 300];
    for (let i = check ? 0 : -2; i < count; i++) {
      // Who begins has the colder processor.
      const turned = i % 2 === 0;
      const first = await round(calls[turned ? 1 : 0], ms);
      const second = await round(calls[turned ? 0 : 1], ms);
      if (i >= 0) rounds.push(turned ? [second, first] : [first, second]);
    }
    found.push({
      series: name,
      values: {
        cpuRatio: median(rounds.map(([bare, own]) => own.cpuMs / bare.cpuMs)),
        throughputRatio: median(rounds.map(([bare, own]) => own.perSecond / bare.perSecond)),
        p99Ms: median(rounds.map(([, own]) => own.p99Ms)),
        bareP99Ms: median(rounds.map(([bare]) => bare.p99Ms)),
        cpuUs: median(rounds.map(([, own]) => own.cpuMs * 1e3)),
        perSecond: median(rounds.map(([, own]) => own.perSecond)),
      },
    });
  }
  await platform.close();
  server.disconnect();
  return found;
}
