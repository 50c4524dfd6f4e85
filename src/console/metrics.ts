import type { OutcomeName, RejectionReason } from '../telemetry/events.ts';
import type { PipelineSnapshot, PolicySnapshot } from '../telemetry/snapshot.ts';

/** What is counted of one pipeline, its policies included. A policy of several pipelines counts in each. */
export interface PipelineCounts {
  /** Executions started. */
  readonly calls: number;
  /** Executions that have ended, by outcome. */
  readonly outcomes: Readonly<Record<OutcomeName, number>>;
  /** Times the function was called. */
  readonly attempts: number;
  /** Attempts that retries made. */
  readonly retries: number;
  /** Timeouts of policies, and calls that met the caller's own deadline. */
  readonly timeouts: number;
  /** Abandoned work that ended afterwards. */
  readonly late: number;
  /** Calls turned away, by reason. */
  readonly rejections: Readonly<Partial<Record<RejectionReason, number>>>;
}

/** What one event of {@link metricsStream} says of one pipeline, as JSON. */
export interface PipelineMetrics {
  readonly type: 'pipeline';
  /** Of this form: fields may be added to a version, and are neither changed nor taken away. */
  readonly version: 1;
  readonly name: string;
  /** The same as long as this pipeline lives: it tells pipelines of one name apart. */
  readonly id: number;
  /** Milliseconds since 1970, by this machine's calendar; the same for all pipelines of one tick. */
  readonly time: number;
  /** Since creation. */
  readonly total: PipelineCounts;
  /** Since the last event that this reader got; `null` in the first. */
  readonly since: PipelineGrowth | null;
  /** Executions that ended in the last ten seconds, within a second. */
  readonly last10s: { readonly calls: number; readonly failures: number };
  /** Failures of `last10s`, 0 to 1; `null` when none ended. */
  readonly errorRatio: number | null;
  /** Executions running or waiting now. */
  readonly active: number;
  /** Milliseconds, of executions that ended in the last ten to twenty seconds; `null` without any. */
  readonly latency: PipelineSnapshot['latency'];
  /** Counts since creation and states now, outermost first. */
  readonly policies: readonly PolicySnapshot[];
}

/** Counts since the reader's last event, and what follows from them. */
export interface PipelineGrowth extends PipelineCounts {
  /** Milliseconds since that event: more than the interval when the reader was slow. */
  readonly ms: number;
  /** Executions started per second. */
  readonly callsPerSecond: number;
  readonly attemptsPerSecond: number;
  /** Failures among the executions that ended, 0 to 1; `null` when none ended. */
  readonly errorRatio: number | null;
  /** Those that a fallback answered. */
  readonly fallbackRatio: number | null;
}

/** The counts of a pipeline since its creation. */
export function countsOf(snapshot: PipelineSnapshot): PipelineCounts {
  const { calls, outcomes, attempts } = snapshot;
  let { timeouts, late } = snapshot;
  let retries = 0;
  const rejections: Partial<Record<RejectionReason, number>> = { ...snapshot.rejections };
  for (const policy of snapshot.policies) {
    // What a user's own policy says may mean anything.
    if (policy.kind === 'custom') continue;
    if (policy.kind === 'retry') retries += policy.attempts;
    if (policy.kind === 'timeout' || policy.kind === 'fallback') {
      timeouts += policy.timeouts ?? 0;
      late += policy.late ?? 0;
    }
    if ('rejections' in policy)
      for (const [reason, count] of Object.entries(policy.rejections) as [RejectionReason, number][])
        rejections[reason] = (rejections[reason] ?? 0) + count;
  }
  return { calls, outcomes, attempts, retries, timeouts, late, rejections };
}

/** How much counts have grown in `ms` milliseconds. */
export function growth(now: PipelineCounts, before: PipelineCounts, ms: number): PipelineGrowth {
  const calls = now.calls - before.calls;
  const attempts = now.attempts - before.attempts;
  const outcomes = minus(now.outcomes, before.outcomes);
  const ended = Object.values(outcomes).reduce((sum, count) => sum + count, 0);
  return {
    ms,
    calls,
    callsPerSecond: perSecond(calls, ms),
    outcomes,
    errorRatio: share(outcomes.failure, ended),
    fallbackRatio: share(outcomes.fallback, ended),
    attempts,
    attemptsPerSecond: perSecond(attempts, ms),
    retries: now.retries - before.retries,
    timeouts: now.timeouts - before.timeouts,
    late: now.late - before.late,
    rejections: minus(now.rejections, before.rejections),
  };
}

/** `part` of `all`, 0 to 1; `null` of nothing. */
export function share(part: number, all: number): number | null {
  return all === 0 ? null : part / all;
}

function perSecond(count: number, ms: number): number {
  return ms === 0 ? 0 : (count * 1_000) / ms;
}

/** Every count less that of before; a count that was not there was 0. */
function minus<T extends Readonly<Partial<Record<string, number>>>>(now: T, before: T): T {
  return Object.fromEntries(Object.entries(now).map(([name, count]) => [name, count! - (before[name] ?? 0)])) as T;
}
