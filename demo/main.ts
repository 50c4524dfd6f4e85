/**
 * The demo: a service whose upstream gets into trouble, under steady load, once through seaworthy and once with plain
 * `fetch`. Four processes: this one directs and reports, the others are the upstream, the service and its users.
 */
import type { FromLoad, LoadResult, Route, RouteNow, ToLoad } from './load.ts';
import { name, numbers } from './policies.ts';
import { clockFrom, type Process, start, stopAll } from './processes.ts';
import { parse } from './prometheus.ts';
import * as report from './report.ts';
import type { FromService, ServiceResult, ServiceStatus, ToService } from './service.ts';
import { fastSeconds, fullSeconds, phaseAt, timetable } from './timetable.ts';
import type { FromUpstream, ToUpstream } from './upstream.ts';
import { paintFor, screenOn } from './view.ts';

/** Calls per second on each of the two routes. */
const rate = 50;

const { stdout } = process;
const paint = paintFor(stdout);
const screen = screenOn(stdout);

let leaving = false;
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const)
  process.on(signal, () => void leave(code));
// Whoever reads has gone: nobody is left to show anything to.
stdout.on('error', () => void leave(1));

const given = process.argv.slice(2);
if (given.some((word) => word !== '--fast')) {
  console.error('Usage: node demo/main.ts [--fast]');
  process.exit(2);
}
try {
  process.exitCode = (await run(given.includes('--fast') ? fastSeconds : fullSeconds)) ? 0 : 1;
} catch (error) {
  // Whoever leaves early takes the others with him, and run() stumbles over that.
  if (!leaving) {
    screen.close();
    console.error(error);
    process.exitCode = 1;
  }
}
await stopAll();

async function run(seconds: number): Promise<boolean> {
  const phases = timetable(seconds);
  say(
    paint('bold', 'seaworthy: a service, its users, and an upstream that gets into trouble'),
    '',
    `  ${rate} users a second are served through seaworthy, ${rate} more by plain fetch, from one`,
    `  upstream, which falls ill and recovers within ${seconds} seconds. The policies:`,
    `  fallback > timeout ${numbers.deadlineMs} ms > retry ${numbers.maxRetries} > circuit breaker > bulkhead ${numbers.limit} > timeout ${numbers.attemptMs} ms`,
    '',
  );
  const upstream: Process<ToUpstream, FromUpstream> = start(new URL('./upstream.ts', import.meta.url), lost);
  const service: Process<ToService, FromService> = start(new URL('./service.ts', import.meta.url), lost);
  const load: Process<ToLoad, FromLoad> = start(new URL('./load.ts', import.meta.url), lost);
  const { port: upstreamPort } = await upstream.next('listening');
  const serviceReady = service.next('ready');
  service.send({ type: 'open', upstreamPort, seconds });
  const { port, metricsPort } = await serviceReady;
  const warm = load.next('warm');
  load.send({ type: 'warm-up', port });
  await warm;
  service.send({ type: 'begin' });

  const at = Date.now() + 200;
  const now = clockFrom(at);
  let status: ServiceStatus = { retries: 0, circuit: 'closed', active: 0 };
  const retries: number[] = [];
  service.on((message) => {
    if (message.type !== 'now') return;
    status = message.status;
    retries.push(status.retries);
  });
  let last: Readonly<Record<Route, RouteNow>> | undefined;
  load.on((message) => {
    if (message.type !== 'now') return;
    last = message.routes;
    show(last, now());
  });
  const loadResult = load.next('result');
  upstream.send({ type: 'start', at, seconds });
  load.send({ type: 'start', at, seconds, port, rate });

  const { result: users } = await loadResult;
  if (last !== undefined) show(last, seconds * 1000);
  // Both look at the service at rest: every user has an answer, and nothing is on its way.
  const scrape = await fetch(`http://127.0.0.1:${metricsPort}/metrics`).then((response) => response.text());
  const serviceResult = service.next('result');
  service.send({ type: 'finish' });
  const { result } = await serviceResult;
  screen.close();
  return tell(phases, users, result, scrape);

  function show(routes: Readonly<Record<Route, RouteNow>>, elapsedMs: number): void {
    screen.show({
      elapsedMs,
      phases,
      phase: phaseAt(phases, elapsedMs),
      ...routes,
      retries: status.retries - (retries.at(-5) ?? 0),
      circuit: status.circuit,
    });
  }
}

/** Reports what happened; false when a promise was broken. */
function tell(
  phases: Parameters<typeof report.phaseTable>[0],
  users: LoadResult,
  result: ServiceResult,
  scrape: string,
): boolean {
  const findings: report.Findings = {
    load: users.totals.protected,
    snapshot: report.fromSnapshot(result.snapshot),
    metrics: report.fromMetrics(parse(scrape), name),
    executeSpans: result.traces.byName[`execute ${name}`] ?? 0,
    attempts: result.attempts,
    outage: result.outage,
    deadlineMs: numbers.deadlineMs,
    budget: numbers.budget.capacity,
  };
  const results = report.checks(findings);
  const { plain } = users.totals;
  say(
    '',
    paint('bold', 'What the users saw, by the phase in which they asked'),
    ...report.phaseTable(phases, users),
    '',
    `  By plain fetch ${plain.failure} of ${plain.calls} users got an error, and the slowest waited ${(plain.longest / 1000).toFixed(1)} s.`,
    paint(
      'dim',
      `  (The load generator itself was late by ${users.latestMs.toFixed(0)} ms at worst; its loop stood still for ${users.loopDelayMs.toFixed(0)} ms.)`,
    ),
    '',
    paint('bold', 'What each policy did'),
    ...report.deeds(result),
    '',
    paint('bold', `What the traces say: three calls of this run, which made ${result.traces.total} spans`),
    ...report.traceLines(result.traces.trees, Math.min(stdout.columns ?? 110, 110), paint),
    '',
    paint('bold', 'What the users, snapshot() and a Prometheus scrape counted'),
    ...report.totalsTable(findings),
    '',
    paint('bold', 'What was promised'),
    ...report.checkLines(results, paint),
    '',
    report.summary(findings, result.traces.total, plain),
  );
  return results.every(({ holds }) => holds);
}

function say(...lines: string[]): void {
  stdout.write(`${lines.join('\n')}\n`);
}

function lost(why: string): void {
  if (leaving) return;
  screen.close();
  console.error(`The demo cannot go on: ${why}`);
  void leave(1);
}

async function leave(code: number): Promise<void> {
  if (leaving) return;
  leaving = true;
  screen.close();
  await stopAll();
  process.exit(code);
}
