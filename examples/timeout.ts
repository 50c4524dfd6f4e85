// A timeout ends what is inside it; where it stands says what that is.
import { isTimeoutError, pipeline, timeout } from 'seaworthy';

const slow = pipeline('slow', [timeout(20)]);

// The function is told by its signal, whose reason is the error the caller gets.
let reason: unknown;
const { error } = await slow.tryExecute(({ signal }) => {
  signal.addEventListener('abort', () => {
    reason = signal.reason;
  });
  return new Promise(() => {});
});
console.log(String(error)); // TimeoutError: timed out after 20 ms
console.log(isTimeoutError(error), reason === error); // true true

// A length of its own for each call: here from the partition the call is in.
const byTenant = pipeline('by-tenant', [timeout({ ms: ({ key }) => (key === 'batch' ? 2_000 : 20) })]);
const work = () => new Promise((resolve) => setTimeout(resolve, 300, 'done'));
console.log(await byTenant.execute(work, { key: 'batch' })); // done
console.log((await byTenant.tryExecute(work, { key: 'web' })).status); // failure

// 'cooperative' waits until the function has ended, for work that must not go on unseen.
const polite = pipeline('polite', [timeout({ ms: 20, mode: 'cooperative' })]);
let cleanedUp = false;
await polite.tryExecute(
  ({ signal }) =>
    new Promise((_, reject) => {
      signal.addEventListener('abort', () =>
        setTimeout(() => {
          cleanedUp = true;
          reject(signal.reason);
        }, 10),
      );
    }),
);
console.log('cleaned up:', cleanedUp); // cleaned up: true
