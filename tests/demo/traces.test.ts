import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { context, SpanKind, trace, type Tracer } from '@opentelemetry/api';
import { TracerProvider } from '@opentelemetry/sdk-trace';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { TellingTraces } from '../../demo/traces.ts';
import { circuitBreaker, fallback, type Pipeline, pipeline, retry } from 'seaworthy';

let traces: TellingTraces;
let tracer: Tracer;
let provider: TracerProvider;

beforeEach(() => {
  traces = new TellingTraces();
  provider = new TracerProvider({ spanProcessors: [traces] });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  tracer = provider.getTracer('test');
});

afterEach(async () => {
  context.disable();
  trace.disable();
  await provider.shutdown();
});

/** One call of a service, whose upstream answers as told. */
function call(guarded: Pipeline<string>, answers: string[]): Promise<void> {
  return tracer.startActiveSpan('GET /items', { kind: SpanKind.SERVER }, async (span) => {
    await guarded.execute(async () => {
      tracer.startSpan('GET', { kind: SpanKind.CLIENT }).end();
      const answer = answers.shift();
      if (answer !== 'ok') throw new Error(answer);
      return answer;
    });
    span.end();
  });
}

function guard(): Pipeline<string> {
  return pipeline(
    'demo',
    [
      fallback({ to: () => 'cached' }),
      retry({ maxRetries: 1, backoff: 0 }),
      circuitBreaker({ consecutiveFailures: 2, breakMs: 60_000 }),
    ],
    { telemetry: { tracerProvider: provider, metrics: false } },
  );
}

it('keeps the first whole trace of each telling kind', async () => {
  using guarded = guard();
  await call(guarded, ['ok']);
  await call(guarded, ['ok']);
  await call(guarded, ['no', 'ok']);
  await call(guarded, ['no', 'no']);
  await call(guarded, []);
  const { trees } = traces.report();

  const names = (telling: keyof typeof trees) =>
    trees[telling]!.children[0]!.children.map(({ name, children }) => [name, ...children.map((child) => child.name)]);
  expect(names('healthy')).toEqual([['attempt demo', 'GET']]);
  expect(names('retried')).toEqual([
    ['attempt demo', 'GET'],
    ['attempt demo', 'GET'],
  ]);
  expect(names('shortCircuited')).toEqual([['attempt demo'], ['fallback demo']]);
  const [turnedAway] = trees.shortCircuited!.children[0]!.children;
  expect(turnedAway).toMatchObject({
    status: 'ERROR',
    message: 'circuit open',
    links: [expect.stringMatching(/^[0-9a-f]{16}$/)],
  });
});

it('counts every span, by name, and forgets on request', async () => {
  using guarded = guard();
  await call(guarded, ['ok']);
  await call(guarded, ['no', 'ok']);
  expect(traces.report()).toMatchObject({
    total: 10,
    byName: { 'GET /items': 2, 'execute demo': 2, 'attempt demo': 3, GET: 3 },
  });
  traces.forget();
  expect(traces.report()).toEqual({ total: 0, byName: {}, trees: {} });
});

it('keeps no trace of its own once the root has ended', async () => {
  const late = tracer.startActiveSpan('GET /items', (root) => {
    const child = tracer.startSpan('late');
    root.end();
    return child;
  });
  late.end();
  expect(traces.report()).toMatchObject({ total: 2, trees: {} });
});
