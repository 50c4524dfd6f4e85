import { describe, expect, expectTypeOf, test, vi } from 'vitest';
import { type FetchPipeline, resilientFetch } from '../../../src/adapters/http/fetch.ts';
import type { Classify } from '../../../src/core/outcome.ts';
import type { ExecuteOptions } from '../../../src/core/execute-options.ts';
import { pipeline, retry } from '../../../src/index.ts';
import { refusedUrl, serve, until } from './server.ts';

const again = () => pipeline('api', [retry({ maxRetries: 2, backoff: 1 })]);
/** A server that answers the given statuses, and the last of them for ever. */
const statuses = (...codes: number[]) =>
  serve((_, response, index) => void response.writeHead(codes[Math.min(index, codes.length - 1)]!).end());

/** A fetch that fails `times` times with `error`, then answers 200. */
function failing(error: unknown, times = 1) {
  return vi.fn(async (..._: Parameters<typeof fetch>) => {
    if (times-- > 0) throw error;
    return new Response('ok');
  });
}
const reset = () =>
  new TypeError('fetch failed', { cause: Object.assign(new Error('read'), { code: 'ECONNRESET', syscall: 'read' }) });
const refused = () =>
  new TypeError('fetch failed', {
    cause: Object.assign(new Error('connect'), { code: 'ECONNREFUSED', syscall: 'connect' }),
  });

/** A pipeline that shows the options of each call. */
function spied(see: (options: ExecuteOptions) => ExecuteOptions): FetchPipeline {
  const api = again();
  return { name: 'api', execute: (fn, options) => api.execute(fn, see(options as ExecuteOptions)) };
}

describe('one classifier', () => {
  test.each([408, 425, 429, 500, 502, 503, 504])('%i is a failure and is sent again', async (status) => {
    await using server = await statuses(status, 200);
    const response = await resilientFetch(again())(server.url);
    expect([response.status, server.requests.length]).toEqual([200, 2]);
  });

  test.each([204, 400, 404, 409, 422, 501, 505])('%i is an answer', async (status) => {
    await using server = await statuses(status, 200);
    const response = await resilientFetch(again())(server.url);
    expect([response.status, server.requests.length]).toEqual([status, 1]);
  });

  test('connection errors are failures', async () => {
    for (const error of [reset(), refused(), new Error('whatever'), 'a string', undefined]) {
      const base = failing(error);
      expect((await resilientFetch(again(), base)('http://x/')).status).toBe(200);
      expect(base).toHaveBeenCalledTimes(2);
    }
  });

  test('what cannot be requested at all is ignored: fetch tells what is wrong, once', async () => {
    const base = vi.fn((...args: Parameters<typeof fetch>) => fetch(...args));
    const seen: unknown[] = [];
    const api = spied((options) => {
      const classify = options.classify as Classify;
      return { ...options, classify: (outcome) => (seen.push(classify(outcome)), classify(outcome)) };
    });
    const bad: [any, any?][] = [
      ['no url'],
      ['/relative'],
      ['http://127.0.0.1/', { method: 'A B' }],
      ['http://127.0.0.1/', { body: 'x' }],
      ['http://127.0.0.1/', { headers: { 'a b': 'c' } }],
      ['http://a:b@127.0.0.1/'],
      [undefined],
    ];
    for (const [input, init] of bad) {
      const own = await fetch(input, init).catch((error) => error);
      const ours: any = await resilientFetch(api, base)(input, init).catch((error: unknown) => error);
      expect(ours).toBeInstanceOf(TypeError);
      expect(ours.message).toBe(own.message);
    }
    expect(base).toHaveBeenCalledTimes(bad.length);
    expect(new Set(seen)).toEqual(new Set(['ignored']));
  });

  test('a signal that is none is refused by fetch itself, and nothing throws synchronously', async () => {
    const own = await fetch('http://127.0.0.1/', { signal: {} as AbortSignal }).catch((error) => error);
    await expect(resilientFetch(again())('http://127.0.0.1/', { signal: {} as AbortSignal })).rejects.toThrow(
      own.message,
    );
    const hostile = Object.defineProperty({}, 'method', {
      get: () => {
        throw new Error('hostile');
      },
      enumerable: true,
    });
    await expect(resilientFetch(again())('http://127.0.0.1/', hostile)).rejects.toThrow('hostile');
  });
});

describe('retried only when', () => {
  test.each([
    ['the method is idempotent', {}, 3],
    ['the method is idempotent: PUT', { method: 'put', body: 'x' }, 3],
    ['not: POST', { method: 'POST', body: 'x' }, 1],
    ['not: PATCH', { method: 'PATCH', body: 'x' }, 1],
    ['an Idempotency-Key is present', { method: 'POST', body: 'x', headers: { 'Idempotency-Key': 'a' } }, 3],
    ['an Idempotency-Key is present, in a list', { method: 'POST', headers: [['idempotency-key', 'a']] }, 3],
    [
      'an Idempotency-Key is present, in Headers',
      { method: 'POST', headers: new Headers({ 'idempotency-key': 'a' }) },
      3,
    ],
    ['not: an empty one', { method: 'POST', headers: { 'Idempotency-Key': '' } }, 1],
    ['the caller says so', { method: 'POST', idempotent: true }, 3],
    ['not: the caller says no', { method: 'GET', idempotent: false }, 1],
  ] as [string, any, number][])('%s', async (_, init, times) => {
    await using server = await statuses(503);
    const response = await resilientFetch(again())(server.url, init);
    expect([response.status, server.requests.length]).toEqual([503, times]);
  });

  test('the caller says so, once for all requests', async () => {
    await using server = await statuses(503);
    const asked: unknown[] = [];
    const send = resilientFetch({
      pipeline: again(),
      idempotent: ({ method, url, headers }) => (
        asked.push([method, url, headers.get('x')]), url.endsWith('/search') ? true : undefined
      ),
    });
    await send(`${server.url}search`, { method: 'post', headers: { x: 'y' } });
    expect(server.requests.length).toBe(3);
    expect(asked).toEqual([['POST', `${server.url}search`, 'y']]);
    await send(server.url, { method: 'POST' });
    expect(server.requests.length).toBe(4);
    await send(server.url);
    expect(server.requests.length).toBe(7);
  });

  test('a Request says the same by its method and headers', async () => {
    await using server = await statuses(503);
    await resilientFetch(again())(new Request(server.url, { method: 'POST' }));
    expect(server.requests.length).toBe(1);
    await resilientFetch(again())(new Request(server.url, { method: 'POST', headers: { 'idempotency-key': 'a' } }));
    expect(server.requests.length).toBe(4);
  });

  test('the error proves that the request was never sent: refused', async () => {
    const url = await refusedUrl();
    const base = vi.fn((...args: Parameters<typeof fetch>) => fetch(...args));
    await expect(resilientFetch(again(), base)(url, { method: 'POST', body: 'x' })).rejects.toMatchObject({
      cause: { code: 'ECONNREFUSED' },
    });
    expect(base).toHaveBeenCalledTimes(3);
  });

  test('the error proves that the request was never sent: DNS', async () => {
    const base = vi.fn((...args: Parameters<typeof fetch>) => fetch(...args));
    const error = await resilientFetch(again(), base)('http://nosuch.invalid/', { method: 'POST', body: 'x' }).catch(
      (error: unknown) => error,
    );
    expect(error).toMatchObject({ cause: { syscall: 'getaddrinfo' } });
    expect(base).toHaveBeenCalledTimes(3);
  });

  test('not: a POST whose socket was reset after the server processed it', async () => {
    await using server = await serve((_request, _response, _index, raw) => raw.socket.destroy());
    await expect(resilientFetch(again())(server.url, { method: 'POST', body: 'x' })).rejects.toThrow('fetch failed');
    expect(server.requests.length).toBe(1);
    await expect(resilientFetch(again())(server.url)).rejects.toThrow('fetch failed');
    expect(server.requests.length).toBeGreaterThan(2);
  });

  test('not: a POST that was processed and then redirected to where nobody listens', async () => {
    const nowhere = await refusedUrl();
    await using server = await serve((_, response) => void response.writeHead(303, { location: nowhere }).end());
    await expect(resilientFetch(again())(server.url, { method: 'POST', body: 'x' })).rejects.toThrow('fetch failed');
    expect(server.requests.length).toBe(1);
  });
});

describe('Retry-After', () => {
  test.each([
    ['in seconds', { 'retry-after': '0.06' }],
    ['as retry-after-ms', { 'retry-after-ms': '60' }],
  ] as [string, Record<string, string>][])('%s is a lower bound', async (_, headers) => {
    const at: number[] = [];
    await using server = await serve((_, response, index) => {
      at.push(performance.now());
      response.writeHead(index === 0 ? 503 : 200, index === 0 ? headers : {}).end();
    });
    expect((await resilientFetch(again())(server.url)).status).toBe(200);
    expect(at[1]! - at[0]!).toBeGreaterThanOrEqual(55);
  });

  test('garbage, negative and NaN leave the policy its own delay', async () => {
    for (const value of ['soon', '-1', 'NaN']) {
      await using server = await serve(
        (_, response, index) => void response.writeHead(index === 0 ? 429 : 200, { 'retry-after': value }).end(),
      );
      expect((await resilientFetch(again())(server.url)).status).toBe(200);
      expect(server.requests.length).toBe(2);
    }
  });

  test('9999999999 and dates far ahead give up at once, with the response', async () => {
    for (const value of [
      '9999999999',
      '9'.repeat(400),
      'Fri, 31 Dec 9999 23:59:59 GMT',
      new Date(Date.now() + 3_600_000).toUTCString(),
    ]) {
      await using server = await serve(
        (_, response) => void response.writeHead(503, { 'retry-after': value }).end('busy'),
      );
      const response = await resilientFetch(again())(server.url);
      expect([response.status, await response.text(), server.requests.length]).toEqual([503, 'busy', 1]);
    }
  });
});

describe('what comes back', () => {
  test('exhausted retries: the last response, readable, of the own type', async () => {
    await using server = await serve(
      (_, response, index) => void response.writeHead(503, { 'x-index': index }).end(`busy ${index}`),
    );
    const response = await resilientFetch(again())(server.url);
    expect(response).toBeInstanceOf(Response);
    expect([response.status, response.headers.get('x-index'), await response.text()]).toEqual([503, '2', 'busy 2']);
  });

  test('exhausted retries: the last error, untouched', async () => {
    const errors = [reset(), reset(), reset()];
    let index = 0;
    const base = () => Promise.reject(errors[index++]);
    await expect(resilientFetch(again(), base)('http://x/')).rejects.toBe(errors[2]);
  });

  test('the reason of a signal that was aborted before: nothing is sent', async () => {
    const reason = new Error('changed my mind');
    const base = failing(undefined, 0);
    await expect(resilientFetch(again(), base)('http://x/', { signal: AbortSignal.abort(reason) })).rejects.toBe(
      reason,
    );
    await expect(
      resilientFetch(again(), base)(new Request('http://x/', { signal: AbortSignal.abort(reason) })),
    ).rejects.toBe(reason);
    expect(base).not.toHaveBeenCalled();
  });

  test('the reason of a signal that aborts before the headers; the socket is closed', async () => {
    await using server = await serve(() => {});
    const controller = new AbortController();
    const reason = new Error('changed my mind');
    const pending = resilientFetch(again())(server.url, { signal: controller.signal });
    await until('the request has arrived', () => server.requests.length === 1);
    controller.abort(reason);
    await expect(pending).rejects.toBe(reason);
    await until('the socket is closed', () => server.sockets.size === 0);
    expect(server.requests.length).toBe(1);
  });

  test('null in init takes the signal of a Request away, as in fetch', async () => {
    const base = failing(undefined, 0);
    const request = new Request('http://x/', { signal: AbortSignal.abort() });
    expect((await resilientFetch(again(), base)(request, { signal: null })).status).toBe(200);
  });
});

describe('the request', () => {
  test('is put into the partition of its origin', async () => {
    const keys: unknown[] = [];
    const api = spied((options) => (keys.push(options.key), options));
    const base = failing(undefined, 0);
    const send = resilientFetch(api, base);
    for (const input of [
      'http://a.test/x?y',
      new URL('https://a.test:8443/'),
      new Request('http://A.test:80/z'),
      '/relative',
      'data:,x',
    ])
      await send(input);
    await resilientFetch({ pipeline: api, key: (url) => url.hostname }, base)('http://a.test/x');
    await resilientFetch(
      {
        pipeline: api,
        key: () => {
          throw new Error('oops');
        },
      },
      base,
    )('http://a.test/x');
    expect(keys).toEqual([
      'http://a.test',
      'https://a.test:8443',
      'http://a.test',
      undefined,
      undefined,
      'a.test',
      'http://a.test',
    ]);
  });

  test('reaches the base fetch as it was given, with a signal of its own', async () => {
    const base = failing(reset());
    const dispatcher = {};
    await resilientFetch(again(), base)('http://x/', { headers: { a: 'b' }, redirect: 'manual', dispatcher } as any);
    for (const [input, init] of base.mock.calls) {
      expect(input).toBe('http://x/');
      expect(init).toEqual({ headers: { a: 'b' }, redirect: 'manual', dispatcher, signal: expect.any(AbortSignal) });
    }
    expect(base.mock.calls[0]![1]!.signal).not.toBe(base.mock.calls[1]![1]!.signal);
  });

  test('may have its options in a Request', async () => {
    await using server = await statuses(200);
    await resilientFetch(again())(
      server.url,
      new Request('http://x/', { method: 'DELETE', headers: { a: 'b' } }) as RequestInit,
    );
    expect(server.requests[0]).toMatchObject({ method: 'DELETE', headers: { a: 'b' } });
  });

  test('runs in the async context of its call', async () => {
    const { AsyncLocalStorage } = await import('node:async_hooks');
    const storage = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    const base = failing(reset());
    const send = resilientFetch(
      again(),
      ((...args: Parameters<typeof fetch>) => (seen.push(storage.getStore()), base(...args))) as typeof fetch,
    );
    await storage.run('mine', () => send('http://x/'));
    expect(seen).toEqual(['mine', 'mine']);
  });

  test('uses the global fetch as it is by then', async () => {
    const send = resilientFetch(again());
    const patched = vi.spyOn(globalThis, 'fetch').mockResolvedValue(new Response('patched'));
    try {
      expect(await (await send('http://x/')).text()).toBe('patched');
    } finally {
      patched.mockRestore();
    }
  });
});

describe('bad options', () => {
  test.each([
    [undefined, 'Cannot create resilientFetch: "pipeline" must be a pipeline, received undefined'],
    [null, 'Cannot create resilientFetch: "pipeline" must be a pipeline, received null'],
    ['api', 'Cannot create resilientFetch: "pipeline" must be a pipeline, received "api"'],
    [{}, 'Cannot create resilientFetch: "pipeline" must be a pipeline, received undefined'],
    [{ pipeline: {} }, 'Cannot create resilientFetch: "pipeline" must be a pipeline, received an object'],
    [{ pipeline: again(), key: 'a' }, 'Cannot create resilientFetch: "key" must be a function, received "a"'],
    [
      { pipeline: again(), bodyIdle: 1 },
      'Cannot create resilientFetch: unknown option "bodyIdle", did you mean "bodyIdleMs"?',
    ],
  ] as [any, string][])('%o: TypeError', (given, message) => {
    expect(() => resilientFetch(given)).toThrow(new TypeError(message));
  });

  test.each([0, -1, Number.NaN])('bodyIdleMs %d: RangeError', (bodyIdleMs) => {
    expect(() => resilientFetch({ pipeline: again(), bodyIdleMs })).toThrow(RangeError);
  });

  test('a base fetch that is none', () => {
    expect(() => resilientFetch(again(), {} as never)).toThrow(
      'Cannot create resilientFetch: "baseFetch" must be a function, received an object',
    );
  });
});

test('the type is that of fetch, and takes more', () => {
  const send = resilientFetch(again(), failing(undefined, 0));
  expectTypeOf(send).toExtend<typeof fetch>();
  expectTypeOf(fetch).toExtend<typeof send>();
  expectTypeOf<Parameters<typeof send>>().toEqualTypeOf<Parameters<typeof fetch>>();
  expectTypeOf(send('http://x/')).toEqualTypeOf<Promise<Response>>();
  void send('http://x/', { method: 'POST', bodyFactory: () => 'x', idempotent: true });
  // @ts-expect-error an option nobody knows
  void send('http://x/', { bodyFactoree: 1 });
});
