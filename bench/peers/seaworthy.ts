import { bulkhead, circuitBreaker, fallback, type Pipeline, pipeline, retry, timeout } from 'seaworthy';
import type { TelemetryOptions } from 'seaworthy/otel';
import { type Call, endless, forEverMs, limitOf, longMs, never, type Peer, spent, type Work, works } from './peer.ts';

type Telemetry = boolean | TelemetryOptions;

/** The five policies; where the function fails, none retries and no circuit opens. */
function policies(work: Work) {
  const failing = work.kind === 'rejecting';
  return [
    fallback({ to: { value: 0 } }),
    retry(failing ? { when: never } : {}),
    circuitBreaker(failing ? neverOpens : {}),
    bulkhead({ limit: limitOf(work) }),
    timeout(longMs),
  ] as const;
}

const neverOpens = { minimumCalls: Number.MAX_SAFE_INTEGER };

/** The five policies of every comparison. */
export const five = (name: string, telemetry: Telemetry, work: Work = works.async): Pipeline<0> =>
  pipeline(name, policies(work), { telemetry });

/** What every service has beside the pipeline that is measured. */
const others = (telemetry: Telemetry): Pipeline<any>[] => [
  pipeline('other-1', [timeout(1_000)], { telemetry }),
  pipeline('other-2', [retry(), timeout(1_000), circuitBreaker()], { telemetry }),
  pipeline('other-3', [circuitBreaker(), retry(), fallback({ to: { value: 1 } })], { telemetry }),
  pipeline('other-4', [timeout(5_000), bulkhead({ limit: 5 })], { telemetry }),
];

const alone = (policy: Parameters<typeof pipeline>[1][number], { fn }: Work): Call => {
  const ours = pipeline('alone', [policy], { telemetry: false });
  return () => ours.execute(fn);
};

const openPipeline = async () => {
  const ours = pipeline('open', [circuitBreaker({ consecutiveFailures: 1, breakMs: forEverMs })], { telemetry: false });
  await ours.tryExecute(works.rejecting.fn);
  return ours;
};

export const peer: Peer = {
  fallback: (work) => alone(fallback({ to: { value: 0 } }), work),
  retry: (work) => alone(retry({ when: never }), work),
  'circuit breaker': (work) => alone(circuitBreaker(neverOpens), work),
  bulkhead: (work) => alone(bulkhead({ limit: limitOf(work) }), work),
  timeout: (work) => alone(timeout(longMs), work),
  five(work) {
    const ours = five('five', false, work);
    return () => ours.execute(work.fn);
  },
  turned(work) {
    const ours = pipeline('turned', policies(work).toReversed(), { telemetry: false });
    return () => ours.execute(work.fn);
  },
  async amongOthers({ fn }) {
    const ours = five('five', false);
    const all = [...others(false), ours];
    for (let i = 0; i < 50_000; i++) await all[i % all.length]!.execute(fn);
    return () => ours.execute(fn);
  },
  reading() {
    const ours = five('five', false);
    return () => ours.execute(async (call) => (call.signal.aborted ? 0 : 1));
  },
  cancellable({ fn }, signal) {
    const ours = five('five', false);
    return () => ours.execute(fn, signal());
  },
  async open() {
    const ours = await openPipeline();
    return () => ours.execute(works.async.fn);
  },
  async openTold() {
    const ours = await openPipeline();
    return () => ours.tryExecute(works.async.fn);
  },
  full() {
    const policy = bulkhead({ limit: 1, queue: 1, maxWaitMs: forEverMs });
    const ours = pipeline('full', [policy], { telemetry: false });
    for (let i = 0; i < 2; i++) spent(() => ours.execute(endless));
    return () => ours.execute(works.async.fn);
  },
  retried(work) {
    return alone(retry({ maxRetries: 1, backoff: 0, budget: false }), work);
  },
  timedOut: (ms) => alone(timeout(ms), { kind: 'async', fn: endless }),
};
