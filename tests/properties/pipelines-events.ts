import type { PipelineEvent } from 'seaworthy';
import { same } from './explore.ts';
import type { World } from './pipelines-world.ts';

/** How a call ended for its caller. */
export interface End {
  readonly id: string;
  readonly reason: object;
  times: number;
  state: string;
  result: unknown;
}

/** What the events say is what has happened, and adds up to the snapshots. */
export function compareEvents(world: World, ends: readonly End[]): void {
  for (const end of ends) compareCall(world, end);
  compareTotals(world);
}

/** The outermost execution of a call ends once, as its caller saw it, and each attempt that began ends once. */
function compareCall({ events }: World, { id, state, result, reason }: End): void {
  const own = events.filter(({ key, pipeline }) => key === id && pipeline === 'p');
  const [last, ...more] = own.filter(({ type }) => type === 'execution_end');
  same('ends of an execution', more.length, 0);
  if (last?.type !== 'execution_end') throw new Error(`the end of ${id} was not told`);
  const { outcome, error, attempt } = last;
  const cancelled = state === 'error' && result === reason;
  same(
    'the outcome',
    outcome === 'fallback' ? 'success' : outcome,
    cancelled ? 'cancelled' : state === 'error' ? 'failure' : 'success',
  );
  if (outcome === 'failure') same('the error', error === result, true);
  const attempts = own.filter(({ type }) => type === 'attempt_end');
  same('attempts that ended', attempts.length, attempt);
  same(
    'their numbers',
    attempts.map(({ attempt }) => attempt).toSorted((a, b) => a - b),
    [...Array(attempt).keys()].map((n) => n + 1),
  );
}

/** Events per policy and word, and the counts of all policies under the same words. */
function compareTotals({ events, pipelines }: World): void {
  const told = new Map<string, number>();
  const add = (to: Map<string, number>, name: string, n = 1) => void (n > 0 && to.set(name, (to.get(name) ?? 0) + n));
  for (const event of events) {
    const name = nameOf(event);
    if (name !== undefined) add(told, name);
  }
  const counted = new Map<string, number>();
  for (const pipe of pipelines) {
    const { name, outcomes, timeouts, rejections, policies } = pipe.snapshot();
    for (const [outcome, n] of Object.entries(outcomes)) add(counted, `${name} ${outcome}`, n);
    add(counted, `${name}/deadline timeout`, timeouts);
    for (const [reason, n] of Object.entries(rejections)) add(counted, `${name}/deadline ${reason}`, n);
    for (const policy of policies) {
      if (policy.kind === 'timeout') {
        add(counted, `${policy.name} timeout`, policy.timeouts);
        add(counted, `${policy.name} late`, policy.late);
      } else if (policy.kind === 'retry' || policy.kind === 'fallback') {
        for (const [result, n] of Object.entries(policy.executions)) add(counted, `${policy.name} ${result}`, n);
      } else if (policy.kind === 'bulkhead') add(counted, `${policy.name} leaked`, policy.leaked);
      if (policy.kind === 'fallback') {
        add(counted, `${policy.name} timeout`, policy.timeouts ?? 0);
        add(counted, `${policy.name} late`, policy.late ?? 0);
      }
      if (policy.kind === 'timeout' || policy.kind === 'circuit_breaker' || policy.kind === 'bulkhead')
        for (const [reason, n] of Object.entries(policy.rejections)) add(counted, `${policy.name} ${reason}`, n);
    }
  }
  const sorted = (map: Map<string, number>) => [...map].map(([name, n]) => `${name}: ${n}`).toSorted();
  same('events', sorted(told), sorted(counted));
}

/** The word a count in a snapshot has for an event, where there is one. */
function nameOf(event: PipelineEvent): string | undefined {
  switch (event.type) {
    case 'execution_end':
      return `${event.pipeline} ${event.outcome}`;
    case 'timeout':
    case 'leaked':
      return `${event.policy} ${event.type}`;
    case 'late':
      // A middleware, and the caller's own end, have no count.
      return /\/timeout|\/fallback/.test(event.policy) ? `${event.policy} late` : undefined;
    case 'rejected':
      return `${event.policy} ${event.reason}`;
    case 'retry_result':
    case 'fallback':
      return `${event.policy} ${event.result}`;
    default:
      return undefined;
  }
}
