/// <reference lib="esnext.disposable" preserve="true" />
import type { Event, IDefaultPolicyContext, IFailureEvent, IPolicy, ISuccessEvent } from 'cockatiel';
import type { Pipeline } from '../../core/pipeline.ts';
import { soon } from '../../ports/turn.ts';

/** What a function behind {@link toCockatiel} gets: plain fields, which survive the spread in cockatiel's `wrap`. */
export interface CockatielContext extends IDefaultPolicyContext {
  /** 1 for the first try. */
  readonly attempt: number;
  /** The partition the call is in. */
  readonly key: string | undefined;
}

/**
 * A pipeline for cockatiel's `wrap`. cockatiel copies contexts by spread, which loses a signal that is made when first
 * read; here it is made for every call and the context is a plain object. A call whose signal is aborted rejects one turn
 * of the event loop later than in the pipeline itself: an aggressive timeout of cockatiel's around it aborts first and
 * says why afterwards, and its own error must win.
 */
export function toCockatiel<Alt>(pipeline: Pipeline<Alt>): IPolicy<CockatielContext, Alt> {
  return {
    _altReturn: undefined as never,
    onSuccess: pipeline.onSuccess as Event<ISuccessEvent>,
    onFailure: pipeline.onFailure as Event<IFailureEvent>,
    async execute<T>(fn: (context: CockatielContext) => PromiseLike<T> | T, signal?: AbortSignal): Promise<T | Alt> {
      try {
        return (await pipeline.execute(({ signal, attempt, key }) => fn({ signal, attempt, key }), signal)) as T | Alt;
      } catch (error) {
        if (signal?.aborted === true && signal.reason === error) await new Promise<void>(soon);
        throw error;
      }
    },
  };
}
