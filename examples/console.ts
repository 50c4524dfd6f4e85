// What a console sees of this process: a page of server-sent events, read by a client on this machine.
import { once } from 'node:events';
import { createServer, get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { circuitBreaker, fallback, pipeline, timeout } from 'seaworthy';
import { metricsStream, type PipelineMetrics } from 'seaworthy/console';

// #region readme
import { pipeline as pump, Readable } from 'node:stream';

const shutdown = new AbortController();
const server = createServer((_request, response) => {
  const { headers, body } = metricsStream({ intervalMs: 1_000, signal: shutdown.signal });
  response.writeHead(200, headers);
  pump(Readable.fromWeb(body), response, () => {}); // ends the stream when the reader has gone
});
server.listen(0, '127.0.0.1'); // not for everybody: it tells names and failures
// #endregion

await once(server, 'listening');
const prices = pipeline('prices', [
  fallback(() => 'on request'),
  circuitBreaker({ consecutiveFailures: 3 }),
  timeout(100),
]);

const { port } = server.address() as AddressInfo;
const [response] = (await once(get({ host: '127.0.0.1', port }), 'response')) as [IncomingMessage];
console.log(response.headers['content-type']);

let text = '';
for await (const chunk of response.setEncoding('utf8')) {
  text += chunk;
  const ends = text.lastIndexOf('\n\n');
  const events = text
    .slice(0, Math.max(ends, 0))
    .split('\n\n')
    .filter((event) => event.startsWith('data: '));
  text = text.slice(ends + 2);
  for (const event of events) {
    const { since, policies } = JSON.parse(event.slice('data: '.length)) as PipelineMetrics;
    const [circuit] = policies.filter((policy) => policy.kind === 'circuit_breaker');
    console.log(since?.calls, since?.outcomes.fallback, since?.rejections.circuit_open, circuit?.state);
    if (since !== null) shutdown.abort();
    else for (let call = 0; call < 5; call++) await prices.execute(() => Promise.reject(new Error('out of order')));
  }
}
server.close();
