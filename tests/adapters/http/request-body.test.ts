import { Readable } from 'node:stream';
import { describe, expect, test, vi } from 'vitest';
import { resilientFetch } from '../../../src/adapters/http/fetch.ts';
import { pipeline, retry } from '../../../src/index.ts';
import { refusedUrl, serve, until } from './server.ts';

const again = () => pipeline('api', [retry({ maxRetries: 2, backoff: 1 })]);
const busy = (times = 2) => serve((_, response, index) => void response.writeHead(index < times ? 503 : 200).end());
const stream = (text = 'streamed') => new Response(text).body!;
const form = () => {
  const data = new FormData();
  data.set('a', 'b');
  return data;
};
const bytes = new TextEncoder().encode('xxbytesxx');

describe('a replayable body is replayed', () => {
  test.each<[string, () => any, string | RegExp]>([
    ['string', () => 'text', 'text'],
    ['Buffer', () => Buffer.from('text'), 'text'],
    ['typed array', () => bytes.subarray(2, 7), 'bytes'],
    ['DataView', () => new DataView(bytes.buffer, 2, 5), 'bytes'],
    ['ArrayBuffer', () => bytes.buffer, 'xxbytesxx'],
    ['Blob', () => new Blob(['blob']), 'blob'],
    ['URLSearchParams', () => new URLSearchParams({ a: 'b' }), 'a=b'],
    ['FormData', form, /name="a"\r\n\r\nb\r\n/],
  ])('%s', async (_, make, expected) => {
    await using server = await busy();
    const response = await resilientFetch(again())(server.url, { method: 'PUT', body: make() });
    expect([response.status, server.requests.length]).toEqual([200, 3]);
    for (const { body, headers } of server.requests) {
      expect(body).toMatch(expected);
      expect(headers['content-length']).toBe(String(body.length));
      expect(headers['content-type']?.split(';')[0]).toBe(server.requests[0]!.headers['content-type']?.split(';')[0]);
    }
  });

  test('as it was when the request was made', async () => {
    const body = Buffer.from('first');
    await using server = await serve((_, response, index) => {
      body.fill('x');
      response.writeHead(index === 0 ? 503 : 200).end();
    });
    await resilientFetch(again())(server.url, { method: 'PUT', body });
    expect(server.requests.map((request) => request.body)).toEqual(['first', 'first']);
  });

  test('the options and the URL are those of the call, too', async () => {
    const init: any = { method: 'PUT', body: 'first' };
    const url = new URL('http://127.0.0.1/');
    await using server = await serve((_, response, index) => {
      Object.assign(init, { method: 'DELETE', body: 'second' });
      url.pathname = '/elsewhere';
      response.writeHead(index === 0 ? 503 : 200).end();
    });
    url.port = new URL(server.url).port;
    await resilientFetch(again())(url, init);
    expect(server.requests.map(({ method, url, body }) => [method, url, body])).toEqual([
      ['PUT', '/', 'first'],
      ['PUT', '/', 'first'],
    ]);
  });
});

describe('a stream', () => {
  test.each<[string, () => any]>([
    ['ReadableStream', stream],
    ['Readable', () => Readable.from(['streamed'])],
    [
      'async iterable',
      async function* () {
        yield Buffer.from('streamed');
      },
    ],
  ])('is not retried: %s', async (_, make) => {
    await using server = await busy();
    const response = await resilientFetch(again())(server.url, { method: 'PUT', body: make(), duplex: 'half' } as any);
    expect([response.status, server.requests.map(({ body }) => body)]).toEqual([503, ['streamed']]);
  });

  test('is never sent twice, even when nothing of it was sent', async () => {
    const base = vi.fn((...args: Parameters<typeof fetch>) => fetch(...args));
    const init: any = { method: 'PUT', body: stream(), duplex: 'half' };
    await expect(resilientFetch(again(), base)(await refusedUrl(), init)).rejects.toMatchObject({
      cause: { code: 'ECONNREFUSED' },
    });
    expect(base).toHaveBeenCalledTimes(1);
  });

  test('is refused to a foreign retry that does not ask', async () => {
    const base = vi.fn(async () => new Response(null, { status: 503 }));
    const foreign: any = {
      name: 'foreign',
      execute: async (fn: any) => (
        await fn({ signal: new AbortController().signal }), fn({ signal: new AbortController().signal })
      ),
    };
    const body: any = (async function* () {
      yield 'x';
    })();
    await expect(resilientFetch(foreign, base)('http://x/', { method: 'PUT', body })).rejects.toThrow(
      'give a "bodyFactory"',
    );
    expect(base).toHaveBeenCalledTimes(1);
  });

  test.each<[string, () => any]>([
    ['stream', () => stream()],
    ['Readable', () => Readable.from(['streamed'])],
    ['promise of a stream', async () => stream()],
    ['string', () => 'streamed'],
  ])('is retried when a factory is given: %s', async (_, bodyFactory) => {
    await using server = await busy();
    const made = vi.fn(bodyFactory);
    const response = await resilientFetch(again())(server.url, { method: 'PUT', bodyFactory: made });
    expect([response.status, server.requests.map(({ body }) => body)]).toEqual([
      200,
      ['streamed', 'streamed', 'streamed'],
    ]);
    expect(made).toHaveBeenCalledTimes(3);
  });

  test('a factory beside a body, or one that is none, is refused', async () => {
    const base = vi.fn();
    const message = 'Cannot send the request: "bodyFactory" must be a function, given in place of "body"';
    await expect(
      resilientFetch(again(), base)('http://x/', { method: 'PUT', body: 'a', bodyFactory: () => 'b' }),
    ).rejects.toThrow(new TypeError(message));
    await expect(
      resilientFetch(again(), base)('http://x/', { method: 'PUT', bodyFactory: 'b' as never }),
    ).rejects.toThrow(new TypeError(message));
    expect(base).not.toHaveBeenCalled();
  });
});

describe('a Request', () => {
  test('without a body is sent again', async () => {
    await using server = await busy();
    const request = new Request(server.url, { headers: { a: 'b' } });
    expect((await resilientFetch(again())(request)).status).toBe(200);
    expect(server.requests.map(({ headers }) => headers.a)).toEqual(['b', 'b', 'b']);
  });

  test('with a body is sent again with all of it, its length and type', async () => {
    await using server = await busy();
    const request = new Request(server.url, {
      method: 'PUT',
      body: JSON.stringify({ a: 1 }),
      headers: { 'content-type': 'application/json' },
    });
    expect(
      (await resilientFetch(again())(request, { headers: { 'content-type': 'application/json', x: 'y' } })).status,
    ).toBe(200);
    expect(
      server.requests.map(({ body, headers }) => [body, headers['content-length'], headers['content-type'], headers.x]),
    ).toEqual(Array(3).fill(['{"a":1}', '7', 'application/json', 'y']));
    expect(request.bodyUsed).toBe(true);
  });

  test('with a body, refused: is sent again although it is a POST', async () => {
    const base = vi.fn((...args: Parameters<typeof fetch>) => fetch(...args));
    await expect(
      resilientFetch(again(), base)(new Request(await refusedUrl(), { method: 'POST', body: 'x' })),
    ).rejects.toThrow();
    expect(base).toHaveBeenCalledTimes(3);
  });

  test('with a stream that was read to its end is sent again', async () => {
    await using server = await busy();
    const request = new Request(server.url, { method: 'PUT', body: stream(), duplex: 'half' } as RequestInit);
    expect((await resilientFetch(again())(request)).status).toBe(200);
    expect(server.requests.map(({ body }) => body)).toEqual(['streamed', 'streamed', 'streamed']);
  });

  test('whose body is longer than maxReplayBytes is sent once, whole', async () => {
    await using server = await busy();
    const send = resilientFetch({ pipeline: again(), maxReplayBytes: 10 });
    expect((await send(new Request(server.url, { method: 'PUT', body: 'x'.repeat(11) }))).status).toBe(503);
    expect(server.requests.map(({ body }) => body.length)).toEqual([11]);
    expect((await send(new Request(server.url, { method: 'PUT', body: 'x'.repeat(10) }))).status).toBe(200);
    expect(server.requests.map(({ body }) => body.length)).toEqual([11, 10, 10]);
  });

  test('whose body is endless holds back no more than maxReplayBytes, and is cancelled with the call', async () => {
    let pulled = 0;
    let cancelled = 0;
    const endless = new ReadableStream({
      pull: (controller) => controller.enqueue(new Uint8Array(1000).fill(120 + (pulled++ % 2))),
      cancel: () => void cancelled++,
    });
    const controller = new AbortController();
    // Takes nothing of the body, as a server that does not read, and lets go of it when it is told to stop.
    const base = (input: unknown, init?: RequestInit) =>
      new Promise<Response>((_, reject) => {
        const { signal } = init as { signal: AbortSignal };
        signal.addEventListener('abort', () => {
          void (input as Request).body?.cancel();
          reject(signal.reason);
        });
      });
    const request = new Request('http://x/', { method: 'PUT', body: endless, duplex: 'half' } as RequestInit);
    const pending = resilientFetch({ pipeline: again(), maxReplayBytes: 10_000 }, base as typeof fetch)(request, {
      signal: controller.signal,
    });
    await until('the limit is reached', () => pulled > 10);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(pulled).toBeLessThan(15);
    controller.abort();
    await expect(pending).rejects.toThrow();
    await until('the source is cancelled', () => cancelled === 1);
  });

  test('that was used is refused as fetch refuses it', async () => {
    const request = new Request('http://127.0.0.1/', { method: 'PUT', body: 'x' });
    await request.text();
    const own = await fetch(request).catch((error) => error);
    const base = vi.fn((...args: Parameters<typeof fetch>) => fetch(...args));
    await expect(resilientFetch(again(), base)(request)).rejects.toThrow(own.message);
    expect(base).toHaveBeenCalledTimes(1);
  });
});
