import type { Call } from '../core/call.ts';
import { Deadline, deadlineIn } from '../core/deadlines.ts';
import { TimeoutError, withoutStack } from '../core/errors.ts';
import { judge } from '../core/judge.ts';
import { check, either, callable, isPlain, needed, number, policyName, shape } from '../core/options.ts';
import { isWhen, type Judgement, type Matcher, matcher, type Outcome, type When } from '../core/outcome.ts';
import { type DropReason, type Host, type Policy, Stage } from '../core/policy.ts';
import { type CallContext, Work } from '../core/work.ts';
import type { Timer } from '../ports/clock.ts';
import type { SpanEnd } from '../telemetry/observer.ts';

/** Options of {@link fallback}. */
export interface FallbackOptions<R, V = never> {
  /** What answers in place of the call: a function of its outcome, or a value. */
  readonly to: ((outcome: Outcome, call: CallContext) => R) | { readonly value: V };
  /** Milliseconds the function may take. @default no limit */
  readonly timeoutMs?: number | undefined;
  /** Which outcomes are answered. @default every failure */
  readonly when?: When | undefined;
  /** @default `pipeline/fallback` */
  readonly name?: string | undefined;
}

const rules = {
  to: needed(either(callable, shape('{ value }', (to) => isPlain(to) && 'value' in to))),
  timeoutMs: number(0, undefined, { above: true, infinite: true }),
  when: shape('a predicate, { error, result } or a cockatiel handler', isWhen),
  name: policyName,
};

type To = ((outcome: Outcome, call: CallContext) => unknown) | { readonly value: unknown };

/**
 * Answers in place of a call that failed, was turned away or ran out of time; not for the caller's own abort. It runs at
 * most once. When it fails, its error surfaces, with the original as `cause`. Throws a `TypeError` for bad options.
 */
export function fallback<R>(to: (outcome: Outcome, call: CallContext) => R): Policy<Awaited<R>>;
export function fallback<R = never, const V = never>(options: FallbackOptions<R, V>): Policy<Awaited<R> | V>;
export function fallback(options: To | FallbackOptions<unknown, unknown>): Policy<unknown> {
  const given = typeof options === 'function' ? { to: options } : (options as FallbackOptions<unknown, unknown>);
  check('fallback', given, rules);
  const { to, timeoutMs = Number.POSITIVE_INFINITY, when, name } = given;
  const counts = { success: 0, failure: 0 };
  return {
    kind: 'fallback',
    name,
    stage: (host) => new FallbackStage(to, timeoutMs, matcher(when), counts, host),
    snapshot: () => ({ kind: 'fallback', executions: { ...counts } }),
  };
}

/** One run of a fallback. */
interface Answering {
  readonly outcome: Outcome;
  readonly errorType: string | undefined;
  readonly tokens: unknown[] | undefined;
  readonly startedAt: number;
  timer: Timer | undefined;
}

class FallbackStage extends Stage {
  override readonly rescues = true;
  private readonly to: To;
  private readonly timeoutMs: number;
  private readonly when: Matcher | undefined;
  private readonly counts: { success: number; failure: number };
  private readonly host: Host;

  constructor(to: To, timeoutMs: number, when: Matcher | undefined, counts: FallbackStage['counts'], host: Host) {
    super();
    this.to = to;
    this.timeoutMs = timeoutMs;
    this.when = when;
    this.counts = counts;
    this.host = host;
  }

  override succeed(call: Call, value: unknown): void {
    const judged = judge(this, call, this.when, true, value);
    if (judged.verdict !== 'failure') return this.pass(call, value);
    this.answer(call, { status: 'value', value }, judged);
  }

  override fail(call: Call, error: unknown): void {
    const judged = judge(this, call, this.when, false, error);
    if (judged.verdict !== 'failure') return this.raise(call, error);
    this.answer(call, { status: 'failure', error }, judged);
  }

  private answer(call: Call, outcome: Outcome, judged: Judgement): void {
    const { to } = this;
    const execution = this.execution(call);
    const answering: Answering = { outcome, errorType: judged.errorType, tokens: undefined, startedAt: 0, timer: undefined };
    if (typeof to !== 'function') {
      call.memo[this.slot] = answering;
      return this.answered(call, to.value);
    }
    const live = execution.interest !== 0;
    const run: Answering = {
      ...answering,
      tokens: live ? this.scope.pipeline.observers.start('fallback', execution, (this.inAttempt ? execution.attemptTokens : undefined) ?? execution.tokens) : undefined,
      startedAt: live ? this.host.clock.now() : 0,
    };
    call.memo[this.slot] = run;
    // Its own end is still to come: to the frame it is a stage at work again.
    call.heard = false;
    const { timeoutMs } = this;
    if (timeoutMs !== Number.POSITIVE_INFINITY) {
      call.capture();
      run.timer = deadlineIn(this.host.clock, timeoutMs, new Deadline(() => this.expire(call, run), call, timeoutMs, null));
    }
    new Work(call, this, execution.attempt || 1).start((work) => to(outcome, work), run.tokens);
  }

  private expire(call: Call, run: Answering): void {
    call.run(() => {
      if (call.memo[this.slot] !== run || call.work === null) return;
      const { timeoutMs } = this;
      const error = withoutStack(this.host.stackTraces, () => new TimeoutError(timeoutMs, this.origin(call)));
      if (this.heardBy(call)) this.tell(call, { type: 'timeout', policy: this.label, timeoutMs });
      const { work } = call;
      call.work = null;
      work.abandon(error, this);
      this.threw(call, error);
    });
  }

  override returned(call: Call, value: unknown): void {
    this.close(call, 'success', undefined);
    this.answered(call, value);
  }

  private answered(call: Call, value: unknown): void {
    const { outcome, errorType } = call.memo[this.slot] as Answering;
    this.counts.success++;
    this.execution(call).rescued = true;
    if (outcome.status === 'value') call.discard(outcome.value);
    if (this.heardBy(call)) this.tell(call, { type: 'fallback', policy: this.label, result: 'success', errorType, ...reason(outcome) });
    this.pass(call, value);
  }

  override threw(call: Call, error: unknown): void {
    const { outcome, errorType } = call.memo[this.slot] as Answering;
    this.counts.failure++;
    this.close(call, 'failure', error);
    if (outcome.status === 'value') call.discard(outcome.value);
    else if (error instanceof Error && error !== outcome.error && error.cause === undefined && Object.isExtensible(error))
      Object.defineProperty(error, 'cause', { value: outcome.error, configurable: true, writable: true });
    if (this.heardBy(call)) this.tell(call, { type: 'fallback', policy: this.label, result: 'failure', errorType, cause: error, ...reason(outcome) });
    this.raise(call, error);
  }

  override drop(call: Call, why: DropReason): void {
    const run = call.memo[this.slot] as Answering | undefined;
    if (run !== undefined) this.close(call, why === 'timed_out' ? 'failure' : 'cancelled', undefined);
  }

  private close(call: Call, outcome: SpanEnd['outcome'], error: unknown): void {
    const { tokens, startedAt, timer } = call.memo[this.slot] as Answering;
    timer?.cancel();
    if (tokens === undefined) return;
    const execution = this.execution(call);
    const durationMs = this.host.clock.now() - startedAt;
    this.scope.pipeline.observers.end('fallback', tokens, { outcome, error, errorType: undefined, durationMs, attempts: execution.attempt, rejected: false }, execution);
  }
}

function reason(outcome: Outcome): { error: unknown } | { value: unknown } {
  return outcome.status === 'failure' ? { error: outcome.error } : { value: outcome.value };
}
