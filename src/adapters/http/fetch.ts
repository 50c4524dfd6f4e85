/// <reference lib="esnext.disposable" preserve="true" />
import { TimeoutError, withoutStack } from '../../core/errors.ts';
import { callable, check, limitMs, needed, number, type Rules, shape, show } from '../../core/options.ts';
import type { Judgement, Outcome, Verdict } from '../../core/outcome.ts';
import type { Pipeline } from '../../core/pipeline.ts';
import type { CallContext } from '../../core/work.ts';
import { type Clock, systemClock } from '../../ports/clock.ts';
import { warn } from '../../ports/report.ts';
import { soon } from '../../ports/turn.ts';
import { wallClock } from '../../ports/wall-clock.ts';
import { type BodyLimits, discardBody, guardBody } from './body.ts';
import { Outgoing, type RequestDescription, type ResilientInit } from './outgoing.ts';
import { errorCode, judgeError, judgeStatus, provesUnsent } from './semantics.ts';

export type { RequestDescription, ResilientInit };

/** `fetch` itself, which also takes a {@link ResilientInit}. */
export type ResilientFetch = ((
  input: Parameters<typeof globalThis.fetch>[0],
  init: ResilientInit,
) => Promise<Response>) &
  typeof globalThis.fetch;

/** What of a pipeline is used here; a fallback in it has to answer a `Response`. */
export type FetchPipeline = Pick<Pipeline<Response>, 'name' | 'execute' | '_alt'>;

/** How {@link resilientFetch} behaves. */
export interface ResilientFetchOptions {
  readonly pipeline: FetchPipeline;
  /**
   * Milliseconds that a read of a body may wait for the next chunk; `Infinity` is no limit. Only reads are timed: a body
   * that nobody reads stands still because of its reader.
   * @default 30_000
   */
  readonly bodyIdleMs?: number | undefined;
  /**
   * How many bytes of the body of a `Request` are kept so that it can be sent again; a longer one, and one that was not
   * yet read to its end when its attempt failed, is sent once. Bodies in `init` are not concerned.
   * @default 1_048_576
   */
  readonly maxReplayBytes?: number | undefined;
  /**
   * Whether sending this request twice does no harm. `undefined` leaves it to the method and the `Idempotency-Key`.
   * @default () => undefined
   */
  readonly idempotent?: ((request: RequestDescription) => boolean | undefined) | undefined;
  /**
   * The partition that keyed policies put the request in.
   * @default (url) => url.origin
   */
  readonly key?: ((url: URL) => string | undefined) | undefined;
  /** Times idle bodies. @default the system's */
  readonly clock?: Clock | undefined;
}

const rules: Rules = {
  pipeline: /* @__PURE__ */ needed(/* @__PURE__ */ shape('a pipeline', isPipeline)),
  bodyIdleMs: limitMs,
  maxReplayBytes: /* @__PURE__ */ number(0, Number.POSITIVE_INFINITY, { infinite: true }),
  idempotent: callable,
  key: callable,
  clock: /* @__PURE__ */ shape(
    'a clock',
    (value) => typeof value?.now === 'function' && typeof value?.after === 'function',
  ),
};

/**
 * A `fetch` behind a pipeline. One classifier serves retry and breaker (408, 425, 429, 500, 502, 503, 504 and connection
 * errors are failures), only what may be sent twice is, breakers are per origin, and when retries are exhausted the last
 * response is answered, not an error. Timeouts in the pipeline end with the headers; the caller's signal and `bodyIdleMs`
 * go on acting on the body. Rejects with the caller's `signal.reason`, with fetch's own error, or with a `ResilienceError`.
 *
 * Without `baseFetch` the global `fetch` is looked up for each request, so that what is patched in later is used.
 * @throws TypeError or RangeError for options that cannot be
 */
export function resilientFetch(
  given: FetchPipeline | ResilientFetchOptions,
  baseFetch?: typeof globalThis.fetch,
): ResilientFetch {
  const options =
    isPipeline(given) || typeof given !== 'object' || given === null ? { pipeline: given as FetchPipeline } : given;
  check('create resilientFetch', options, rules);
  if (baseFetch !== undefined && typeof baseFetch !== 'function')
    throw new TypeError(`Cannot create resilientFetch: "baseFetch" must be a function, received ${show(baseFetch)}`);
  const {
    pipeline,
    bodyIdleMs = 30_000,
    maxReplayBytes = 1_048_576,
    idempotent,
    key: keyOf = originOf,
    clock = systemClock,
  } = options;
  const policy = `${pipeline.name}/body`;

  return async function resilient(
    input: Parameters<typeof globalThis.fetch>[0],
    init?: ResilientInit,
  ): Promise<Response> {
    const request = new Outgoing(input, init, maxReplayBytes);
    const { signal, url } = request;
    // fetch itself says best what is wrong with it.
    if (signal !== undefined && typeof signal.addEventListener !== 'function')
      return (baseFetch ?? globalThis.fetch)(input, init);
    const key = url && guarded('key', 'string', () => keyOf(url), originOf(url));
    const asked = idempotent && guarded('idempotent', 'boolean', () => idempotent(request.description), undefined);
    const repeatable = request.idempotent ?? asked ?? request.isIdempotent;
    const limits: BodyLimits = {
      signal,
      idleMs: bodyIdleMs,
      clock,
      idleError: () =>
        withoutStack(false, () => new TimeoutError(bodyIdleMs, { policy, pipeline: pipeline.name, key })),
    };
    let answer: Response | undefined;
    try {
      answer = await pipeline.execute((call) => attempt(call, request, baseFetch ?? globalThis.fetch, limits), {
        signal,
        key,
        idempotent: repeatable && request.alwaysReplayable,
        retryable: ({ error }) => request.replayable && (repeatable || provesUnsent(error, url)),
        classify: (outcome) => judge(outcome, request),
        // A turn later, because a fallback may be about to answer with the body of the response it stands in for.
        onDiscard: (value: Response) => soon(() => discardBody(value, answer)),
      });
      return answer;
    } finally {
      request.close();
    }
  };

  /** What a hook of the user answers; when it throws, or answers nonsense, that is reported, and the default holds. */
  function guarded<T>(hook: string, type: string, ask: () => T, otherwise: T): T {
    try {
      const answer = ask();
      if (answer === undefined || typeof answer === type) return answer;
      if (answer instanceof Promise) answer.catch(() => {});
      throw new TypeError(`${hook} must answer a ${type} or undefined, received ${show(answer)}`);
    } catch (error) {
      warn(`The "${hook}" option of resilientFetch for "${pipeline.name}" threw.`, error);
      return otherwise;
    }
  }
}

/** One sending: the call's signal ends it until the headers are there; from then on the limits of the body do. */
async function attempt(
  { signal }: CallContext,
  request: Outgoing,
  baseFetch: typeof globalThis.fetch,
  limits: BodyLimits,
): Promise<Response> {
  const controller = new AbortController();
  const abort = () => controller.abort(signal.reason);
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort);
  try {
    return guardBody(await request.send(baseFetch, controller.signal), controller, limits);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

function judge(outcome: Outcome<Response>, request: Outgoing): Verdict | Judgement {
  if (outcome.status === 'value') {
    const { status, headers } = outcome.value;
    return judgeStatus(status, (name) => headers.get(name), wallClock());
  }
  const { error } = outcome;
  if (error instanceof TypeError && (errorCode(error) === 'ERR_INVALID_URL' || !request.sendable)) return 'ignored';
  return judgeError(error);
}

function originOf(url: URL): string | undefined {
  return url.origin === 'null' ? undefined : url.origin;
}

function isPipeline(value: unknown): value is FetchPipeline {
  return (
    typeof (value as FetchPipeline | undefined)?.execute === 'function' &&
    typeof (value as FetchPipeline).name === 'string'
  );
}
