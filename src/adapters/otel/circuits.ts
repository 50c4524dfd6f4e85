import * as otel from '@opentelemetry/api';
import type { PolicyEvent } from '../../telemetry/events.ts';
import type { PipelineInfo, PolicyInfo } from '../../telemetry/observer.ts';
import type { Logger } from './binding.ts';
import * as names from './names.ts';

type StateChange = Extract<PolicyEvent, { type: 'circuit_state' }>;

/** Span contexts remembered per policy, one per key; a breaker itself keeps no more circuits by default. */
const mostKeys = 1000;

/** By policy object, because a call of one pipeline may meet a circuit that a call of another opened. */
let openers: WeakMap<object, Map<string | undefined, otel.SpanContext>> | undefined;

/** Remembers which span opened a circuit, so that the calls it turns away can point there. */
export function rememberOpener(
  policies: readonly PolicyInfo[],
  change: StateChange,
  span: otel.Span | undefined,
): void {
  // Half-open circuits turn calls away too, on behalf of the same opening.
  const identity = change.state === 'half_open' ? undefined : identityOf(policies, change.policy);
  if (identity === undefined) return;
  const context = change.state === 'open' ? span?.spanContext() : undefined;
  openers ??= new WeakMap();
  let byKey = openers.get(identity);
  byKey?.delete(change.key);
  if (context === undefined || !otel.isSpanContextValid(context)) return;
  if (byKey === undefined) openers.set(identity, (byKey = new Map()));
  byKey.set(change.key, context);
  if (byKey.size > mostKeys) for (const oldest of byKey.keys()) return void byKey.delete(oldest);
}

/** The span that opened the circuit which turned this call away. */
export function openerOf(
  policies: readonly PolicyInfo[],
  policy: string,
  key: string | undefined,
): otel.SpanContext | undefined {
  const identity = openers && identityOf(policies, policy);
  return identity && openers?.get(identity)?.get(key);
}

/** Tells operators of a change of state, in the trace of the call that caused it, or noticed that it was due. */
export function logStateChange(
  logger: Logger | undefined,
  change: StateChange,
  errorType: string | undefined,
  dateOf: PipelineInfo['dateOf'],
  context: otel.Context,
): void {
  if (logger === undefined) return;
  // The numbers of the log data model; API 1.9 has no enum for them.
  const shut = change.state === 'open' || change.state === 'isolated';
  const [severityNumber, severityText] = shut ? ([13, 'WARN'] as const) : ([9, 'INFO'] as const);
  const eventName = names.CIRCUIT_STATE_CHANGE;
  if (logger.enabled?.({ context, severityNumber, eventName }) === false) return;
  logger.emit({
    eventName,
    severityNumber,
    severityText,
    timestamp: dateOf(change.at),
    context,
    attributes: {
      [names.POLICY_NAME]: change.policy,
      [names.CIRCUIT_STATE]: change.state,
      [names.CIRCUIT_PREVIOUS_STATE]: change.previous,
      ...(change.failureRatio !== undefined && { [names.CIRCUIT_FAILURE_RATIO]: change.failureRatio }),
      ...(errorType !== undefined && { [names.ERROR_TYPE]: errorType }),
    },
  });
}

function identityOf(policies: readonly PolicyInfo[], policy: string): object | undefined {
  return policies.find((candidate) => candidate.name === policy)?.identity;
}
