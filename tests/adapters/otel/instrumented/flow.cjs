'use strict';
// A service that asks an upstream by three clients, each behind a pipeline; both servers are of this process.
const { once } = require('node:events');

module.exports = async function run({ http, request, seaworthy, resilientFetch, report }) {
  const { bulkhead, pipeline, retry, timeout } = seaworthy;

  // Everything is out of order at its first request; what hangs answers only the second one.
  const asked = new Map();
  const upstream = http.createServer((incoming, response) => {
    const times = (asked.get(incoming.url) ?? 0) + 1;
    asked.set(incoming.url, times);
    if (times > 1) return void response.end('here');
    if (!incoming.url.startsWith('/hang')) response.writeHead(503).end('out of order');
  });
  const origin = `http://127.0.0.1:${await listen(upstream)}`;

  const policies = () => [
    retry({ maxRetries: 2, backoff: 1 }),
    bulkhead({ limit: 1, queue: 9, maxWaitMs: 10_000 }),
    timeout(500),
  ];
  const fetching = resilientFetch(pipeline('fetch', policies()));
  const undici = pipeline('undici', policies());
  const node = pipeline('http', policies());
  const answered = (status) => {
    if (status !== 200) throw new Error(`status ${status}`);
    return status;
  };

  const clients = {
    fetch: async (path) => (await fetching(origin + path)).status,
    undici: (path) =>
      undici.execute(async ({ signal }) => {
        const { statusCode, body } = await request(origin + path, { signal });
        await body.dump();
        return answered(statusCode);
      }),
    http: (path) =>
      node.execute(async ({ signal }) => {
        const [response] = await once(http.get(origin + path, { signal }), 'response');
        response.resume();
        await once(response, 'end');
        return answered(response.statusCode);
      }),
  };

  const service = http.createServer(async (incoming, response) => {
    const [, client, path] = /^\/(\w+)(\/.*)$/.exec(incoming.url);
    response.writeHead(await clients[client](path)).end();
  });
  const url = `http://127.0.0.1:${await listen(service)}`;

  // The caller is not part of what is looked at: it does not go through anything that is instrumented.
  const statuses = await Promise.all(
    Object.keys(clients).flatMap((client) =>
      ['a', 'b', 'hang'].map((path) => ask(new URL(`${url}/${client}/${path}/${client}`))),
    ),
  );
  for (const server of [service, upstream]) {
    server.closeAllConnections();
    server.close();
  }
  report({ statuses });
};

async function listen(server) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server.address().port;
}

/** A request without an HTTP client. */
async function ask({ port, pathname }) {
  const socket = require('node:net').connect(Number(port), '127.0.0.1');
  socket.write(`GET ${pathname} HTTP/1.1\r\nhost: service\r\nconnection: close\r\n\r\n`);
  let text = '';
  for await (const chunk of socket) text += chunk;
  return Number(/^HTTP\/1.1 (\d+)/.exec(text)?.[1]);
}
