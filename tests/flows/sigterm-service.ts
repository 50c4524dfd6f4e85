import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
// By path, because this is run by Node itself.
import {
  bulkhead,
  type CircuitSnapshots,
  circuitBreaker,
  pipeline,
  ResilienceError,
  timeout,
} from '../../src/index.ts';

// A service as a user would write it: at SIGTERM it stops listening, drains its pipeline and keeps what its breaker knows.
const [upstream, file] = process.argv.slice(2) as [string, string];

const breaker = circuitBreaker({
  consecutiveFailures: 1,
  breakMs: 600_000,
  ...(existsSync(file) && { initialState: JSON.parse(readFileSync(file, 'utf8')) as CircuitSnapshots }),
});
const slots = bulkhead({ limit: 2, queue: 10, maxWaitMs: 60_000 });
const orders = pipeline('orders', [breaker, slots, timeout(60_000)]);

const server = createServer(async (request, response) => {
  const key = request.url!.slice(1);
  if (key === 'queued') return void response.end(`${slots.queued}`);
  try {
    const body = await orders.execute(
      async ({ signal }) => {
        const answer = await fetch(`${upstream}/${key}`, { signal });
        if (!answer.ok) throw new Error(`status ${answer.status}`);
        return answer.text();
      },
      { key },
    );
    response.end(body);
  } catch (error) {
    response.writeHead(503, { connection: 'close' }).end(error instanceof ResilienceError ? error.code : 'failed');
  }
});

process.once('SIGTERM', async () => {
  server.close();
  await orders.drain({ timeoutMs: 30_000 });
  writeFileSync(file, JSON.stringify(breaker));
  process.exitCode = 0;
  server.closeIdleConnections();
  process.disconnect();
});

server.listen(0, '127.0.0.1', () => process.send!((server.address() as AddressInfo).port));
