import { describe, expect, test } from 'vitest';
import {
  errorCode,
  hasIdempotencyKey,
  isIdempotent,
  judgeError,
  judgeStatus,
  provesUnsent,
  retryAfterMs,
} from '../../../src/adapters/http/semantics.ts';

const none = () => null;
const header = (headers: Record<string, string>) => (name: string) => headers[name];
const error = (properties: object, message = 'x') => Object.assign(new Error(message), properties);
const fetchFailed = (cause: unknown) => new TypeError('fetch failed', { cause });

describe('a status counts as', () => {
  test.each([408, 425, 500, 502, 503, 504])('%i: a failure for retry and breaker', (status) => {
    expect(judgeStatus(status, none, 0)).toEqual({
      verdict: 'failure',
      errorType: String(status),
      retryAfterMs: undefined,
    });
  });

  test('429: a failure for retry, ignored by the breaker', () => {
    expect(judgeStatus(429, header({ 'retry-after': '2' }), 0)).toEqual({
      verdict: 'failure',
      breaker: 'ignored',
      errorType: '429',
      retryAfterMs: 2000,
    });
  });

  test.each([200, 204, 206, 301, 304, 400, 401, 403, 404, 409, 410, 418, 422, 451, 501, 505, 511, 999])(
    '%i: a success',
    (status) => {
      expect(judgeStatus(status, header({ 'retry-after': '2' }), 0)).toEqual({ verdict: 'success' });
    },
  );
});

describe('an error counts as a failure', () => {
  test.each([
    ['reset', fetchFailed(error({ code: 'ECONNRESET', syscall: 'read' })), 'ECONNRESET'],
    ['two causes deep', fetchFailed(error({ cause: error({ code: 'EPIPE' }) })), 'EPIPE'],
    ['without a code', fetchFailed(undefined), undefined],
    ['a string', 'x', undefined],
    ['undefined', undefined, undefined],
  ])('%s', (_, thrown, code) => {
    expect(judgeError(thrown)).toEqual({ verdict: 'failure', errorType: code });
  });

  test('a chain that bites its tail', () => {
    const loop: Error = error({});
    loop.cause = loop;
    expect(errorCode(loop)).toBeUndefined();
    expect(provesUnsent(loop)).toBe(false);
  });
});

describe('provesUnsent', () => {
  const refused = error({ code: 'ECONNREFUSED', syscall: 'connect', address: '127.0.0.1', port: 81 });
  test.each([
    ['refused', fetchFailed(refused)],
    ['name not found', fetchFailed(error({ code: 'ENOTFOUND', syscall: 'getaddrinfo', hostname: 'nosuch.invalid' }))],
    ['resolver busy', error({ code: 'EAI_AGAIN' })],
    ['c-ares', error({ code: 'ESERVFAIL', syscall: 'queryA' })],
    ['no route while connecting', error({ code: 'EHOSTUNREACH', syscall: 'connect' })],
    ['timed out while connecting', error({ code: 'ETIMEDOUT', syscall: 'connect' })],
    ['connect timeout of undici', fetchFailed(error({ code: 'UND_ERR_CONNECT_TIMEOUT' }))],
    [
      'refused at every address',
      fetchFailed(new AggregateError([refused, error({ code: 'ENETUNREACH', syscall: 'connect' })])),
    ],
    [
      'HTTP/2 stream refused',
      error({ code: 'ERR_HTTP2_STREAM_ERROR' }, 'Stream closed with error code NGHTTP2_REFUSED_STREAM'),
    ],
  ])('yes: %s', (_, thrown) => expect(provesUnsent(thrown)).toBe(true));

  test.each([
    ['reset', fetchFailed(error({ code: 'ECONNRESET', syscall: 'read' }))],
    ['reset without a system call', error({ code: 'ECONNRESET' })],
    ['no route while reading', error({ code: 'EHOSTUNREACH', syscall: 'read' })],
    ['timed out while reading', error({ code: 'ETIMEDOUT', syscall: 'read' })],
    ['headers timeout', error({ code: 'UND_ERR_HEADERS_TIMEOUT' })],
    ['one of two addresses was reset', new AggregateError([refused, error({ code: 'ECONNRESET' })])],
    ['no errors at all', new AggregateError([])],
    [
      'HTTP/2 internal error',
      error({ code: 'ERR_HTTP2_STREAM_ERROR' }, 'Stream closed with error code NGHTTP2_INTERNAL_ERROR'),
    ],
    ['undefined', undefined],
    ['a string', 'ECONNREFUSED'],
  ])('no: %s', (_, thrown) => expect(provesUnsent(thrown)).toBe(false));

  test('an error from elsewhere, behind a redirect or at a proxy, proves nothing', () => {
    expect(provesUnsent(refused, new URL('http://x:81/'))).toBe(true);
    expect(provesUnsent(refused, new URL('http://x/'))).toBe(false);
    expect(provesUnsent(error({ code: 'ENOTFOUND', hostname: 'a' }), new URL('http://a/'))).toBe(true);
    expect(provesUnsent(error({ code: 'ENOTFOUND', hostname: 'b' }), new URL('http://a/'))).toBe(false);
    const slow = error(
      { code: 'UND_ERR_CONNECT_TIMEOUT' },
      'Connect Timeout Error (attempted address: a:443, timeout: 10000ms)',
    );
    expect(provesUnsent(slow, new URL('https://a/'))).toBe(true);
    expect(provesUnsent(slow, new URL('http://a/'))).toBe(false);
  });
});

test('idempotent methods are those of RFC 9110 and QUERY', () => {
  for (const method of ['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE', 'QUERY', 'get'])
    expect(isIdempotent(method), method).toBe(true);
  for (const method of ['POST', 'PATCH', 'CONNECT', 'LOCK', '']) expect(isIdempotent(method), method).toBe(false);
});

test('an Idempotency-Key counts when it says something', () => {
  expect(hasIdempotencyKey(header({ 'idempotency-key': '"8e03978e"' }))).toBe(true);
  expect(hasIdempotencyKey(header({ 'idempotency-key': ' ' }))).toBe(false);
  expect(hasIdempotencyKey(none)).toBe(false);
});

describe('Retry-After', () => {
  const now = Date.UTC(2030, 0, 1);
  test.each<[string, Record<string, string>, number | undefined]>([
    ['seconds', { 'retry-after': '120' }, 120_000],
    ['zero', { 'retry-after': '0' }, 0],
    ['with spaces', { 'retry-after': ' 7 ' }, 7000],
    ['fractions, as some send them', { 'retry-after': '0.5' }, 500],
    ['retry-after-ms', { 'retry-after-ms': '1500' }, 1500],
    ['retry-after-ms wins, it is finer', { 'retry-after-ms': '1500', 'retry-after': '2' }, 1500],
    ['garbage in retry-after-ms', { 'retry-after-ms': 'soon', 'retry-after': '2' }, 2000],
    ['a date', { 'retry-after': 'Tue, 01 Jan 2030 00:00:30 GMT' }, 30_000],
    ['a date of RFC 850', { 'retry-after': 'Tuesday, 01-Jan-30 00:00:30 GMT' }, 30_000],
    ['a date of asctime', { 'retry-after': 'Tue Jan  1 00:00:30 2030' }, 30_000],
    ['a date in the past', { 'retry-after': 'Mon, 31 Dec 2029 00:00:00 GMT' }, 0],
    [
      'a date, by the clock of who wrote it',
      { 'retry-after': 'Tue, 01 Jan 2030 01:00:30 GMT', date: 'Tue, 01 Jan 2030 01:00:00 GMT' },
      30_000,
    ],
    ['a date, when theirs is garbage', { 'retry-after': 'Tue, 01 Jan 2030 00:00:30 GMT', date: 'today' }, 30_000],
    ['a date far ahead', { 'retry-after': 'Fri, 31 Dec 9999 23:59:59 GMT' }, Date.UTC(9999, 11, 31, 23, 59, 59) - now],
    ['9999999999', { 'retry-after': '9999999999' }, 9_999_999_999_000],
    ['more digits than a number holds', { 'retry-after': '9'.repeat(400) }, Number.MAX_SAFE_INTEGER],
    ['more digits than a number holds, in ms', { 'retry-after-ms': '9'.repeat(400) }, Number.MAX_SAFE_INTEGER],
    ['garbage', { 'retry-after': 'soon' }, undefined],
    ['garbage that Date.parse takes', { 'retry-after': 'foo 1' }, undefined],
    ['a month that is none', { 'retry-after': 'Tue, 01 Foo 2030 00:00:30 GMT' }, undefined],
    ['negative', { 'retry-after': '-5' }, undefined],
    ['negative ms', { 'retry-after-ms': '-5' }, undefined],
    ['NaN', { 'retry-after': 'NaN' }, undefined],
    ['Infinity', { 'retry-after': 'Infinity' }, undefined],
    ['hexadecimal', { 'retry-after': '0x10' }, undefined],
    ['exponent', { 'retry-after': '1e9' }, undefined],
    ['two values', { 'retry-after': '1, 2' }, undefined],
    ['empty', { 'retry-after': '' }, undefined],
    ['none', {}, undefined],
  ])('%s', (_, headers, expected) => expect(retryAfterMs(header(headers), now)).toBe(expected));
});
