import type { Call } from './call.ts';
import type { DropReason, Stage } from './policy.ts';

/** What a stage keeps for a call that went past it. */
const PAST = Symbol('bypassed');

/** How many holds there are on a stage, and how to end the detour. */
const held = /* @__PURE__ */ new WeakMap<Stage, number>();

/**
 * Lets every new call go past `stage` until the answer is called; several holds add up. Calls that are inside it already
 * come out through it. The detour is laid over the stage's own methods, so that a stage nobody bypasses pays nothing.
 */
export function bypass(stage: Stage): () => void {
  held.set(stage, (held.get(stage) ?? 0) + 1);
  if (held.get(stage) === 1) detour(stage);
  let released = false;
  return () => {
    if (released) return;
    released = true;
    held.set(stage, held.get(stage)! - 1);
  };
}

function detour(stage: Stage): void {
  if (Object.hasOwn(stage, 'enter')) return;
  const own = Object.getPrototypeOf(stage) as Stage;
  const past = (call: Call) => call.memo[stage.slot] === PAST;
  stage.enter = (call) => {
    if (!held.get(stage)) return own.enter.call(stage, call);
    if (stage.slots > 0) call.memo[stage.slot] = PAST;
    stage.proceed(call);
  };
  stage.succeed = (call, value) => (past(call) ? stage.pass(call, value) : own.succeed.call(stage, call, value));
  stage.fail = (call, error) => (past(call) ? stage.raise(call, error) : own.fail.call(stage, call, error));
  stage.drop = (call: Call, why: DropReason, reason: unknown) => {
    if (!past(call)) own.drop.call(stage, call, why, reason);
  };
  const { due, started } = own;
  stage.due = (call) => (past(call) ? Number.POSITIVE_INFINITY : due.call(stage, call));
  stage.started = (call, now) => {
    if (!past(call)) started.call(stage, call, now);
  };
}

/** Whether the policy named `label` is bypassed in this row of stages. */
export function readBypassed(stages: readonly Stage[], label: string): boolean {
  return stages.some((stage) => stage.label === label && (held.get(stage) ?? 0) > 0);
}
