import type { IPolicy } from 'cockatiel';
import { show } from './options.ts';
import type { Part, PipelineCore } from './pipeline-core.ts';
import type { Defaults, Stackable } from './pipeline-types.ts';
import type { Policy } from './policy.ts';

/** The first pipeline of each policy without a name of its own: in a second one operators could not tell them apart. */
const homes = /* @__PURE__ */ new WeakMap<object, string>();

/** Takes the list a user gave apart and names each policy; throws a `TypeError` that says what is wrong and where. */
export function partsOf(
  pipeline: string,
  policies: readonly Stackable[],
  defaults: Defaults<any>,
  coreOf: (value: unknown) => PipelineCore | undefined,
): Part[] {
  const seen = new Map<string, number>();
  const named = new Map<string, { readonly policy: Policy<any>; readonly i: number }>();
  /** One policy twice is one state with one name; two under one name are what nobody can tell apart. */
  const place = (policy: Policy<any>, label: string, i: number): Part => {
    const other = named.get(label);
    if (other !== undefined && other.policy !== policy)
      throw new TypeError(
        `Cannot create pipeline "${pipeline}": policies[${other.i}] and policies[${i}] are both named "${label}"`,
      );
    named.set(label, { policy, i });
    return { policy, label };
  };
  return policies.map((given, i) => {
    const nested = coreOf(given);
    if (nested !== undefined) return { nested, handle: given };
    const policy = isOurs(given) ? given : isForeign(given) ? defaults.adopt(given) : undefined;
    if (policy === undefined)
      throw new TypeError(
        `Cannot create pipeline "${pipeline}": policies[${i}] must be a policy, a pipeline or a cockatiel policy, received ${show(given)}`,
      );
    if (policy.name !== undefined) return place(policy, policy.name, i);
    // A foreign policy has no name to give, and no state that operators are shown under it.
    const home = policy === given ? homes.get(given) : undefined;
    if (home !== undefined && home !== pipeline)
      throw new TypeError(
        `Cannot create pipeline "${pipeline}": policies[${i}], a ${policy.kind}, is in pipeline "${home}" already and so must be given a name`,
      );
    const count = (seen.get(policy.kind) ?? 0) + 1;
    seen.set(policy.kind, count);
    return place(policy, `${pipeline}/${policy.kind}${count === 1 ? '' : `#${count}`}`, i);
  });
}

/** Notes where policies without a name are, once the pipeline has really been made. */
export function claim(pipeline: string, parts: readonly Part[]): void {
  for (const part of parts) if ('policy' in part && part.policy.name === undefined) homes.set(part.policy, pipeline);
}

function isOurs(value: Stackable): value is Policy<any> {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as Policy).kind === 'string' &&
    typeof (value as Policy).stage === 'function'
  );
}

function isForeign(value: Stackable): value is IPolicy<any, any> {
  return typeof value === 'object' && value !== null && typeof (value as IPolicy).execute === 'function';
}
