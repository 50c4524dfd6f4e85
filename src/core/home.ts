import type { Call } from './call.ts';
import { outcomeOf } from './outcome.ts';
import type { Work } from './work.ts';

/** Comes through a function's promise in place of its end. */
const WOKEN = Symbol('woken');

/** What the caller gets for a call that was sent inwards. */
export function settlement(call: Call): Promise<unknown> {
  if (call.promise === null) call.promise = call.ended ? settled(call) : hold(call);
  return call.promise;
}

/** The outermost stage has answered, or the call was given up. */
export function finish(call: Call, ok: boolean, result: unknown): void {
  if (call.ended) return;
  if (call.seat !== null || call.alarm !== null) letGo(call);
  call.ended = true;
  call.ok = ok;
  call.result = result;
  // Settling a promise twice costs more than a whole stage, so a chain that is under way carries the result itself.
  if (!call.chained) send(call);
}

/** Nothing from outside will end it any more. */
function letGo({ seat, alarm }: Call): void {
  seat?.hub.leave(seat);
  alarm?.cancel();
}

function send(call: Call): void {
  if (call.resolve !== null) deliver(call);
  if (call.wake !== null) call.wake(WOKEN);
}

/**
 * Hears how the function behind `promise` ends, and lets the caller's promise depend on the first one. V8 follows such a
 * chain, which keeps the caller's `at async` frames in the stack of the user's error. The promise in between is ours: woken
 * early it takes what comes from a timer into the caller's async context, which a call that ends in time need not remember.
 *
 *     user's promise -> gate -> call.promise                 ended in time
 *                       gate -> call.promise -> call.rest    goes on: another attempt, a fallback, a timeout
 *
 * A call that waits has either `wake` or a context remembered, so that whoever comes from outside finds the way.
 */
export function follow(call: Call, work: Work, promise: Promise<unknown>): void {
  if (call.promise !== null || call.ended) return join(call, work, promise);
  const gate = new Promise((resolve, reject) => {
    call.wake = resolve;
    promise.then(resolve, reject);
  });
  call.promise = gate.then(
    (value) => (value === WOKEN ? detour(call, work, promise) : arrive(call, work, true, value)),
    (error) => arrive(call, work, false, error),
  );
}

/** Goes on with `step` in the caller's async context, a microtask later. Answers whether there is such a way. */
export function wake(call: Call, step: () => void): boolean {
  if (call.wake === null) return false;
  (call.steps ??= []).push(step);
  call.wake(WOKEN);
  return true;
}

/** The first function has ended: answers for the caller's promise. */
function arrive(call: Call, work: Work, ok: boolean, result: unknown): unknown {
  call.wake = null;
  if (call.steps !== null) walk(call);
  const late = call.ended;
  call.chained = !late;
  work.end(ok, result);
  call.chained = false;
  if (!call.ended) return hold(call);
  return late ? settled(call) : answer(call);
}

/** Something else was first: goes on with that, and hears of the function's end when it comes. */
function detour(call: Call, work: Work, promise: Promise<unknown>): unknown {
  call.wake = null;
  join(call, work, promise);
  walk(call);
  return call.rest;
}

function walk(call: Call): void {
  const steps = call.steps ?? [];
  call.steps = null;
  for (const step of steps) step();
}

/** Hears how another function ends; its error has the same frames. */
function join(call: Call, work: Work, promise: Promise<unknown>): void {
  if (call.wake === null) call.capture();
  open(call);
  promise
    .then(
      (value) => carry(call, work, true, value),
      (error) => carry(call, work, false, error),
    )
    .then(call.resolve!, call.reject!);
}

/** Answers for what is settled by hand, with a promise that never settles where something else will end the call, or has. */
function carry(call: Call, work: Work, ok: boolean, result: unknown): unknown {
  const carries = !call.ended && call.wake === null;
  call.chained = carries;
  work.end(ok, result);
  call.chained = false;
  return carries && call.ended ? answer(call) : new Promise(() => {});
}

/** The call goes on by itself, and may be found by whoever has another context. */
function hold(call: Call): Promise<unknown> {
  call.capture();
  return open(call);
}

/** What is settled by hand: the caller's promise, or what that has come to depend on. */
function open(call: Call): Promise<unknown> {
  if (call.rest === null) {
    call.rest = new Promise((resolve, reject) => {
      call.resolve = resolve;
      call.reject = reject;
    });
    // The function may have ended the call itself before it answered with a promise.
    if (call.ended) deliver(call);
  }
  return call.rest;
}

function deliver(call: Call): void {
  if (call.asOutcome) call.resolve!(outcomeOf(call.ok, call.result));
  else if (call.ok) call.resolve!(call.result);
  else call.reject!(call.result);
}

/** The end as a promise. */
function settled(call: Call): Promise<unknown> {
  if (call.rest !== null) return call.rest;
  if (call.asOutcome) return Promise.resolve(outcomeOf(call.ok, call.result));
  return call.ok ? Promise.resolve(call.result) : rejection(call.result);
}

const settledAlready = Promise.resolve();

/**
 * A promise that is rejected a microtask from now, when the caller listens to it: of one that is rejected before that, Node
 * takes note twice, as of an error nobody handles and then of its handling, which costs more than the whole call.
 */
function rejection(error: unknown): Promise<never> {
  return new Promise((_, reject) => {
    settledAlready.then(() => reject(error));
  });
}

/** The end, inside a chain. */
function answer(call: Call): unknown {
  if (call.asOutcome) return outcomeOf(call.ok, call.result);
  if (call.ok) return call.result;
  throw call.result;
}
