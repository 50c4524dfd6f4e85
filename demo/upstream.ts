/**
 * The service behind the service: two routes, `/protected` and `/plain`, treated alike by the timetable. When it is down
 * it is really down: no listening socket and no connection, so that clients meet ECONNREFUSED.
 */
import { createServer } from 'node:http';
import { clockFrom, serve } from './processes.ts';
import { answerAt, timetable } from './timetable.ts';

export type ToUpstream = { readonly type: 'start'; readonly at: number; readonly seconds: number };
export type FromUpstream = { readonly type: 'listening'; readonly port: number };

const { send } = serve<ToUpstream, FromUpstream>(({ at, seconds }) => {
  phases = timetable(seconds);
  now = clockFrom(at);
  for (const { health, from, to } of phases) {
    if (health !== 'down') continue;
    setTimeout(goDown, from - now());
    setTimeout(listen, to - now());
  }
});

let phases = timetable(1);
/** Before the timetable has begun everything is as in its first moment. */
let now = () => 0;
let port = 0;
const requests = new Map<string, number>();

const server = createServer((request, response) => {
  const route = request.url ?? '/';
  const nth = requests.get(route) ?? 0;
  requests.set(route, nth + 1);
  const { status, delayMs } = answerAt(phases, now(), nth);
  const timer = setTimeout(() => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(status === 200 ? '{"items":["rope","anchor","lantern"]}' : '{"error":"try again later"}');
  }, delayMs);
  response.on('close', () => clearTimeout(timer));
});
// Long enough that no connection is closed for being idle just when a request is on its way.
server.keepAliveTimeout = 120_000;
server.on('listening', () => send({ type: 'listening', port }));
server.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EADDRINUSE') throw error;
  // At first another port will do; afterwards it has to be the same.
  if (now() > 0) setTimeout(listen, 20);
  else choosePort();
});

/** Below the range that outgoing connections are given ports from: nobody takes this one while we are down. */
function choosePort(): void {
  port = 20_000 + Math.floor(Math.random() * 10_000);
  listen();
}

function listen(): void {
  server.listen(port, '127.0.0.1');
}

function goDown(): void {
  server.close();
  server.closeAllConnections();
}

choosePort();
