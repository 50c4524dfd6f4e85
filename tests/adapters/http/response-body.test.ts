import { getEventListeners } from 'node:events';
import type { ServerResponse } from 'node:http';
import { describe, expect, test } from 'vitest';
import { resilientFetch } from '../../../src/adapters/http/fetch.ts';
import { virtualClock } from '../../../src/testing/virtual-clock.ts';
import { fallback, pipeline, retry, timeout } from '../../../src/index.ts';
import { collect, serve, until } from './server.ts';

const plain = () => pipeline('api', []);
const again = () => pipeline('api', [retry({ maxRetries: 2, backoff: 1 })]);
const listeners = (signal: AbortSignal) => getEventListeners(signal, 'abort').length;
/** A server whose bodies begin and do not end. */
const dripping = () =>
  serve((_, response) => void response.writeHead(200, { 'content-type': 'text/plain' }).write('begin '));
const big = 'x'.repeat(1_000_000);

describe("the caller's own signal keeps acting on the body", () => {
  test.each([
    ['a pending read', async (response: Response) => response.text()],
    [
      'a later read',
      async (response: Response) => (await new Promise((resolve) => setTimeout(resolve, 30)), response.text()),
    ],
    ['a clone', async (response: Response) => response.clone().text()],
  ])('with its reason: %s', async (_, read) => {
    await using server = await dripping();
    const controller = new AbortController();
    const reason = new Error('enough');
    const response = await resilientFetch(again())(server.url, { signal: controller.signal });
    const reading = read(response);
    setTimeout(() => controller.abort(reason), 10);
    await expect(reading).rejects.toBe(reason);
    await until('the socket is closed', () => server.sockets.size === 0);
    expect(listeners(controller.signal)).toBe(0);
  });

  test('of a Request', async () => {
    await using server = await dripping();
    const controller = new AbortController();
    const response = await resilientFetch(again())(new Request(server.url, { signal: controller.signal }));
    const reading = response.text();
    controller.abort(new Error('enough'));
    await expect(reading).rejects.toThrow('enough');
    await until('the socket is closed', () => server.sockets.size === 0);
  });

  test('aborted while nobody reads: the socket is closed all the same', async () => {
    await using server = await dripping();
    const controller = new AbortController();
    const response = await resilientFetch(again())(server.url, { signal: controller.signal });
    const reader = response.body!.getReader();
    controller.abort('enough');
    await expect(reader.closed).rejects.toBe('enough');
    await until('the socket is closed', () => server.sockets.size === 0);
  });

  test('the link is kept until the body ends', async () => {
    await using server = await serve((_, response) => void response.end('done'));
    const { signal } = new AbortController();
    const response = await resilientFetch(again())(server.url, { signal });
    expect(listeners(signal)).toBeGreaterThan(0);
    expect(await response.text()).toBe('done');
    await until('nobody listens', () => listeners(signal) === 0);
  });

  test('the link is kept until the body is cancelled', async () => {
    await using server = await dripping();
    const { signal } = new AbortController();
    const response = await resilientFetch(again())(server.url, { signal });
    await response.body!.cancel();
    await until('nobody listens', () => listeners(signal) === 0);
    await until('the socket is closed', () => server.sockets.size === 0);
  });

  test('the link is kept until the body breaks', async () => {
    await using server = await serve((_, response) => {
      response.write('begin ');
      setTimeout(() => response.destroy(), 10);
    });
    const { signal } = new AbortController();
    const response = await resilientFetch(again())(server.url, { signal });
    await expect(response.text()).rejects.toThrow('terminated');
    await until('nobody listens', () => listeners(signal) === 0);
  });

  test('the link is kept until the body is collected', async () => {
    await using server = await dripping();
    const { signal } = new AbortController();
    await (async () => {
      const response = await resilientFetch(again())(server.url, { signal });
      await response.body!.getReader().read();
    })();
    expect(server.sockets.size).toBe(1);
    await collect();
    await until('nobody listens', () => listeners(signal) === 0);
    await until('the socket is closed', () => server.sockets.size === 0);
  });

  test('a body that is still read is not collected', async () => {
    await using server = await serve((_, response) => {
      response.write('begin ');
      setTimeout(() => response.end('end'), 150);
    });
    const { signal } = new AbortController();
    const text = resilientFetch(again())(server.url, { signal }).then((response) => response.text());
    await collect();
    expect(await text).toBe('begin end');
  });

  test('many bodies share one listener', async () => {
    await using server = await dripping();
    const controller = new AbortController();
    const send = resilientFetch(again());
    const responses = await Promise.all(
      Array.from({ length: 20 }, () => send(server.url, { signal: controller.signal })),
    );
    await until('the calls have let go', () => listeners(controller.signal) <= 1);
    expect(listeners(controller.signal)).toBe(1);
    const reads = responses.map((response) => response.text());
    controller.abort('enough');
    expect((await Promise.allSettled(reads)).map((read) => (read as PromiseRejectedResult).reason)).toEqual(
      Array(20).fill('enough'),
    );
    expect(listeners(controller.signal)).toBe(0);
    await until('the sockets are closed', () => server.sockets.size === 0);
  });

  test('a response without a body leaves nothing', async () => {
    await using server = await serve((_, response) => void response.writeHead(204).end());
    const { signal } = new AbortController();
    const response = await resilientFetch(again())(server.url, { signal });
    expect(response.body).toBeNull();
    await until('nobody listens', () => listeners(signal) === 0);
    expect((await resilientFetch(again())(server.url, { method: 'HEAD', signal })).body).toBeNull();
  });
});

test('attempt timeouts end with the headers', async () => {
  const clock = virtualClock();
  let held!: ServerResponse;
  await using server = await serve((_, response) => void (held = response).write('begin '));
  const response = await resilientFetch(pipeline('api', [timeout(40)], { clock }))(server.url);
  await clock.advance(1_000);
  held.end('end');
  expect(await response.text()).toBe('begin end');
});

test('attempt timeouts before the headers are failures and close the socket', async () => {
  const clock = virtualClock();
  await using server = await serve((_, response, index) => void (index > 0 && response.end('ok')));
  const pending = resilientFetch(pipeline('api', [retry({ backoff: 1 }), timeout(40)], { clock }))(server.url);
  await until('the first request has arrived', () => server.requests.length === 1);
  const [first] = server.sockets;
  await clock.advance(40);
  await clock.advance(1);
  expect(await (await pending).text()).toBe('ok');
  await until('the first socket is closed', () => !server.sockets.has(first!));
});

describe('bodyIdleMs', () => {
  test('ends a body that stands still, with our TimeoutError, and closes the socket', async () => {
    await using server = await dripping();
    const response = await resilientFetch({ pipeline: plain(), bodyIdleMs: 30 })(server.url);
    await expect(response.text()).rejects.toMatchObject({
      name: 'TimeoutError',
      code: 'timeout',
      policy: 'api/body',
      pipeline: 'api',
      key: new URL(server.url).origin,
      timeoutMs: 30,
    });
    await until('the socket is closed', () => server.sockets.size === 0);
  });

  test('is 30 s by default', async () => {
    await using server = await dripping();
    const clock = virtualClock();
    const response = await resilientFetch({ pipeline: plain(), clock })(server.url);
    const reader = response.body!.getReader();
    await reader.read();
    let ended = false;
    const reading = reader.read().finally(() => (ended = true));
    reading.catch(() => {});
    await clock.advance(29_999);
    expect(ended).toBe(false);
    await clock.advance(1);
    await expect(reading).rejects.toMatchObject({ timeoutMs: 30_000 });
    expect(clock.pending).toBe(0);
  });

  test('Infinity is off', async () => {
    await using server = await dripping();
    const clock = virtualClock();
    const { signal } = new AbortController();
    for (const init of [{}, { signal }]) {
      const response = await resilientFetch({ pipeline: plain(), bodyIdleMs: Number.POSITIVE_INFINITY, clock })(
        server.url,
        init,
      );
      const reader = response.body!.getReader();
      await reader.read();
      let ended = false;
      const reading = reader.read().finally(() => (ended = true));
      // Streams ask their source some microtasks later.
      await new Promise(setImmediate);
      expect(clock.pending).toBe(0);
      await clock.advance(3_600_000);
      expect(ended).toBe(false);
      await reader.cancel();
      expect((await reading).done).toBe(true);
    }
  });

  test('Infinity without a signal gives the very response of the base fetch', async () => {
    const original = new Response('ok');
    const send = resilientFetch({ pipeline: plain(), bodyIdleMs: Number.POSITIVE_INFINITY }, async () => original);
    expect(await send('http://x/')).toBe(original);
  });

  test('starts anew with each chunk', async () => {
    const clock = virtualClock();
    let held!: ServerResponse;
    await using server = await serve((_, response) => void (held = response).write('.'));
    const response = await resilientFetch({ pipeline: plain(), clock })(server.url);
    const reader = response.body!.getReader();
    await reader.read();
    for (let i = 0; i < 4; i++) {
      const reading = reader.read();
      await clock.advance(20_000);
      held.write('.');
      expect((await reading).done).toBe(false);
    }
    held.end();
    expect((await reader.read()).done).toBe(true);
  });

  test('a body that nobody reads has no timer and does not end', async () => {
    await using server = await dripping();
    const clock = virtualClock();
    const response = await resilientFetch({ pipeline: plain(), clock })(server.url);
    expect(clock.pending).toBe(0);
    const reader = response.body!.getReader();
    await reader.read();
    expect(clock.pending).toBe(0);
    await clock.advance(3_600_000);
    expect(server.sockets.size).toBe(1);
    await reader.cancel();
  });

  test('a stalled event loop is no idle body: what is in the socket is delivered first', async () => {
    let held!: ServerResponse;
    await using server = await serve((_, response) => void (held = response).write('begin '));
    const response = await resilientFetch({ pipeline: plain(), bodyIdleMs: 200 })(server.url);
    const reader = response.body!.getReader();
    await reader.read();
    const reading = reader.read();
    // From here the loop goes to its timers first, and to its sockets after that.
    await new Promise(setImmediate);
    held.end('end');
    const stalled = performance.now() + 250;
    while (performance.now() < stalled);
    expect(new TextDecoder().decode((await reading).value)).toBe('end');
  });

  test('leaves no timer behind', async () => {
    await using server = await serve((_, response) => void response.end(big));
    const clock = virtualClock();
    const response = await resilientFetch({ pipeline: plain(), clock })(server.url);
    expect((await response.text()).length).toBe(big.length);
    expect(clock.pending).toBe(0);
  });
});

describe('the response is still a Response', () => {
  test('with the url, status, headers, type and redirect of the original', async () => {
    await using server = await serve((request, response) => {
      if (request.url === '/') return void response.writeHead(302, { location: '/there' }).end();
      response
        .writeHead(203, 'So To Speak', {
          'content-type': 'text/plain; charset=utf-8',
          'set-cookie': ['a=1', 'b=2'],
          'x-a': 'b',
        })
        .end('hi');
    });
    const own = await fetch(server.url);
    const ours = await resilientFetch(plain())(server.url);
    const facts = (r: Response) => [
      r.url,
      r.status,
      r.statusText,
      r.ok,
      r.redirected,
      r.type,
      [...r.headers].filter(([name]) => name !== 'date'),
      r.headers.getSetCookie(),
      r.bodyUsed,
    ];
    expect(ours).toBeInstanceOf(Response);
    expect(Object.keys(ours)).toEqual(Object.keys(own));
    expect(facts(ours)).toEqual(facts(own));
    expect(ours.url).toBe(`${server.url}there`);
    const clone = ours.clone();
    expect(facts(clone)).toEqual(facts(own));
    expect(facts(clone.clone())).toEqual(facts(own));
    expect((await clone.blob()).type).toBe((await own.blob()).type);
    expect(ours.bodyUsed).toBe(false);
    expect(await ours.text()).toBe('hi');
    expect(ours.bodyUsed).toBe(true);
    await expect(ours.text()).rejects.toThrow(TypeError);
    expect(() => ours.clone()).toThrow(TypeError);
  });

  test('read in any way', async () => {
    await using server = await serve(
      (_, response) =>
        void response.writeHead(200, { 'content-type': 'application/x-www-form-urlencoded' }).end('{"a":1}'),
    );
    const get = async () => resilientFetch(plain())(server.url);
    expect(await (await get()).json()).toEqual({ a: 1 });
    expect((await (await get()).arrayBuffer()).byteLength).toBe(7);
    expect((await (await get()).bytes()).length).toBe(7);
    expect([...(await (await get()).formData()).keys()]).toEqual(['{"a":1}']);
    let text = '';
    for await (const chunk of (await get()).body!) text += new TextDecoder().decode(chunk);
    expect(text).toBe('{"a":1}');
    expect(
      await new Response(
        (await get()).body!.pipeThrough(new TextDecoderStream()).pipeThrough(new TextEncoderStream()),
      ).text(),
    ).toBe('{"a":1}');
    const reader = (await get()).body!.getReader({ mode: 'byob' });
    const first = await reader.read(new Uint8Array(3));
    expect(new TextDecoder().decode(first.value)).toBe('{"a');
    const rest = await reader.read(new Uint8Array(10));
    expect(new TextDecoder().decode(rest.value)).toBe('":1}');
    expect((await reader.read(new Uint8Array(10))).done).toBe(true);
  });

  test('with a status that no author could give', async () => {
    await using server = await serve((_, response) => void response.writeHead(999).end('odd'));
    const response = await resilientFetch(plain())(server.url);
    expect([response.status, response.ok, await response.clone().text(), response.clone().status]).toEqual([
      999,
      false,
      'odd',
      999,
    ]);
  });

  test('with its own class, when the base fetch has one', async () => {
    const undici = await import('undici');
    await using server = await serve((_, response) => void response.end('ok'));
    const response = await resilientFetch(plain(), undici.fetch as never)(server.url);
    expect(response).toBeInstanceOf(undici.Response);
    expect([response.url, await response.text()]).toEqual([server.url, 'ok']);
  });

  test('and doubles of it pass through as they are', async () => {
    const double = { status: 200, headers: new Map() };
    expect(await resilientFetch(plain(), (async () => double) as never)('http://x/')).toBe(double);
    const text = new Response(
      new ReadableStream({ start: (c) => (c.enqueue(new TextEncoder().encode('ab')), c.close()) }),
    );
    expect(await (await resilientFetch(plain(), async () => text)('http://x/')).text()).toBe('ab');
  });

  test('back pressure reaches the server', async () => {
    let sent = 0;
    await using server = await serve((_, response) => {
      const more = () => {
        while (sent < 400 && response.write(Buffer.alloc(100_000))) sent++;
        if (sent < 400) response.once('drain', more);
      };
      more();
    });
    const response = await resilientFetch(plain())(server.url);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(sent).toBeLessThan(400);
    await response.body!.cancel();
  });
});

describe('bodies that nobody gets are cancelled', () => {
  test('discarded responses free their sockets', async () => {
    await using server = await serve(
      (_, response, index) => void response.writeHead(index < 2 ? 503 : 200).end(index < 2 ? big.repeat(20) : 'ok'),
    );
    const response = await resilientFetch(again())(server.url);
    expect(await response.text()).toBe('ok');
    await until('only the socket kept alive is left', () => server.sockets.size <= 1);
  });

  test('small ones keep the connection alive', async () => {
    await using server = await serve(
      (_, response, index) => void response.writeHead(index < 2 ? 503 : 200).end('small'),
    );
    await (await resilientFetch(again())(server.url)).text();
    expect(server.requests.length).toBe(3);
    expect(server.connections).toBe(1);
  });

  test('discarded responses leave nobody listening', async () => {
    await using server = await serve(
      (_, response, index) => void response.writeHead(index < 2 ? 503 : 204).end(index < 2 ? big : undefined),
    );
    const { signal } = new AbortController();
    await resilientFetch(again())(server.url, { signal });
    await until('nobody listens', () => listeners(signal) === 0);
  });

  test('whatever a double answered is thrown away without a fault', async () => {
    const answers = [
      { status: 503, headers: new Headers(), body: 'text' },
      { status: 503, headers: new Headers() },
    ];
    const base = async () => answers.shift() ?? new Response('ok');
    expect(await (await resilientFetch(again(), base as never)('http://x/')).text()).toBe('ok');
    await new Promise((resolve) => setTimeout(resolve, 5));
  });

  test.each([30_000, Number.POSITIVE_INFINITY])(
    'late responses free their sockets, bodyIdleMs %d',
    async (bodyIdleMs) => {
      let arrived!: (response: Response) => void;
      const late = new Promise<Response>((resolve) => (arrived = resolve));
      await using server = await dripping();
      // Does not listen to its signal, as some wrappers do.
      const deaf = async (input: any) => {
        const response = await fetch(input);
        await new Promise((resolve) => setTimeout(resolve, 60));
        arrived(response);
        return response;
      };
      await expect(
        resilientFetch({ pipeline: pipeline('api', [timeout(30)]), bodyIdleMs }, deaf)(server.url),
      ).rejects.toMatchObject({
        code: 'timeout',
      });
      // Held until the end, or the collector may close its socket first and hide that we did not.
      const held = await late;
      await until('the socket is closed', () => server.sockets.size === 0);
      expect(held.status).toBe(200);
    },
  );

  test('a response that a fallback stood in for frees its socket', async () => {
    await using server = await serve((_, response) => void response.writeHead(503).write(big));
    // Kept, because the platform closes the socket of what nobody can reach any more.
    const kept: unknown[] = [];
    const api = pipeline('api', [fallback({ to: ({ value }) => (kept.push(value), new Response('stand-in')) })]);
    expect(await (await resilientFetch(api)(server.url)).text()).toBe('stand-in');
    await until('the socket is closed', () => server.sockets.size === 0);
    expect(kept).toHaveLength(1);
  });

  test('a response that a fallback has read leaves its connection to the next request', async () => {
    await using server = await serve((_, response) => void response.writeHead(503).end(big));
    const to = async ({ value }: any) => new Response(`${(await value.text()).length}`);
    const send = resilientFetch(pipeline('api', [fallback({ to })]));
    for (let i = 0; i < 2; i++) {
      expect(await (await send(server.url)).text()).toBe(`${big.length}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect([server.requests.length, server.connections]).toEqual([2, 1]);
  });

  test('a response whose fallback fails frees its socket', async () => {
    await using server = await serve((_, response) => void response.writeHead(503).write('begin'));
    const api = pipeline('api', [fallback({ to: () => Promise.reject(new Error('no')) as Promise<Response> })]);
    await expect(resilientFetch(api)(server.url)).rejects.toThrow('no');
    await until('the socket is closed', () => server.sockets.size === 0);
  });

  test.each<[string, (outcome: any) => Response]>([
    ['the response', ({ value }) => value],
    ['its body', ({ value }) => new Response(value.body)],
    ['a clone', ({ value }) => value.clone()],
    ['a transformation', ({ value }) => new Response(value.body.pipeThrough(new TransformStream()))],
  ])('not when a fallback answers with %s', async (_, to) => {
    await using server = await serve((_, response) => {
      response.writeHead(503).write('begin ');
      setTimeout(() => response.end('end'), 30);
    });
    const response = await resilientFetch(pipeline('api', [fallback({ to })]))(server.url);
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(await response.text()).toBe('begin end');
  });
});
