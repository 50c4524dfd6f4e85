/**
 * Does anything stay behind? `npm run soak` sends ten million calls with every kind of end through all policies, on real
 * timers and the built library, and then looks for what they left: memory, timers, listeners, slots, unhandled rejections.
 * `--calls=200000` is the short run, `--source` takes the sources in place of the build. The exit code says how it went.
 */
import { getEventListeners } from 'node:events';
import { fileURLToPath } from 'node:url';
import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises';
import type { CallContext, ExecuteOptions, Pipeline } from 'seaworthy';

const calls = Number(process.argv.find((argument) => argument.startsWith('--calls='))?.slice('--calls='.length) ?? 1e7);
const source = process.argv.includes('--source');
const from = source ? new URL('../src/index.ts', import.meta.url).href : 'seaworthy';
const library: typeof import('seaworthy') = await import(from);
const { bulkhead, circuitBreaker, fallback, pipeline, policy, retry, timeout } = library;

const atATime = 1_000;
const rounds = 20;
/** Below this a slope is nothing but noise. */
const callsForASlope = 5e6;
const collect = (globalThis as { gc?: () => void }).gc;
if (collect === undefined) throw new Error(`Run it with node --expose-gc ${fileURLToPath(import.meta.url)}`);

const unhandled: unknown[] = [];
const warnings: Error[] = [];
process.on('unhandledRejection', (reason) => unhandled.push(reason));
process.on('warning', (warning) => warnings.push(warning));

let heard = 0;
const tag = policy({ kind: 'tag', name: 'tag', around: (_, next) => next() });
const twice = policy({
  kind: 'twice',
  repeats: true,
  around: (_, next) => next().catch(() => next()),
});

const broken = new Error('broken');
const answerable = new Error('answerable');
const keysAtMost = 500;

const all = pipeline('all', [
  fallback({ to: () => 'spare', when: (error) => error === answerable }),
  timeout(60_000),
  tag,
  retry({ maxRetries: 2, backoff: 0, budget: false }),
  circuitBreaker({ failureRatio: 1 }),
  bulkhead({ limit: 10 * atATime }),
  timeout({ ms: () => 30_000 }),
]);
all.subscribe(() => heard++);
const hasty = pipeline('hasty', [
  retry({ maxRetries: 1, backoff: 0, budget: false }),
  bulkhead({ limit: 10 * atATime, holdUntilSettled: { maxMs: 50 } }),
  timeout(3),
]);
const patient = pipeline('patient', [timeout({ ms: 3, mode: 'cooperative' })]);
const pausing = pipeline('pausing', [retry({ maxRetries: 1, backoff: 1, budget: { ratio: 1 } })]);
const narrow = pipeline('narrow', [bulkhead({ limit: 5, queue: 5, maxWaitMs: 2 })]);
const outages = pipeline('outages', [
  circuitBreaker({ consecutiveFailures: 5, breakMs: 10, halfOpenCalls: 2 }),
  timeout(60_000),
]);
const keyed = pipeline('keyed', [circuitBreaker({ consecutiveFailures: 1, keys: { max: keysAtMost } })]);
const nested = pipeline('nested', [
  fallback({ to: { value: 'spare' } }),
  twice,
  pipeline('inner', [retry({ maxRetries: 1, backoff: 0, budget: false }), bulkhead({ limit: 10 * atATime }), tag]),
]);

/** The signal of a whole service: behind it are most of the calls there ever were. */
const shared = new AbortController().signal;

/** A way to call, and how often it is taken, per thousand. */
interface Scenario {
  readonly name: string;
  readonly share: number;
  /** How it must end, each at least once. */
  readonly ends: readonly string[];
  /** How it may end on a machine that is busy. */
  readonly also?: readonly string[];
  run(n: number): Promise<unknown>;
}

const hang = ({ signal }: CallContext) =>
  new Promise<never>((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener('abort', () => reject(signal.reason));
  });
const thrown = (error: unknown) => {
  throw error;
};

const abandoned: readonly ((call: CallContext) => unknown)[] = [
  hang,
  () => new Promise(() => {}),
  () => pause(6, 'late'),
  () => pause(6).then(() => thrown(broken)),
];

function abortedCall(n: number): Promise<unknown> {
  const caller = new AbortController();
  const { signal } = caller;
  if (n % 4 === 0) caller.abort(broken);
  if (n % 4 === 1) setImmediate(() => caller.abort(broken));
  const ending = (call: CallContext) => {
    if (n % 4 === 2) caller.abort(broken);
    if (n % 4 === 3) queueMicrotask(() => caller.abort(broken));
    return hang(call);
  };
  return all.execute(ending, signal);
}

function ownSignal(fn: () => unknown, more?: ExecuteOptions): Promise<unknown> {
  return all.execute(fn, { signal: new AbortController().signal, timeoutMs: 60_000, ...more });
}

const scenarios: readonly Scenario[] = [
  { name: 'a value at once', share: 300, ends: ['value'], run: () => all.execute(() => 1) },
  { name: 'a value, asynchronously', share: 250, ends: ['value'], run: () => all.execute(async () => 1) },
  { name: 'a value, a turn later', share: 50, ends: ['value'], run: () => all.execute(() => turn()) },
  { name: 'behind the shared signal', share: 100, ends: ['value'], run: () => all.execute(async () => 1, shared) },
  { name: 'with a signal and a deadline', share: 50, ends: ['value'], run: () => ownSignal(async () => 1) },
  {
    name: 'fails twice',
    share: 40,
    ends: ['value'],
    run: () => all.execute(async ({ attempt }) => (attempt < 3 ? thrown(broken) : 1), shared),
  },
  { name: 'fails for good', share: 30, ends: ['broken'], run: () => all.execute(() => thrown(broken)) },
  {
    name: 'is answered by a fallback',
    share: 40,
    ends: ['spare'],
    run: () => all.execute(async () => thrown(answerable)),
  },
  { name: 'is aborted by its caller', share: 30, ends: ['broken'], run: abortedCall },
  {
    name: 'pauses before a retry',
    share: 2,
    ends: ['value'],
    // Should the budget be empty.
    also: ['broken'],
    run: () => pausing.execute(({ attempt }) => (attempt === 1 ? thrown(broken) : 1), shared),
  },
  {
    name: 'times out twice',
    share: 5,
    ends: ['timeout'],
    // An answer that is there when the timer comes, late, counts.
    also: ['value', 'broken'],
    run: (n) => hasty.execute(abandoned[n % abandoned.length]!, shared),
  },
  { name: 'times out cooperatively', share: 1, ends: ['timeout'], run: () => patient.execute(hang) },
  { name: 'meets its deadline', share: 2, ends: ['spare'], run: () => all.execute(hang, { timeoutMs: 3 }) },
  {
    name: 'meets a full bulkhead',
    share: 20,
    ends: ['value', 'bulkhead_full'],
    // Where the loop stood still for as long as that, the slot is found free first.
    also: ['queue_timeout'],
    run: () => narrow.execute(() => pause(20), shared),
  },
  {
    name: 'meets outages',
    share: 20,
    ends: ['value', 'broken', 'circuit_open'],
    run: () => outages.execute(async () => (performance.now() % 100 < 50 ? thrown(broken) : 1), shared),
  },
  {
    name: 'has a key nobody had before',
    share: 30,
    ends: ['value', 'broken'],
    run: (n) => keyed.execute(() => (n % 2 === 0 ? 1 : thrown(broken)), { key: `key ${n}`, signal: shared }),
  },
  {
    name: 'goes through nested pipelines',
    share: 30,
    ends: ['value', 'spare'],
    run: (n) => nested.execute(async ({ attempt }) => (n % 3 === 0 || attempt === 1 ? thrown(broken) : 1), shared),
  },
];

const schedule = scenarios.flatMap((scenario) => Array<Scenario>(scenario.share).fill(scenario));
// A step without a common divisor goes through all of them, well mixed.
const step = 617;
if (schedule.length !== 1_000) throw new Error(`The shares add up to ${schedule.length}, not to 1,000.`);

const seen = new Map(scenarios.map(({ name }) => [name, new Map<string, number>()]));

function endOf(error: unknown): string {
  if (error === broken) return 'broken';
  return (error as { code?: string } | undefined)?.code ?? String(error);
}

let sent = 0;

async function worker(until: number): Promise<void> {
  while (sent < until) {
    const n = sent++;
    const { name, run } = schedule[(n * step) % schedule.length]!;
    const end = await run(n).then((value) => (value === 'spare' ? 'spare' : 'value'), endOf);
    const counts = seen.get(name)!;
    counts.set(end, (counts.get(end) ?? 0) + 1);
  }
}

async function send(n: number): Promise<void> {
  const until = sent + n;
  await Promise.all(Array.from({ length: atATime }, () => worker(until)));
}

/** What the pipelines say of themselves, added up. */
function inUse() {
  const snapshots = library.snapshots();
  const bulkheads = snapshots.flatMap(({ policies }) => policies.filter((policy) => policy.kind === 'bulkhead'));
  const sum = (values: readonly number[]) => values.reduce((all, value) => all + value, 0);
  return {
    active: sum(snapshots.map(({ active }) => active)),
    slots: sum(bulkheads.map(({ active }) => active)),
    held: sum(bulkheads.map(({ held }) => held)),
    queued: sum(bulkheads.map(({ queued }) => queued)),
  };
}

/** Waits until abandoned work and the slots it holds are over, but not for ever: what is left then has leaked. */
async function rest(): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    await pause(20);
    if (Object.values(inUse()).every((n) => n === 0)) break;
  }
  await pause(20);
}

async function heapInUse(): Promise<number> {
  await rest();
  for (let again = 0; again < 4; again++) {
    await turn();
    collect!();
  }
  return process.memoryUsage().heapUsed;
}

/** The least squares' slope of heap by calls. */
function slopeOf(points: readonly { calls: number; heap: number }[]): number {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const x = mean(points.map(({ calls }) => calls));
  const y = mean(points.map(({ heap }) => heap));
  const along = points.reduce((sum, point) => sum + (point.calls - x) * (point.heap - y), 0);
  return along / points.reduce((sum, point) => sum + (point.calls - x) ** 2, 0);
}

const mb = (bytes: number) => (bytes / 2 ** 20).toFixed(2);
const thousands = (n: number) => n.toLocaleString('en');
const begun = performance.now();
const seconds = () => ((performance.now() - begun) / 1000).toFixed(0);

const warm = Math.min(calls / 2, 1e6);
// First, because standard output is a resource from its first line on.
console.log(`Node ${process.version}, ${thousands(calls)} calls after ${thousands(warm)} to warm up\n`);
const resourcesBefore = process.getActiveResourcesInfo().toSorted().join(' ');
await send(warm);
const start = await heapInUse();
console.log(`${'calls'.padStart(12)}  ${'heap, MB'.padStart(8)}  ${'seconds'.padStart(7)}`);
const points: { calls: number; heap: number }[] = [];
for (let round = 1; round <= rounds; round++) {
  await send(calls / rounds);
  const heap = await heapInUse();
  points.push({ calls: sent - warm, heap });
  console.log(`${thousands(sent - warm).padStart(12)}  ${mb(heap).padStart(8)}  ${seconds().padStart(7)}`);
}

console.log('\n| calls that | ended with |\n|---|---|');
const strange: string[] = [];
const missing: string[] = [];
for (const { name, ends, also = [] } of scenarios) {
  const counts = [...seen.get(name)!];
  console.log(`| ${name} | ${counts.map(([end, n]) => `${end} ${thousands(n)}`).join(', ')} |`);
  strange.push(
    ...counts.filter(([end]) => !ends.includes(end) && !also.includes(end)).map(([end]) => `${name}: ${end}`),
  );
  missing.push(...ends.filter((end) => !seen.get(name)!.has(end)).map((end) => `${name}: ${end}`));
}

const growth = points.at(-1)!.heap - start;
const slope = slopeOf(points.slice(rounds / 2)) * 1000;
const judged = calls / 2 >= callsForASlope;
const use = inUse();
const resources = process.getActiveResourcesInfo().toSorted().join(' ');
const listeners = getEventListeners(shared, 'abort').length;
/** The state of the outermost policy, which is a circuit breaker. */
function circuitsOf(of: Pipeline) {
  const [state] = of.snapshot().policies;
  if (state?.kind !== 'circuit_breaker') throw new Error(`${of.name} does not begin with a circuit breaker.`);
  return state;
}

const { transitions } = circuitsOf(outages);
const { circuits } = circuitsOf(keyed);
const none = (what: readonly unknown[]) => (what.length === 0 ? '0' : what.slice(0, 3).map(String).join('; '));

const checks: readonly (readonly [what: string, found: string, wanted: string, well: boolean])[] = [
  ['heap since the start, MB', mb(growth), 'below 2', growth < 2 * 2 ** 20],
  [
    'slope of its second half, bytes per 1,000 calls',
    slope.toFixed(1),
    judged ? 'below 20' : `not judged below ${thousands(callsForASlope)} calls in that half`,
    !judged || slope < 20,
  ],
  [
    'resources of the process',
    resources || 'none',
    `as before: ${resourcesBefore || 'none'}`,
    resources === resourcesBefore,
  ],
  ['listeners on the shared signal', String(listeners), '0', listeners === 0],
  ['unhandled rejections', none(unhandled), '0', unhandled.length === 0],
  ['warnings', none(warnings), '0', warnings.length === 0],
  ['calls active', String(use.active), '0', use.active === 0],
  ['slots taken', String(use.slots), '0', use.slots === 0],
  ['slots held by abandoned work', String(use.held), '0', use.held === 0],
  ['calls queued', String(use.queued), '0', use.queued === 0],
  ['circuits kept for keys', thousands(circuits), `at most ${keysAtMost + 1}`, circuits <= keysAtMost + 1],
  ['circuits opened', thousands(transitions.open), 'some', transitions.open > 0],
  ['circuits closed again', thousands(transitions.closed), 'some', transitions.closed > 0],
  ['events heard', thousands(heard), 'more than calls', heard > calls],
  ['ends nobody expected', none(strange), '0', strange.length === 0],
  ['ends that never came', none(missing), '0', missing.length === 0],
];
console.log('\n| left behind | found | wanted | |\n|---|---|---|---|');
for (const [what, found, wanted, well] of checks)
  console.log(`| ${what} | ${found} | ${wanted} | ${well ? 'ok' : 'WRONG'} |`);
const wrong = checks.filter(([, , , well]) => !well).length;
console.log(`\n${checks.length - wrong} passed, ${wrong} failed`);
process.exitCode = wrong === 0 ? 0 : 1;
