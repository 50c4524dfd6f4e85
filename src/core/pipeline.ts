import type { Event, IFailureEvent, ISuccessEvent } from 'cockatiel';
import { unawaited } from '../algorithms/unawaited.ts';
import type { PipelineSnapshot } from '../telemetry/snapshot.ts';
import { bypass } from './bypass.ts';
import type { Fn } from './call.ts';
import { define } from './define.ts';
import { drain, type DrainOptions } from './drain.ts';
import { type ExecuteOptions, readOptions } from './execute-options.ts';
import { handle, type Handle } from './handle.ts';
import { show } from './options.ts';
import type { Outcome } from './outcome.ts';
import type { PipelineCore } from './pipeline-core.ts';
import type { Defaults, PipelineEvent, PipelineOptions, Stackable } from './pipeline-types.ts';

export type { AltOf, PipelineEvent, PipelineOptions, Stackable } from './pipeline-types.ts';
import { remember } from './registry.ts';
import { run } from './run.ts';
import { announceBypass, onFailure, onSuccess, subscribe } from './subscription.ts';
import type { CallContext } from './work.ts';

/** Calls on their way through policies. Made with `pipeline(name, policies)`. */
export class Pipeline<Alt = never> implements Disposable, AsyncDisposable {
  declare readonly _alt?: readonly [Alt];
  /** Type only, as cockatiel has it. */
  declare readonly _altReturn: Alt;
  readonly #core: PipelineCore;

  /** Use `pipeline()`. */
  constructor(name: string, policies: readonly Stackable[], options: PipelineOptions<any>, defaults: Defaults<any>) {
    const core = define(name, policies, options, defaults, this, Pipeline.coreOf);
    this.#core = core;
    remember(this);
  }

  /** What an operator reads. */
  get name(): string {
    return this.#core.name;
  }

  /**
   * Runs `fn(call)` behind the policies. Never throws synchronously. Rejects with the function's own error, with the
   * caller's `signal.reason`, or with a {@link ResilienceError} of a policy.
   */
  execute<R>(fn: (call: CallContext) => R, options?: AbortSignal | ExecuteOptions): Promise<Awaited<R> | Alt> {
    return run(this.#core, fn, options, false) as Promise<Awaited<R> | Alt>;
  }

  /** The same, answering with the outcome instead of throwing: cheaper where rejections are common. */
  tryExecute<R>(
    fn: (call: CallContext) => R,
    options?: AbortSignal | ExecuteOptions,
  ): Promise<Outcome<Awaited<R> | Alt>> {
    return run(this.#core, fn, options, true) as Promise<Outcome<Awaited<R> | Alt>>;
  }

  /** `fn` behind the policies: the same parameters and `this`, the same result or what a policy answers in its place. */
  wrap<This, A extends unknown[], R>(
    fn: (this: This, ...args: A) => R,
    options?: ExecuteOptions | ((...args: A) => ExecuteOptions),
  ): (this: This, ...args: A) => Promise<Awaited<R> | Alt> {
    const pipeline = this;
    checkWrap(this.name, fn, options);
    return function (this: This, ...args: A) {
      return pipeline.#wrapped(() => fn.apply(this, args), options, args) as Promise<Awaited<R> | Alt>;
    };
  }

  /** The same for a function that wants the call: it comes first. */
  wrapWithCall<This, A extends unknown[], R>(
    fn: (this: This, call: CallContext, ...args: A) => R,
    options?: ExecuteOptions | ((...args: A) => ExecuteOptions),
  ): (this: This, ...args: A) => Promise<Awaited<R> | Alt> {
    const pipeline = this;
    checkWrap(this.name, fn, options);
    return function (this: This, ...args: A) {
      return pipeline.#wrapped((call) => fn.call(this, call, ...args), options, args) as Promise<Awaited<R> | Alt>;
    };
  }

  #wrapped<A extends unknown[]>(
    fn: Fn,
    options: ExecuteOptions | ((...args: A) => ExecuteOptions) | undefined,
    args: A,
  ): Promise<unknown> {
    try {
      const given = typeof options === 'function' ? options(...args) : options;
      unawaited(given);
      return run(this.#core, fn, given, false);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Tells `listener` everything that happens from now on; of calls that run already only where somebody listened when they
   * began. What it throws is reported and changes nothing.
   */
  subscribe(listener: (event: PipelineEvent) => void): Handle {
    return subscribe(this.#core, listener);
  }

  /** cockatiel's event: an execution has ended well. */
  readonly onSuccess: Event<ISuccessEvent> = (listener) => onSuccess(this.#core, listener);

  /** cockatiel's event: an execution has failed. */
  readonly onFailure: Event<IFailureEvent> = (listener) => onFailure(this.#core, listener);

  /**
   * Counts since creation and states now, as plain JSON. From the first one on, latency percentiles are kept, until
   * nobody has looked for ten minutes.
   */
  snapshot(): PipelineSnapshot {
    const snapshot = this.#core.snapshot();
    this.#core.time();
    return snapshot;
  }

  /** Lets new calls go past the policy of that name until disposed. Throws a `TypeError` when there is none. */
  bypass(policyName: string): Handle {
    const core = this.#core;
    const labels = core.parts
      .map((part) => ('nested' in part ? undefined : part.label))
      .filter((label) => label !== undefined);
    const label = labels.find((label) => label === policyName || label === `${core.name}/${policyName}`);
    if (label === undefined)
      throw new TypeError(
        `Cannot bypass "${policyName}": pipeline "${core.name}" has ${labels.length === 0 ? 'no policies' : labels.join(', ')}`,
      );
    const release = bypass(core, label);
    announceBypass(core, label, true);
    return handle(() => {
      release();
      announceBypass(core, label, false);
    });
  }

  /** Takes no new calls and lets go of telemetry; calls that run finish. */
  dispose(): void {
    this.#core.disposed = true;
    this.#core.release();
  }

  /**
   * Takes no new calls and resolves when the last one has ended. Calls that wait in a queue are rejected at once with a
   * {@link DrainingError}, and what still runs after `timeoutMs` milliseconds is ended with one; telemetry is let go then.
   * Rejects with a `TypeError` or `RangeError` for bad options.
   */
  drain(options: DrainOptions = {}): Promise<void> {
    return drain(this.#core, options);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Drains it, without a limit. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.drain();
  }

  /** The core behind `value` when that is a pipeline of this copy of the package. */
  static coreOf(value: unknown): PipelineCore | undefined {
    return typeof value === 'object' && value !== null && #core in value ? value.#core : undefined;
  }
}

/** What is wrong with a wrapped function is said where it is wrapped, not at its first call. */
function checkWrap(pipeline: string, fn: unknown, options: unknown): void {
  if (typeof fn !== 'function')
    throw new TypeError(`Cannot wrap with "${pipeline}": the first argument must be a function, received ${show(fn)}`);
  if (typeof options !== 'function') readOptions(`wrap with "${pipeline}"`, options as ExecuteOptions | undefined);
}
