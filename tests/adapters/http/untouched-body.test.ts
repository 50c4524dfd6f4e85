import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { resilientFetch } from '../../../src/adapters/http/fetch.ts';
import { pipeline } from '../../../src/index.ts';
import { virtualClock } from '../../../src/testing/virtual-clock.ts';
import { collect, serve, until } from './server.ts';

const plain = () => pipeline('api', []);
const bytes = (text: string) => new TextEncoder().encode(text);
/** A native response whose body comes in these pieces, and then stays open unless `end`. */
const pieces = (parts: readonly any[], end = true) =>
  new Response(
    new ReadableStream({
      start(controller) {
        for (const part of parts) controller.enqueue(part);
        if (end) controller.close();
      },
    }),
  );
const answering = (response: Response, clock = virtualClock()) =>
  resilientFetch({ pipeline: plain(), clock }, async () => response)('http://x/');

describe('a body without a caller’s signal', () => {
  test.each(['text', 'json'] as const)('read with %s() makes no second stream, and no timer is left', async (how) => {
    const clock = virtualClock();
    const { body } = globalThis.Response.json({ a: 1 });
    const native = new Response(body);
    const response = await answering(native, clock);
    expect(response).toBe(native);
    const reading = response[how]();
    expect([body!.locked, response.bodyUsed, clock.pending]).toEqual([true, true, 1]);
    expect(await reading).toEqual(how === 'text' ? '{"a":1}' : { a: 1 });
    expect([clock.pending, response.body]).toEqual([0, body]);
  });

  test.each(['text', 'json', 'arrayBuffer', 'blob', 'bytes'] as const)(
    'that stands still ends %s() with our TimeoutError, and the request with it',
    async (how) => {
      const clock = virtualClock();
      let signal!: AbortSignal;
      const base = async (_: unknown, init?: RequestInit) => {
        signal = init!.signal!;
        return pieces([bytes('{')], false);
      };
      const response = await resilientFetch(
        { pipeline: plain(), clock, bodyIdleMs: 30 },
        base as typeof fetch,
      )('http://x/');
      await clock.advance(100);
      const reading = response[how]();
      const ended = expect(reading).rejects.toMatchObject({ code: 'timeout', policy: 'api/body', timeoutMs: 30 });
      await turn();
      await clock.advance(29);
      expect(signal.aborted).toBe(false);
      await clock.advance(1);
      await ended;
      expect(signal.reason).toMatchObject({ code: 'timeout' });
      expect(clock.pending).toBe(0);
    },
  );

  test('that goes on is not ended, however long text() takes, and is as soon as it stands still', async () => {
    const clock = virtualClock();
    let body!: ReadableStreamDefaultController;
    const stream = new ReadableStream({ start: (controller) => void (body = controller) });
    const reading = (await answering(new Response(stream), clock)).text();
    const ended = expect(reading).rejects.toMatchObject({ code: 'timeout', timeoutMs: 30_000 });
    for (let n = 0; n < 4; n++) {
      await clock.advance(20_000);
      body.enqueue(bytes('.'));
      await turn();
    }
    await clock.advance(29_999);
    expect(clock.pending).toBe(1);
    await clock.advance(1);
    await ended;
  });

  test.each(['text', 'json', 'arrayBuffer', 'clone'] as const)(
    'is read once, whatever comes after %s()',
    async (how) => {
      const response = await answering(pieces([bytes('{}')]));
      await (how === 'clone' ? response.text() : response[how]());
      expect([response.bodyUsed, response.body!.locked]).toEqual([true, true]);
      for (const again of ['text', 'json', 'arrayBuffer', 'blob', 'bytes'] as const)
        await expect(response[again]()).rejects.toThrow(TypeError);
      expect(() => response.clone()).toThrow(TypeError);
    },
  );

  test('is text as the platform reads it: a mark at the start is dropped, what is cut between chunks is not', async () => {
    const marked = bytes('\uFEFFé€😀\uFFFD');
    const parts = () => [...marked].map((byte) => Uint8Array.of(byte)).concat(Uint8Array.of(0xe2, 0x82));
    expect(await (await answering(pieces(parts()))).text()).toBe(await pieces(parts()).text());
    await expect((await answering(pieces([bytes('{')]))).json()).rejects.toThrow(SyntaxError);
    await expect((await answering(pieces(['text']))).text()).rejects.toThrow(TypeError);
  });

  test('is one body, whoever asked for it first', async () => {
    const first = await answering(pieces([bytes('ab')]));
    const { body } = first;
    expect(first.body).toBe(body);
    expect([first.bodyUsed, await first.text(), first.bodyUsed, body!.locked]).toEqual([false, 'ab', true, true]);
    const second = await answering(pieces([bytes('ab')]));
    const clone = second.clone();
    expect([await second.text(), await clone.text()]).toEqual(['ab', 'ab']);
  });

  test('that somebody reads past us is left to them', async () => {
    const response = await answering(pieces([bytes('ab')]));
    const reading = Response.prototype.text.call(response);
    expect(response.body!.locked).toBe(true);
    await expect(response.text()).rejects.toThrow(TypeError);
    expect(await reading).toBe('ab');
  });

  test('of a response that is already guarded is guarded once more', async () => {
    const inner = resilientFetch({ pipeline: plain(), clock: virtualClock() }, async () => pieces([bytes('ab')]));
    const outer = resilientFetch({ pipeline: plain(), clock: virtualClock() }, inner);
    expect(await (await outer('http://x/')).text()).toBe('ab');
    const mock = pieces([bytes('ab')]);
    expect(await (await answering(mock)).clone().text()).toBe('ab');
    expect(await (await answering(mock)).text()).toBe('ab');
  });

  test('that nobody reads gives its socket back when the response is collected', async () => {
    await using server = await serve((_, response) => void response.writeHead(200).write('begin '));
    await (async () => void (await resilientFetch(plain())(server.url)))();
    expect(server.sockets.size).toBe(1);
    await collect();
    await until('the socket is closed', () => server.sockets.size === 0);
  });

  test('is read to its end although nobody keeps the response', async () => {
    await using server = await serve((_, response) => {
      response.write('begin ');
      setTimeout(() => response.end('end'), 150);
    });
    const text = resilientFetch(plain())(server.url).then((response) => response.text());
    await collect();
    expect(await text).toBe('begin end');
  });

  test('comes in a response that shows no class of ours', async () => {
    const response = await answering(pieces([bytes('ab')]));
    expect([response.constructor, Object.keys(response), response instanceof Response]).toEqual([Response, [], true]);
    const names = (one: object) => {
      const all: string[] = [];
      for (const name in one) all.push(name);
      return all.toSorted();
    };
    expect(names(response)).toEqual(names(new Response()));
  });
});

describe('a response that somebody has changed', () => {
  test('frozen, is read as before', async () => {
    const response = await answering(Object.freeze(pieces([bytes('hi')])));
    expect([response.status, await response.text()]).toEqual([200, 'hi']);
  });

  test.each(['text', 'json'] as const)('in its %s() has that called', async (how) => {
    const seen = vi.spyOn(Response.prototype, how);
    try {
      expect(await (await answering(pieces([bytes('1')])))[how]()).toEqual(how === 'text' ? '1' : 1);
      expect(seen).toHaveBeenCalledTimes(1);
    } finally {
      seen.mockRestore();
    }
  });

  test('of a class put in the place of the platform’s, after that had been used, is read', async () => {
    await (await answering(pieces([bytes('1')]))).text();
    const platforms = globalThis.Response;
    globalThis.Response = class extends platforms {};
    try {
      const response = await answering(pieces([bytes('2')]));
      expect([response.status, await response.text()]).toEqual([200, '2']);
    } finally {
      globalThis.Response = platforms;
    }
  });
});
