// fetch behind a pipeline, against a real server on this machine.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { circuitBreaker, pipeline, retry, timeout } from 'seaworthy';
import { resilientFetch } from 'seaworthy/fetch';

let requests = 0;
const server = createServer((request, response) => {
  requests++;
  if (request.url === '/flaky' && requests < 3) response.writeHead(503, { 'retry-after-ms': '5' }).end('try again');
  else if (request.url === '/down') response.writeHead(503).end('out of order');
  else response.end(JSON.stringify({ method: request.method }));
});
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
const count = () => {
  const so = requests;
  requests = 0;
  return so;
};

// #region readme
const http = resilientFetch(
  pipeline('shop', [timeout(5_000), retry({ backoff: 10 }), circuitBreaker(), timeout(1_000)]),
);

const flaky = await http(`${origin}/flaky`); // 503, 503, 200
const down = await http(`${origin}/down`); // 503 three times: the last response, not an error
const post = await http(`${origin}/down`, { method: 'POST', body: '{}' }); // not idempotent: sent once
// #endregion
console.log(flaky.status, await flaky.json());
console.log(down.status, await down.text());
console.log(post.status, await post.text());
console.log(count(), 'requests'); // 3 + 3 + 1

// A POST that the server can recognise may be sent again.
const recognised = await http(`${origin}/down`, {
  method: 'POST',
  body: '{}',
  headers: { 'idempotency-key': 'order-7' },
});
console.log(recognised.status, count(), 'requests');

// The caller's own signal rejects with its own reason, as in fetch.
const gone = await http(`${origin}/flaky`, { signal: AbortSignal.abort('not needed') }).catch(
  (reason: unknown) => reason,
);
console.log(gone); // not needed

await Promise.all([down, post, recognised].map((response) => response.body?.cancel().catch(() => {})));
server.closeAllConnections();
server.close();
