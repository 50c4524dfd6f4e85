import type * as Library from 'seaworthy';

type Seaworthy = Pick<typeof Library, 'bulkhead' | 'circuitBreaker' | 'fallback' | 'pipeline' | 'retry' | 'timeout'>;

/** Sets a case up; what it answers makes one call, which is awaited. */
type Case = (library: Seaworthy) => (() => unknown) | Promise<() => unknown>;

const noop = async () => 1;
const noopSync = () => 1;
const codeOf = (error: { code?: unknown }) => error.code;
/** So long that a program fifty times slower does not get there. */
const never = 3_600_000;

/** A call through five policies. */
const five =
  (call: (pipe: Library.Pipeline<number>) => () => unknown, telemetry = false) =>
  ({ bulkhead, circuitBreaker, fallback, pipeline, retry, timeout }: Seaworthy) =>
    call(
      pipeline(
        'five',
        [fallback({ to: { value: 0 } }), retry(), circuitBreaker(), bulkhead({ limit: 10 }), timeout(never)],
        { telemetry },
      ),
    );

/** A pipeline whose circuit is open for as long as anybody counts. */
async function opened({ bulkhead, circuitBreaker, pipeline, retry, timeout }: Seaworthy) {
  const circuit = circuitBreaker({ consecutiveFailures: 1, breakMs: never });
  const pipe = pipeline('open', [retry(), circuit, bulkhead({ limit: 10 }), timeout(never)], { telemetry: false });
  await pipe.execute(() => Promise.reject(new Error('down')), { idempotent: false }).catch(() => {});
  if (circuit.state !== 'open') throw new Error('The circuit of the case did not open');
  return pipe;
}

/** What is counted, by name. `bare await` is the floor of them all. */
export const cases: Readonly<Record<string, Case>> = {
  'bare await': () => noop,
  'no policy': ({ pipeline }) => {
    const pipe = pipeline('none', [], { telemetry: false });
    return () => pipe.execute(noop);
  },
  'timeout alone': ({ pipeline, timeout }) => {
    const pipe = pipeline('timeout', [timeout(never)], { telemetry: false });
    return () => pipe.execute(noop);
  },
  'five, telemetry off': five((pipe) => () => pipe.execute(noop)),
  'five, no SDK': five((pipe) => () => pipe.execute(noop), true),
  // A real service has more than one pipeline, and then V8 can take less for granted.
  'five, beside other shapes': (library) => {
    const { bulkhead, circuitBreaker, fallback, pipeline, retry, timeout } = library;
    const telemetry = false;
    const others = [
      pipeline('other-1', [timeout(never)], { telemetry }),
      pipeline('other-2', [retry(), timeout(never), circuitBreaker()], { telemetry }),
      pipeline('other-3', [circuitBreaker(), retry(), fallback({ to: { value: 1 } })], { telemetry }),
      pipeline('other-4', [timeout(never), bulkhead({ limit: 5 })], { telemetry }),
    ];
    let warm = 10_000;
    return five((pipe) => () => (warm > 0 ? others[--warm % others.length]! : pipe).execute(noop))(library);
  },
  'synchronous function': five((pipe) => () => pipe.execute(noopSync)),
  'fn reads signal': five((pipe) => () => pipe.execute(async (call) => (call.signal.aborted ? 0 : 1))),
  'one shared caller signal': five((pipe) => {
    const { signal } = new AbortController();
    return () => pipe.execute(noop, signal);
  }),
  'a caller signal per call': five((pipe) => () => pipe.execute(noop, new AbortController().signal)),
  'circuit open': async (library) => {
    const pipe = await opened(library);
    return () => pipe.execute(noop).catch(codeOf);
  },
  'circuit open, tryExecute': async (library) => {
    const pipe = await opened(library);
    return () => pipe.tryExecute(noop);
  },
  'retried once': ({ bulkhead, circuitBreaker, fallback, pipeline, retry, timeout }) => {
    const pipe = pipeline(
      'retried',
      [
        fallback({ to: { value: 0 } }),
        retry({ backoff: 0, budget: false }),
        circuitBreaker({ failureRatio: 1 }),
        bulkhead({ limit: 10 }),
        timeout(never),
      ],
      { telemetry: false },
    );
    const down = new Error('down');
    let fails = false;
    const everyOther = () => {
      fails = !fails;
      return fails ? Promise.reject(down) : Promise.resolve(1);
    };
    return () => pipe.execute(everyOther);
  },
  // Two calls: the first has the only slot, the second waits for it.
  'queued, then run': ({ bulkhead, circuitBreaker, fallback, pipeline, retry, timeout }) => {
    const queue = bulkhead({ limit: 1, queue: 1, maxWaitMs: never });
    const pipe = pipeline(
      'queued',
      [fallback({ to: { value: 0 } }), retry(), circuitBreaker(), queue, timeout(never)],
      { telemetry: false },
    );
    return () => {
      const first = pipe.execute(noop);
      const second = pipe.execute(noop);
      if (queue.queued !== 1) throw new Error(`${queue.queued} calls wait in the queue instead of one`);
      return first.then(() => second);
    };
  },
};
