import * as otel from '@opentelemetry/api';
import { OTHER } from './names.ts';

/** Fixed texts for our own errors: documented, so that a backend can group by them. */
const DESCRIPTIONS: Readonly<Record<string, string>> = {
  circuit_open: 'circuit open',
  circuit_isolated: 'circuit isolated',
  bulkhead_full: 'bulkhead full',
  queue_timeout: 'queue wait exceeded',
  rate_limited: 'rate limited',
  concurrency_limited: 'concurrency limit reached',
  deadline_exceeded: 'deadline exceeded',
  draining: 'pipeline is draining',
};

/** `ECONNRESET`, `UND_ERR_SOCKET`: what Node and its clients put into `code`. */
const codeLike = /^[A-Z][A-Z0-9_]{2,40}$/;
/** A class name, or an HTTP status an adapter gives as its word. */
const nameLike = /^[\w$][\w$.-]{0,60}$/;

const longestDescription = 256;

/** The different `error.type`s of one pipeline, foreign ones. Our own are a closed set and always pass. */
const mostTypes = 24;

/** Gives errors their `error.type`: the same word on spans and metrics, of bounded number, never a message. */
export class ErrorTypes {
  private readonly pipeline: string;
  private readonly seen: Set<string>;
  private warned: boolean;

  constructor(pipeline: string) {
    this.pipeline = pipeline;
    this.seen = new Set();
    this.warned = false;
  }

  /** `word` is what an adapter knows better, such as an HTTP status; it never stands in for one of our own codes. */
  of(error: unknown, word: string | undefined): string {
    const own = ownCode(error);
    if (own !== undefined) return own;
    return this.admit(word !== undefined && nameLike.test(word) ? word : foreignType(error));
  }

  private admit(type: string): string {
    if (type === OTHER || this.seen.has(type)) return type;
    if (this.seen.size < mostTypes) {
      this.seen.add(type);
      return type;
    }
    if (!this.warned) {
      this.warned = true;
      otel.diag.warn(
        `seaworthy: pipeline "${this.pipeline}" has more than ${mostTypes} error types; further ones are reported as ${OTHER}.`,
      );
    }
    return OTHER;
  }
}

/** A status description, or `undefined` where there is nothing to say; `foreign` lets other people's messages through. */
export function describe(error: unknown, foreign: boolean): string | undefined {
  const code = ownCode(error);
  if (code === 'timeout') {
    const timeoutMs = read(error, 'timeoutMs');
    // An attempt that an outer timeout ended hears that it is over, and not after how long.
    return typeof timeoutMs === 'number' ? `timed out after ${timeoutMs} ms` : 'timed out';
  }
  if (code !== undefined) return DESCRIPTIONS[code];
  if (!foreign) return undefined;
  const message = read(error, 'message');
  if (typeof message !== 'string' || message === '') return undefined;
  // Cut first: looking for the end of the line in a message of megabytes would be paid by the call.
  const head = message.slice(0, longestDescription);
  const end = head.search(/[\r\n]/);
  return end === -1 ? head : head.slice(0, end);
}

/** Not by the error's class: it may come from another copy of the package, or stand in for one. */
function ownCode(error: unknown): string | undefined {
  const code = read(error, 'code');
  return typeof code === 'string' && (code === 'timeout' || Object.hasOwn(DESCRIPTIONS, code)) ? code : undefined;
}

function foreignType(error: unknown): string {
  const code = read(error, 'code');
  if (typeof code === 'string' && codeLike.test(code)) return code;
  const name = read(error, 'name');
  return typeof name === 'string' && nameLike.test(name) ? name : OTHER;
}

/** Users throw anything, proxies and getters that throw included. */
function read(error: unknown, property: string): unknown {
  if (typeof error !== 'object' || error === null) return undefined;
  try {
    return (error as Record<string, unknown>)[property];
  } catch {
    return undefined;
  }
}
