import type { IBackoffFactory, IBreaker } from 'cockatiel';
import { CircuitBook, type CircuitRecord, type CircuitSnapshots, checkSnapshots, NO } from '../algorithms/circuit-book.ts';
import type { Call } from '../core/call.ts';
import { CircuitOpenError, withoutStack } from '../core/errors.ts';
import { type Handle, handle } from '../core/handle.ts';
import { judge } from '../core/judge.ts';
import { oneClock } from '../core/one-clock.ts';
import { check, either, isPlain, number, policyName, type Rule, shape } from '../core/options.ts';
import { isWhen, type Judgement, type Matcher, matcher, type When } from '../core/outcome.ts';
import { type DropReason, type Host, type Policy, Stage } from '../core/policy.ts';
import { systemClock } from '../ports/clock.ts';
import type { CircuitStateName } from '../telemetry/events.ts';

/** Options of {@link circuitBreaker}; milliseconds throughout. */
export interface CircuitBreakerOptions<R = any> {
  /** Opens when this share of the calls in the window has failed. @default 0.5 */
  readonly failureRatio?: number | undefined;
  /** Judges no share before this many calls have completed in the window. @default 10 */
  readonly minimumCalls?: number | undefined;
  /** Length of the window. @default 30_000 */
  readonly windowMs?: number | undefined;
  /** A window of the last calls instead of one in time. */
  readonly windowCalls?: number | undefined;
  /** Opens after so many failures in a row; alone it replaces the ratio. */
  readonly consecutiveFailures?: number | undefined;
  /** Calls slower than this count as slow, from the start of the function. */
  readonly slowMs?: number | undefined;
  /** Opens when this share of the calls was slow. @default 1 where `slowMs` is given */
  readonly slowRatio?: number | undefined;
  /** A cockatiel breaker decides when to open; excludes all of the above. */
  readonly breaker?: IBreaker | undefined;
  /** How long it stays open; a cockatiel backoff lets it grow. @default 5_000 */
  readonly breakMs?: number | IBackoffFactory<any> | undefined;
  /** Probes let in per half-open period. @default 3 */
  readonly halfOpenCalls?: number | undefined;
  /** A probe that takes longer has failed. @default 10_000 */
  readonly halfOpenMs?: number | undefined;
  /** Circuits kept per key. @default { max: 1000, idleMs: 600_000 } */
  readonly keys?: { readonly max?: number | undefined; readonly idleMs?: number | undefined } | undefined;
  /** Which outcomes are failures. @default by `classify` */
  readonly when?: When<R> | undefined;
  /** What `toJSON()` gave in an earlier life. */
  readonly initialState?: CircuitSnapshots | undefined;
  /** @default `pipeline/circuit_breaker` */
  readonly name?: string | undefined;
}

/** One circuit, or all of a policy. */
export interface CircuitControl {
  /** Computed when read: `half_open` as soon as the break is over. */
  readonly state: CircuitStateName;
  /** Rejects everything until disposed; holds add up. */
  isolate(): Handle;
  /** Lets everything through until disposed, and still counts; holds add up. */
  disable(): Handle;
  /** Closes it, with a fresh window. */
  reset(): void;
  /** State as plain JSON for `initialState`; manual holds are not in it. */
  toJSON(): CircuitSnapshots;
}

/** A circuit breaker; `state` is that of the circuit without a key, or `'open'` while any key's is. */
export interface CircuitBreaker extends Policy, CircuitControl {
  forKey(key: string): CircuitControl;
}

const share = number(0, 1, { above: true });
const many = number(1, undefined, { whole: true });
const some = number(0, undefined, { above: true });
const rules: Readonly<Record<string, Rule>> = {
  failureRatio: share,
  minimumCalls: many,
  windowMs: some,
  windowCalls: many,
  consecutiveFailures: many,
  slowMs: some,
  slowRatio: share,
  breaker: shape('a cockatiel breaker', (value) => typeof value?.success === 'function' && typeof value?.failure === 'function'),
  breakMs: either(number(0, undefined, { infinite: true }), shape('a cockatiel backoff', (value) => typeof value?.next === 'function')),
  halfOpenCalls: many,
  halfOpenMs: some,
  keys: shape('{ max, idleMs }', (keys) => isPlain(keys) && Object.entries(keys).every(([k, v]) => (k === 'max' || k === 'idleMs') && (v === undefined || many(v) === undefined))),
  when: shape('a predicate, { error, result } or a cockatiel handler', isWhen),
  initialState: shape('what toJSON() gave', isPlain),
  name: policyName,
};

/**
 * Stops calling what keeps failing: opens by failure ratio, by failures in a row, by slowness or by a cockatiel breaker;
 * after a break it lets a few probes in and closes or opens again by what they find. Throws a `RangeError` or `TypeError`
 * for bad options.
 */
export function circuitBreaker<R = any>(options: CircuitBreakerOptions<R> = {}): CircuitBreaker {
  check('circuit breaker', options, rules, exclusions);
  if (options.initialState !== undefined) checkSnapshots(options.initialState);
  const { keys, when, name, slowMs } = options;
  const home = oneClock('a circuit breaker', systemClock);
  const book = new CircuitBook(options, { max: keys?.max ?? 1_000, idleMs: keys?.idleMs ?? 600_000 }, () => home.clock.now());
  const control = (of: (now: number) => readonly CircuitRecord[], scope: CircuitRecord | undefined, state: () => CircuitStateName): CircuitControl => ({
    get state() {
      return state();
    },
    isolate: () => handle(book.hold('isolated', scope)),
    disable: () => handle(book.hold('disabled', scope)),
    reset() {
      const now = home.clock.now();
      for (const record of of(now)) book.reset(record, now);
    },
    toJSON: () => book.toJSON(scope),
  });
  const all = control(() => book.all(), undefined, () => book.overall());
  return Object.defineProperties(
    {
      kind: 'circuit_breaker',
      name,
      forKey(key: string) {
        const record = () => book.record(key, home.clock.now());
        const own = record();
        return control(() => [record()], own, () => book.state(record()));
      },
      stage(host: Host) {
        home.adopt(host);
        return new CircuitBreakerStage(book, matcher(when), slowMs, host);
      },
      snapshot: () => ({ kind: 'circuit_breaker' as const, ...book.read() }),
    },
    Object.getOwnPropertyDescriptors(all),
  ) as unknown as CircuitBreaker;
}

function exclusions(options: CircuitBreakerOptions): string | undefined {
  const given = (names: (keyof CircuitBreakerOptions)[]) => names.filter((name) => options[name] !== undefined);
  const replaced = given(['failureRatio', 'minimumCalls', 'windowMs', 'windowCalls', 'consecutiveFailures', 'slowMs', 'slowRatio']);
  if (options.breaker !== undefined && replaced.length > 0) return `"breaker" excludes "${replaced.join('", "')}"`;
  if (options.windowMs !== undefined && options.windowCalls !== undefined) return '"windowMs" excludes "windowCalls"';
  if (options.slowRatio !== undefined && options.slowMs === undefined) return '"slowRatio" needs "slowMs"';
  return undefined;
}

class CircuitBreakerStage extends Stage {
  /** The record, the permit, how many user functions had been started, and when the first one inside was. */
  override readonly slots = 4;
  override readonly timesWork: boolean;
  private readonly book: CircuitBook;
  private readonly when: Matcher | undefined;
  private readonly slowMs: number;
  private readonly host: Host;

  constructor(book: CircuitBook, when: Matcher | undefined, slowMs: number | undefined, host: Host) {
    super();
    this.book = book;
    this.when = when;
    this.slowMs = slowMs ?? Number.POSITIVE_INFINITY;
    this.timesWork = slowMs !== undefined;
    this.host = host;
  }

  private now(): number {
    const { clock } = this.host;
    return clock.coarse === undefined || this.timesWork ? clock.now() : clock.coarse();
  }

  override enter(call: Call): void {
    const { book, slot } = this;
    const { memo } = call;
    const now = this.now();
    const { key } = call.options;
    const record = key === undefined ? book.main : book.record(key, now);
    const permit = book.admit(record, now);
    this.announce(call, record);
    if (permit === NO) return this.reject(call, record, now);
    memo[slot] = record;
    memo[slot + 1] = permit;
    memo[slot + 2] = call.root.started;
    if (this.heardBy(call)) this.tell(call, { type: 'circuit_admission', policy: this.label, state: book.state(record) });
    this.proceed(call);
  }

  private reject(call: Call, record: CircuitRecord, now: number): void {
    const isolated = this.book.isolated(record);
    const reason = isolated ? 'circuit_isolated' : 'circuit_open';
    const retryAfterMs = isolated ? Number.POSITIVE_INFINITY : record.circuit.retryAfterMs(now);
    if (this.heardBy(call)) this.tell(call, { type: 'rejected', policy: this.label, reason, retryAfterMs });
    this.raise(call, withoutStack(this.host.stackTraces, () => new CircuitOpenError(reason, retryAfterMs, this.origin(call, record.cause))));
  }

  override started(call: Call, now: number): void {
    call.memo[this.slot + 3] ??= now;
  }

  override succeed(call: Call, value: unknown): void {
    this.settle(call, judge(this, call, this.when, true, value), undefined);
    this.pass(call, value);
  }

  override fail(call: Call, error: unknown): void {
    this.settle(call, judge(this, call, this.when, false, error), error);
    this.raise(call, error);
  }

  override drop(call: Call, why: DropReason): void {
    // An outer timeout says something about the other side only if that was being asked.
    const failed = why === 'timed_out' && call.root.started > (call.memo[this.slot + 2] as number);
    this.settle(call, failed ? { verdict: 'failure' } : { verdict: 'ignored' }, undefined);
  }

  private settle(call: Call, { verdict, breaker = verdict, errorType }: Judgement, error: unknown): void {
    const { slot } = this;
    const record = call.memo[slot] as CircuitRecord | undefined;
    // A predicate may have ended the call meanwhile; its permit has been given back then.
    if (record === undefined) return;
    call.memo[slot] = undefined;
    const now = this.now();
    const startedAt = call.memo[slot + 3] as number | undefined;
    const slow = startedAt !== undefined && now - startedAt > this.slowMs;
    this.book.settle(record, call.memo[slot + 1] as number, breaker, slow, now, error);
    this.announce(call, record, error, errorType);
  }

  /** Tells what changed, dated when it was due. */
  private announce(call: Call, record: CircuitRecord, error?: unknown, errorType?: string): void {
    for (const { from, to, at, failureRatio } of this.book.news(record))
      this.tell(call, { type: 'circuit_state', policy: this.label, state: to, previous: from, at, failureRatio, error, errorType, key: record.key });
  }
}
