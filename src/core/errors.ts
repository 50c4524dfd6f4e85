import type { RejectionReason } from '../telemetry/events.ts';

const BRAND: unique symbol = Symbol.for('seaworthy.error') as never;
const REJECTED: unique symbol = Symbol.for('seaworthy.rejected') as never;

/** Who speaks, and what the reader of a log needs beside the message. */
export interface ErrorOrigin {
  readonly policy: string;
  readonly pipeline: string;
  readonly key?: string | undefined;
  readonly cause?: unknown;
}

/** Names a class with its first error: a property of each would cost as much as half of making it. */
function named(error: ResilienceError, prototype: object, value: string): void {
  const name = { value, configurable: true, writable: true };
  // Where the class has another name already, or is frozen, the error gets one of its own.
  if (Object.hasOwn(prototype, 'name') || !Reflect.defineProperty(prototype, 'name', name))
    Object.defineProperty(error, 'name', name);
}

/** The root of every error this library makes; the user's own errors are never wrapped. */
export abstract class ResilienceError extends Error {
  /** The same word as telemetry's `error.type`. */
  readonly code: string;
  /** Full name of the policy, `pipeline/kind` unless it was named. */
  readonly policy: string;
  readonly pipeline: string;
  /** The partition the call was in, when it had one. */
  declare readonly key?: string;

  constructor(name: string, code: string, message: string, origin: ErrorOrigin) {
    super(message, origin.cause === undefined ? undefined : { cause: origin.cause });
    if (this.name !== name) named(this, new.target.prototype, name);
    this.code = code;
    this.policy = origin.policy;
    this.pipeline = origin.pipeline;
    if (origin.key !== undefined) this.key = origin.key;
  }

  get [BRAND](): true {
    return true;
  }
}

/** The call was turned away: the function was not called. */
export abstract class RejectedError extends ResilienceError {
  declare readonly code: RejectionReason;

  get [REJECTED](): true {
    return true;
  }
}

/** Time was up. `cause` is the function's own error when it had already failed because of that. */
export class TimeoutError extends ResilienceError {
  readonly timeoutMs: number;

  constructor(timeoutMs: number, origin: ErrorOrigin) {
    super('TimeoutError', 'timeout', `timed out after ${timeoutMs} ms`, origin);
    this.timeoutMs = timeoutMs;
  }

  /** cockatiel's `isTaskCancelledError` looks for this. */
  get isTaskCancelledError(): true {
    return true;
  }
}

/** The circuit was open, or held open by hand. `cause` is the failure that opened it. */
export class CircuitOpenError extends RejectedError {
  /** Milliseconds until a probe may be let in; `Infinity` while isolated. */
  readonly retryAfterMs: number;

  constructor(code: 'circuit_open' | 'circuit_isolated', retryAfterMs: number, origin: ErrorOrigin) {
    super('CircuitOpenError', code, code === 'circuit_open' ? 'circuit open' : 'circuit isolated', origin);
    this.retryAfterMs = retryAfterMs;
    // cockatiel's isIsolatedCircuitError asks whether the property is there at all
    if (code === 'circuit_isolated') Object.defineProperty(this, 'isIsolatedCircuitError', { value: true });
  }

  /** cockatiel's `isBrokenCircuitError` looks for this. */
  get isBrokenCircuitError(): true {
    return true;
  }
}

/** Every slot was taken and the queue was full (`bulkhead_full`), or the wait in it was too long (`queue_timeout`). */
export class BulkheadFullError extends RejectedError {
  readonly limit: number;
  readonly queue: number;

  constructor(code: 'bulkhead_full' | 'queue_timeout', limit: number, queue: number, origin: ErrorOrigin) {
    super('BulkheadFullError', code, code === 'bulkhead_full' ? 'bulkhead full' : 'queue wait exceeded', origin);
    this.limit = limit;
    this.queue = queue;
  }

  /** cockatiel's `isBulkheadRejectedError` looks for this. */
  get isBulkheadRejectedError(): true {
    return true;
  }
}

/** Too little time was left to start. */
export class DeadlineExceededError extends RejectedError {
  /** Milliseconds that were left; may be negative. */
  readonly remainingMs: number;

  constructor(remainingMs: number, origin: ErrorOrigin) {
    super('DeadlineExceededError', 'deadline_exceeded', 'deadline exceeded', origin);
    this.remainingMs = remainingMs;
  }
}

/** The pipeline takes no new calls. */
export class DrainingError extends RejectedError {
  constructor(origin: ErrorOrigin) {
    super('DrainingError', 'draining', 'pipeline is draining', origin);
  }
}

/** True for every error of this library, also one made by another copy of it. */
export function isResilienceError(error: unknown): error is ResilienceError {
  try {
    return error instanceof Error && BRAND in error;
  } catch {
    // A user's own may be anything, a proxy that throws included, and is then none of ours.
    return false;
  }
}

/** True when the function was not called: an open circuit, a full bulkhead, no time left. */
export function isRejectedError(error: unknown): error is RejectedError {
  // Written out once more: where one place looks for either mark, V8 searches for it by hash each time.
  try {
    return error instanceof Error && REJECTED in error;
  } catch {
    return false;
  }
}

/** True for a timeout of this library, also one made by another copy of it. */
export function isTimeoutError(error: unknown): error is TimeoutError {
  return isResilienceError(error) && error.code === 'timeout';
}

/** Gives `error` a `cause` where it is an error that has none and can take one. */
export function because(error: unknown, cause: unknown): void {
  try {
    if (!(error instanceof Error) || error === cause || error.cause !== undefined || !Object.isExtensible(error))
      return;
    Object.defineProperty(error, 'cause', { value: cause, configurable: true, writable: true });
  } catch {
    // The user's own error defines what reading it does, and stays as it is.
  }
}

/**
 * Makes an error without a stack: it is thrown because of a decision, not because of a place, and capturing one costs
 * more than the rest of a rejected call. Where `Error` is frozen the stack is simply captured.
 */
export function withoutStack<E extends Error>(stackTraces: boolean, make: () => E): E {
  if (stackTraces) return make();
  const limit = Error.stackTraceLimit;
  try {
    Error.stackTraceLimit = 0;
  } catch {
    return make();
  }
  try {
    return make();
  } finally {
    Error.stackTraceLimit = limit;
  }
}
