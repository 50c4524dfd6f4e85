import type { Clock, Timer } from '../../ports/clock.ts';
import { soon } from '../../ports/turn.ts';
import { isNative, lazily } from './lazy.ts';
import { link } from './link.ts';

/** What may end the body of a response after its headers. */
export interface BodyLimits {
  /** The caller's own signal, as in native fetch. */
  readonly signal: AbortSignal | undefined;
  /** Milliseconds a read may wait for the next chunk. */
  readonly idleMs: number;
  readonly clock: Clock;
  /** The error that ends a body which stands still. */
  idleError(): Error;
}

/**
 * Gives `response` back as one whose body obeys `limits`; `attempt` is the controller its request was made with. Its body
 * is read chunk by chunk and only when somebody reads, so back pressure, `text()`, `clone()` and byte readers work as
 * before, and a body that nobody reads has no timer. What has no body, or nothing to obey, is given back as it is.
 */
export function guardBody(response: Response, attempt: AbortController, limits: BodyLimits): Response {
  const { body } = response;
  if (limits.signal === undefined && limits.idleMs === Number.POSITIVE_INFINITY) return response;
  // A double, or a client that is only called fetch, may have no stream at all or be reading it already.
  if (typeof body?.getReader !== 'function' || body.locked || !isResponse(response)) return response;
  const dressed = () => dress(guardStream(body, attempt, limits), response);
  // The caller's signal also ends what nobody reads.
  if (limits.signal !== undefined || !isNative(response)) return dressed();
  return lazily(response, {
    text: () => (body.locked ? undefined : textOf(body, attempt, limits)),
    dress: () => (body.locked ? undefined : dressed()),
  });
}

/** Throws away what came with a response, so that its socket is free, unless `answer` goes on with the same body. */
export function discardBody(response: Response, answer: Response | undefined): void {
  try {
    // It may be locked, or broken already.
    if (response.body !== answer?.body) response.body?.cancel().catch(() => {});
  } catch {
    // It was a body of another kind; nobody is left who could care.
  }
}

/** For bodies that were dropped unread: only the collector hears of that. Made at the first use. */
let collected: FinalizationRegistry<Tether> | undefined;

function guardStream(
  inner: ReadableStream<Uint8Array>,
  attempt: AbortController,
  limits: BodyLimits,
): ReadableStream<Uint8Array> {
  const bytes = isByteStream(inner);
  const tether = new Tether(inner.getReader(), attempt);
  const source = {
    // Only a byte stream serves `getReader({ mode: 'byob' })`; what was one stays one.
    ...(bytes && { type: 'bytes' as const }),
    start: (controller: Sink) => tether.holdWeakly(controller),
    pull: (controller: Sink) => pump(controller, tether, limits),
    cancel: (reason: unknown) => tether.end(reason),
  };
  const stream = new ReadableStream<Uint8Array>(source as object, { highWaterMark: 0 });
  if (limits.signal !== undefined) tether.unlink = link(limits.signal, tether);
  collected ??= new FinalizationRegistry((lost) => lost.end(undefined));
  collected.register(stream, tether, tether);
  return stream;
}

interface Sink {
  readonly byobRequest?: { respond(bytes: number): void } | null;
  enqueue(chunk: Uint8Array): void;
  close(): void;
  error(reason: unknown): void;
}

/** Moves one chunk. */
async function pump(sink: Sink, tether: Tether, limits: BodyLimits): Promise<void> {
  try {
    const { done, value } = await next(tether, limits);
    if (!done) return sink.enqueue(value);
    tether.release();
    sink.close();
    // A byte reader that waits with its own buffer wants it back.
    sink.byobRequest?.respond(0);
  } catch (error) {
    if (tether.over) return;
    tether.release();
    throw error;
  }
}

/** Reads one chunk, or rejects with the reason when the body is ended meanwhile. */
async function next(tether: Tether, limits: BodyLimits) {
  const idle = new Idle(tether, limits);
  try {
    return await tether.read();
  } finally {
    idle.stop();
  }
}

/** All of a body that has no other reader. */
async function textOf(body: ReadableStream<Uint8Array>, attempt: AbortController, limits: BodyLimits): Promise<string> {
  const tether = new Tether(body.getReader(), attempt);
  const idle = new Idle(tether, limits);
  const decoder = new TextDecoder();
  let text = '';
  try {
    for (;;) {
      const { done, value } = await tether.read();
      text += decoder.decode(value, { stream: !done });
      if (done) return text;
      idle.moved();
    }
  } finally {
    idle.stop();
  }
}

/**
 * Ends a body that stands still while it is read; one timer for any number of chunks. When it fires, what is in the socket
 * by then is still delivered: after a stall of the event loop timers come first.
 */
class Idle {
  private readonly tether: Tether;
  private readonly limits: BodyLimits;
  private since = 0;
  private timer: Timer | undefined;
  private stopped = false;

  constructor(tether: Tether, limits: BodyLimits) {
    this.tether = tether;
    this.limits = limits;
    if (limits.idleMs === Number.POSITIVE_INFINITY) return;
    this.moved();
    this.arm(limits.idleMs);
  }

  moved(): void {
    this.since = this.limits.clock.now();
  }

  stop(): void {
    this.stopped = true;
    this.timer?.cancel();
  }

  private arm(ms: number): void {
    this.timer = this.limits.clock.after(ms, () => soon(() => this.elapsed()));
    this.timer.unref();
  }

  private elapsed(): void {
    if (this.stopped) return;
    const left = this.since + this.limits.idleMs - this.limits.clock.now();
    if (left > 0) this.arm(left);
    else this.tether.end(this.limits.idleError());
  }
}

/**
 * What the caller's signal and the collector hold of a body: its source, and the stream given to the caller only weakly,
 * or a response that was dropped unread would live as long as the signal.
 */
class Tether {
  private readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  over = false;
  /** Why it was ended. */
  reason: unknown;
  unlink: (() => void) | undefined;
  private readonly attempt: AbortController;
  private sink: WeakRef<Sink> | undefined;

  constructor(reader: ReadableStreamDefaultReader<Uint8Array>, attempt: AbortController) {
    this.reader = reader;
    this.attempt = attempt;
  }

  holdWeakly(sink: Sink): void {
    this.sink = new WeakRef(sink);
  }

  /** One chunk, unless the body is ended meanwhile. */
  async read(): ReturnType<typeof this.reader.read> {
    try {
      const chunk = await this.reader.read();
      if (!this.over) return chunk;
    } catch (error) {
      if (!this.over) throw error;
    }
    throw this.reason;
  }

  /** Nothing is left to end: lets go of the signal. */
  release(): void {
    this.over = true;
    this.unlink?.();
    collected?.unregister(this);
  }

  /** Ends the body with `reason`, whoever reads it, and frees its socket. */
  end(reason: unknown): void {
    if (this.over) return;
    this.release();
    this.reason = reason;
    this.sink?.deref()?.error(reason);
    // The signal reaches what a wrapper around fetch has split off; the reader what was made without the signal.
    this.attempt.abort(reason);
    this.reader.cancel(reason).catch(() => {});
  }
}

function isByteStream(stream: ReadableStream): boolean {
  try {
    stream.getReader({ mode: 'byob' }).releaseLock();
    return true;
  } catch {
    return false;
  }
}

function isResponse(response: Response): boolean {
  return Object.prototype.toString.call(response) === '[object Response]';
}

/** A response like `original` around another body. The constructor takes only a part of what fetch knows. */
function dress(body: ReadableStream<Uint8Array>, original: Response): Response {
  const { status, headers } = original;
  const Kind = (original as object) instanceof Response ? Response : (original.constructor as typeof Response);
  // A server may send 999; the constructor takes what an author may send.
  return likeness(new Kind(body, { status: status >= 200 && status <= 599 ? status : 200, headers }), original);
}

const told = ['ok', 'redirected', 'status', 'statusText', 'type', 'url'] as const;

function likeness(copy: Response, original: Response): Response {
  for (const name of told) if (copy[name] !== original[name]) hide(copy, name, original[name]);
  const native = copy.clone;
  hide(copy, 'clone', () => likeness(native.call(copy), original));
  return copy;
}

function hide(copy: Response, name: keyof Response, value: unknown): void {
  Object.defineProperty(copy, name, { value, configurable: true, writable: true });
}
