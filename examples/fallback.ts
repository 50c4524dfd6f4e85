// A fallback answers in place of a call that failed, was turned away or ran out of time.
import { fallback, isRejectedError, pipeline, timeout } from 'seaworthy';

interface Item {
  readonly name: string;
}

const items = pipeline('items', [
  fallback({ to: () => [] as Item[], when: (error) => error instanceof Error }),
  timeout(20),
]);

// The type is the union of both: Item[].
const found = await items.execute(async () => [{ name: 'anchor' }]);
console.log(found.length); // 1
console.log((await items.execute(() => new Promise<Item[]>(() => {}))).length); // 0

// It gets what happened; `when` leaves the rest alone.
const picky = pipeline('picky', [
  fallback({
    to: ({ error }) => `instead of: ${(error as Error).message}`,
    when: (error) => !(error instanceof RangeError) && !isRejectedError(error),
  }),
]);
console.log(await picky.execute(() => Promise.reject(new Error('out of order')))); // instead of: out of order
console.log(String((await picky.tryExecute(() => Promise.reject(new RangeError('too far')))).error)); // RangeError: too far

// Not for the caller's own abort: nobody waits for an answer.
const { status, error } = await picky.tryExecute(() => 1, AbortSignal.abort('not needed'));
console.log(status, error); // failure not needed
