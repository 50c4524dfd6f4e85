import * as otel from '@opentelemetry/api';
import type { MetricProducer } from '@opentelemetry/sdk-metrics';
import { bulkhead, circuitBreaker, fallback, pipeline, retry, timeout } from 'seaworthy';
import { resendCountProcessor } from 'seaworthy/otel';
import { virtualClock } from 'seaworthy/testing';
import { type Emitted, FOREIGN } from './contract.ts';
import { listenToDiag, logsSdk, metricsSdk, register, tracesSdk, unregister } from './sdk.ts';

const [traces, logs] = [tracesSdk({ processors: [resendCountProcessor()] }), logsSdk()];
let metrics: ReturnType<typeof metricsSdk>;
const clock = virtualClock();
const options = { clock, random: () => 0.5 };
/** What pipelines are made here stays reachable, or its last states would be 0. */
const kept: unknown[] = [];

const ok = () => 'ok';
const hang = () => new Promise<never>(() => {});
const fail = () => Promise.reject(Object.assign(new Error(`${FOREIGN}refused`), { code: 'ECONNREFUSED' }));
/** Not one of our own timeouts, which say after how long. */
const failLikeOurs = () => Promise.reject({ code: 'timeout' });
const failAs = (name: string) => () => Promise.reject(Object.assign(new Error(''), { name }));

let made = 0;
function make(policies: Parameters<typeof pipeline>[1], more: object = {}) {
  const p = pipeline(`p${++made}`, policies as never, { ...options, ...more });
  kept.push(p);
  return p;
}

async function settle(...calls: Promise<unknown>[]): Promise<void> {
  for (const call of calls) call.catch(() => {});
  await clock.advance(0);
}

/** The policies that may stand inside a retry or alone, down every path; with `again` they stand inside one. */
async function driveInside(again: boolean): Promise<void> {
  const around = (policies: readonly unknown[]) =>
    make((again ? [retry({ maxRetries: 0 }), ...policies] : policies) as never);
  // Outcomes.
  for (const verdict of ['success', 'failure', 'ignored'] as const) {
    const p = make([...(again ? [retry({ maxRetries: 0 })] : [])], { classify: () => verdict });
    await settle(p.execute(ok), p.execute(fail));
  }
  await settle(
    around([fallback({ to: () => 'b' })]).execute(fail),
    around([fallback({ to: { value: 'b' } })]).execute(fail),
  );
  await settle(around([fallback({ to: failAs('SecondError') })]).execute(fail));
  const controller = new AbortController();
  const cancelled = around([]).execute(hang, controller.signal);
  controller.abort();
  await settle(cancelled);
  // Timeouts, also of work that ends late, and none left to begin with.
  let finish = (_: unknown): void => {};
  const late = around([timeout(50)]).execute(
    () =>
      new Promise((resolve) => {
        finish = resolve;
      }),
  );
  await settle(late, around([timeout({ ms: () => 0 })]).execute(ok));
  await clock.advance(50);
  finish('late');
  // A full bulkhead, its queue, and a slot given up before its work has ended.
  const narrow = around([bulkhead({ limit: 1, queue: 2, maxWaitMs: 30 })]);
  const first = narrow.execute(
    () =>
      new Promise((resolve) => {
        finish = resolve;
      }),
  );
  await settle(first, narrow.execute(ok), narrow.execute(hang), narrow.execute(ok));
  await clock.advance(20);
  finish('ok');
  await clock.advance(0);
  await settle(narrow.execute(ok));
  await clock.advance(30);
  const leaking = around([timeout(10), bulkhead({ limit: 1, holdUntilSettled: { maxMs: 40 } })]);
  await settle(leaking.execute(hang));
  await clock.advance(100);
  // A call that waits when its pipeline is drained.
  const draining = around([bulkhead({ limit: 1, queue: 1 })]);
  await settle(draining.execute(hang), draining.execute(ok), draining.drain({ timeoutMs: 1 }));
  await clock.advance(1);
  // Errors that are none of ours.
  await settle(around([]).execute(failLikeOurs), around([]).execute(failAs('no word at all')));
  const unavailable = { verdict: 'failure', errorType: '503' } as const;
  await settle(make([...(again ? [retry({ maxRetries: 0 })] : [])], { classify: () => unavailable }).execute(ok));
  // A circuit through all of its states.
  const breaker = circuitBreaker({ consecutiveFailures: 1, breakMs: 100, halfOpenCalls: 1, name: `breaker-${again}` });
  const guarded = around([breaker]);
  const states = async () => {
    await settle(guarded.execute(fail));
    await settle(guarded.execute(ok));
    await clock.advance(100);
    await settle(guarded.execute(ok));
    await settle(guarded.execute(ok));
  };
  await states();
  const isolated = breaker.isolate();
  await settle(guarded.execute(ok));
  await metrics.collect();
  isolated.dispose();
  const disabled = breaker.disable();
  await settle(guarded.execute(ok));
  disabled.dispose();
  await settle(guarded.execute(ok));
  const aborted = new AbortController();
  const ignored = guarded.execute(hang, aborted.signal);
  aborted.abort();
  await settle(ignored);
  // The caller's deadline: passed while running, and too little left to start.
  const hasty = around([]);
  await settle(hasty.execute(hang, { timeoutMs: 5 }), hasty.execute(ok, { timeoutMs: 0 }));
  await clock.advance(5);
}

/** What only a retry can end in. */
async function driveRetry(): Promise<void> {
  const flaky = () => {
    let calls = 0;
    return () => (++calls % 2 === 1 ? fail() : ok());
  };
  const p = make([retry({ maxRetries: 1, backoff: 10 })]);
  await settle(p.execute(ok), p.execute(flaky()), p.execute(fail));
  await clock.advance(10);
  // What an HTTP client's instrumentation does.
  const request = () => otel.trace.getTracer('app').startSpan('GET', { kind: otel.SpanKind.CLIENT }).end();
  const asking = () => (request(), fail());
  await settle(make([retry({ maxRetries: 1, backoff: 0 })]).execute(asking));
  await settle(make([retry({ when: () => false })]).execute(fail));
  await settle(make([retry({ budget: { ratio: 0, minPerSecond: 0, capacity: 0 } })]).execute(fail));
  await settle(make([retry({ budget: false, backoff: 100 })]).execute(fail, { timeoutMs: 20 }));
  const controller = new AbortController();
  const waiting = make([retry({ backoff: 100 })]).execute(fail, controller.signal);
  await settle(waiting);
  controller.abort();
  await settle(waiting);
  // An outer timeout ends the attempt that runs.
  await settle(make([timeout(15), retry()]).execute(hang));
  await clock.advance(15);
  // An attempt that got its slot after a wait, and one that was turned away for want of time, inside the attempt.
  await settle(make([retry({ maxRetries: 0 }), timeout({ ms: () => 0 })]).execute(ok));
  // Wait, failure ratio, draining.
  const ratio = make([circuitBreaker({ minimumCalls: 2, failureRatio: 1, name: 'ratio' })]);
  await settle(ratio.execute(ok), ratio.execute(fail));
  const gone = pipeline('gone', [], options);
  kept.push(gone);
  gone.dispose();
  await settle(gone.execute(ok));
}

/** Drives every policy down every path on a real SDK: what came out, and what the API or the SDK complained about. */
export async function drive(...producers: MetricProducer[]): Promise<Emitted & { readonly diag: readonly string[] }> {
  const diag = listenToDiag();
  metrics = metricsSdk(producers);
  register({ tracerProvider: traces.provider, meterProvider: metrics.provider, loggerProvider: logs.provider });
  try {
    await driveInside(false);
    await driveInside(true);
    await driveRetry();
    return { spans: traces.spans(), points: await metrics.collect(), records: logs.records(), diag };
  } finally {
    unregister();
    kept.length = 0;
  }
}
