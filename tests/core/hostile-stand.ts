import {
  bulkhead,
  type CircuitBreakerOptions,
  circuitBreaker,
  type ExecuteOptions,
  type Pipeline,
  type PipelineOptions,
  pipeline,
  type RetryOptions,
  retry,
  type Stackable,
  timeout,
} from 'seaworthy';
import { expect, vi } from 'vitest';
import { warn } from '../../src/ports/report.ts';
import { virtualClock } from '../../src/testing/virtual-clock.ts';
import { type Seen, turn, unhandled, watch } from './spy.ts';

/** What an operator would have seen of each fault. */
export const boom = new Error('boom');
/** How the function fails where it has to. */
export const down = new Error('down');
/** Why the caller gives up. */
export const enough = new Error('enough');

/** Code of a user's, wherever it stands. */
export type Hostile = (...args: any[]) => any;

/** What hostile code is given in hand. */
export interface At {
  readonly clock: ReturnType<typeof virtualClock>;
  readonly caller: AbortController;
  /** Calls the pipeline it stands in once more, while it is called. */
  reenter(): void;
}

/** One place where user code runs. */
export interface Place {
  /** A right answer of it. */
  readonly sane: (...args: any[]) => unknown;
  /** The call comes to this when it answers that. */
  readonly well: unknown;
  /** The word a fault of it is reported with. */
  readonly fault?: string | undefined;
  /** What answers, beside what is right, it may give without a fault. */
  readonly harmless?: (answer: unknown) => boolean;
  /** The code the call is turned away with for an answer. */
  readonly refusedFor?: (answer: unknown) => string | undefined;
  plan(hostile: Hostile, at: At): Plan;
}

/** How to bring a call to the hostile code. */
export interface Plan {
  readonly retry?: RetryOptions;
  readonly breaker?: CircuitBreakerOptions;
  /** Outside and inside of the others. */
  readonly outer?: readonly Stackable[];
  readonly inner?: readonly Stackable[];
  readonly options?: PipelineOptions<any>;
  readonly call?: ExecuteOptions;
  readonly fn: (call: any) => unknown;
  /** Instead of `execute`. */
  readonly run?: (pipe: Pipeline<any>) => Promise<unknown>;
  readonly listener?: Hostile;
}

/** What came of one call. */
export interface Came {
  readonly seen: Seen;
  /** The warnings of the process, each with its cause. */
  readonly warnings: { readonly message: string; readonly cause: unknown }[];
}

let cells = 0;

/**
 * Runs one call through all policies, with a circuit that has one place for a probe and a bulkhead of two, until nothing
 * moves any more; a call that hangs is then given up by its caller. Nothing may be left of it, and the next call finds
 * every slot and the probe's place free.
 */
export async function cell(
  build: (at: At) => Plan,
  { halfOpen = false, heard = false } = {},
): Promise<Came & { readonly pending: boolean; readonly spans: string[] }> {
  const name = `cell-${++cells}`;
  const clock = virtualClock();
  const caller = new AbortController();
  const warnings = listen();
  const spans: string[] = [];
  let pipe!: Pipeline<any>;
  let entered = 0;
  const at: At = {
    clock,
    caller,
    reenter() {
      if (++entered === 1) watch(pipe.execute(() => 'inside'));
    },
  };
  const plan = build(at);
  const slots = bulkhead({ limit: 2, queue: 2, name: `${name}-slots` });
  const circuit = circuitBreaker({
    ...(plan.breaker?.breaker === undefined && { consecutiveFailures: 1 }),
    breakMs: 0,
    halfOpenCalls: 1,
    halfOpenMs: 1e9,
    ...(halfOpen && { initialState: { version: 1, state: 'half_open', openForMs: 0, remainingMs: 0, openings: 1 } }),
    name: `${name}-circuit`,
    ...plan.breaker,
  });
  pipe = pipeline(
    name,
    [
      ...(plan.outer ?? []),
      timeout(10_000),
      retry({ maxRetries: 1, backoff: 5, budget: false, ...plan.retry }),
      circuit,
      slots,
      timeout(100),
      ...(plan.inner ?? []),
    ],
    { telemetry: false, clock, random: () => 0.5, ...plan.options },
  );
  if (heard) pipe.subscribe((event) => event.type.endsWith('_end') && spans.push(event.type));
  if (plan.listener !== undefined) pipe.subscribe(plan.listener);
  let seen!: Seen;
  let pending = false;
  const lost = await unhandled(async () => {
    const { run = () => pipe.execute(plan.fn, { signal: caller.signal, ...plan.call }) } = plan;
    const promise = run(pipe);
    expect(promise).toBeInstanceOf(Promise);
    seen = watch(promise);
    await clock.advance(20_000);
    pending = seen.state === 'pending';
    if (pending) caller.abort(enough);
    // As long as a bulkhead keeps a slot for work that goes on.
    await clock.advance(60_000);
    await turn();
  });
  expect(lost).toEqual([]);
  expect(seen.times).toBe(1);
  const { active, calls, outcomes } = pipe.snapshot();
  expect(active).toBe(0);
  expect(Object.values(outcomes).reduce((sum, count) => sum + count)).toBe(calls);
  expect(slots).toMatchObject({ active: 0, queued: 0, held: 0 });
  expect(clock.pending).toBe(0);
  const told = warnings.splice(0);
  // What failed once more here was told already.
  await clock.advance(10_000);
  expect(await pipeline(`${name}-after`, [circuit, slots], { telemetry: false, clock }).execute(() => 'free')).toBe(
    'free',
  );
  pipe.dispose();
  return { seen, warnings: told, pending, spans };
}

let stuffed = 0;

/** The process's warnings from now on; each is told once in a process, so those of earlier cells are forgotten. */
function listen(): Came['warnings'] {
  const told: Came['warnings'] = [];
  const emit = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  for (let i = 0; i < 256; i++) warn(`stuffing ${stuffed++}`);
  emit.mockImplementation(((warning: Error) => told.push({ message: warning.message, cause: warning.cause })) as never);
  return told;
}
