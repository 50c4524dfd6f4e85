import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { bulkhead, pipeline, retry, timeout } from 'seaworthy';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const server = createServer((socket) => {
  socket.on('data', (chunk) => socket.write(chunk));
  socket.on('error', () => {});
});

beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterAll(() => server.close());

/** A loop that does nothing else: timers and sockets wait. */
function block(ms: number): void {
  for (const until = performance.now() + ms; performance.now() < until; );
}

describe('after an event-loop stall of 300 ms', () => {
  // The echo server lives in this process, so the replies are written, and lie in the sockets, before the loop is blocked.
  it.each([
    ['timeout', () => pipeline('stall', [timeout(200)], { telemetry: false }), {}],
    ['bulkhead -> timeout', () => pipeline('stall', [bulkhead({ limit: 1_000 }), timeout(200)], { telemetry: false }), {}],
    ['a timeout asked per call', () => pipeline('stall', [timeout({ ms: () => 200 })], { telemetry: false }), {}],
    ['timeoutMs', () => pipeline('stall', [retry()], { telemetry: false }), { timeoutMs: 200 }],
  ])('%s: none of 500 calls fails whose reply was already in the socket', async (_, make, options) => {
    const pipe = make();
    const { port } = server.address() as AddressInfo;
    const sockets = await Promise.all(
      Array.from({ length: 500 }, async () => {
        const socket = connect(port, '127.0.0.1');
        await once(socket, 'connect');
        return socket;
      }),
    );
    let echoed = 0;
    const seen = new Promise<void>((resolve) => {
      server.on('connection', () => {});
      for (const socket of sockets) socket.pause();
      const poll = () => (echoed >= 500 ? resolve() : setImmediate(poll));
      poll();
    });
    const calls = sockets.map((socket) =>
      pipe.tryExecute(
        () =>
          new Promise<string>((resolve) => {
            socket.write('ping', () => echoed++);
            // Reading starts only when the loop has stood still: that is what a stall does to a socket.
            setTimeout(() => socket.once('data', (data) => resolve(String(data))), 0);
          }),
        options,
      ),
    );
    await seen;
    await new Promise((resolve) => setTimeout(resolve, 20));
    block(300);
    for (const socket of sockets) socket.resume();
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
