import type { IPolicy, Policy as CockatielHandler } from 'cockatiel';
import type { Clock } from '../ports/clock.ts';
import type { Random } from '../ports/random.ts';
import type { PolicyEvent } from '../telemetry/events.ts';
import type { Observer, ObserverFactory } from '../telemetry/observer.ts';
import type { Rule } from './options.ts';
import type { Classify } from './outcome.ts';
import type { Pipeline } from './pipeline.ts';
import type { Policy } from './policy.ts';

/** Something a pipeline takes: a policy, another pipeline, or a cockatiel policy. */
export type Stackable = Policy<any> | Pipeline<any> | IPolicy<any, any>;

/** What a policy may answer in place of the function's own result; `never` for most. */
export type AltOf<P> = P extends { readonly _alt?: readonly [infer A] }
  ? unknown extends A
    ? P extends { readonly _altReturn: infer B }
      ? B
      : never
    : A
  : P extends { readonly _altReturn: infer B }
    ? B
    : never;

/** Options of a pipeline; `Telemetry` is what the OpenTelemetry adapter takes. */
export interface PipelineOptions<Telemetry = unknown> {
  /** @default errors are failures, values are successes */
  readonly classify?: Classify | CockatielHandler | undefined;
  /** Static attributes on the spans of this pipeline. */
  readonly attributes?: Readonly<Record<string, string | number | boolean>> | undefined;
  /** @default on */
  readonly telemetry?: boolean | Telemetry | undefined;
  /** More observers. */
  readonly observers?: readonly Observer[] | undefined;
  /** Rejections carry a stack, for development. @default false */
  readonly stackTraces?: boolean | undefined;
  /** @default the system's */
  readonly clock?: Clock | undefined;
  /** @default the system's */
  readonly random?: Random | undefined;
}

/** What the package joins to the core: the default observer, and how a foreign policy becomes one of ours. */
export interface Defaults<Telemetry> {
  observer(telemetry: Telemetry | undefined): ObserverFactory;
  /** What `Telemetry` may be. */
  readonly telemetry: Rule;
  adopt(policy: IPolicy<any, any>): Policy<any>;
}

type Cause = {
  readonly type: 'execution_end' | 'attempt_end';
  readonly outcome: string;
  readonly error?: unknown;
  /** A value that was judged a failure. */
  readonly value?: unknown;
  readonly durationMs: number;
};

/** Everything `subscribe` tells: what the policies did, and how attempts and executions ended. */
export type PipelineEvent = (PolicyEvent | Cause) & {
  readonly pipeline: string;
  readonly executionId: string;
  readonly attempt: number;
  readonly key: string | undefined;
};
