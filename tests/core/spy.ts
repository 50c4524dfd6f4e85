import { type DropReason, type Policy, Stage } from 'seaworthy';
import type { Call } from '../../src/core/call.ts';

/** A stage between stages: it writes down what it hears and goes on. */
export function spy(name: string, log: string[]): Policy {
  return { kind: 'spy', name, stage: () => new Spy(log, name) };
}

class Spy extends Stage {
  private readonly log: string[];
  private readonly who: string;

  constructor(log: string[], who: string) {
    super();
    this.log = log;
    this.who = who;
  }

  override enter(call: Call): void {
    this.log.push(`${this.who} enter`);
    this.proceed(call);
  }

  override succeed(call: Call, value: unknown): void {
    this.log.push(`${this.who} succeed`);
    this.pass(call, value);
  }

  override fail(call: Call, error: unknown): void {
    this.log.push(`${this.who} fail`);
    this.raise(call, error);
  }

  override drop(_call: Call, why: DropReason): void {
    this.log.push(`${this.who} drop ${why}`);
  }
}

/** One real turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Lets promises settle without leaving the macrotask. */
export async function microtasks(): Promise<void> {
  for (let i = 0; i < 50; i++) await undefined;
}

/** What a promise has come to, read when asked. */
export interface Seen {
  state: 'pending' | 'value' | 'error';
  result: unknown;
  times: number;
}

export function watch(promise: Promise<unknown>): Seen {
  const seen: Seen = { state: 'pending', result: undefined, times: 0 };
  promise.then(
    (value) => Object.assign(seen, { state: 'value', result: value, times: seen.times + 1 }),
    (error) => Object.assign(seen, { state: 'error', result: error, times: seen.times + 1 }),
  );
  return seen;
}

/** A promise that is settled from outside. */
export function gate<T = unknown>(): { promise: Promise<T>; open(value: T): void; break(error: unknown): void } {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, open: resolve, break: reject };
}

/** The unhandled rejections while `run` runs and two turns beyond. */
export async function unhandled(run: () => unknown): Promise<unknown[]> {
  const reasons: unknown[] = [];
  const listener = (reason: unknown) => reasons.push(reason);
  process.on('unhandledRejection', listener);
  try {
    await run();
    await turn();
    await turn();
  } finally {
    process.off('unhandledRejection', listener);
  }
  return reasons;
}

/** Every order of three. */
export const orders = [
  [0, 1, 2],
  [0, 2, 1],
  [1, 0, 2],
  [1, 2, 0],
  [2, 0, 1],
  [2, 1, 0],
] as const;
