import { Recording } from './recording.ts';
import { hasIdempotencyKey, isIdempotent } from './semantics.ts';

type Fetch = typeof globalThis.fetch;
type Input = Parameters<Fetch>[0];

/** What `fetch` takes, and two things that only a resilient one needs. */
export interface ResilientInit extends RequestInit {
  /**
   * Makes the body anew for each attempt, in place of `body`, so that a stream can be sent again; may be async.
   * @example bodyFactory: () => createReadStream('big.json')
   */
  readonly bodyFactory?: (() => unknown) | undefined;
  /** Whether sending this request twice does no harm; says more than the method and the `idempotent` option. */
  readonly idempotent?: boolean | undefined;
}

/** What a predicate is told of a request. */
export interface RequestDescription {
  /** In upper case. */
  readonly method: string;
  readonly url: string;
  readonly headers: Headers;
}

/** Everything `fetch` reads from its second argument; a `Request` given there has it on its prototype, out of a spread's reach. */
const members = [
  'method',
  'headers',
  'body',
  'referrer',
  'referrerPolicy',
  'mode',
  'credentials',
  'cache',
  'redirect',
  'integrity',
  'keepalive',
  'duplex',
  'priority',
  'dispatcher',
  'window',
];

type Replay = 'always' | 'never' | Recording;

/**
 * One request that may be sent several times. Read once, when it is made: what the caller does to options, URL or bytes
 * afterwards is not sent. A `Request` with a body is a stream of which nobody says how long it is, and clones of it hold
 * all that is unread; so it is recorded while it is first sent, up to a limit, and sent again only from that.
 */
export class Outgoing {
  readonly method: string;
  /** Undefined where only the fetch below can tell, as with a relative URL. */
  readonly url: URL | undefined;
  /** Of the caller: `init.signal`, else the request's. */
  readonly signal: AbortSignal | undefined;
  /** What the caller says about sending it twice. */
  readonly idempotent: boolean | undefined;
  private readonly request: Request | undefined;
  private readonly target: Input;
  private readonly init: Record<string, unknown>;
  private readonly factory: (() => unknown) | undefined;
  private readonly replay: Replay;
  /** It came as a request whose body somebody else had read. */
  private readonly used: boolean;
  private sent = false;

  constructor(input: Input, given: ResilientInit | undefined, maxReplayBytes: number) {
    const { bodyFactory, idempotent, signal, ...rest } = (given ?? {}) as ResilientInit & Record<string, unknown>;
    this.init = { ...pick(given as Record<string, unknown> | undefined), ...rest };
    this.request = isRequest(input) ? input : undefined;
    this.url = URL.parse(this.request?.url ?? String(input)) ?? undefined;
    this.target = input instanceof URL ? new URL(input) : input;
    this.method = String(this.init.method ?? this.request?.method ?? 'GET').toUpperCase();
    // As in fetch, null is "no signal" although the request has one.
    const own = given?.signal;
    this.signal = (own === undefined ? this.request?.signal : own) ?? undefined;
    this.idempotent = idempotent;
    this.factory = bodyFactory;
    if (bodyFactory !== undefined && (typeof bodyFactory !== 'function' || this.init.body != null))
      throw new TypeError(`Cannot send the request: "bodyFactory" must be a function, given in place of "body"`);
    this.init.body = steady(this.init.body);
    this.used = this.init.body == null && this.request?.bodyUsed === true;
    this.replay = this.replayOf(maxReplayBytes);
  }

  private replayOf(maxReplayBytes: number): Replay {
    if (this.factory !== undefined) return 'always';
    if (this.init.body != null) return isOneShot(this.init.body) ? 'never' : 'always';
    const { request } = this;
    if (request === undefined || request.body == null || this.used) return 'always';
    return new Recording(request, maxReplayBytes);
  }

  get description(): RequestDescription {
    return { method: this.method, url: this.url?.href ?? String(this.target), headers: this.headers };
  }

  /** Whether method or `Idempotency-Key` allow to send it twice. */
  get isIdempotent(): boolean {
    return isIdempotent(this.method) || hasIdempotencyKey((name) => this.headers.get(name));
  }

  /** Whether the body can be had again: now, since a recording may have come to its limit. */
  get replayable(): boolean {
    return this.replay === 'always' || (this.replay !== 'never' && this.replay.complete);
  }

  /** Whether it can be had again whenever that is asked. */
  get alwaysReplayable(): boolean {
    return this.replay === 'always';
  }

  private get headers(): Headers {
    const { headers } = this.init;
    return headers == null && this.request !== undefined
      ? this.request.headers
      : new Headers((headers ?? {}) as Record<string, string>);
  }

  /** Sends it once more. Rejects rather than send what is left of a body that was used. */
  async send(fetch: Fetch, signal: AbortSignal): Promise<Response> {
    const again = this.sent;
    this.sent = true;
    const init = { ...this.init, signal };
    const { factory, replay, request } = this;
    if (factory !== undefined) {
      // Streams must say that the answer waits for their end; for other bodies it changes nothing.
      const made = { ...init, body: await factory(), duplex: 'half' };
      return fetch(this.target, made as RequestInit);
    }
    if (again && !this.replayable)
      throw new TypeError('The body was a stream and is used; give a "bodyFactory" to send the request again');
    if (typeof replay !== 'object') return fetch(this.target, init as RequestInit);
    if (!again) return fetch(replay.start(), init as RequestInit);
    const Kind = request!.constructor as typeof Request;
    return fetch(new Kind(request!, { body: replay.body, signal }), init as RequestInit);
  }

  /**
   * Whether a request like this can be made at all. What cannot (a method with a space in it, a body on GET) never got
   * near the network, says nothing about the server and would fail again.
   */
  get sendable(): boolean {
    if (this.url === undefined) return true;
    try {
      if (this.used) return false;
      const body = this.init.body != null || this.factory !== undefined ? '' : null;
      const { method = this.request?.method, duplex: _, ...init } = this.init;
      new Request(this.url, { ...init, method, body, signal: null } as RequestInit);
      return true;
    } catch {
      return false;
    }
  }

  /** The call is over: stops reading what would only have been needed to send it again. */
  close(): void {
    if (typeof this.replay === 'object') this.replay.stop();
  }
}

function pick(given: Record<string, unknown> | undefined): Record<string, unknown> {
  const init: Record<string, unknown> = {};
  for (const name of members) {
    const value = given?.[name];
    if (value !== undefined) init[name] = value;
  }
  return init;
}

/** Another fetch may bring its own Request. */
function isRequest(input: Input): input is Request {
  return (
    typeof input === 'object' && input !== null && 'url' in input && typeof (input as Request).clone === 'function'
  );
}

/** Bytes as they are now: fetch copies them when it is called, and a buffer may have been filled anew before the next attempt. */
function steady(body: unknown): unknown {
  if (body instanceof ArrayBuffer) return body.slice(0);
  return ArrayBuffer.isView(body) ? new Uint8Array(body.buffer, body.byteOffset, body.byteLength).slice() : body;
}

/** Streams and iterables, web's and Node's. */
function isOneShot(body: unknown): boolean {
  if (typeof body !== 'object' || body === null) return false;
  return 'getReader' in body || 'pipe' in body || Symbol.asyncIterator in body;
}
