import { isNeeded, isPlain, type Rule, shape } from './options.ts';
import { isWhen } from './outcome.ts';

/** What `when` may be, wherever a policy judges outcomes. */
export const judging: Rule = /* @__PURE__ */ shape('a predicate, { error, result } or a cockatiel handler', isWhen);

/** A backoff made with cockatiel, or with its interface. */
export const cockatielBackoff: Rule = /* @__PURE__ */ shape(
  'a cockatiel backoff',
  (value) => typeof value?.next === 'function',
);

/** An object with these fields and no others; a field may be missing unless its rule is `needed`. */
export function fields(rules: Readonly<Record<string, Rule>>): Rule {
  const names = Object.keys(rules);
  return shape(`{ ${names.join(', ')} }`, (value) => {
    if (!isPlain(value)) return false;
    const given = Object.keys(value).filter((name) => value[name] !== undefined);
    return given.every((name) => Object.hasOwn(rules, name)) && names.every((name) => fits(rules[name]!, value[name]));
  });
}

function fits(rule: Rule, value: unknown): boolean {
  return value === undefined ? !isNeeded(rule) : rule(value) === undefined;
}
