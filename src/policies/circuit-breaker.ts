import {
  type Admission,
  type BookOptions,
  CircuitBook,
  type CircuitRecord,
  nothing,
} from '../algorithms/circuit-book.ts';
import { conflict, isBreaker } from '../algorithms/circuit-options.ts';
import type { Call } from '../core/call.ts';
import { type CircuitControl, control, faultless } from '../core/circuit-control.ts';
import { CircuitOpenError, withoutStack } from '../core/errors.ts';
import { judge } from '../core/judge.ts';
import { oneClock } from '../core/one-clock.ts';
import { callable, check, either, fields, isPlain, number, policyName, type Rules, shape } from '../core/options.ts';
import { type Matcher, matcher, type Verdict, type When } from '../core/outcome.ts';
import { type DropReason, type Host, type Policy, Stage } from '../core/policy.ts';
import { cockatielBackoff, judging } from '../core/policy-rules.ts';
import { coarse, systemClock } from '../ports/clock.ts';

/** Options of {@link circuitBreaker}; milliseconds throughout. */
export interface CircuitBreakerOptions<R = any> extends BookOptions {
  /** Circuits kept per key. @default { max: 1000, idleMs: 600_000 } */
  readonly keys?: { readonly max?: number | undefined; readonly idleMs?: number | undefined } | undefined;
  /** Which outcomes are failures. @default by `classify` */
  readonly when?: When<R> | undefined;
  /** @default `pipeline/circuit_breaker` */
  readonly name?: string | undefined;
}

/** A circuit breaker; `state` is the key-less circuit's, or the worst of the keys' own; holds on single keys are left out. */
export interface CircuitBreaker extends Policy, CircuitControl {
  /** The circuit of one key; beside a cockatiel breaker that is not a function it is the one of all. */
  forKey(key: string): CircuitControl;
}

const share = /* @__PURE__ */ number(0, 1, { above: true });
const many = /* @__PURE__ */ number(1, undefined, { whole: true });
const some = /* @__PURE__ */ number(0, undefined, { above: true });
const rules: Rules = {
  failureRatio: share,
  minimumCalls: many,
  windowMs: some,
  windowCalls: /* @__PURE__ */ number(1, 1_000_000, { whole: true }),
  consecutiveFailures: many,
  slowMs: some,
  slowRatio: share,
  breaker: /* @__PURE__ */ either(/* @__PURE__ */ shape('a cockatiel breaker', isBreaker), callable),
  breakMs: /* @__PURE__ */ either(/* @__PURE__ */ number(0, undefined, { infinite: true }), cockatielBackoff),
  halfOpenCalls: many,
  halfOpenMs: some,
  keys: /* @__PURE__ */ fields({ max: many, idleMs: some }),
  when: judging,
  initialState: /* @__PURE__ */ shape('what toJSON() gave', isPlain),
  name: policyName,
};

/**
 * Stops calling what keeps failing: opens by failure ratio, by failures in a row, by slowness or by a cockatiel breaker;
 * after a break it lets a few probes in and closes or opens again by what they find. Throws a `RangeError` or `TypeError`
 * for bad options.
 */
export function circuitBreaker<R = any>(options: CircuitBreakerOptions<R> = {}): CircuitBreaker {
  check('create circuit breaker', options, rules, conflict);
  const { keys, when, name, ...numbers } = options;
  const { max = 1_000, idleMs = 600_000 } = keys ?? {};
  const failing = matcher(when);
  const home = oneClock('a circuit breaker', systemClock);
  const book = new CircuitBook(numbers, { max, idleMs }, () => home.clock.now());
  // Its state is a getter, so the rest is put beside it and not the other way round.
  return Object.assign(control(book, undefined), {
    kind: 'circuit_breaker',
    name,
    limits: true,
    forKey: (key: string) => control(book, key),
    stage(host: Host) {
      const { clock } = home;
      home.adopt(host);
      if (home.clock !== clock) book.restore();
      return new CircuitBreakerStage(book, failing, host);
    },
    snapshot: () => ({ kind: 'circuit_breaker' as const, ...faultless(book, book.read()) }),
  });
}

class CircuitBreakerStage extends Stage {
  /** Its admission, how many user functions the call had started before, and where slowness counts when the first one inside began. */
  override readonly slots: number;
  override readonly timesWork: boolean;
  private readonly book: CircuitBook;
  private readonly when: Matcher | undefined;
  private readonly host: Host;

  constructor(book: CircuitBook, when: Matcher | undefined, host: Host) {
    super();
    this.book = book;
    this.when = when;
    this.timesWork = book.timed;
    this.slots = book.timed ? 3 : 2;
    this.host = host;
  }

  override enter(call: Call): void {
    const { book } = this;
    const { key } = call.options;
    const record = key === undefined ? book.main : book.record(key, coarse(this.host.clock));
    const admission = book.admit(record);
    // Kept before anybody is told, because a listener may end the call.
    call.memo[this.slot] = admission;
    call.memo[this.slot + 1] = call.invoked;
    if (book.hasNews(record)) this.announce(call, record);
    if (admission === undefined) return this.reject(call, record);
    if (this.heardBy(call))
      this.tell(call, { type: 'circuit_admission', policy: this.label, state: book.state(record) });
    if (call.at !== this.index) return;
    call.at = this.innerIndex;
    this.inner.enter(call);
  }

  private reject(call: Call, record: CircuitRecord): void {
    const { reason, retryAfterMs } = this.book.refuse(record);
    if (this.heardBy(call)) this.tell(call, { type: 'rejected', policy: this.label, reason, retryAfterMs });
    const make = () => new CircuitOpenError(reason, retryAfterMs, this.origin(call, record.cause));
    this.raise(call, withoutStack(this.host.stackTraces, make));
  }

  override started(call: Call, now: number): void {
    call.memo[this.slot + 2] ??= now;
  }

  override succeed(call: Call, value: unknown): void {
    if (this.when === undefined && call.plain) this.settle(call, 'success');
    else this.weigh(call, true, value);
    if (call.at !== this.index) return call.discard(value);
    call.at = this.outerIndex;
    this.outer.succeed(call, value);
  }

  override fail(call: Call, error: unknown): void {
    this.weigh(call, false, error);
    if (call.at !== this.index) return;
    call.at = this.outerIndex;
    this.outer.fail(call, error);
  }

  private weigh(call: Call, ok: boolean, result: unknown): void {
    const { verdict, breaker = verdict, errorType } = judge(this, call, this.when, ok, result);
    this.settle(call, breaker, ok ? { error: undefined, errorType, value: result } : { error: result, errorType });
  }

  override drop(call: Call, why: DropReason, reason: unknown): void {
    // An outer timeout says something about the other side only if that was being asked.
    const failed = why === 'timed_out' && call.invoked > (call.memo[this.slot + 1] as number);
    this.settle(call, failed ? 'failure' : 'ignored', failed ? { error: reason } : nothing);
  }

  private settle(call: Call, result: Verdict, ending = nothing): void {
    const { book, slot } = this;
    const { clock } = this.host;
    const admission = call.memo[slot] as Admission | undefined;
    // A predicate may have ended the call meanwhile; its permit has been given back then.
    if (admission === undefined) return;
    call.memo[slot] = undefined;
    if (this.timesWork) book.settle(admission, result, clock.now(), ending, call.memo[slot + 2] as number | undefined);
    else book.settle(admission, result, coarse(clock), ending);
    if (book.hasNews(admission.record)) this.announce(call, admission.record);
  }

  /** Tells what changed, dated when it was due, and what failed on the way. */
  private announce(call: Call, record: CircuitRecord): void {
    for (const { where, error } of this.book.takeFaults()) this.fault(call, where, error);
    this.book.tellNews(record, (news) => this.tell(call, { type: 'circuit_state', policy: this.label, ...news }));
  }
}
