/**
 * How long to wait before trying again. The default doubles the range from which the delay is drawn and draws from all
 * of it ("full jitter", Marc Brooker, AWS Architecture Blog 2015), also at the cap: decorrelated jitter that is cut off
 * there sends two hundred clients back in the same millisecond (cockatiel C-29). It is cockatiel's `ExponentialBackoff`
 * with a generator of ours. What an author's backoff answers that is no usable length is refused: a `NaN` that became a
 * delay would be a loop without a pause (C-30).
 */
import { ExponentialBackoff, type GeneratorFn, type IBackoff, type IBackoffFactory } from 'cockatiel';
import type { Random } from '../ports/random.ts';
import { unawaited } from './unawaited.ts';

/** Milliseconds to wait, or not to try again. */
export type Delay = number | 'stop';

/**
 * What a policy accepts as a backoff: constant milliseconds, a cockatiel backoff, or a function of what happened that
 * gives milliseconds or `'stop'`.
 */
export type Backoff<Info> = number | IBackoffFactory<Info> | ((info: Info) => Delay);

/** A backoff ready to be walked: one walk per call, each with a state of its own. */
export interface Delays<Info> {
  /** Every delay, when they do not depend on what happened; nobody has to ask then. */
  readonly constant?: Delay;
  /** The delay after the first failure. */
  first(info: Info): DelayStep<Info>;
}

/** One delay of a walk, and the way to the next. */
export interface DelayStep<Info> {
  /** Milliseconds from 0 up and finite, or `'stop'`. */
  readonly delay: Delay;
  /** The delay after one more failure; after `'stop'` it stays `'stop'`. */
  next(info: Info): DelayStep<Info>;
}

/** The limits of {@link exponentialFullJitter}. */
export interface ExponentialOptions {
  /** The longest first delay, in milliseconds. */
  readonly baseMs?: number | undefined;
  /** The longest delay of all, in milliseconds. */
  readonly maxMs?: number | undefined;
}

/** Delay n (from 0) is uniform between 0 and `min(maxMs, baseMs * 2^n)` milliseconds, drawn from `random`. */
export function exponentialFullJitter(
  { baseMs = 100, maxMs = 10_000 }: ExponentialOptions,
  random: Random,
): IBackoffFactory<unknown> {
  const generator: GeneratorFn<number> = (n = 0, { initialDelay, maxDelay, exponent }) => {
    // Bounded, because 0 times the infinite power would be NaN.
    const ceiling = Math.min(maxDelay, initialDelay * exponent ** Math.min(n, 500));
    return [chance(random) * ceiling, n + 1];
  };
  return new ExponentialBackoff({ generator, initialDelay: baseMs, maxDelay: maxMs, exponent: 2 });
}

/** A draw from the user's own source. */
function chance(random: Random): number {
  const drawn: unknown = random();
  if (typeof drawn === 'number' && drawn >= 0 && drawn <= 1) return drawn;
  unawaited(drawn);
  throw new TypeError(`random must answer a number from 0 to 1, received ${shown(drawn)}`);
}

/** Brings the three forms of a backoff into one; what the author's code throws passes through `first` and `next`. */
export function delays<Info>(backoff: Backoff<Info>): Delays<Info> {
  if (typeof backoff === 'number') {
    const constant = new ConstantStep(usable(backoff));
    return { constant: constant.delay, first: () => constant };
  }
  if (typeof backoff === 'function') return { first: (info) => new AskedStep(backoff, info) };
  return { first: (info) => cockatielStep(backoff, info) };
}

/**
 * A length that can be waited for, or stop: `Infinity` would be a call that neither ends nor goes on. Throws a `TypeError`
 * for what is neither, so that a forgotten `return` is heard of.
 */
function usable(ms: unknown): Delay {
  if (ms === 'stop' || ms === Infinity) return 'stop';
  if (typeof ms === 'number' && ms >= 0) return ms;
  unawaited(ms);
  throw new TypeError(`backoff must answer milliseconds from 0 up or "stop", received ${shown(ms)}`);
}

function shown(value: unknown): string {
  return typeof value === 'number' ? String(value) : typeof value;
}

class ConstantStep implements DelayStep<unknown> {
  readonly delay: Delay;

  constructor(delay: Delay) {
    this.delay = delay;
  }

  next(): this {
    return this;
  }
}

const stopped = /* @__PURE__ */ new ConstantStep('stop');

class AskedStep<Info> implements DelayStep<Info> {
  readonly delay: Delay;
  private readonly ask: (info: Info) => Delay;

  constructor(ask: (info: Info) => Delay, info: Info) {
    this.ask = ask;
    this.delay = usable(ask(info));
  }

  next(info: Info): DelayStep<Info> {
    return this.delay === 'stop' ? stopped : new AskedStep(this.ask, info);
  }
}

class CockatielStep<Info> implements DelayStep<Info> {
  readonly delay: Delay;
  private readonly backoff: IBackoff<Info>;

  constructor(delay: Delay, backoff: IBackoff<Info>) {
    this.delay = delay;
    this.backoff = backoff;
  }

  next(info: Info): DelayStep<Info> {
    return cockatielStep(this.backoff, info);
  }
}

function cockatielStep<Info>(factory: IBackoffFactory<Info>, info: Info): DelayStep<Info> {
  const backoff = factory.next(info) as IBackoff<Info> | undefined;
  // Backoffs written for older versions of cockatiel end so.
  if (backoff === undefined) return stopped;
  unawaited(backoff);
  if (typeof backoff?.next !== 'function') throw new TypeError('next() of a backoff must answer a backoff');
  const { duration } = backoff as Partial<IBackoff<Info>>;
  // An empty list has no first one.
  const delay = duration === undefined ? 'stop' : usable(duration);
  return delay === 'stop' ? stopped : new CockatielStep(delay, backoff);
}
