/**
 * The users: a constant arrival rate on each route, whatever the answers do, over keep-alive sockets of its own. It counts
 * what it received, and how late it was itself.
 */
import { Agent, get, type IncomingMessage } from 'node:http';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { clockFrom, serve } from './processes.ts';
import { phaseAt, timetable } from './timetable.ts';

export type Route = 'protected' | 'plain';

/** Answers by kind; `fallback` is what the service said to be one. */
export interface Counts {
  readonly calls: number;
  readonly success: number;
  readonly fallback: number;
  readonly failure: number;
}

/** How long users waited, in milliseconds. */
export interface Waits {
  readonly p50: number;
  readonly p99: number;
  readonly longest: number;
}

export type RouteTotals = Counts & Waits;

/** What one route was like in the last second. */
export type RouteNow = RouteTotals & { readonly inFlight: number };

export type ToLoad =
  | { readonly type: 'warm-up'; readonly port: number }
  | {
      readonly type: 'start';
      readonly at: number;
      readonly seconds: number;
      readonly port: number;
      /** Calls per second on each route. */
      readonly rate: number;
    };

export type FromLoad =
  | { readonly type: 'warm' }
  | { readonly type: 'now'; readonly routes: Readonly<Record<Route, RouteNow>> }
  | { readonly type: 'result'; readonly result: LoadResult };

export interface LoadResult {
  readonly totals: Readonly<Record<Route, RouteTotals>>;
  /** By phase of the timetable in which the call began. */
  readonly phases: Readonly<Record<Route, readonly RouteTotals[]>>;
  /** Milliseconds by which the generator was behind its own timetable, at worst. */
  readonly latestMs: number;
  /** The longest time its event loop stood still, in milliseconds. */
  readonly loopDelayMs: number;
}

type Kind = 'success' | 'fallback' | 'failure';

/** What happened to one call. */
interface Finished {
  readonly phase: number;
  readonly endedAt: number;
  readonly waitedMs: number;
  readonly kind: Kind;
}

const agents: Record<Route, Agent> = {
  protected: new Agent({ keepAlive: true }),
  plain: new Agent({ keepAlive: true }),
};
const delays = monitorEventLoopDelay({ resolution: 10 });
const finished: Record<Route, Finished[]> = { protected: [], plain: [] };
const inFlight: Record<Route, number> = { protected: 0, plain: 0 };

const { send } = serve<ToLoad, FromLoad>((order) => {
  if (order.type === 'start') run(order);
  else void warmUp(order.port);
});

/**
 * Calls that nobody counts: some to get all processes going, then one per connection that the users will need, all at
 * once. What a user waits for should be the service, and not a connection that a busy machine has yet to accept.
 */
async function warmUp(port: number): Promise<void> {
  const ask = (route: Route, path: string) =>
    new Promise<void>((resolve) => {
      const request = get({ agent: agents[route], host: '127.0.0.1', port, path }, (response) =>
        response.resume().on('close', resolve),
      );
      request.on('error', () => resolve());
    });
  const user = async () => {
    for (let call = 0; call < 25; call++) await ask('protected', '/warm-up');
  };
  await Promise.all(Array.from({ length: 10 }, user));
  await Promise.all(Array.from({ length: 60 }, () => ask('protected', '/hold')));
  await Promise.all(Array.from({ length: 120 }, () => ask('plain', '/hold')));
  send({ type: 'warm' });
}

function run({ at, seconds, port, rate }: Extract<ToLoad, { type: 'start' }>): void {
  const phases = timetable(seconds);
  const now = clockFrom(at);
  const gapMs = 1000 / rate;
  const calls = Math.floor(seconds * rate);
  let sent = 0;
  let latestMs = 0;
  delays.enable();

  const sender = setInterval(() => {
    const time = now();
    while (sent < calls && sent * gapMs <= time) {
      latestMs = Math.max(latestMs, time - sent * gapMs);
      sent++;
      // Two users at a time, one on each route, in turns: neither always has the first word.
      for (const route of sent % 2 ? (['protected', 'plain'] as const) : (['plain', 'protected'] as const)) call(route);
    }
    if (sent === calls) {
      clearInterval(sender);
      finish();
    }
  }, 5);
  const reporter = setInterval(
    () => send({ type: 'now', routes: { protected: look('protected'), plain: look('plain') } }),
    250,
  );

  function call(route: Route): void {
    const startedAt = now();
    const phase = phaseAt(phases, startedAt);
    inFlight[route]++;
    let open = true;
    const end = (kind: Kind) => {
      if (!open) return;
      open = false;
      inFlight[route]--;
      const endedAt = now();
      finished[route].push({ phase, endedAt, waitedMs: endedAt - startedAt, kind });
    };
    const request = get({ agent: agents[route], host: '127.0.0.1', port, path: `/${route}` }, (response) => {
      response.resume();
      response.on('end', () => end(kindOf(response)));
      response.on('close', () => end('failure'));
    });
    request.on('error', () => end('failure'));
  }

  function look(route: Route): RouteNow {
    const since = now() - 1000;
    const recent: Finished[] = [];
    for (let index = finished[route].length - 1; index >= 0; index--) {
      const one = finished[route][index]!;
      if (one.endedAt < since) break;
      recent.push(one);
    }
    return { ...total(recent), inFlight: inFlight[route] };
  }

  function finish(): void {
    if (inFlight.protected + inFlight.plain > 0) {
      setTimeout(finish, 20);
      return;
    }
    clearInterval(reporter);
    delays.disable();
    const inPhases = (route: Route) =>
      phases.map((_, index) => total(finished[route].filter(({ phase }) => phase === index)));
    send({
      type: 'result',
      result: {
        totals: { protected: total(finished.protected), plain: total(finished.plain) },
        phases: { protected: inPhases('protected'), plain: inPhases('plain') },
        latestMs,
        loopDelayMs: delays.max / 1e6,
      },
    });
    for (const agent of Object.values(agents)) agent.destroy();
  }
}

function kindOf({ statusCode = 0, headers }: IncomingMessage): Kind {
  if (statusCode !== 200) return 'failure';
  return headers['x-answered-by'] === 'fallback' ? 'fallback' : 'success';
}

function total(calls: readonly Finished[]): RouteTotals {
  const counts = { success: 0, fallback: 0, failure: 0 };
  for (const { kind } of calls) counts[kind]++;
  const waits = calls.map(({ waitedMs }) => waitedMs).sort((a, b) => a - b);
  const quantile = (q: number) => waits[Math.ceil(waits.length * q) - 1] ?? 0;
  return { calls: calls.length, ...counts, p50: quantile(0.5), p99: quantile(0.99), longest: quantile(1) };
}
