// A bulkhead admits so many calls at a time and lets so many wait; the rest hear so at once.
import { BulkheadFullError, bulkhead, pipeline } from 'seaworthy';

const seats = bulkhead({ limit: 2, queue: 1, maxWaitMs: 500 });
const reports = pipeline('reports', [seats]);

const work = () => new Promise<string>((resolve) => setTimeout(resolve, 20, 'done'));
const calls = [1, 2, 3, 4].map(() => reports.tryExecute(work));
console.log(seats.active, 'active,', seats.queued, 'waiting'); // 2 active, 1 waiting

for (const { status, error } of await Promise.all(calls)) {
  console.log(status, error instanceof BulkheadFullError ? error.code : '');
}

// An abandoned call keeps its slot until its work has really ended: the other side is still busy with it.
const caller = new AbortController();
const abandoned = reports.tryExecute(work, caller.signal);
caller.abort();
await abandoned;
console.log(seats.active, seats.held); // 1 1
await new Promise((resolve) => setTimeout(resolve, 40));
console.log(seats.active, seats.held); // 0 0
