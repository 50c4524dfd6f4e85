import type { Judgement } from '../../core/outcome.ts';

/**
 * What HTTP means to a resilience policy, whatever client carries it: which answers and errors are failures, what may be
 * sent twice, and when the other side wants us back. Pure: headers come as a function, the time of day as a number.
 * Sources: RFC 9110 (9.2.2 idempotent methods, 10.2.3 Retry-After), RFC 8470 (425), RFC 6585 (429), and the draft of the
 * QUERY method.
 */

/** Reads one header, in any letter case; several values come as one string joined by commas. */
export type ReadHeader = (name: string) => string | null | undefined;

/** Where a request was going, for {@link provesUnsent}: a hostname as `URL` writes it, and a port, `''` for the default. */
export interface Destination {
  readonly protocol: string;
  readonly hostname: string;
  readonly port: string;
}

const SUCCESS: Judgement = { verdict: 'success' };

/**
 * What an answer counts as. 408, 425, 500, 502, 503 and 504 may pass by themselves, so they are failures. 429 is one for
 * retry alone: it says that this caller's quota is used up, and must not open the circuit for all others. Everything
 * else is an answer: asking again would bring the same.
 */
export function judgeStatus(status: number, header: ReadHeader, wallClockMs: number): Judgement {
  switch (status) {
    case 408:
    case 425:
    case 500:
    case 502:
    case 503:
    case 504:
      return { verdict: 'failure', errorType: String(status), retryAfterMs: retryAfterMs(header, wallClockMs) };
    case 429:
      return {
        verdict: 'failure',
        breaker: 'ignored',
        errorType: '429',
        retryAfterMs: retryAfterMs(header, wallClockMs),
      };
    default:
      return SUCCESS;
  }
}

/** What an error counts as: a failure, with the system's own word for it (`ECONNRESET`) where there is one. */
export function judgeError(error: unknown): Judgement {
  return { verdict: 'failure', errorType: errorCode(error) };
}

/** The first `code` that is a string along `cause`: `fetch` wraps the socket's error in a `TypeError` without one. */
export function errorCode(error: unknown): string | undefined {
  for (const link of causes(error)) if (typeof link.code === 'string' && link.code !== '') return link.code;
  return undefined;
}

/**
 * True when the error can only have come up before a byte of the request was sent: the connection was refused or never
 * made, the name was not found, an HTTP/2 server refused the stream unprocessed. A reset or a timeout proves nothing:
 * the server may have done the work. With `destination` an error that names another host or port (behind a redirect,
 * whose first half was processed, or at a proxy) proves nothing either; refused connections name no host, so a redirect
 * to another host with the same port cannot be told apart.
 */
export function provesUnsent(error: unknown, destination?: Destination): boolean {
  for (const link of causes(error)) {
    // Happy eyeballs: one error per address that was tried.
    if (Array.isArray(link.errors) && link.errors.length > 0)
      return link.errors.every((one) => provesUnsent(one, destination));
    if (neverConnected(link)) return destination === undefined || cameFrom(link, destination);
  }
  return false;
}

/** Whether RFC 9110 (and, for QUERY, its draft) says that doing it twice is the same as doing it once. */
export function isIdempotent(method: string): boolean {
  switch (method.toUpperCase()) {
    case 'GET':
    case 'HEAD':
    case 'OPTIONS':
    case 'TRACE':
    case 'PUT':
    case 'DELETE':
    case 'QUERY':
      return true;
    default:
      return false;
  }
}

/** Whether the server was given the means to recognise a repetition. An empty key is none. */
export function hasIdempotencyKey(header: ReadHeader): boolean {
  return (header('idempotency-key') ?? '').trim() !== '';
}

/**
 * How long the other side wants to be left alone, in milliseconds: `retry-after-ms`, else `retry-after` in seconds or as
 * a date. A date is measured from the answer's own `date`, so that two clocks that disagree bring nobody back early;
 * `wallClockMs` stands in where there is none. A date in the past is 0; what is neither is `undefined`. Always finite.
 */
export function retryAfterMs(header: ReadHeader, wallClockMs: number): number | undefined {
  const milliseconds = decimal(header('retry-after-ms'));
  if (milliseconds !== undefined) return milliseconds;
  const value = header('retry-after');
  const seconds = decimal(value);
  if (seconds !== undefined) return Math.min(seconds * 1000, Number.MAX_SAFE_INTEGER);
  const date = httpDate(value);
  return date === undefined ? undefined : Math.max(0, date - (httpDate(header('date')) ?? wallClockMs));
}

function decimal(value: string | null | undefined): number | undefined {
  return value != null && /^\s*\d+(\.\d+)?\s*$/.test(value)
    ? Math.min(Number(value), Number.MAX_SAFE_INTEGER)
    : undefined;
}

/** The three forms of RFC 9110, 5.6.7; `Date.parse` alone takes "foo 1" for a day in 2001. */
function httpDate(value: string | null | undefined): number | undefined {
  const text = value?.trim() ?? '';
  const time = '\\d\\d:\\d\\d:\\d\\d';
  let date = Number.NaN;
  if (new RegExp(`^[A-Z][a-z]{2}, \\d\\d [A-Z][a-z]{2} \\d{4} ${time} GMT$`).test(text)) date = Date.parse(text);
  else if (new RegExp(`^[A-Z][a-z]{5,8}, \\d\\d-[A-Z][a-z]{2}-\\d\\d ${time} GMT$`).test(text)) date = Date.parse(text);
  else if (new RegExp(`^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \\d]\\d ${time} \\d{4}$`).test(text))
    date = Date.parse(`${text} GMT`);
  return Number.isNaN(date) ? undefined : date;
}

interface SystemError {
  readonly code?: unknown;
  readonly syscall?: unknown;
  readonly message?: unknown;
  readonly errors?: unknown;
  readonly cause?: unknown;
  readonly hostname?: unknown;
  readonly port?: unknown;
}

/** The error and what caused it, as far as ten steps; a chain may bite its own tail. */
function* causes(error: unknown): Generator<SystemError> {
  let link = error;
  for (let step = 0; step < 10 && typeof link === 'object' && link !== null; step++) {
    yield link as SystemError;
    link = (link as SystemError).cause;
  }
}

function neverConnected({ code, syscall, message }: SystemError): boolean {
  // A system call that makes connections fails before there is one; ETIMEDOUT and EHOSTUNREACH also come from `read`.
  if (typeof syscall === 'string') return /^(connect|getaddrinfo|query[A-Z]\w*)$/.test(syscall);
  switch (code) {
    case 'ECONNREFUSED':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EAI_FAIL':
    case 'EAI_NODATA':
    case 'EAI_NONAME':
    case 'ERR_SOCKET_CONNECTION_TIMEOUT':
    case 'UND_ERR_CONNECT_TIMEOUT':
    case 'ConnectionRefused': // Bun
      return true;
    case 'ERR_HTTP2_STREAM_ERROR':
      return typeof message === 'string' && message.includes('NGHTTP2_REFUSED_STREAM');
    default:
      return false;
  }
}

/** Errors name the port or, for names that were not found, the host; what they do not say speaks against nothing. */
function cameFrom({ code, hostname, port, message }: SystemError, to: Destination): boolean {
  if (typeof hostname === 'string' && hostname !== to.hostname) return false;
  const expected = to.port || (to.protocol === 'https:' ? '443' : '80');
  // undici names what it tried in the message alone: "(attempted address: example.org:443, timeout: 10000ms)"
  if (code === 'UND_ERR_CONNECT_TIMEOUT')
    return !/attempted address/.test(String(message)) || String(message).includes(`:${expected},`);
  return typeof port !== 'number' || String(port) === expected;
}
