import type { Call } from './call.ts';
import type { PipelineCore } from './pipeline-core.ts';
import { type DropReason, Stage } from './policy.ts';

/** What a stage keeps for a call that went past it. */
const PAST = Symbol('bypassed');

const detoured = /* @__PURE__ */ new WeakSet<Stage>();

/**
 * Lets every new call go past the policy named `label` until the answer is called; several holds add up. Calls that are
 * inside it already come out through it. The detour is laid over the methods of its stages, so that a policy nobody
 * bypasses pays nothing.
 */
export function bypass(core: PipelineCore, label: string): () => void {
  const { bypassed } = core;
  bypassed.set(label, (bypassed.get(label) ?? 0) + 1);
  for (const row of core.rows) row.deref()?.forEach(layDetour);
  return () => {
    bypassed.set(label, bypassed.get(label)! - 1);
  };
}

/** Gives a stage its detour if its policy is bypassed; asked again for rows that are made later. */
export function layDetour(stage: Stage): void {
  if (!stage.frame && isBypassed(stage.scope.pipeline, stage.label)) detour(stage);
}

/** Whether new calls go past the policy named `label` now. */
export function isBypassed(core: PipelineCore, label: string): boolean {
  return (core.bypassed.get(label) ?? 0) > 0;
}

function detour(stage: Stage): void {
  if (detoured.has(stage)) return;
  detoured.add(stage);
  // As they are now: an author may have given them to the stage itself.
  const { enter, succeed, fail, drop, due, started } = stage;
  const past = (call: Call) => call.memo[stage.slot] === PAST;
  stage.enter = (call) => {
    if (!isBypassed(stage.scope.pipeline, stage.label)) return enter.call(stage, call);
    call.memo[stage.slot] = PAST;
    stage.proceed(call);
  };
  leadInto(stage);
  stage.succeed = (call, value) => (past(call) ? stage.pass(call, value) : succeed.call(stage, call, value));
  stage.fail = (call, error) => (past(call) ? stage.raise(call, error) : fail.call(stage, call, error));
  stage.drop = (call: Call, why: DropReason, reason: unknown) => {
    if (!past(call)) drop.call(stage, call, why, reason);
  };
  stage.due = (call) => (past(call) ? Number.POSITIVE_INFINITY : due.call(stage, call));
  stage.started = (call, now) => {
    if (!past(call)) started.call(stage, call, now);
  };
}

/**
 * Leads calls into `stage` from every stage before it up to, and with, the next one that does something on the way in:
 * one that only waits for what comes out is walked past, and counts as entered all the same.
 */
export function leadInto(stage: Stage): void {
  for (let before = stage.outer; ; before = before.outer) {
    before.inner = stage;
    before.innerIndex = stage.index;
    if (before.index <= 0 || before.enter !== Stage.prototype.enter) return;
  }
}
