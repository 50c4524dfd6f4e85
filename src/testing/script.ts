import { type Clock, systemClock } from '../ports/clock.ts';

/**
 * What a scripted function does when it is called:
 * - `'ok'`: resolves with `'ok'`; `'fail'`: rejects with a {@link ScriptedError}
 * - `'hang'`: does not answer; once the call's signal is aborted it rejects with the signal's reason
 * - `{ value }`, `{ error }`: resolves or rejects with just that
 * - `{ delayMs, then }`: waits so many milliseconds, then does `then`; an abort ends the wait as it ends `'hang'`, unless
 *   `ignoreAbort` is set, which plays a server whose answer comes late
 * - a function: is called with the same arguments, and its result (or what it throws) is the answer
 */
export type ScriptStep<T = unknown> =
  | 'ok'
  | 'fail'
  | 'hang'
  | { readonly value: T }
  | { readonly error: unknown }
  | { readonly delayMs: number; readonly then: ScriptStep<T>; readonly ignoreAbort?: boolean }
  // biome-ignore lint/suspicious/noExplicitAny: the author of a step says what it takes
  | ((context: any, ...args: any[]) => T | PromiseLike<T>);

/** The value a step can resolve with. */
export type ScriptValue<S> = S extends 'ok'
  ? 'ok'
  : S extends (...args: never[]) => infer R
    ? Awaited<R>
    : S extends { readonly value: infer V }
      ? V
      : S extends { readonly then: infer N }
        ? ScriptValue<N>
        : never;

/** One call that a script has answered or is answering. */
export interface ScriptedCall {
  /** Which call it was, from 1. */
  readonly number: number;
  /** When it came, in milliseconds of the script's clock. */
  readonly at: number;
  /** What the function was called with; a pipeline's call context is the first. */
  readonly args: readonly unknown[];
  /** The call context's `attempt`, if there was one. */
  readonly attempt: number | undefined;
}

/** A function that plays a server, and remembers who called. */
export interface Script<T> {
  (...args: unknown[]): Promise<T>;
  /** All calls so far, first one first. */
  readonly calls: readonly ScriptedCall[];
}

/** What `'fail'` rejects with. */
export class ScriptedError extends Error {
  /** The number of the call that failed, from 1. */
  readonly call: number;

  constructor(call: number) {
    super(`call ${call} was scripted to fail`);
    this.name = 'ScriptedError';
    this.call = call;
  }
}

/**
 * A function that plays a server: the first call meets the first step, the second the second, and the last step answers
 * all further calls. Delays are waited on the system's clock; `script.with(clock, ...steps)` takes another.
 *
 * ```ts
 * const server = script('fail', 'fail', { value: 42 });
 * await pipeline('answers', [retry()]).execute(server);      // 42
 * server.calls.map((call) => call.attempt);                  // [1, 2, 3]
 *
 * const slow = script.with(clock, { delayMs: 500, then: 'ok' }, 'hang');
 * ```
 */
export function script<S extends [ScriptStep, ...ScriptStep[]]>(...steps: S): Script<ScriptValue<S[number]>> {
  return play(systemClock, steps);
}

/** The same on a clock of your choice, such as `virtualClock()`. */
script.with = function scriptWith<S extends [ScriptStep, ...ScriptStep[]]>(
  clock: Clock,
  ...steps: S
): Script<ScriptValue<S[number]>> {
  return play(clock, steps);
};

function play<T>(clock: Clock, steps: readonly ScriptStep[]): Script<T> {
  if (steps.length === 0) throw new TypeError('Cannot create script: it needs at least one step');
  const calls: ScriptedCall[] = [];
  const answer = async (...args: unknown[]): Promise<T> => {
    const number = calls.length + 1;
    const attempt = (args[0] as { attempt?: unknown } | undefined | null)?.attempt;
    calls.push({ number, at: clock.now(), args, attempt: typeof attempt === 'number' ? attempt : undefined });
    const step = steps[Math.min(number, steps.length) - 1]!;
    return perform(step, number, args, clock) as Promise<T>;
  };
  return Object.assign(answer, { calls });
}

async function perform(step: ScriptStep, number: number, args: unknown[], clock: Clock): Promise<unknown> {
  if (step === 'ok') return 'ok';
  if (step === 'fail') throw new ScriptedError(number);
  if (step === 'hang') return pause(Infinity, signalOf(args), clock);
  if (typeof step === 'function') return step(args[0], ...args.slice(1));
  if ('error' in step) throw step.error;
  if ('value' in step) return step.value;
  await pause(step.delayMs, step.ignoreAbort ? undefined : signalOf(args), clock);
  return perform(step.then, number, args, clock);
}

/** Read by the steps that wait only: a pipeline makes a signal for those who ask. */
function signalOf(args: unknown[]): AbortSignal | undefined {
  const signal = (args[0] as { signal?: AbortSignal } | undefined | null)?.signal;
  return typeof signal?.addEventListener === 'function' ? signal : undefined;
}

function pause(ms: number, signal: AbortSignal | undefined, clock: Clock): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const timer = clock.after(ms, () => {
      signal?.removeEventListener('abort', abort);
      resolve();
    });
    const abort = () => {
      timer.cancel();
      reject(signal!.reason);
    };
    signal?.addEventListener('abort', abort, { once: true });
  });
}
