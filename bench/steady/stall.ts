import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as cockatiel from 'cockatiel';
import { Circuit, Timeout } from 'mollitia';
import CircuitBreaker from 'opossum';
import pTimeout from 'p-timeout';
import { pipeline, timeout } from 'seaworthy';
import type { Call, Made } from '../peers/peer.ts';

const limitMs = 200;
const stallMs = 300;

/** A time limit of 200 ms around the function, as each library has it. */
const limited: Readonly<Record<string, (ask: () => Promise<unknown>) => Made>> = {
  ours(ask) {
    const pipe = pipeline('stall', [timeout(limitMs)]);
    return () => pipe.execute(ask);
  },
  'a setTimeout each': (ask) => () =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('timed out')), limitMs);
      ask()
        .then(resolve, reject)
        .finally(() => clearTimeout(timer));
    }),
  cockatiel(ask) {
    const policy = cockatiel.timeout(limitMs, cockatiel.TimeoutStrategy.Aggressive);
    return () => policy.execute(ask);
  },
  opossum(ask) {
    const breaker = new CircuitBreaker(ask, { timeout: limitMs, volumeThreshold: Number.MAX_SAFE_INTEGER });
    return () => breaker.fire();
  },
  async effect(ask) {
    // So large that no other process should load it.
    const { Effect } = await import('effect');
    const program = Effect.timeout(Effect.promise(ask), limitMs);
    return () => Effect.runPromise(program);
  },
  mollitia(ask) {
    const circuit = new Circuit({ func: ask, options: { modules: [new Timeout({ delay: limitMs })] } });
    return () => circuit.execute();
  },
  'p-*': (ask) => () => pTimeout(ask(), { milliseconds: limitMs }),
};

/** The other side, in a process of its own: it holds what it is asked until all have asked. */
class Crowd {
  private readonly server: ChildProcess;
  private readonly sockets: readonly Socket[];
  private readonly folder = mkdtempSync(join(tmpdir(), 'stall-'));
  private rounds = 0;
  private asked = 0;

  private constructor(server: ChildProcess, sockets: readonly Socket[]) {
    this.server = server;
    this.sockets = sockets;
  }

  static async of(calls: number): Promise<Crowd> {
    const server = fork(new URL('../../tests/flows/stall-server.mjs', import.meta.url), { execArgv: [] });
    const [port] = (await once(server, 'message')) as [number];
    const sockets = Array.from({ length: calls }, () => connect(port, '127.0.0.1'));
    await Promise.all(sockets.map((socket) => once(socket, 'connect')));
    return new Crowd(server, sockets);
  }

  /** One request on a connection of its own; what the socket says first is the answer. */
  readonly ask = (): Promise<unknown> =>
    new Promise((resolve) => {
      const socket = this.sockets[this.asked++ % this.sockets.length]!;
      socket.once('data', resolve);
      socket.write('GET / HTTP/1.1\r\nhost: stall\r\n\r\n');
    });

  private async heard(word: string): Promise<void> {
    for (;;) if ((await once(this.server, 'message'))[0] === word) return;
  }

  /**
   * Starts the calls, waits until all have been read on the other side, and blocks the event loop until the time is over
   * and every answer lies in its socket. Answers how many calls failed, or `undefined` where the machine was too busy for
   * all to be asked in time.
   */
  async failures(call: Call): Promise<number | undefined> {
    const done = join(this.folder, `${++this.rounds}`);
    const ready = this.heard('ready');
    this.server.send({ expected: this.sockets.length, done });
    await ready;
    const allHere = this.heard('all here');
    let answered = 0;
    const begun = performance.now();
    const calls = this.sockets.map(async () => {
      try {
        await call();
        return 0;
      } catch {
        return 1;
      } finally {
        answered++;
      }
    });
    await allHere;
    const inTime = performance.now() - begun < limitMs && answered === 0;
    const blocked = performance.now();
    while (performance.now() - blocked < stallMs || !existsSync(done))
      if (performance.now() - blocked > 10_000) throw new Error('The server has not answered');
    const failed = (await Promise.all(calls)).reduce<number>((sum, one) => sum + one, 0);
    // What failed is answered all the same, and must not be taken for the answer to another round.
    await sleep(50);
    return inTime ? failed : undefined;
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy();
    this.server.disconnect();
    rmSync(this.folder, { recursive: true });
  }
}

export interface Stall {
  readonly series: string;
  /** Calls that timed out although their answers had come. */
  readonly spurious: number;
  readonly of: number;
}

/** An event loop that is blocked for 300 ms, with a time limit of 200 and all answers in the sockets. */
export async function stalls(check: boolean): Promise<Stall[]> {
  const calls = check ? 20 : 500;
  const crowd = await Crowd.of(calls);
  const found: Stall[] = [];
  for (const [series, limit] of Object.entries(limited)) {
    const call = await limit(crowd.ask);
    let spurious: number | undefined;
    for (let tries = 0; spurious === undefined; tries++) {
      if (tries === 20)
        throw new Error(`${calls} calls could not be started within ${limitMs} ms: the machine is too busy`);
      spurious = await crowd.failures(call);
    }
    found.push({ series, spurious, of: calls });
  }
  crowd.close();
  return found;
}
