import * as cockatiel from 'cockatiel';
import { Bulkhead, Circuit } from 'mollitia';
import pLimit from 'p-limit';
import { bulkhead, pipeline } from 'seaworthy';
import type { Made, Work } from '../peers/peer.ts';
import type { Curve } from './curve.ts';
import { crowd } from './in-flight.ts';

/** How many run at a time; all others of a burst wait. */
const slots = 10;
const unlimited = Number.POSITIVE_INFINITY;

const queues: Readonly<Record<string, (work: Work) => Made>> = {
  ours({ fn }) {
    const pipe = pipeline('queue', [bulkhead({ limit: slots, queue: unlimited, maxWaitMs: 100_000 })], {
      telemetry: false,
    });
    return () => pipe.execute(fn);
  },
  'p-limit'({ fn }) {
    const limit = pLimit(slots);
    return () => limit(fn);
  },
  cockatiel({ fn }) {
    const policy = cockatiel.bulkhead(slots, unlimited);
    return () => policy.execute(fn);
  },
  async effect({ fn }) {
    // So large that no other process should load it.
    const { Effect, Semaphore } = await import('effect');
    const semaphore = Semaphore.makeUnsafe(slots);
    const program = semaphore.withPermit(Effect.promise(fn as () => Promise<unknown>));
    return () => Effect.runPromise(program);
  },
  mollitia({ fn }) {
    const modules = [new Bulkhead({ concurrentSize: slots, queueSize: unlimited })];
    const circuit = new Circuit({ func: fn as () => Promise<unknown>, options: { modules } });
    return () => circuit.execute();
  },
};

export const queue: Curve = {
  x: 'calls that come at once to a bulkhead of 10',
  points: [100, 1_000, 10_000, 100_000],
  checked: 100,
  series: Object.fromEntries(Object.entries(queues).map(([name, make]) => [name, () => crowd(make)])),
};
