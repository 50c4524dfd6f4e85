import type { Call } from './call.ts';
import { OwnDeadline } from './deadlines.ts';
import { DeadlineExceededError, TimeoutError, withoutStack } from './errors.ts';
import { failInside, isInside } from './interrupt.ts';
import type { Stage } from './policy.ts';
import type { ExecutionScope } from './scope.ts';

/**
 * The caller's own `timeoutMs`. It acts as a timeout just inside the leading fallbacks, which may still answer when it has
 * passed, but is no stage: most calls have none, and would walk through it all the same.
 */
export function armDeadline(call: Call, scope: ExecutionScope): void {
  const { clock } = scope;
  const ms = call.options.timeoutMs;
  if (ms === undefined) return;
  call.deadline = clock.now() + ms;
  // With nothing left, whatever needs time finds out by itself, and a fallback is asked as after any other rejection.
  if (ms <= 0 || ms === Number.POSITIVE_INFINITY) return;
  call.alarm = new OwnDeadline(clock, ms, () => expire(call, scope, ms));
}

function expire(call: Call, scope: ExecutionScope, timeoutMs: number): void {
  const { pipeline, guard } = scope;
  call.run(() => {
    // A leading fallback is answering, or all is over.
    if (!isInside(call, guard)) return;
    const origin = { ...scope.origin(call), policy: 'deadline' };
    const error = withoutStack(pipeline.stackTraces, () => new TimeoutError(timeoutMs, origin));
    pipeline.cells.deadlines++;
    if (scope.heardBy(call)) scope.tell(call, { type: 'timeout', policy: scope.deadline.label, timeoutMs });
    failInside(call, call.stages[guard]!, 'timed_out', error, scope.deadline);
  });
}

/** When the nearest timeout around stage `index`, or the deadline, will end `call`: milliseconds on the clock, or `Infinity`. */
export function dueBefore(call: Call, index: number): number {
  // A leading fallback is not cut by the deadline.
  const cut = index > (call.stages[0] as ExecutionScope).guard;
  let due = cut ? (call.root.deadline ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY;
  for (let i = 0; i < index; i++) due = Math.min(due, call.stages[i]!.due(call));
  return due;
}

/** The rejection of a start for which too little time is left; counted, and told. */
export function deadlineExceeded(stage: Stage, call: Call, remainingMs: number): DeadlineExceededError {
  const { pipeline } = stage.scope;
  pipeline.cells.deadlineExceeded++;
  if (stage.heardBy(call))
    stage.tell(call, { type: 'rejected', policy: stage.scope.deadline.label, reason: 'deadline_exceeded' });
  return withoutStack(
    pipeline.stackTraces,
    () => new DeadlineExceededError(remainingMs, { ...stage.origin(call), policy: 'deadline' }),
  );
}
