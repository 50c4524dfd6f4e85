import { AsyncLocalStorage } from 'node:async_hooks';
import * as otel from '@opentelemetry/api';
import { bulkhead, fallback, pipeline, retry, timeout } from 'seaworthy';
import { getAttempt } from 'seaworthy/otel';
import { beforeEach, expect, test } from 'vitest';
import { register, tracesSdk, withoutComplaints } from './sdk.ts';

let sdk: ReturnType<typeof tracesSdk>;

withoutComplaints();
beforeEach(() => {
  sdk = tracesSdk();
  register({ tracerProvider: sdk.provider });
});

const app = () => otel.trace.getTracer('app');
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Serves a request in its own trace, as a server's instrumentation does. */
function request<T>(name: string, serve: () => Promise<T>): Promise<T> {
  return app().startActiveSpan(name, async (span) => {
    try {
      return await serve();
    } finally {
      span.end();
    }
  });
}

/** What some client's instrumentation does. */
function client(name: string): void {
  app().startSpan(name, { kind: otel.SpanKind.CLIENT }).end();
}

/** Names from a span up to its root. */
function path(name: string): string {
  const spans = sdk.spans();
  const up = [];
  for (let span = spans.find((candidate) => candidate.name === name); span !== undefined; ) {
    up.push(span.name);
    const parent = span.parentSpanContext?.spanId;
    span = spans.find((candidate) => candidate.spanContext().spanId === parent);
  }
  return up.join(' < ');
}

test('a call that waited in a queue keeps its own trace', async () => {
  const store = new AsyncLocalStorage<string>();
  const p = pipeline('queued', [retry(), bulkhead({ limit: 1, queue: 10 })]);
  const stores = await Promise.all(
    ['a', 'b', 'c'].map((id) =>
      store.run(id, () =>
        request(`GET /${id}`, () =>
          p.execute(async () => {
            await pause(2);
            client(`call ${id}`);
            return store.getStore();
          }),
        ),
      ),
    ),
  );
  expect(stores).toEqual(['a', 'b', 'c']);
  const attempts = new Set();
  for (const id of ['a', 'b', 'c']) {
    expect(path(`call ${id}`)).toBe(`call ${id} < attempt queued < execute queued < GET /${id}`);
    attempts.add(sdk.spans().find(({ name }) => name === `call ${id}`)?.parentSpanContext?.spanId);
  }
  expect(attempts.size).toBe(3);
});

test('retries and fallbacks after a timeout are children of their own spans, in the trace of their caller', async () => {
  const p = pipeline('after', [
    fallback({ to: () => client('from the fallback') }),
    retry({ maxRetries: 1, backoff: 1 }),
    timeout(10),
  ]);
  await Promise.all([
    request('GET /other', () => p.execute(() => pause(1))),
    request('GET /slow', () =>
      p.execute(({ attempt }) => {
        client(`try ${attempt}`);
        return pause(60);
      }),
    ),
  ]);
  expect(path('try 1')).toBe('try 1 < attempt after < execute after < GET /slow');
  expect(path('try 2')).toBe('try 2 < attempt after < execute after < GET /slow');
  expect(path('from the fallback')).toBe('from the fallback < fallback after < execute after < GET /slow');
  const parents = ['try 1', 'try 2'].map(
    (name) => sdk.spans().find((span) => span.name === name)?.parentSpanContext?.spanId,
  );
  expect(new Set(parents).size).toBe(2);
});

test('user code knows its attempt, nested pipelines theirs', async () => {
  const inner = pipeline('inner', [timeout(1000)]);
  const outer = pipeline('outer', [retry({ maxRetries: 1, backoff: 0 }), inner]);
  const seen: unknown[] = [];
  await request('GET /', () =>
    outer.execute(
      ({ attempt }) => {
        client(`nested ${attempt}`);
        seen.push(getAttempt(otel.context.active()));
        if (seen.length === 1) throw new Error('once');
      },
      { timeoutMs: 5000 },
    ),
  );
  expect(seen).toEqual([
    { pipeline: 'inner', attempt: 1, kind: 'initial', deadline: expect.any(Number) },
    { pipeline: 'inner', attempt: 1, kind: 'initial', deadline: expect.any(Number) },
  ]);
  expect((seen[0] as { deadline: number }).deadline).toBeLessThan(Infinity);
  expect(sdk.spans().map(({ name }) => name)).toEqual([
    'nested 1',
    'execute inner',
    'attempt outer',
    'nested 1',
    'execute inner',
    'attempt outer',
    'execute outer',
    'GET /',
  ]);
  expect(path('nested 1')).toBe('nested 1 < execute inner < attempt outer < execute outer < GET /');
});

test('attemptSpans: always opens one where nothing repeats, never none where something does', async () => {
  await pipeline('always', [timeout(1000)], { telemetry: { attemptSpans: 'always' } }).execute(() =>
    client('in always'),
  );
  await pipeline('never', [retry()], { telemetry: { attemptSpans: 'never' } }).execute(() => client('in never'));
  await pipeline('auto', [timeout(1000)]).execute(() => client('in auto'));
  expect(path('in always')).toBe('in always < attempt always < execute always');
  expect(path('in never')).toBe('in never < execute never');
  expect(path('in auto')).toBe('in auto < execute auto');
});
