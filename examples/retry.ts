// A retry runs what is inside it again, with a pause in between and within a budget.
import { pipeline, retry, retryBudget } from 'seaworthy';

// Two pipelines that share what retries may cost together.
const budget = retryBudget({ capacity: 3, minPerSecond: 0 });
const users = pipeline('users', [retry({ maxRetries: 2, backoff: 5, budget })]);
const orders = pipeline('orders', [retry({ maxRetries: 2, backoff: 5, budget })]);

users.subscribe((event) => {
  if (event.type === 'retry') console.log(`attempt ${event.attempt} failed, again in ${event.delayMs} ms`);
});
const value = await users.execute(({ attempt }) => {
  if (attempt < 3) throw new Error('connection reset');
  return `found in attempt ${attempt}`;
});
console.log(value); // found in attempt 3

// One token is left, and the success above has put a tenth of one back: a single retry.
let attempts = 0;
const { error } = await orders.tryExecute(() => {
  attempts++;
  throw new Error('still down');
});
console.log(attempts, String(error)); // 2 Error: still down

// Only what may pass by itself; a result can be a failure, too, and the last one is returned, not thrown.
const strict = pipeline('strict', [
  retry({
    backoff: 0,
    when: { error: (error) => error instanceof TypeError, result: (status: number) => status === 503 },
  }),
]);
console.log(await strict.execute(() => 503)); // 503
console.log(strict.snapshot().attempts); // 3
