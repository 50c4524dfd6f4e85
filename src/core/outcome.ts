import type { Policy as CockatielHandler } from 'cockatiel';

/** How a function ended: with a value, or with an error (which may be `undefined`). */
export type Outcome<T = unknown> =
  | { readonly status: 'value'; readonly value: T; readonly error?: undefined }
  | { readonly status: 'failure'; readonly error: unknown; readonly value?: undefined };

/** The outcome of something that ended well (`ok`) or not. */
export function outcomeOf(ok: boolean, result: unknown): Outcome {
  return ok ? { status: 'value', value: result } : { status: 'failure', error: result };
}

/** What an outcome came to, alone: `{ value }` or `{ error }`. */
export function resultOf(outcome: Outcome): { readonly error: unknown } | { readonly value: unknown } {
  return outcome.status === 'value' ? { value: outcome.value } : { error: outcome.error };
}

/** What an outcome counts as. */
export type Verdict = 'success' | 'failure' | 'ignored';

/** A verdict with what an adapter knows beside it. */
export interface Judgement {
  readonly verdict: Verdict;
  /** What a circuit breaker counts it as, where that differs (HTTP 429 is one tenant's quota, not an outage). */
  readonly breaker?: Verdict | undefined;
  /** A low-cardinality word for telemetry's `error.type`, such as an HTTP status. */
  readonly errorType?: string | undefined;
  /** The other side's own wish, in milliseconds: a lower bound for the next attempt. */
  readonly retryAfterMs?: number | undefined;
}

/** Says what an outcome counts as; what throws or answers something else counts as not handled, and is reported. */
export type Classify = (outcome: Outcome<any>) => Verdict | Judgement;

/** "Is this a failure?": a predicate on the error, one for each kind of outcome, or a cockatiel handler. */
export type When<R = any> =
  | ((error: any) => boolean)
  | { readonly error?: (error: any) => boolean; readonly result?: (result: R) => boolean }
  | CockatielHandler;

/** A `when` taken apart once: which predicate judges an error, and which a value. */
export interface Matcher {
  readonly error: ((error: any) => boolean) | undefined;
  readonly result: ((result: any) => boolean) | undefined;
}

/** Takes a `when` apart; `undefined` stays so and leaves the judging to `classify`. */
export function matcher(when: When | undefined): Matcher | undefined {
  if (when === undefined) return undefined;
  if (typeof when === 'function') return { error: when, result: undefined };
  const handler = handlerOptions(when);
  if (handler !== undefined) return { error: handler.errorFilter, result: handler.resultFilter };
  const { error, result } = when as { error?: Matcher['error']; result?: Matcher['result'] };
  return { error, result };
}

/** A `classify` option as a function; a cockatiel handler's "handled" is a failure, everything else it leaves to the rule that errors are failures. */
export function classifier(classify: Classify | CockatielHandler | undefined): Classify | undefined {
  if (classify === undefined || typeof classify === 'function') return classify;
  const { errorFilter, resultFilter } = handlerOptions(classify)!;
  return (outcome) =>
    (outcome.status === 'value' ? resultFilter(outcome.value) : errorFilter(outcome.error)) ? 'failure' : 'success';
}

/** True for what may be given as `when`. */
export function isWhen(value: unknown): boolean {
  if (typeof value === 'function') return true;
  if (typeof value !== 'object' || value === null) return false;
  if (handlerOptions(value) !== undefined) return true;
  const { error, result, ...rest } = value as Record<string, unknown>;
  const fits = (test: unknown) => test === undefined || typeof test === 'function';
  return Object.keys(rest).length === 0 && (error !== undefined || result !== undefined) && fits(error) && fits(result);
}

/** True for what may be given as `classify`. */
export function isClassify(value: unknown): boolean {
  return (
    typeof value === 'function' || (typeof value === 'object' && value !== null && handlerOptions(value) !== undefined)
  );
}

function handlerOptions(value: object): CockatielHandler['options'] | undefined {
  const options = (value as CockatielHandler).options as Partial<CockatielHandler['options']> | undefined;
  return typeof options?.errorFilter === 'function' && typeof options.resultFilter === 'function'
    ? (options as CockatielHandler['options'])
    : undefined;
}
