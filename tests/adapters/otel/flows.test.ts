import * as otel from '@opentelemetry/api';
import { bulkhead, circuitBreaker, fallback, pipeline, retry, timeout } from 'seaworthy';
import { resendCountProcessor } from 'seaworthy/otel';
import { virtualClock } from 'seaworthy/testing';
import { beforeEach, expect, test } from 'vitest';
import { logsSdk, metricsSdk, register, tracesSdk, valueOf, withoutComplaints } from './sdk.ts';

let sdk: ReturnType<typeof tracesSdk>;
let clock: ReturnType<typeof virtualClock>;

withoutComplaints();
beforeEach(() => {
  clock = virtualClock();
  sdk = tracesSdk({ processors: [resendCountProcessor()] });
});

const app = () => otel.trace.getTracer('app');
const options = (more: object = {}) => ({ clock, random: () => 0.5, ...more });
const ok = () => 1;
const hang = () => new Promise<never>(() => {});
const fail = () => Promise.reject(Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }));

/** Runs `call` with time passing until it has ended. */
async function through<T>(call: () => Promise<T>, ms = 1_000): Promise<T | Error> {
  const ended = call().catch((error: Error) => error);
  await clock.advance(ms);
  return ended;
}

/** What an HTTP client's instrumentation does around a request. */
async function request<T>(send: () => T | Promise<T>): Promise<T> {
  const span = app().startSpan('POST', { kind: otel.SpanKind.CLIENT });
  try {
    return await send();
  } finally {
    span.end();
  }
}

/** The spans as a trace view shows them, in the order they began; our own without the names that are on all. */
function tree(): string[] {
  const spans = [...sdk.spans()].sort((a, b) => a.startTime[0] - b.startTime[0] || a.startTime[1] - b.startTime[1]);
  const lines = (parent: string | undefined, depth: number): string[] =>
    spans
      .filter((span) => span.parentSpanContext?.spanId === parent)
      .flatMap((span) => [line(span, depth), ...lines(span.spanContext().spanId, depth + 1)]);
  return lines(undefined, 0);
}

function line({ name, status, attributes }: ReturnType<typeof sdk.spans>[number], depth: number): string {
  const said = Object.entries(attributes)
    .filter(([key]) => !key.startsWith('seaworthy.pipeline.'))
    .map(([key, value]) => `${key.replace('seaworthy.', '')}=${value}`);
  const text = status.message === undefined ? '' : ` "${status.message}"`;
  return `${'  '.repeat(depth)}${name} ${otel.SpanStatusCode[status.code]}${text} ${said.join(' ')}`.trimEnd();
}

test('fallback > retry > breaker > bulkhead > timeout: the first attempt timed out, the second answered', async () => {
  register({ tracerProvider: sdk.provider });
  const p = pipeline(
    'payments',
    [
      fallback({ to: ok }),
      retry({ maxRetries: 2, backoff: 30 }),
      circuitBreaker(),
      bulkhead({ limit: 5 }),
      timeout(50),
    ],
    options(),
  );
  const serve = () =>
    app().startActiveSpan('GET /checkout', async (span) => {
      await p.execute(({ attempt, signal }) =>
        request(() =>
          attempt > 1 ? 1 : new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
        ),
      );
      span.end();
    });
  await through(serve);
  expect(tree()).toEqual([
    'GET /checkout UNSET',
    '  execute payments UNSET retry.result=success_after_retry outcome=success attempt.count=2',
    '    attempt payments ERROR "timed out after 50 ms" attempt.number=1 attempt.kind=initial circuit_breaker.state=closed timeout.duration=0.05 outcome=failure error.type=timeout',
    '      POST UNSET',
    '    attempt payments UNSET attempt.number=2 attempt.kind=retry retry.delay=0.03 circuit_breaker.state=closed outcome=success',
    '      POST UNSET http.request.resend_count=1',
  ]);
  expect(sdk.spans().find(({ name }) => name.startsWith('execute'))?.attributes).toMatchObject({
    'seaworthy.pipeline.name': 'payments',
    'seaworthy.pipeline.policies': ['fallback', 'retry', 'circuit_breaker', 'bulkhead', 'timeout'],
  });
});

test('all attempts fail: a function that answers has a span, a value has none, and nobody answering is an error', async () => {
  register({ tracerProvider: sdk.provider });
  const again = () => retry({ maxRetries: 1, backoff: 30 });
  const attempts = (name: string) => [
    `  attempt ${name} ERROR "connect" attempt.number=1 attempt.kind=initial outcome=failure error.type=ECONNREFUSED`,
    `  attempt ${name} ERROR "connect" attempt.number=2 attempt.kind=retry retry.delay=0.03 outcome=failure error.type=ECONNREFUSED`,
  ];
  await through(() => pipeline('function', [fallback({ to: ok }), again()], options()).execute(fail));
  expect(tree()).toEqual([
    'execute function UNSET retry.result=exhausted fallback.reason=ECONNREFUSED outcome=fallback attempt.count=2',
    ...attempts('function'),
    '  fallback function UNSET',
  ]);
  sdk.reset();
  await through(() => pipeline('value', [fallback({ to: { value: 1 } }), again()], options()).execute(fail));
  expect(tree()).toEqual([
    'execute value UNSET retry.result=exhausted fallback.reason=ECONNREFUSED outcome=fallback attempt.count=2',
    ...attempts('value'),
  ]);
  sdk.reset();
  await through(() => pipeline('nobody', [again()], options()).execute(fail));
  expect(tree()).toEqual([
    'execute nobody ERROR "connect" retry.result=exhausted outcome=failure attempt.count=2 error.type=ECONNREFUSED',
    ...attempts('nobody'),
  ]);
});

test('policies outside of the retry write to the execution', async () => {
  register({ tracerProvider: sdk.provider });
  const outside = [timeout(50), bulkhead({ limit: 1, queue: 1 }), circuitBreaker(), retry({ maxRetries: 0 })] as const;
  const p = pipeline('outside', outside, options());
  const first = p.execute(() => new Promise((resolve) => clock.after(20, () => resolve(1))));
  await through(() => p.execute(hang));
  await first;
  expect(tree().slice(-2)).toEqual([
    'execute outside ERROR "timed out after 50 ms" concurrency.queue.duration=0.02 circuit_breaker.state=closed timeout.duration=0.05 retry.result=deadline outcome=failure attempt.count=1 error.type=timeout',
    '  attempt outside ERROR "timed out after 50 ms" attempt.number=1 attempt.kind=initial outcome=failure error.type=timeout',
  ]);
});

test('a call that an open circuit turned away ends at once, and points to the span that opened it', async () => {
  register({ tracerProvider: sdk.provider });
  const p = pipeline('open', [retry({ maxRetries: 0 }), circuitBreaker({ consecutiveFailures: 1 })], options());
  await through(() => p.execute(fail), 0);
  await through(() => p.execute(ok), 0);
  const [opener, , turnedAway] = sdk.spans();
  expect(turnedAway?.links.map(({ context }) => context)).toEqual([opener?.spanContext()]);
  expect(tree().at(-1)).toBe(
    '  attempt open ERROR "circuit open" attempt.number=1 attempt.kind=initial rejection.reason=circuit_open outcome=failure error.type=circuit_open',
  );
});

test('changes of state are logged without traces and metrics too, dated when they were due', async () => {
  const logs = logsSdk();
  register({ loggerProvider: logs.provider });
  const p = pipeline(
    'dated',
    [circuitBreaker({ consecutiveFailures: 1, breakMs: 60_000, halfOpenCalls: 1 })],
    options(),
  );
  await through(() => p.execute(fail), 0);
  await clock.advance(100_000);
  const called = Date.now();
  await through(() => p.execute(ok), 0);
  const told = logs.records().map(({ attributes, hrTime: [seconds, nanos] }) => ({
    state: attributes['seaworthy.circuit_breaker.state'],
    agoS: 0 + Math.round((called - (seconds * 1_000 + nanos / 1e6)) / 1_000),
  }));
  expect(told).toEqual([
    { state: 'open', agoS: 0 },
    { state: 'half_open', agoS: 40 },
    { state: 'closed', agoS: 0 },
  ]);
});

test('a failure ratio is there from the minimum number of calls on', async () => {
  const metrics = metricsSdk();
  register({ meterProvider: metrics.provider });
  const p = pipeline('ratio', [circuitBreaker({ minimumCalls: 3, failureRatio: 0.9 })], options());
  const ratio = async () => valueOf(await metrics.collect(), 'seaworthy.circuit_breaker.failure_ratio');
  await through(() => p.execute(fail), 0);
  await through(() => p.execute(ok), 0);
  expect(await ratio()).toBeUndefined();
  await through(() => p.execute(ok), 0);
  await through(() => p.execute(ok), 0);
  expect(await ratio()).toBe(0.25);
});

test("a user's attributes are on every span and on no metric", async () => {
  const metrics = metricsSdk();
  register({ tracerProvider: sdk.provider, meterProvider: metrics.provider });
  const policies = [fallback({ to: ok }), retry({ maxRetries: 1, backoff: 0 })] as const;
  const p = pipeline('attributed', policies, options({ attributes: { team: 'a' } }));
  await through(() => p.execute(fail, { attributes: { tenant: 't' } }));
  await through(() => p.execute(ok));
  const [plain, ...withBoth] = [...sdk.spans()].reverse();
  expect(plain?.attributes).toMatchObject({ team: 'a' });
  expect(withBoth.slice(1).map(({ attributes }) => [attributes.team, attributes.tenant])).toEqual(
    Array.from({ length: 4 }, () => ['a', 't']),
  );
  const keys = (await metrics.collect()).flatMap(({ attributes }) => Object.keys(attributes));
  expect(keys.filter((key) => !key.startsWith('seaworthy.') && key !== 'error.type')).toEqual([]);
});
