import type { Call } from './call.ts';
import { show } from './options.ts';
import { type Outcome, resultOf } from './outcome.ts';
import type { Stage } from './policy.ts';
import { unawaited } from '../algorithms/unawaited.ts';
import { type CallContext, Work } from './work.ts';

/** What a backoff gets to know of the retry it is asked about; cockatiel's backoffs read the last three. */
export interface RetryInfo {
  /** Which retry it would be, from 1. */
  readonly retry: number;
  readonly outcome: Outcome;
  readonly call: CallContext;
  readonly attempt: number;
  readonly signal: AbortSignal;
  readonly result: { readonly error: unknown } | { readonly value: unknown };
}

/** Tells a backoff of `stage` about the `retry`th retry; the signal is made only when it is read. */
export function retryInfo(stage: Stage, call: Call, retry: number, outcome: Outcome): RetryInfo {
  const work = new Work(call, stage, stage.attemptOf(call));
  return {
    retry,
    outcome,
    call: work,
    attempt: retry,
    get signal() {
      return work.signal;
    },
    result: resultOf(outcome),
  };
}

/** Whether a call may run again as far as side effects go: it is idempotent, was not called, or its owner says that nothing was sent. */
export function mayRepeat(stage: Stage, call: Call, outcome: Outcome): boolean {
  const { idempotent, retryable } = call.options;
  if (idempotent !== false || !stage.execution(call).called) return true;
  if (retryable === undefined) return false;
  try {
    const answer: unknown = retryable(outcome);
    if (typeof answer === 'boolean') return answer;
    unawaited(answer);
    throw new TypeError(`retryable must answer true or false, received ${show(answer)}`);
  } catch (error) {
    stage.fault(call, 'retryable', error);
    return false;
  }
}
