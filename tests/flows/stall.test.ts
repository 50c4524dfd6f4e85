import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import { bulkhead, pipeline, retry, timeout } from 'seaworthy';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

/** An echo server on a thread of its own: it goes on replying while our event loop stands still. */
const server = new Worker(
  `const { parentPort } = require('node:worker_threads');
   const server = require('node:net').createServer((socket) => {
     socket.on('data', (chunk) => socket.write(chunk));
     socket.on('error', () => {});
   });
   server.listen(0, '127.0.0.1', 1024, () => parentPort.postMessage(server.address().port));`,
  { eval: true },
);
let port: number;

beforeAll(async () => {
  [port] = await once(server, 'message');
});
afterAll(() => server.terminate());

/** A loop that does nothing else: timers and sockets wait. */
function block(ms: number): void {
  for (const until = performance.now() + ms; performance.now() < until; );
}

async function open(): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  return socket;
}

const ask = (socket: Socket) =>
  new Promise<string>((resolve) => {
    socket.once('data', (data) => resolve(String(data)));
    socket.write('ping');
  });

describe('after an event-loop stall of 300 ms', () => {
  it.each([
    ['timeout', () => pipeline('stall', [timeout(200)], { telemetry: false }), {}],
    ['bulkhead -> timeout', () => pipeline('stall', [bulkhead({ limit: 500 }), timeout(200)], { telemetry: false }), {}],
    ['a timeout asked per call', () => pipeline('stall', [timeout({ ms: () => 200 })], { telemetry: false }), {}],
    ['timeoutMs', () => pipeline('stall', [retry()], { telemetry: false }), { timeoutMs: 200 }],
  ])('%s: none of 500 calls fails whose reply was already in the socket', async (_, make, options) => {
    const pipe = make();
    const sockets = await Promise.all(Array.from({ length: 500 }, open));
    const calls = sockets.map((socket) => pipe.tryExecute(() => ask(socket), options));
    block(300);
    const outcomes = await Promise.all(calls);
    for (const socket of sockets) socket.destroy();
    expect(outcomes.filter(({ status }) => status === 'failure')).toHaveLength(0);
    pipe.dispose();
  });

  it('what really does not answer is timed out all the same', async () => {
    const pipe = pipeline('stall', [timeout(50)], { telemetry: false });
    const call = pipe.tryExecute(() => new Promise<never>(() => {}));
    await new Promise((resolve) => setTimeout(resolve, 5));
    block(100);
    expect((await call).error).toMatchObject({ code: 'timeout' });
  });
});
