import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { pipeline as pump, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { pipeline } from 'seaworthy';
import { EventSource } from 'undici';
import { afterEach, describe, expect, it } from 'vitest';
import { metricsStream, type MetricsStreamOptions } from '../../src/console/index.ts';
import { virtualClock } from '../../src/testing/virtual-clock.ts';
import { turn } from '../core/spy.ts';
import { parse, watchedClock } from './reader.ts';

const quiet = { telemetry: false } as const;
const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.close().closeAllConnections();
});

/** A server that answers every request with a stream, as the documents show it, and its last response. */
async function serve(options: MetricsStreamOptions) {
  const seen: { response?: ServerResponse; ended?: Promise<unknown> } = {};
  const server = createServer((_request, response) => {
    const { headers, body } = metricsStream(options);
    response.writeHead(200, headers);
    seen.response = response;
    seen.ended = new Promise((resolve) => pump(Readable.fromWeb(body), response, resolve));
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { seen, port, url: `http://127.0.0.1:${port}/` };
}

/** Waits for what a socket brings about. */
async function until(what: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!what()) {
    if (Date.now() > deadline) throw new Error(`never came true: ${what}`);
    await turn();
  }
}

async function get(url: string): Promise<IncomingMessage> {
  const [response] = (await once(request(url).end(), 'response')) as [IncomingMessage];
  return response;
}

describe('over a real socket', () => {
  it('an EventSource gets an object per pipeline and interval', async () => {
    const kept = ['sock-a', 'sock-b'].map((name) => pipeline(name, [], quiet));
    const { url } = await serve({ pipelines: kept.map(({ name }) => name), intervalMs: 100 });
    const source = new EventSource(url);
    const got: string[] = [];
    source.onmessage = ({ data }) => got.push(JSON.parse(data).name);
    await until(() => got.length >= 6);
    source.close();
    expect(got.slice(0, 6)).toEqual(['sock-a', 'sock-b', 'sock-a', 'sock-b', 'sock-a', 'sock-b']);
  });

  it('the headers say what it is, that it must not be kept, and that proxies must not collect it', async () => {
    const { url } = await serve({ pipelines: [] });
    const response = await get(url);
    expect(response.headers).toMatchObject({
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    });
    response.destroy();
  });

  it('the timer is gone as soon as the reader has gone, long before the next event', async () => {
    const clock = watchedClock();
    const { url, seen } = await serve({ pipelines: [], intervalMs: 3_600_000, clock });
    const response = await get(url);
    await once(response, 'data');
    await until(() => clock.pending === 1);
    expect(clock.holding).toBe(0);
    response.destroy();
    await seen.ended;
    expect(clock.pending).toBe(0);
  });

  it('an abort of the signal ends the response of each reader properly', async () => {
    const clock = watchedClock();
    const shutdown = new AbortController();
    const { url } = await serve({ pipelines: [], intervalMs: 3_600_000, clock, signal: shutdown.signal });
    const responses = await Promise.all([get(url), get(url), get(url)]);
    await until(() => clock.pending === 3);
    shutdown.abort();
    expect(clock.pending).toBe(0);
    expect(await Promise.all(responses.map((response) => text(response)))).toEqual(
      Array.from({ length: 3 }, () => ': no pipelines\n\n'),
    );
  });

  it('a reader that stands still stops the ticks, is sent nothing old, and loses no counts', async () => {
    const clock = virtualClock();
    const names = Array.from({ length: 50 }, (_, i) => `sock-still-${i}`);
    const kept = names.map((name) => pipeline(name, [], { ...quiet, clock }));
    let made = 0;
    const { port, seen } = await serve({
      clock,
      pipelines: ({ name }) => name.startsWith('sock-still') && ++made > 0,
    });
    const socket = connect(port, '127.0.0.1');
    socket.write('GET / HTTP/1.0\r\n\r\n');
    socket.pause();
    await until(() => made === 50);
    await until(() => clock.pending === 1);
    // Until what the system and Node's own streams hold is full.
    let tick = 0;
    for (let before = -1; made !== before; tick++) {
      if (tick >= 2_000) throw new Error('a reader that reads nothing is still told everything');
      before = made;
      for (let seconds = 0; seconds < 20; seconds++) await clock.advance(1_000);
    }
    expect(clock.pending).toBe(0);
    expect(seen.response!.writableLength).toBeLessThan(1_000_000);
    await kept[0]!.execute(() => 1);
    await clock.advance(3_600_000);

    let heard = '';
    socket.on('data', (data) => (heard += data));
    socket.resume();
    const mine = () =>
      parse(heard.slice(heard.indexOf('\r\n\r\n') + 4, heard.lastIndexOf('\n\n') + 2)).events.filter(
        ({ name }) => name === names[0],
      );
    await until(() => clock.pending === 1);
    await clock.advance(1_000);
    await until(() => mine().at(-1)!.total.calls === 1);
    const events = mine();
    const [late] = events.filter(({ since }) => since?.calls === 1);
    expect(late!.since!.ms).toBeGreaterThan(3_600_000);
    expect(events.reduce((sum, { since }) => sum + (since?.calls ?? 0), 0)).toBe(1);
    socket.destroy();
    await seen.ended;
    expect(clock.pending).toBe(0);
  }, 60_000);
});

describe('without a server', () => {
  it('it is the body and the headers of a web Response', async () => {
    const clock = watchedClock();
    const stream = metricsStream({ pipelines: [], clock });
    const response = new Response(stream.body, stream);
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    const reader = response.body!.getReader();
    expect(new TextDecoder().decode((await reader.read()).value)).toBe(': no pipelines\n\n');
    void reader.read();
    await turn();
    expect(clock.pending).toBe(1);
    await reader.cancel();
    expect(clock.pending).toBe(0);
  });

  it('for await reads it, and has left no timer when it breaks out', async () => {
    const clock = watchedClock();
    const chunks: string[] = [];
    for await (const chunk of metricsStream({ pipelines: [], intervalMs: 100, clock }).body) {
      chunks.push(new TextDecoder().decode(chunk));
      if (chunks.length === 2) break;
    }
    expect([chunks.length, clock.pending]).toEqual([2, 0]);
  });

  it('its timer does not hold a process that has nothing else to do', async () => {
    const source = new URL('../../src/console/index.ts', import.meta.url).href;
    const script = `
      const { metricsStream } = await import(${JSON.stringify(source)});
      const reader = metricsStream({ intervalMs: 3_600_000 }).body.getReader();
      await reader.read();
      reader.read();
      console.log('waits');`;
    const child = spawn(process.execPath, ['--experimental-strip-types', '--input-type=module', '-e', script], {
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const out = text(child.stdout);
    expect([await once(child, 'close'), await out]).toEqual([[0, null], 'waits\n']);
  });
});
