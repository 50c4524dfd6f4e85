/// <reference lib="esnext.disposable" preserve="true" />
import type { Event, IDefaultPolicyContext, IFailureEvent, IPolicy, ISuccessEvent } from 'cockatiel';
import type { Pipeline } from '../../core/pipeline.ts';

/** What a function behind {@link toCockatiel} gets: plain fields, which survive the spread in cockatiel's `wrap`. */
export interface CockatielContext extends IDefaultPolicyContext {
  /** 1 for the first try. */
  readonly attempt: number;
  /** The partition the call is in. */
  readonly key: string | undefined;
}

/**
 * A pipeline for cockatiel's `wrap`. cockatiel copies contexts by spread, which loses a signal that is made when first
 * read; here it is made for every call and the context is a plain object.
 */
export function toCockatiel<Alt>(pipeline: Pipeline<Alt>): IPolicy<CockatielContext, Alt> {
  return {
    _altReturn: undefined as never,
    onSuccess: pipeline.onSuccess as Event<ISuccessEvent>,
    onFailure: pipeline.onFailure as Event<IFailureEvent>,
    execute: <T>(fn: (context: CockatielContext) => PromiseLike<T> | T, signal?: AbortSignal) =>
      pipeline.execute(({ signal, attempt, key }) => fn({ signal, attempt, key }), signal) as Promise<T | Alt>,
  };
}
