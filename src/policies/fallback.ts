import type { Call } from '../core/call.ts';
import { OwnDeadline } from '../core/deadlines.ts';
import { because, TimeoutError, withoutStack } from '../core/errors.ts';
import { attemptsOf, spanEnd } from '../core/execution.ts';
import { judge } from '../core/judge.ts';
import { callable, check, either, isPlain, limitMs, needed, policyName, shape } from '../core/options.ts';
import { type Judgement, matcher, type Outcome, outcomeOf, resultOf, type When } from '../core/outcome.ts';
import { type DropReason, type Host, type Policy, Stage } from '../core/policy.ts';
import { judging } from '../core/policy-rules.ts';
import { type CallContext, Work } from '../core/work.ts';
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

const ready = /* @__PURE__ */ shape('{ value }', (to) => isPlain(to) && 'value' in to);
const rules = {
  to: /* @__PURE__ */ needed(/* @__PURE__ */ either(callable, ready)),
  timeoutMs: limitMs,
  when: judging,
  name: policyName,
};

type To = ((outcome: Outcome, call: CallContext) => unknown) | { readonly value: unknown };

/**
 * Answers in place of a call that failed, was turned away or ran out of time; not for the caller's own abort. It runs at
 * most once. When it fails, its error surfaces, with the original as `cause`. Throws a `TypeError` for bad options.
 */
export function fallback<R>(to: (outcome: Outcome, call: CallContext) => R): Policy<Awaited<R>>;
// Apart, because a type that no argument tells would be taken from the list of policies it stands in, as `any`.
export function fallback<R>(options: FallbackOptions<R>): Policy<Awaited<R>>;
export function fallback<const V>(options: FallbackOptions<never, V>): Policy<V>;
export function fallback(options: To | FallbackOptions<unknown, unknown>): Policy<unknown> {
  const given = typeof options === 'function' ? { to: options } : (options as FallbackOptions<unknown, unknown>);
  check('create fallback', given, rules);
  const { timeoutMs = Number.POSITIVE_INFINITY, name } = given;
  const to = typeof given.to === 'function' ? given.to : { ...given.to };
  const when = matcher(given.when);
  const limited = timeoutMs < Number.POSITIVE_INFINITY;
  const counts = { success: 0, failure: 0, timeouts: 0, late: 0 };
  return {
    kind: 'fallback',
    name,
    stage: (host) => new FallbackStage({ to, timeoutMs, when, counts }, host),
    snapshot: () => {
      const { success, failure, ...limits } = counts;
      return { kind: 'fallback', executions: { success, failure }, ...(limited && limits) };
    },
  };
}

interface State {
  readonly to: To;
  readonly timeoutMs: number;
  readonly when: ReturnType<typeof matcher>;
  readonly counts: Record<'success' | 'failure' | 'timeouts' | 'late', number>;
}

interface Answering {
  readonly outcome: Outcome;
  readonly errorType: string | undefined;
  tokens: unknown[] | undefined;
  startedAt: number | undefined;
  deadline: OwnDeadline | undefined;
}

class FallbackStage extends Stage {
  override readonly rescues = true;
  private readonly state: State;
  private readonly when: State['when'];
  private readonly host: Host;

  constructor(state: State, host: Host) {
    super();
    this.state = state;
    this.when = state.when;
    this.host = host;
  }

  override succeed(call: Call, value: unknown): void {
    if (this.when !== undefined || !call.plain) return this.weigh(call, true, value);
    call.at = this.outerIndex;
    this.outer.succeed(call, value);
  }

  override fail(call: Call, error: unknown): void {
    this.weigh(call, false, error);
  }

  private weigh(call: Call, ok: boolean, result: unknown): void {
    const judged = judge(this, call, this.when, ok, result);
    if (judged.verdict === 'failure') this.answer(call, outcomeOf(ok, result), judged);
    else if (ok) this.pass(call, result);
    else this.raise(call, result);
  }

  private answer(call: Call, outcome: Outcome, { errorType }: Judgement): void {
    // A predicate may have ended the call.
    if (call.at !== this.index) return call.lose(outcome);
    const { to, timeoutMs } = this.state;
    if (typeof to !== 'function') return this.answered(call, outcome, errorType, to.value);
    const about = this.watched(call);
    const run: Answering = { outcome, errorType, tokens: undefined, startedAt: undefined, deadline: undefined };
    if (about !== null && about.interest !== 0) {
      run.tokens = this.scope.pipeline.observers.start('fallback', about, about.tokens);
      run.startedAt = this.host.clock.now();
    }
    if (call.at !== this.index) return this.end(call, run, 'cancelled', undefined);
    call.memo[this.slot] = run;
    // Its own end is still to come: to the frame it is a stage at work again.
    call.heard = false;
    if (timeoutMs !== Number.POSITIVE_INFINITY) {
      run.deadline = new OwnDeadline(this.host.clock, timeoutMs, () => this.expire(call, run));
    }
    new Work(call, this, this.attemptOf(call)).start((work) => to(outcome, work), run.tokens);
  }

  private expire(call: Call, run: Answering): void {
    call.run(() => {
      const { timeoutMs } = this.state;
      const { work } = call;
      // What it was for may have ended on the way here.
      if (work === null || call.memo[this.slot] !== run) return;
      const error = withoutStack(this.host.stackTraces, () => new TimeoutError(timeoutMs, this.origin(call)));
      this.state.counts.timeouts++;
      if (this.heardBy(call)) this.tell(call, { type: 'timeout', policy: this.label, timeoutMs });
      if (call.work !== work) return;
      call.work = null;
      work.abandon(error, this);
      this.threw(call, error);
    });
  }

  override due(call: Call): number {
    return (call.memo[this.slot] as Answering | undefined)?.deadline?.due ?? Number.POSITIVE_INFINITY;
  }

  override late(): void {
    this.state.counts.late++;
  }

  override returned(call: Call, value: unknown): void {
    const run = this.take(call)!;
    this.end(call, run, 'success', undefined);
    this.answered(call, run.outcome, run.errorType, value);
  }

  private answered(call: Call, outcome: Outcome, errorType: string | undefined, value: unknown): void {
    this.state.counts.success++;
    this.execution(call).rescued = true;
    if (outcome.status === 'value' && outcome.value !== value) call.discard(outcome.value);
    if (this.heardBy(call))
      this.tell(call, { type: 'fallback', policy: this.label, result: 'success', errorType, ...resultOf(outcome) });
    this.pass(call, value);
  }

  override threw(call: Call, error: unknown): void {
    const run = this.take(call)!;
    const { outcome, errorType } = run;
    this.state.counts.failure++;
    this.end(call, run, 'failure', error);
    if (outcome.status === 'failure') because(error, outcome.error);
    const what = { type: 'fallback', policy: this.label, result: 'failure', errorType, cause: error } as const;
    if (this.heardBy(call)) this.tell(call, { ...what, ...resultOf(outcome) });
    this.raise(call, error);
  }

  override drop(call: Call, why: DropReason, reason: unknown): void {
    const run = this.take(call);
    if (run === undefined) return;
    this.end(call, run, why === 'timed_out' ? 'failure' : 'cancelled', why === 'timed_out' ? reason : undefined);
  }

  /** Takes the run out: it ends once, also when a listener ends the call in the middle of that. */
  private take(call: Call): Answering | undefined {
    const run = call.memo[this.slot] as Answering | undefined;
    call.memo[this.slot] = undefined;
    run?.deadline?.cancel();
    return run;
  }

  private end(call: Call, run: Answering, outcome: SpanEnd['outcome'], error: unknown): void {
    const { tokens, startedAt } = run;
    if (outcome !== 'success') call.lose(run.outcome);
    if (startedAt === undefined) return;
    const attempts = attemptsOf(this.execution(call));
    const end = spanEnd(outcome, error, undefined, this.host.clock.now() - startedAt, attempts, true);
    this.scope.pipeline.observers.end('fallback', tokens, end, this.watched(call)!);
  }
}
