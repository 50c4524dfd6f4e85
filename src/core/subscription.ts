import type { IFailureEvent, ISuccessEvent } from 'cockatiel';
import type { CallInfo } from '../telemetry/observer.ts';
import { type Handle, handle } from './handle.ts';
import { show } from './options.ts';
import type { PipelineCore } from './pipeline-core.ts';
import type { PipelineEvent } from './pipeline-types.ts';

/** Brings everything that happens in a pipeline to one function, as plain objects that say which call each belongs to. */
export function subscribe(core: PipelineCore, listener: (event: PipelineEvent) => void): Handle {
  if (typeof listener !== 'function')
    throw new TypeError(
      `Cannot subscribe to "${core.name}": the listener must be a function, received ${show(listener)}`,
    );
  const about = ({ pipeline, executionId, attempt, key }: CallInfo) => ({ pipeline, executionId, attempt, key });
  core.time();
  return handle(
    core.observers.add({
      event: (event, call) => listener({ ...about(call), ...event }),
      end: (span, _token, end, { pipeline, executionId, attempt, key }) => {
        if (span === 'fallback') return undefined;
        const type = span === 'execution' ? 'execution_end' : 'attempt_end';
        const { outcome, durationMs, error } = end;
        // A literal each: spreading costs three times as much, and every listener gets an object of its own.
        if ('value' in end)
          return listener({ type, outcome, durationMs, value: end.value, pipeline, executionId, attempt, key });
        if (error !== undefined)
          return listener({ type, outcome, durationMs, error, pipeline, executionId, attempt, key });
        return listener({ type, outcome, durationMs, pipeline, executionId, attempt, key });
      },
    }),
  );
}

/** cockatiel's `onSuccess`: executions that ended well. */
export function onSuccess(core: PipelineCore, listener: (event: ISuccessEvent) => void): Handle {
  return subscribe(core, (event) => {
    if (event.type !== 'execution_end' || event.outcome === 'failure' || event.outcome === 'cancelled') return;
    // An error that was told to be none is no success either: the caller gets it.
    if (!('error' in event)) listener({ duration: event.durationMs });
  });
}

/** cockatiel's `onFailure`: executions that failed, and with `handled: false` those whose error was told to be none. */
export function onFailure(core: PipelineCore, listener: (event: IFailureEvent) => void): Handle {
  return subscribe(core, (event) => {
    if (event.type !== 'execution_end' || event.outcome === 'cancelled') return;
    const handled = event.outcome === 'failure';
    const reason = 'value' in event ? { value: event.value } : { error: event.error };
    if (handled || 'error' in event) listener({ duration: event.durationMs, handled, reason });
  });
}

/** Says that an operator has switched a policy off, or on again; no call did. */
export function announceBypass(core: PipelineCore, policy: string, active: boolean): void {
  const nobody: CallInfo = {
    executionId: '',
    pipeline: core.name,
    attempt: 0,
    attemptKind: 'initial',
    retryDelayMs: 0,
    key: undefined,
    attributes: undefined,
    deadline: Number.POSITIVE_INFINITY,
  };
  core.observers.event({ type: 'bypass', policy, active }, nobody, undefined);
}
