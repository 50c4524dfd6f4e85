import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bulkhead, circuitBreaker, pipeline, retry, timeout } from 'seaworthy';
import { resilientFetch } from 'seaworthy/fetch';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const crowd = 500;
const limitMs = 200;
const stallMs = 300;

let server: ChildProcess;
let port: number;
let sockets: Socket[];
const folder = mkdtempSync(join(tmpdir(), 'stall-'));
let rounds = 0;

beforeAll(async () => {
  server = fork(new URL('stall-server.mjs', import.meta.url), { execArgv: [] });
  [port] = await once(server, 'message');
  sockets = Array.from({ length: crowd }, () => connect(port, '127.0.0.1'));
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
});

afterAll(() => {
  for (const socket of sockets) socket.destroy();
  server.disconnect();
  rmSync(folder, { recursive: true });
});

/** The server has said `word`. */
const heard = (word: string) =>
  new Promise<void>((resolve) => {
    const listen = (message: unknown) => {
      if (message !== word) return;
      server.off('message', listen);
      resolve();
    };
    server.on('message', listen);
  });

/** Tells the server to hold the next five hundred requests; answers where it leaves word that it has answered them. */
async function nextRound(): Promise<{ asked: Promise<void>; done: string }> {
  const done = join(folder, `${++rounds}`);
  const ready = heard('ready');
  server.send({ expected: crowd, done });
  await ready;
  return { asked: heard('all here'), done };
}

/** One request on a connection of its own; what the socket says first is the answer. */
const ask = (n: number) =>
  new Promise<string>((resolve) => {
    sockets[n]!.once('data', (data) => resolve(String(data).slice(0, 12)));
    sockets[n]!.write('GET / HTTP/1.1\r\nhost: stall\r\n\r\n');
  });

/** How a service without us would do it: a timer per call. */
const oneTimerEach = <T>(work: () => Promise<T>) =>
  new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('timed out')), limitMs);
    work()
      .then(resolve, reject)
      .finally(() => clearTimeout(timer));
  });

/**
 * Starts the calls, waits until the server has read them all, and blocks the event loop while it answers: until the time
 * is over and every answer lies in its socket. Answers how many calls failed. A machine too busy to get there before
 * the time limit has shown nothing, and starts anew.
 */
async function failuresAfterStall(start: (n: number) => Promise<unknown>): Promise<number> {
  for (let tries = 0; tries < 10; tries++) {
    const { asked, done } = await nextRound();
    let answered = 0;
    const started = performance.now();
    const calls = Array.from({ length: crowd }, async (_, n) => {
      try {
        await start(n);
        return 0;
      } catch {
        return 1;
      } finally {
        answered++;
      }
    });
    await asked;
    const inTime = performance.now() - started < limitMs && answered === 0;
    const blocked = performance.now();
    while (performance.now() - blocked < stallMs || !existsSync(done))
      if (performance.now() - blocked > 10_000) throw new Error('the server has not answered');
    const failures = (await Promise.all(calls)).reduce((sum: number, failed) => sum + failed, 0);
    // What failed is answered all the same, and must not be taken for the answer to another round.
    await new Promise((resolve) => setTimeout(resolve, 20));
    if (inTime) return failures;
  }
  throw new Error(`${crowd} calls could not be started within ${limitMs} ms: the machine is too busy for this test`);
}

describe('an event-loop stall of 300 ms, with a time limit of 200 and all answers in the sockets', () => {
  it('fails most of 500 calls that have a timer each', async () => {
    const failures = await failuresAfterStall((n) => oneTimerEach(() => ask(n)));
    expect(failures).toBeGreaterThan(crowd / 2);
  });

  it.each([
    ['timeout', () => pipeline('stall', [timeout(limitMs)]), {}],
    ['timeout, asked per call', () => pipeline('stall', [timeout({ ms: () => limitMs })]), {}],
    ['deadline', () => pipeline('stall', []), { timeoutMs: limitMs }],
    [
      'retry -> breaker -> bulkhead -> timeout',
      () =>
        pipeline('stall', [retry({ maxRetries: 0 }), circuitBreaker(), bulkhead({ limit: crowd }), timeout(limitMs)]),
      {},
    ],
    ['timeout -> timeout', () => pipeline('stall', [timeout(limitMs + 10), timeout(limitMs)]), {}],
  ])('%s: fails none of 500', async (_, make, options) => {
    using pipe = make();
    expect(await failuresAfterStall((n) => pipe.execute(() => ask(n), options))).toBe(0);
  });

  it('fails most of 500 calls of fetch that have a timer each, and none through resilientFetch', async () => {
    const url = `http://127.0.0.1:${port}`;
    // Connections first: opening five hundred takes longer than the limit.
    const get = async (fetch: typeof globalThis.fetch) => (await fetch(url)).text();
    const { asked } = await nextRound();
    await Promise.all([asked, ...Array.from({ length: crowd }, () => get(fetch))]);
    expect(await failuresAfterStall(() => oneTimerEach(() => get(fetch)))).toBeGreaterThan(crowd / 2);
    using pipe = pipeline('stall', [retry({ maxRetries: 0 }), timeout(limitMs)]);
    const careful = resilientFetch(pipe);
    expect(await failuresAfterStall(() => get(careful))).toBe(0);
  });

  it('what has no answer is still timed out', async () => {
    using pipe = pipeline('stall', [timeout(20)]);
    const call = pipe.tryExecute(() => new Promise<never>(() => {}));
    for (const blocked = performance.now(); performance.now() - blocked < 60; );
    expect(await call).toMatchObject({ error: { code: 'timeout', timeoutMs: 20 } });
  });
});
