import { Call, type Fn } from './call.ts';
import { Hub } from './cancellation.ts';
import { type ExecuteOptions, noOptions, readOptions, type RunOptions } from './execute-options.ts';
import { settlement } from './home.ts';
import { outcomeOf } from './outcome.ts';
import { type PipelineCore, refuse } from './pipeline-core.ts';

/** Runs `fn` through a pipeline. Never throws; with `asOutcome` it never rejects either. */
export function run(
  core: PipelineCore,
  fn: Fn,
  given: AbortSignal | ExecuteOptions | undefined,
  asOutcome: boolean,
): Promise<unknown> {
  if (given !== undefined || core.disposed || typeof fn !== 'function') return examine(core, fn, given, asOutcome);
  return begin(core, fn, noOptions, asOutcome);
}

/** What the caller gave is looked at first. */
function examine(
  core: PipelineCore,
  fn: Fn,
  given: AbortSignal | ExecuteOptions | undefined,
  asOutcome: boolean,
): Promise<unknown> {
  try {
    if (core.disposed || typeof fn !== 'function') throw refuse(core, fn);
    // A signal that is none of the platform's may throw when it is listened to, before the call has begun.
    return begin(core, fn, readOptions(`execute "${core.name}"`, given), asOutcome);
  } catch (error) {
    return asOutcome ? Promise.resolve(outcomeOf(false, error)) : Promise.reject(error);
  }
}

/** The memo of a call that has not begun: a literal of a usual size costs half of a copy. */
function room({ blank }: PipelineCore): unknown[] {
  const u = undefined;
  return blank.length <= 8 ? [u, u, u, u, u, u, u, u] : blank.slice();
}

function begin(core: PipelineCore, fn: Fn, options: RunOptions, asOutcome: boolean): Promise<unknown> {
  const plain = core.plain && options.classify === undefined;
  const call = new Call(core.stages, room(core), fn, options, asOutcome, null, -1, plain);
  if (options !== noOptions) Hub.join(options.signal, call);
  call.begin();
  // What has ended by now never ran beside anything.
  if (!call.ended) core.running.add(call);
  return call.promise ?? settlement(call);
}
