import { AttemptScope } from './attempt-scope.ts';
import { layDetour, leadInto } from './bypass.ts';
import type { Call } from './call.ts';
import { finish } from './home.ts';
import { Invoke } from './invoke.ts';
import type { Part, PipelineCore } from './pipeline-core.ts';
import { type Policy, Stage } from './policy.ts';
import { ExecutionScope } from './scope.ts';

/** Where a call is at home: what the outermost stage answers ends it. */
class Exit extends Stage {
  override succeed(call: Call, value: unknown): void {
    finish(call, true, value);
  }

  override fail(call: Call, error: unknown): void {
    finish(call, false, error);
  }
}

/** Refuses a limiter that stands in a chain twice, before any policy hears of the pipeline. */
function checkLimiters(name: string, parts: readonly Part[], limiters = new Set<Policy<any>>()): void {
  for (const part of parts) {
    if ('nested' in part) {
      checkLimiters(name, part.nested.parts, limiters);
      continue;
    }
    const { policy, label } = part;
    if (policy.limits === true && limiters.has(policy))
      throw new TypeError(
        `Cannot create pipeline "${name}": "${label}" stands in it twice, and a call would be in its own way there`,
      );
    limiters.add(policy);
  }
}

/**
 * Folds a pipeline into one row of stages, once; a call only walks it. A nested pipeline is its own stages and a scope
 * around them, so nesting costs nothing at run time. `listen` is called when it is known whether anything repeats.
 */
export function compose(core: PipelineCore, listen: () => void): Stage[] {
  checkLimiters(core.name, core.parts);
  const exit = new Exit();
  const row: Stage[] = [];

  const add = (stage: Stage, scope: ExecutionScope, label: string, attempts: AttemptScope | null): void => {
    stage.index = row.length;
    stage.outerIndex = stage.index - 1;
    stage.outer = row.at(-1) ?? exit;
    stage.slot = stage.outer.nextSlot;
    // A stage that keeps nothing still needs a place to remember that a call went past it.
    stage.nextSlot = stage.slot + (stage.frame ? stage.slots : Math.max(1, stage.slots));
    leadInto(stage);
    stage.scope = scope;
    stage.label = label;
    stage.attempts = attempts;
    row.push(stage);
  };

  const lay = (own: PipelineCore, nested: boolean): void => {
    const scope = new ExecutionScope(own, core.clock, nested);
    own.rows.push(new WeakRef(row));
    const stages = own.parts.map((part) => {
      if ('nested' in part) return part.nested;
      const { policy, label } = part;
      const host = {
        pipeline: own.name,
        policy: label,
        clock: core.clock,
        random: core.random,
        stackTraces: own.stackTraces,
      };
      return policy.stage(host);
    });
    const innermost = stages.findLastIndex((stage) => stage instanceof Stage && stage.repeats);
    if (!nested) {
      own.repeats = innermost >= 0;
      listen();
    }
    const wanted = own.repeats || own.observers.wantAttempts;
    add(scope, scope, own.name, null);
    let leading = !nested;
    let attempts: AttemptScope | null = null;
    const open = () => {
      if (!wanted || attempts !== null) return;
      attempts = new AttemptScope(core.clock);
      add(attempts, scope, own.name, attempts);
    };
    stages.forEach((stage, i) => {
      leading &&= stage instanceof Stage && stage.rescues;
      if (leading) scope.guard = row.length;
      if (innermost >= 0 && i > innermost) open();
      const part = own.parts[i]!;
      if ('nested' in part) lay(part.nested, true);
      else add(stage as Stage, scope, part.label, attempts);
    });
    open();
  };

  lay(core, false);
  // The function counts as an attempt of whoever repeats closest to it.
  const closest = row.findLast((stage) => stage instanceof ExecutionScope || stage instanceof AttemptScope)!;
  add(new Invoke(row), closest.scope, closest.label, closest.attempts);
  row.forEach(layDetour);
  core.plain = row.every((stage) => stage.scope.pipeline.classify === undefined);
  return row;
}
