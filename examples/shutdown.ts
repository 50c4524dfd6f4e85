// A service that is told to stop: it finishes what it has begun, and its circuit breaker goes on where it was after the restart.

import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

process.chdir(mkdtempSync(join(tmpdir(), 'shutdown-')));

// #region readme
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { bulkhead, circuitBreaker, pipeline, timeout } from 'seaworthy';

const file = 'breaker.json';
const initialState = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
const breaker = circuitBreaker({ initialState });
const orders = pipeline('orders', [breaker, bulkhead({ limit: 1, queue: 100 }), timeout(2_000)]);

process.once('SIGTERM', async () => {
  await orders.drain({ timeoutMs: 10_000 });
  writeFileSync(file, JSON.stringify(breaker));
});
// #endregion

let finish!: (value: string) => void;
const running = orders.tryExecute(() => new Promise<string>((resolve) => (finish = resolve)));
const waiting = orders.tryExecute(() => 'never called');
process.kill(process.pid, 'SIGTERM');

const { error } = await waiting;
console.log(String(error)); // DrainingError: pipeline is draining
finish('finished');
console.log((await running).value); // finished
await orders.drain();
console.log(JSON.parse(JSON.stringify(breaker)).state); // closed
