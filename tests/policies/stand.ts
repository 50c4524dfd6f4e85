import {
  type Pipeline,
  type PipelineEvent,
  type PipelineOptions,
  pipeline,
  type Stackable,
  type TelemetryOptions,
} from 'seaworthy';
import { seededRandom } from '../../src/testing/seeded-random.ts';
import { virtualClock } from '../../src/testing/virtual-clock.ts';

/** A pipeline on a virtual clock, with everything it says. */
export function stand<const P extends readonly Stackable[]>(
  policies: P,
  options: PipelineOptions<TelemetryOptions> = {},
) {
  const clock = virtualClock();
  const pipe = pipeline('shop', policies, { telemetry: false, clock, random: seededRandom(1), ...options });
  const events: PipelineEvent[] = [];
  pipe.subscribe((event) => events.push(event));
  return {
    clock,
    pipe,
    events,
    /** The events of these types, without what tells calls apart. */
    told: (...types: PipelineEvent['type'][]) => events.filter(({ type }) => types.includes(type)),
  };
}

/** What a promise has come to so far; looking at it also keeps its rejection from being unhandled. */
export function watch<T>(promise: Promise<T>) {
  const seen: { state: 'pending' | 'value' | 'error'; value?: T; error?: any } = { state: 'pending' };
  promise.then(
    (value) => Object.assign(seen, { state: 'value', value }),
    (error) => Object.assign(seen, { state: 'error', error }),
  );
  return seen;
}

/** A promise with its ends in hand. */
export function deferred<T = unknown>() {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** One macrotask: "at once" means by then. */
export const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** A function that never answers, whatever its signal says. */
export const deaf = () => new Promise<never>(() => {});

/** A function that answers its signal as fetch does: with an AbortError of its own. */
export const likeFetch = ({ signal }: { signal: AbortSignal }) =>
  new Promise<never>((_, reject) => {
    const abort = () => reject(new DOMException('This operation was aborted', 'AbortError'));
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort);
  });

/** What a function throws. */
export function thrownBy(make: () => unknown): any {
  try {
    make();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}

/** The policies' part of a snapshot. */
export const stateOf = (pipe: Pipeline<any>, index = 0): any => pipe.snapshot().policies[index];
