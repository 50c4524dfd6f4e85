import type { Timer } from '../ports/clock.ts';
import { DrainingError, withoutStack } from './errors.ts';
import type { Execution } from './execution.ts';
import { failInside } from './interrupt.ts';
import { check, limitMs } from './options.ts';
import type { PipelineCore } from './pipeline-core.ts';

/** Options of `drain`. */
export interface DrainOptions {
  /** Milliseconds that running calls have left. @default no limit */
  readonly timeoutMs?: number | undefined;
}

/**
 * Lets a pipeline come to rest: no new calls; those that wait in a queue are ended at once, those that run may finish,
 * and what still runs when the time is up is ended too, all with a {@link DrainingError}. Resolves when none is left.
 */
export async function drain(core: PipelineCore, options: DrainOptions): Promise<void> {
  check(`drain "${core.name}"`, options, { timeoutMs: limitMs });
  const { timeoutMs = Number.POSITIVE_INFINITY } = options;
  core.disposed = true;
  for (const execution of core.running.all()) if (isQueued(execution)) end(execution);
  let timer: Timer | undefined;
  if (core.cells.active > 0) {
    timer = core.clock.after(timeoutMs, () => {
      for (const execution of core.running.all()) end(execution);
    });
    await new Promise<void>((resolve) => core.whenIdle.push(resolve));
  }
  timer?.cancel();
  core.release();
}

/** Whether it has only been waiting for its turn. A middleware that goes on by itself is no queue. */
function isQueued({ call }: Execution): boolean {
  return call.stages[call.at]?.queues(call) === true;
}

function end({ call, scope }: Execution): void {
  const { pipeline } = scope;
  call.run(() => {
    // Another one's end may have ended it.
    if (call.at < scope.index) return;
    pipeline.cells.draining++;
    const error = withoutStack(pipeline.stackTraces, () => new DrainingError(scope.origin(call)));
    failInside(call, scope, 'cancelled', error, scope.deadline);
  });
}
