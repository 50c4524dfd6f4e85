import { AsyncLocalStorage } from 'node:async_hooks';
import type { ServerResponse } from 'node:http';
import { describe, expect, test } from 'vitest';
import { resilientFetch } from '../../../src/adapters/http/fetch.ts';
import { bulkhead, circuitBreaker, fallback, isRejectedError, pipeline, retry, timeout } from '../../../src/index.ts';
import type { Observer, SpanEnd } from '../../../src/telemetry/observer.ts';
import { virtualClock } from '../../../src/testing/virtual-clock.ts';
import { refusedUrl, serve } from './server.ts';

const statuses = (...codes: number[]) =>
  serve((_, response, index) => void response.writeHead(codes[Math.min(index, codes.length - 1)]!).end());
const tripping = (options = {}) => circuitBreaker({ consecutiveFailures: 2, ...options });

describe('fetch -> breaker', () => {
  test('breakers are per origin', async () => {
    await using bad = await statuses(503);
    await using good = await statuses(200);
    const breaker = tripping();
    const send = resilientFetch(pipeline('api', [breaker]));
    for (let i = 0; i < 2; i++) expect((await send(`${bad.url}${i}`)).status).toBe(503);
    await expect(send(bad.url)).rejects.toMatchObject({ code: 'circuit_open', key: new URL(bad.url).origin });
    expect(bad.requests.length).toBe(2);
    expect((await send(good.url)).status).toBe(200);
    expect(breaker.forKey(new URL(good.url).origin).state).toBe('closed');
  });

  test.each([
    [1000, undefined],
    [5, { max: 5 }],
  ])('breakers per origin are bounded: %i', async (max, keys) => {
    const api = pipeline('api', [circuitBreaker({ keys })], { telemetry: false });
    const send = resilientFetch(api, async () => new Response('ok'));
    const circuits = () =>
      Object.values(api.snapshot().policies).map((policy) => (policy as { circuits?: number }).circuits);
    let most = 0;
    for (let i = 0; i < max + 50; i++) {
      await send(`http://host-${i}.test/`);
      most = Math.max(most, circuits()[0]!);
    }
    // One per origin, and the one without a key.
    expect(most).toBe(max + 1);
  });

  test.each([408, 425, 500, 502, 503, 504])('%i opens it', async (status) => {
    await using server = await statuses(status);
    const send = resilientFetch(pipeline('api', [tripping()]));
    for (let i = 0; i < 2; i++) await send(server.url);
    await expect(send(server.url)).rejects.toMatchObject({ code: 'circuit_open' });
  });

  test.each([429, 400, 401, 404, 409, 422, 501, 505])('%i never opens it', async (status) => {
    await using server = await statuses(status);
    const send = resilientFetch(pipeline('api', [tripping()]));
    for (let i = 0; i < 5; i++) expect((await send(server.url)).status).toBe(status);
  });

  test('429 is ignored: it neither counts nor clears what was counted', async () => {
    await using server = await statuses(503, 429, 503);
    const send = resilientFetch(pipeline('api', [tripping()]));
    for (let i = 0; i < 3; i++) await send(server.url);
    await expect(send(server.url)).rejects.toMatchObject({ code: 'circuit_open' });
  });

  test('404 is a success: it clears what was counted', async () => {
    await using server = await statuses(503, 404, 503);
    const send = resilientFetch(pipeline('api', [tripping()]));
    for (let i = 0; i < 3; i++) await send(server.url);
    expect((await send(server.url)).status).toBe(503);
  });

  test('connection errors and attempt timeouts open it', async () => {
    const url = await refusedUrl();
    const send = resilientFetch(pipeline('api', [tripping()]));
    for (let i = 0; i < 2; i++) await expect(send(url)).rejects.toThrow('fetch failed');
    await expect(send(url)).rejects.toMatchObject({ code: 'circuit_open' });
    await using hole = await serve(() => {});
    const timed = resilientFetch(pipeline('api', [tripping(), timeout(20)]));
    for (let i = 0; i < 2; i++) await expect(timed(hole.url)).rejects.toMatchObject({ code: 'timeout' });
    await expect(timed(hole.url)).rejects.toMatchObject({ code: 'circuit_open' });
  });

  test('requests that cannot be made do not open it', async () => {
    const send = resilientFetch(pipeline('api', [tripping()]));
    for (let i = 0; i < 5; i++) await expect(send('http://127.0.0.1/', { body: 'on GET' })).rejects.toThrow(TypeError);
    for (let i = 0; i < 5; i++) await expect(send('nonsense')).rejects.toThrow(TypeError);
  });
});

describe('fetch -> retry -> ...', () => {
  test('an own rejection passes: nothing was sent', async () => {
    await using server = await serve(() => {});
    const send = resilientFetch(pipeline('api', [retry({ backoff: 1 }), bulkhead({ limit: 1 })]));
    const controller = new AbortController();
    const first = send(server.url, { signal: controller.signal });
    const error = await send(server.url).catch((error: unknown) => error);
    expect(isRejectedError(error)).toBe(true);
    controller.abort();
    await expect(first).rejects.toThrow('aborted');
  });

  test('Retry-After never makes a call wait past its deadline', async () => {
    await using server = await serve((_, response) => void response.writeHead(503, { 'retry-after': '5' }).end('busy'));
    const started = performance.now();
    const response = await resilientFetch(pipeline('api', [timeout(2_000), retry({ backoff: 1 })]))(server.url);
    expect([response.status, await response.text(), server.requests.length]).toEqual([503, 'busy', 1]);
    expect(performance.now() - started).toBeLessThan(1_500);
  });

  test('exhausted retries: a fallback answers for the last response', async () => {
    await using server = await statuses(503);
    const stale = () => Response.json({ stale: true });
    const response = await resilientFetch(pipeline('api', [fallback({ to: stale }), retry({ backoff: 1 })]))(
      server.url,
    );
    expect([await response.json(), server.requests.length]).toEqual([{ stale: true }, 3]);
  });

  test('a fallback must answer a Response', () => {
    const list = fallback({ to: () => [1, 2] });
    const api = pipeline('api', [list]);
    // @ts-expect-error a list is none
    expect(resilientFetch(api)).toBeTypeOf('function');
  });

  test('an ended call leaves its timeouts behind: a slow body is read to its end', async () => {
    const clock = virtualClock();
    let held!: ServerResponse;
    await using server = await serve((_, response) => void (held = response).write('begin '));
    const api = pipeline('api', [timeout(60), retry({ backoff: 1 }), timeout(40)], { clock });
    const response = await resilientFetch(api)(server.url);
    await clock.advance(1_000);
    held.end('end');
    expect(await response.text()).toBe('begin end');
  });
});

describe('telemetry', () => {
  test('a failing status is the error.type', async () => {
    await using server = await statuses(503, 429, 404);
    const ends: [string, SpanEnd['outcome'], SpanEnd['errorType']][] = [];
    const observer: Observer = {
      start: (name) => name,
      end: (name, _, { outcome, errorType }) => void ends.push([name, outcome, errorType]),
    };
    await resilientFetch(pipeline('api', [retry({ backoff: 1 })], { observers: [observer] }))(server.url);
    expect(ends).toEqual([
      ['attempt', 'failure', '503'],
      ['attempt', 'failure', '429'],
      ['attempt', 'success', undefined],
      ['execution', 'success', undefined],
    ]);
    const last = await resilientFetch(pipeline('api', [], { observers: [observer] }))(await refusedUrl()).catch(
      () => 'failed',
    );
    expect([last, ends.at(-1)]).toEqual(['failed', ['execution', 'failure', 'ECONNREFUSED']]);
  });

  test('http.request.resend_count reaches the client span: each request is made inside its own attempt', async () => {
    const surroundings = new AsyncLocalStorage<unknown>();
    let attempts = 0;
    const observer: Observer = {
      start: (name, call) => (name === 'attempt' ? { attempt: ++attempts, of: call.attempt } : name),
      within: (token, run) => surroundings.run(token, run),
    };
    const seen: unknown[] = [];
    const base = async () => {
      seen.push(surroundings.getStore());
      return new Response(null, { status: seen.length < 3 ? 503 : 200 });
    };
    await resilientFetch(pipeline('api', [retry({ backoff: 1 })], { observers: [observer] }), base)('http://x/');
    expect(seen).toEqual([
      { attempt: 1, of: 1 },
      { attempt: 2, of: 2 },
      { attempt: 3, of: 3 },
    ]);
  });
});
