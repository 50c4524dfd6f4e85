import { type Rule, shape } from './options.ts';
import { isWhen } from './outcome.ts';

/** What `when` may be, wherever a policy judges outcomes. */
export const judging: Rule = /* @__PURE__ */ shape('a predicate, { error, result } or a cockatiel handler', isWhen);

/** A backoff made with cockatiel, or with its interface. */
export const cockatielBackoff: Rule = /* @__PURE__ */ shape(
  'a cockatiel backoff',
  (value) => typeof value?.next === 'function',
);
