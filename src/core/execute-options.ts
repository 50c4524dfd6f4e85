import type { Policy as CockatielHandler } from 'cockatiel';
import { Hub } from './cancellation.ts';
import { callable, check, flag, isPlain, type Rule, type Rules, shape } from './options.ts';
import { type Classify, classifier, isClassify, type Outcome } from './outcome.ts';

/** What one call may bring along. */
export interface ExecuteOptions {
  /** Ends the call at once, with its own `reason`. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds for the whole call; see "Deadline" in the documentation. */
  readonly timeoutMs?: number | undefined;
  /** Partition of keyed policies: a host, a tenant. */
  readonly key?: string | undefined;
  /**
   * Whether running the function twice does no harm.
   * @default true
   */
  readonly idempotent?: boolean | undefined;
  /** For calls that are not idempotent: whether this outcome proves that nothing was sent. */
  readonly retryable?: ((outcome: Outcome) => boolean) | undefined;
  /** What outcomes of this call count as, when the pipeline has no `classify`. */
  readonly classify?: Classify | CockatielHandler | undefined;
  /** Gets each value that was thrown away by retry, timeout or a late arrival, once. */
  readonly onDiscard?: ((value: any) => void) | undefined;
  /** On the spans of this call. */
  readonly attributes?: Readonly<Record<string, string | number | boolean>> | undefined;
}

/** The same, read once: the caller's object is neither kept nor read again. */
export interface RunOptions extends ExecuteOptions {
  readonly classify: Classify | undefined;
}

export const noOptions: RunOptions = /* @__PURE__ */ Object.freeze(/* @__PURE__ */ shaped({}, undefined));

const rules = {
  signal: /* @__PURE__ */ shape('an AbortSignal', isSignal),
  // Nothing left, or less, is a legal answer of whoever computes a deadline.
  timeoutMs: (value) =>
    typeof value === 'number' && !Number.isNaN(value)
      ? undefined
      : { must: 'a number of milliseconds', range: typeof value === 'number' },
  key: /* @__PURE__ */ shape('a string', (value) => typeof value === 'string'),
  idempotent: flag,
  retryable: callable,
  classify: /* @__PURE__ */ shape('a function or a cockatiel handler', isClassify),
  onDiscard: callable,
  // Their values may come from data, and no call fails for what its span would say.
  attributes: /* @__PURE__ */ shape('an object', isPlain),
} satisfies Rules;

/** Takes what the caller gave apart; throws a `TypeError` or `RangeError` that names every bad option, and the `action` they are for. */
export function readOptions(action: string, given: AbortSignal | ExecuteOptions | undefined): RunOptions {
  if (given === undefined) return noOptions;
  if (isSignal(given)) return (Hub.of(given).options ??= shaped(noOptions, given));
  if (!sound(given)) check(action, given, rules);
  return shaped(given, given.signal);
}

/** Whether nothing is wrong, by the same rules for a tenth of the price of hearing what is. */
function sound(given: ExecuteOptions): boolean {
  if (!isPlain(given)) return false;
  for (const name in given) if (!Object.hasOwn(rules, name)) return false;
  return (
    keeps(rules.signal, given.signal) &&
    keeps(rules.timeoutMs, given.timeoutMs) &&
    keeps(rules.key, given.key) &&
    keeps(rules.idempotent, given.idempotent) &&
    keeps(rules.retryable, given.retryable) &&
    keeps(rules.classify, given.classify) &&
    keeps(rules.onDiscard, given.onDiscard) &&
    keeps(rules.attributes, given.attributes)
  );
}

function keeps(rule: Rule, value: unknown): boolean {
  return value === undefined || rule(value) === undefined;
}

/** Always the same fields in the same order: every stage of every call reads some of them. */
function shaped(given: ExecuteOptions, signal: AbortSignal | undefined): RunOptions {
  const { timeoutMs, key, idempotent, retryable, classify, onDiscard, attributes } = given;
  return { signal, timeoutMs, key, idempotent, retryable, classify: classifier(classify), onDiscard, attributes };
}

function isSignal(value: any): value is AbortSignal {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof value.aborted === 'boolean' &&
    typeof value.addEventListener === 'function' &&
    typeof value.removeEventListener === 'function'
  );
}
