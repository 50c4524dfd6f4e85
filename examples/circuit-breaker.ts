// A circuit breaker stops calling what keeps failing, and looks again after a break.
import { circuitBreaker, isRejectedError, pipeline } from 'seaworthy';

const breaker = circuitBreaker({ failureRatio: 0.5, minimumCalls: 4, breakMs: 500, halfOpenCalls: 1 });
const stock = pipeline('stock', [breaker]);
stock.subscribe((event) => {
  if (event.type === 'circuit_state') console.log(`${event.previous} -> ${event.state}`);
});

const down = () => Promise.reject(new Error('out of order'));
for (let call = 0; call < 4; call++) await stock.tryExecute(down); // closed -> open
console.log(breaker.state); // open

// Turned away without a call; the failure that opened it is the cause.
const { error } = await stock.tryExecute(() => 'never called');
console.log(isRejectedError(error), String((error as Error).cause)); // true Error: out of order

await new Promise((resolve) => setTimeout(resolve, 550));
console.log(breaker.state); // half_open
await stock.execute(() => 'a probe'); // open -> half_open, half_open -> closed
console.log(breaker.state); // closed

// By hand: maintenance on the other side.
const hold = breaker.isolate(); // closed -> isolated
console.log(breaker.state, (await stock.tryExecute(() => 1)).status); // isolated failure
hold.dispose();
console.log(breaker.state); // closed

// One circuit per key: a host, a tenant.
for (let call = 0; call < 4; call++) await stock.tryExecute(down, { key: 'eu' });
console.log(breaker.forKey('eu').state, breaker.forKey('us').state); // open closed
