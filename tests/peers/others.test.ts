import { getEventListeners } from 'node:events';
import { readFileSync } from 'node:fs';
import { bulkhead, circuitBreaker, pipeline, retry, timeout } from 'seaworthy';
import { resilientFetch } from 'seaworthy/fetch';
import { Agent, fetch as undiciFetch } from 'undici';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { refusedUrl, serve } from '../adapters/http/server.ts';
import { metricsSdk, register, tracesSdk, unregister, valueOf } from '../adapters/otel/sdk.ts';
import { stand, turn } from '../policies/stand.ts';

// These peers are no dependencies of ours: a line says what each does, and the test what we do.

const retrying = () => pipeline('shop', [retry({ maxRetries: 2, backoff: 0, budget: false })], { telemetry: false });

describe('axios-retry', () => {
  // It sends a POST again whose connection was reset after the server had worked on it: four executions.
  it('X-1: what may have been worked on is sent again only where sending it twice does no harm', async () => {
    const http = resilientFetch(retrying());
    await using server = await serve((_request, response) => void response.socket!.resetAndDestroy());
    const post = { method: 'POST', body: 'pay' };
    const cases: [RequestInit, number][] = [
      [post, 1],
      [{ method: 'PATCH', body: 'pay' }, 1],
      [{ ...post, headers: { 'idempotency-key': 'k' } }, 3],
      [{ method: 'PUT', body: 'pay' }, 3],
      [{}, 3],
    ];
    for (const [init, sent] of cases) {
      const before = server.requests.length;
      await expect(http(server.url, init)).rejects.toThrow('fetch failed');
      expect([init.method, server.requests.length - before]).toEqual([init.method, sent]);
    }
  });

  it('X-1: what was provably never sent is sent again whatever it is', async () => {
    const url = await refusedUrl();
    const base = vi.fn(fetch);
    await expect(resilientFetch(retrying(), base)(url, { method: 'POST', body: 'pay' })).rejects.toThrow();
    expect(base).toHaveBeenCalledTimes(3);
  });

  // It sends through the whole instance again: interceptors run once per attempt, and get the body as a string.
  it('X-2: what stands around a call runs once, and each attempt gets the body as it was given', async () => {
    await using server = await serve(
      (_request, response, index) => void response.writeHead(index < 2 ? 503 : 200).end(),
    );
    const bodies: unknown[] = [];
    const http = resilientFetch(retrying(), (input, init) => (bodies.push(init!.body), fetch(input, init)));
    const seen: string[] = [];
    const intercepted: typeof fetch = async (input, init) => {
      seen.push('request');
      const response = await http(input, init);
      seen.push(`response ${response.status}`);
      return response;
    };
    const form = new URLSearchParams({ sku: '7' });
    const init = Object.freeze({ method: 'PUT', body: form, headers: Object.freeze({ accept: 'text/plain' }) });
    await intercepted(server.url, init);
    expect(seen).toEqual(['request', 'response 200']);
    expect(bodies).toEqual([form, form, form]);
    expect(server.requests.map(({ method, body, headers }) => [method, body, headers.accept])).toEqual(
      Array(3).fill(['PUT', 'sku=7', 'text/plain']),
    );
  });
});

describe('undici', () => {
  // Its retry interceptor turns both into `TypeError: fetch failed`, and status and body are lost.
  it('X-3: a failing status that is not retried, or not any more, is answered with its body', async () => {
    await using server = await serve((_request, response, index) => void response.writeHead(503).end(`down ${index}`));
    const http = resilientFetch(retrying());
    const post = await http(server.url, { method: 'POST', body: 'pay' });
    expect([post.status, await post.text()]).toEqual([503, 'down 0']);
    const get = await http(server.url);
    expect([get.status, await get.text()]).toEqual([503, 'down 3']);
  });

  // A dispatcher of the package is refused by the fetch of Node, which brings another version of it.
  it('X-4: the fetch that is given is the one that is called, with the dispatcher that belongs to it', async () => {
    await using server = await serve(
      (_request, response, index) => void response.writeHead(index < 1 ? 503 : 200).end('ok'),
    );
    const dispatcher = new Agent();
    const dispatched = vi.spyOn(dispatcher, 'dispatch');
    const http = resilientFetch(retrying(), undiciFetch as unknown as typeof fetch);
    const response = await http(server.url, { dispatcher } as unknown as RequestInit);
    expect([response.status, await response.text()]).toEqual([200, 'ok']);
    expect(dispatched).toHaveBeenCalledTimes(2);
    await dispatcher.close();
  });
});

describe('p-retry', () => {
  // It makes a TypeError of what is no Error and does not retry that, nor any TypeError whose message it does not know.
  it('X-5: whatever is thrown is retried and comes out as it was', async () => {
    const own = new TypeError('not a function');
    for (const thrown of ['x', undefined, null, 0, own]) {
      const fn = vi.fn(() => Promise.reject(thrown));
      const { pipe } = stand([retry({ maxRetries: 2, backoff: 0 })]);
      const call = pipe.tryExecute(fn);
      expect(await call).toEqual({ status: 'failure', error: thrown });
      expect(fn).toHaveBeenCalledTimes(3);
    }
  });
});

describe('Node', () => {
  // `AbortSignal.any` with one signal that lives long grows the heap by 180 bytes per call, listeners removed or not.
  it('X-6: a signal that lives long is linked by hand, and nothing of it is left after a call', async () => {
    const any = vi.spyOn(AbortSignal, 'any');
    const { signal } = new AbortController();
    const policies = [retry(), circuitBreaker(), bulkhead({ limit: 10 }), timeout(1_000)];
    const pipe = pipeline('shop', policies, { telemetry: false });
    const seen = new Set<AbortSignal>();
    const calls = async (count: number) => {
      for (let n = 0; n < count; n++)
        await pipe.execute((call) => call.signal.addEventListener('abort', () => {}), signal);
    };
    await calls(2_000);
    await turn();
    const before = heap();
    await calls(20_000);
    await turn();
    expect(heap() - before).toBeLessThan(512 * 1_024);
    await pipe.execute((call) => seen.add(call.signal), signal);
    expect(seen.has(signal)).toBe(false);
    expect(any).not.toHaveBeenCalled();
    await turn();
    await turn();
    expect(getEventListeners(signal, 'abort')).toEqual([]);
    any.mockRestore();
  });

  function heap(): number {
    const { gc } = globalThis as unknown as { gc(): void };
    gc();
    gc();
    return process.memoryUsage().heapUsed;
  }
});

describe('OpenTelemetry', () => {
  afterEach(unregister);

  // An instrument that is made before the SDK is there records nothing for ever, and so does one of a newer API of its own.
  it('X-7: an SDK that comes after the pipeline gets its metrics and spans, what was counted before included', async () => {
    using pipe = pipeline('early', [retry({ maxRetries: 1, backoff: 0 })]);
    await pipe.tryExecute(() => Promise.reject(new Error('before')));
    const [metrics, traces] = [metricsSdk(), tracesSdk()];
    register({ meterProvider: metrics.provider, tracerProvider: traces.provider });
    await pipe.tryExecute(() => Promise.reject(new Error('after')));
    const points = await metrics.collect();
    const policy = { 'seaworthy.policy.name': 'early/retry' };
    expect(valueOf(points, 'seaworthy.retry.attempts', policy)).toBe(2);
    expect(valueOf(points, 'seaworthy.retry.executions', { ...policy, 'seaworthy.retry.result': 'exhausted' })).toBe(2);
    expect(traces.spans().map(({ name }) => name)).toEqual(['attempt early', 'attempt early', 'execute early']);
  });

  it('X-7: the API is a peer from 1.9 on, so that library and application share one copy', () => {
    const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    expect(manifest.peerDependencies['@opentelemetry/api']).toBe('^1.9.0');
    expect(Object.keys(manifest.dependencies)).not.toContain('@opentelemetry/api');
    expect(manifest).not.toHaveProperty('bundleDependencies');
  });
});
