// What the service depends on, in a process of its own, so that it can be made to suffer:
//
//   curl -X PUT http://127.0.0.1:4001/healthy         answers at once
//   curl -X PUT http://127.0.0.1:4001/slow?ms=1000    answers late
//   curl -X PUT http://127.0.0.1:4001/failing         answers 503
//   curl -X PUT http://127.0.0.1:4001/down            refuses connections
//   curl -X PUT http://127.0.0.1:4001/slow,healthy    one word per request; the last one stays
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';

const { UPSTREAM_PORT = '4000', UPSTREAM_ADMIN_PORT = '4001' } = process.env;

let modes = ['healthy'];
let slowMs = 1_000;

const upstream = createServer(async (_request, response) => {
  const mode = modes.length > 1 ? modes.shift() : modes[0];
  if (mode === 'failing') return void response.writeHead(503).end('out of order');
  if (mode === 'slow') await wait(slowMs);
  response.setHeader('content-type', 'application/json').end('{"cents":120,"left":7}');
});

const admin = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url!, 'http://127.0.0.1');
  const asked = pathname.slice(1).split(',');
  if (request.method !== 'PUT' || !asked.every((mode) => ['healthy', 'slow', 'failing', 'down'].includes(mode)))
    return void response.writeHead(404).end('PUT /healthy, /slow?ms=1000, /failing or /down\n');
  modes = asked;
  slowMs = Number(searchParams.get('ms') ?? 1_000);
  if (asked.includes('down')) {
    upstream.close();
    upstream.closeAllConnections();
  } else if (!upstream.listening) await listen(upstream, port);
  response.end(`${asked}\n`);
});

const port = await listen(upstream, Number(UPSTREAM_PORT));
const adminPort = await listen(admin, Number(UPSTREAM_ADMIN_PORT));
const ready = { url: `http://127.0.0.1:${port}`, adminUrl: `http://127.0.0.1:${adminPort}` };
console.log(`upstream on ${ready.url}, its moods on ${ready.adminUrl}`);
process.send?.(ready);

async function listen(server: Server, at: number): Promise<number> {
  server.listen(at, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}
