import { expect, test } from 'vitest';
import { describe as description, ErrorTypes } from '../../../src/adapters/otel/error-type.ts';
import {
  BulkheadFullError,
  CircuitOpenError,
  DeadlineExceededError,
  DrainingError,
  TimeoutError,
} from '../../../src/core/errors.ts';
import { withoutComplaints } from './sdk.ts';

withoutComplaints();

const origin = { policy: 'p/x', pipeline: 'p' };
const hostile = new Proxy(
  {},
  {
    get: () => {
      throw new Error('mine');
    },
  },
);

test.each([
  [new TimeoutError(5, origin), undefined, 'timeout', 'timed out after 5 ms'],
  [new TimeoutError(5, origin), '503', 'timeout', 'timed out after 5 ms'],
  [new CircuitOpenError('circuit_open', 1, origin), undefined, 'circuit_open', 'circuit open'],
  [new CircuitOpenError('circuit_isolated', 1, origin), undefined, 'circuit_isolated', 'circuit isolated'],
  [new BulkheadFullError('bulkhead_full', 1, 0, origin), undefined, 'bulkhead_full', 'bulkhead full'],
  [new BulkheadFullError('queue_timeout', 1, 1, origin), undefined, 'queue_timeout', 'queue wait exceeded'],
  [new DeadlineExceededError(-1, origin), undefined, 'deadline_exceeded', 'deadline exceeded'],
  [new DrainingError(origin), undefined, 'draining', 'pipeline is draining'],
  [Object.assign(new Error('connect'), { code: 'ECONNRESET' }), undefined, 'ECONNRESET', 'connect'],
  [Object.assign(new Error('connect'), { code: 'ECONNRESET' }), '503', '503', 'connect'],
  [Object.assign(new Error('c'), { code: 'user 17 not found' }), undefined, 'Error', 'c'],
  [new DOMException('stop', 'AbortError'), undefined, 'AbortError', 'stop'],
  [new TypeError('first\r\nsecond'), undefined, 'TypeError', 'first'],
  [Object.assign(new Error('x'.repeat(1000)), { name: 'user 17' }), undefined, '_OTHER', 'x'.repeat(256)],
  [undefined, undefined, '_OTHER', undefined],
  [undefined, '503', '503', undefined],
  [undefined, 'a sentence is no word', '_OTHER', undefined],
  ['thrown text', undefined, '_OTHER', undefined],
  [hostile, undefined, '_OTHER', undefined],
])('%#: what an error is called', (error, word, type, text) => {
  expect(new ErrorTypes('p').of(error, word)).toBe(type);
  expect(description(error, true)).toBe(text);
});
