import type { Event, IFailureEvent, ISuccessEvent } from 'cockatiel';
import { systemClock } from '../ports/clock.ts';
import { systemRandom } from '../ports/random.ts';
import type { CallInfo, Observer } from '../telemetry/observer.ts';
import type { PipelineSnapshot, PolicyState } from '../telemetry/snapshot.ts';
import { bypass } from './bypass.ts';
import { Call, type Fn } from './call.ts';
import { Hub } from './cancellation.ts';
import { compose } from './compose.ts';
import { DrainingError, withoutStack } from './errors.ts';
import { type ExecuteOptions, noOptions, readOptions, type RunOptions } from './execute-options.ts';
import { Observers } from './observers.ts';
import { handle, type Handle } from './handle.ts';
import { check, flag, type Rule, shape, show } from './options.ts';
import { classifier, isClassify, type Outcome } from './outcome.ts';
import { partsOf } from './parts.ts';
import { PipelineCore } from './pipeline-core.ts';
import type { Defaults, PipelineEvent, PipelineOptions, Stackable } from './pipeline-types.ts';

export type { AltOf, PipelineEvent, PipelineOptions, Stackable } from './pipeline-types.ts';
import type { Host, Policy, Stage } from './policy.ts';
import { remember } from './registry.ts';
import type { CallContext } from './work.ts';

const rules: Readonly<Record<string, Rule>> = {
  classify: shape('a function or a cockatiel handler', isClassify),
  attributes: shape('an object', (value) => typeof value === 'object' && value !== null),
  telemetry: shape('true, false or an object', (value) => typeof value === 'boolean' || (typeof value === 'object' && value !== null)),
  observers: shape('an array of observers', Array.isArray),
  stackTraces: flag,
  clock: shape('a clock', (value) => typeof value?.now === 'function' && typeof value?.after === 'function'),
  random: shape('a function', (value) => typeof value === 'function'),
};

/** Keeps the first place, which is OpenTelemetry's in every pipeline. */
const SILENT: Observer = { interest: () => 0 };

/** Calls on their way through policies. Made with `pipeline(name, policies)`. */
export class Pipeline<Alt = never> implements Policy<Alt>, Disposable {
  readonly kind = 'pipeline';
  declare readonly _alt?: readonly [Alt];
  /** Type only, as cockatiel has it. */
  declare readonly _altReturn: Alt;
  readonly #core: PipelineCore;
  readonly #blank: readonly undefined[];

  /** Use `pipeline()`. */
  constructor(name: string, policies: readonly Stackable[], options: PipelineOptions<any>, defaults: Defaults<any>) {
    if (typeof name !== 'string' || !/^[\w./-]{1,64}$/.test(name))
      throw new TypeError(`Cannot create pipeline: the name must be 1-64 characters of letters, digits, ".", "_", "-", "/", received ${show(name)}`);
    if (!Array.isArray(policies)) throw new TypeError(`Cannot create pipeline "${name}": policies must be an array, received ${show(policies)}`);
    check(`pipeline "${name}"`, options, rules);
    const { classify, attributes, telemetry = true, observers = [], stackTraces = false, clock = systemClock, random = systemRandom } = options;
    const core = new PipelineCore({
      name,
      parts: partsOf(name, policies, defaults, Pipeline.coreOf),
      classify: classifier(classify),
      attributes,
      clock,
      random,
      stackTraces,
    });
    core.stages = compose(core, () => {
      const otel = telemetry === false ? SILENT : defaults.observer(telemetry === true ? undefined : telemetry)(core, this);
      core.observers = new Observers(name, [otel, ...observers]);
    });
    const last = core.stages.at(-1)!;
    this.#core = core;
    this.#blank = Array.from({ length: last.slot + last.slots });
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
    return this.#run(fn, options, false) as Promise<Awaited<R> | Alt>;
  }

  /** The same, answering with the outcome instead of throwing: cheaper where rejections are common. */
  tryExecute<R>(fn: (call: CallContext) => R, options?: AbortSignal | ExecuteOptions): Promise<Outcome<Awaited<R> | Alt>> {
    return this.#run(fn, options, true) as Promise<Outcome<Awaited<R> | Alt>>;
  }

  #run(fn: Fn, given: AbortSignal | ExecuteOptions | undefined, asOutcome: boolean): Promise<unknown> {
    const core = this.#core;
    let options = noOptions;
    try {
      if (typeof fn !== 'function') throw new TypeError(`Cannot execute "${core.name}": the first argument must be a function, received ${show(fn)}`);
      if (given !== undefined) options = readOptions(given);
      if (core.disposed) throw refuse(core);
    } catch (error) {
      return asOutcome ? Promise.resolve({ status: 'failure', error }) : Promise.reject(error);
    }
    const call = new Call(core.stages, this.#blank.slice(), fn, options, asOutcome, null, -1);
    const { signal } = options;
    if (signal !== undefined && !signal.aborted) Hub.join(signal, call);
    try {
      core.stages[0]!.enter(call);
    } catch (bug) {
      call.broken(bug);
    }
    return call.settlement();
  }

  /** `fn` behind the policies: the same parameters and `this`, the same result or what a policy answers in its place. */
  wrap<This, A extends unknown[], R>(
    fn: (this: This, ...args: A) => R,
    options?: ExecuteOptions | ((...args: A) => ExecuteOptions),
  ): (this: This, ...args: A) => Promise<Awaited<R> | Alt> {
    const pipeline = this;
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
    return function (this: This, ...args: A) {
      return pipeline.#wrapped((call) => fn.call(this, call, ...args), options, args) as Promise<Awaited<R> | Alt>;
    };
  }

  #wrapped<A extends unknown[]>(fn: Fn, options: ExecuteOptions | ((...args: A) => ExecuteOptions) | undefined, args: A): Promise<unknown> {
    try {
      return this.#run(fn, typeof options === 'function' ? options(...args) : options, false);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Tells `listener` everything that happens from now on; what it throws is reported and changes nothing. */
  subscribe(listener: (event: PipelineEvent) => void): Handle {
    if (typeof listener !== 'function') throw new TypeError(`Cannot subscribe to "${this.name}": the listener must be a function, received ${show(listener)}`);
    const about = ({ pipeline, executionId, attempt, key }: CallInfo) => ({ pipeline, executionId, attempt, key });
    this.#core.time();
    return handle(
      this.#core.observers.add({
        event: (event, call) => listener({ ...event, ...about(call) }),
        end: (span, _token, { outcome, error, durationMs }, call) => {
          if (span === 'fallback') return;
          const type = span === 'execution' ? 'execution_end' : 'attempt_end';
          listener({ type, outcome, durationMs, ...(error !== undefined && { error }), ...about(call) });
        },
      }),
    );
  }

  /** cockatiel's event: an execution has ended well. */
  readonly onSuccess: Event<ISuccessEvent> = (listener) =>
    this.subscribe((event) => {
      if (event.type === 'execution_end' && event.outcome !== 'failure' && event.outcome !== 'cancelled') listener({ duration: event.durationMs });
    });

  /** cockatiel's event: an execution has failed. */
  readonly onFailure: Event<IFailureEvent> = (listener) =>
    this.subscribe((event) => {
      if (event.type === 'execution_end' && event.outcome === 'failure')
        listener({ duration: event.durationMs, handled: true, reason: { error: event.error } });
    });

  /** Counts since creation and states now, as plain JSON. From the first one on, latency percentiles are kept. */
  snapshot(): PipelineSnapshot & PolicyState {
    const snapshot = this.#core.snapshot();
    this.#core.time();
    return { ...snapshot, kind: 'custom' };
  }

  /** Lets new calls go past the policy of that name until disposed. Throws a `TypeError` when there is none. */
  bypass(policyName: string): Handle {
    const core = this.#core;
    const full = (stage: Stage) => stage.label === policyName || stage.label === `${core.name}/${policyName}`;
    const stage = core.stages.find((stage) => stage.scope.pipeline === core && core.parts.some((part) => 'policy' in part && part.label === stage.label) && full(stage));
    if (stage === undefined) {
      const names = core.parts.map((part) => ('nested' in part ? part.nested.name : part.label)).join(', ');
      throw new TypeError(`Cannot bypass "${policyName}": pipeline "${core.name}" has ${names === '' ? 'no policies' : names}`);
    }
    const release = bypass(stage);
    this.#announce(stage.label, true);
    return handle(() => {
      release();
      this.#announce(stage.label, false);
    });
  }

  #announce(policy: string, active: boolean): void {
    const { name, observers } = this.#core;
    const nobody: CallInfo = {
      executionId: '', pipeline: name, attempt: 0, attemptKind: 'initial', retryDelayMs: 0, key: undefined, attributes: undefined, deadline: Number.POSITIVE_INFINITY,
    };
    observers.event({ type: 'bypass', policy, active }, nobody, undefined);
  }

  /** Takes no new calls and lets go of telemetry; calls that run finish. */
  dispose(): void {
    if (this.#core.disposed) return;
    this.#core.disposed = true;
    this.#core.observers.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** A pipeline is a policy of other pipelines, which take its stages in as they are. */
  stage(_host: Host): Stage {
    throw new TypeError(`Pipeline "${this.name}" is put into another by listing it, not by asking for its stage`);
  }

  /** The core behind `value` when that is a pipeline of this copy of the package. */
  static coreOf(value: unknown): PipelineCore | undefined {
    return typeof value === 'object' && value !== null && #core in value ? value.#core : undefined;
  }
}

/** Apart, because a closure in the way of every call would cost each of them a scope object. */
function refuse(core: PipelineCore): DrainingError {
  core.cells.draining++;
  return withoutStack(core.stackTraces, () => new DrainingError({ policy: core.name, pipeline: core.name }));
}
