import { unawaited } from '../algorithms/unawaited.ts';
import type { Call } from './call.ts';
import { isRejectedError, isResilienceError } from './errors.ts';
import { show } from './options.ts';
import { type Judgement, type Matcher, outcomeOf, type Verdict } from './outcome.ts';
import type { Stage } from './policy.ts';

const SUCCESS = /* @__PURE__ */ plain('success');
const FAILURE = /* @__PURE__ */ plain('failure');
const IGNORED = /* @__PURE__ */ plain('ignored');
/** Our own rejection: a failure for whoever gets it, nothing the other side did. */
const REJECTED = /* @__PURE__ */ plain('failure', 'ignored');

/** All of one shape, because every stage of every call reads one of them. */
function plain(verdict: Verdict, breaker: Verdict = verdict): Judgement {
  return Object.freeze({ verdict, breaker, errorType: undefined, retryAfterMs: undefined });
}

/**
 * The one classification: what an outcome counts as, for the stage that asks. First row that applies wins: our rejection,
 * our timeout, the policy's own `when`, then `classify` of the pipeline or the call, else errors are failures and values
 * successes. A predicate that throws counts as "not handled" and is reported.
 */
export function judge(stage: Stage, call: Call, when: Matcher | undefined, ok: boolean, result: unknown): Judgement {
  // Most values of most calls, and no look at the stage, which is of another class each time.
  if (ok && when === undefined && call.plain) return SUCCESS;
  return weigh(stage, call, when, ok, result);
}

function weigh(stage: Stage, call: Call, when: Matcher | undefined, ok: boolean, result: unknown): Judgement {
  // Nearly all errors are none of ours, which one look tells.
  if (!ok && isResilienceError(result)) {
    if (isRejectedError(result)) return REJECTED;
    if (result.code === 'timeout') return FAILURE;
  }
  const test = ok ? when?.result : when?.error;
  if (test === undefined) return byClassify(stage, call, ok, result);
  try {
    const answer: unknown = test(result);
    if (typeof answer === 'boolean') return answer ? FAILURE : SUCCESS;
    unawaited(answer);
    stage.fault(call, 'when', new TypeError(`when must answer true or false, received ${show(answer)}`));
  } catch (error) {
    stage.fault(call, 'when', error);
  }
  return SUCCESS;
}

function byClassify(stage: Stage, call: Call, ok: boolean, result: unknown): Judgement {
  const classify = stage.scope.pipeline.classify ?? call.options.classify;
  if (classify === undefined) return ok ? SUCCESS : FAILURE;
  const outcome = outcomeOf(ok, result);
  try {
    const answer = classify(outcome);
    const judgement = typeof answer === 'string' ? named(answer) : answer;
    if (judgement !== undefined && named(judgement.verdict) !== undefined) return judgement;
    unawaited(answer);
    stage.fault(call, 'classify', new TypeError('classify must answer "success", "failure" or "ignored"'));
  } catch (error) {
    stage.fault(call, 'classify', error);
  }
  return SUCCESS;
}

function named(verdict: string): Judgement | undefined {
  return verdict === 'success'
    ? SUCCESS
    : verdict === 'failure'
      ? FAILURE
      : verdict === 'ignored'
        ? IGNORED
        : undefined;
}
