import { Effect, Option, Schedule, Scope, Semaphore } from 'effect';
import { CircuitBreaker } from 'effect/persistence';
import {
  type Call,
  endless,
  error,
  forEverMs,
  limitOf,
  longMs,
  never,
  type Peer,
  spent,
  type Work,
  works,
} from './peer.ts';

type Program<A = unknown> = Effect.Effect<A, unknown>;

const programOf = ({ kind, fn }: Work): Program =>
  kind === 'sync' ? Effect.try({ try: fn, catch: (thrown) => thrown }) : tried(fn as () => Promise<unknown>);

/** Effect makes a signal only for a function that takes one. */
const tried = (fn: (() => Promise<unknown>) | ((signal: AbortSignal) => Promise<unknown>)): Program =>
  Effect.tryPromise({ try: fn, catch: (thrown) => thrown });

const run =
  (program: Program): Call =>
  () =>
    Effect.runPromise(program);

const fallback = (program: Program): Program => Effect.orElseSucceed(program, () => 0);

const retry =
  ({ kind }: Work) =>
  (program: Program): Program =>
    Effect.retry(program, {
      times: 2,
      schedule: Schedule.exponential('100 millis'),
      ...(kind === 'rejecting' && { while: never }),
    });

/** Its cheapest rule; with as many failures as will never come it never opens. */
async function breaker(failures = Number.MAX_SAFE_INTEGER) {
  const made = CircuitBreaker.make({ tripPolicy: CircuitBreaker.consecutive(failures), openDuration: forEverMs });
  const guard = await Effect.runPromise(
    made.pipe(
      Effect.provideService(Scope.Scope, Scope.makeUnsafe()),
      Effect.provide(CircuitBreaker.layerStoreMemory()),
    ),
  );
  return (program: Program): Program => guard.execute(program, { key: 'one' });
}

const noPermit = new Error('no permit is left');
const bulkhead = (work: Work) => Semaphore.makeUnsafe(limitOf(work)).withPermit;
const timeout = (program: Program): Program => Effect.timeout(program, longMs);

const five = async (work: Work, program = programOf(work)): Promise<Program> =>
  fallback(retry(work)((await breaker())(bulkhead(work)(timeout(program)))));

export const peer: Peer = {
  fallback: (work) => run(fallback(programOf(work))),
  retry: (work) => run(retry(work)(programOf(work))),
  'circuit breaker': async (work) => run((await breaker())(programOf(work))),
  bulkhead: (work) => run(bulkhead(work)(programOf(work))),
  timeout: (work) => run(timeout(programOf(work))),
  five: async (work) => run(await five(work)),
  async reading() {
    const read = async (signal: AbortSignal) => (signal.aborted ? 0 : 1);
    return run(await five(works.async, tried(read)));
  },
  async cancellable(work, signal) {
    const program = await five(work);
    return () => Effect.runPromise(program, { signal: signal() });
  },
  async open() {
    const guarded = await breaker(1);
    await Effect.runPromise(guarded(Effect.fail(error))).catch(() => {});
    return run(guarded(programOf(works.async)));
  },
  /** Its semaphore has no queue that could be full; where no permit is left it can only say so. */
  full() {
    const semaphore = Semaphore.makeUnsafe(1);
    spent(run(semaphore.withPermit(tried(endless))));
    const program = semaphore.withPermitsIfAvailable(1)(programOf(works.async));
    return run(
      Effect.flatMap(program, (given) => (Option.isNone(given) ? Effect.fail(noPermit) : Effect.succeed(given.value))),
    );
  },
  retried: (work) => run(Effect.retry(programOf(work), { times: 1 })),
  timedOut: (ms) => run(Effect.timeout(tried(endless), ms)),
};
