/**
 * What docs/observability.md says of each name in tests/adapters/otel/contract.json, a line each. A name without a line
 * fails the generator, and a line without a name a test.
 */

export const spanTexts: Readonly<Record<string, string>> = {
  'execute {pipeline}': 'one for each call of `execute`, `tryExecute` or a wrapped function',
  'attempt {pipeline}':
    'one for each time the function is to be run, in pipelines that hold a retry (`attemptSpans` changes that)',
  'fallback {pipeline}': 'one when a fallback runs a function; a constant value makes none',
};

export const attributeTexts: Readonly<Record<string, string>> = {
  'seaworthy.pipeline.name': 'the name given to `pipeline()`',
  'seaworthy.pipeline.policies': 'kinds of the policies, outermost first',
  'seaworthy.policy.name': 'the policy: its `name`, else `pipeline/kind`',
  'seaworthy.policy.type': 'what kind of policy limits',
  'seaworthy.outcome': 'how it ended; `fallback` is an answer, but not the one that was asked for',
  'seaworthy.attempt.count': 'times the call got as far as an attempt, the first included; a rejected one counts',
  'seaworthy.attempt.number': 'which attempt, from 1',
  'seaworthy.attempt.kind': 'why it was made',
  'error.type': 'on failures only, and the same word on span and metric',
  'seaworthy.retry.result': 'what the retry made of the call; where there is a retry',
  'seaworthy.retry.delay': 'seconds paused before this attempt; on repeated ones',
  'seaworthy.fallback.reason': 'what the fallback stepped in for; when it did',
  'seaworthy.fallback.result': 'whether the fallback had an answer',
  'seaworthy.circuit_breaker.state':
    'on spans, in which state the circuit let the call pass; on metrics and logs, the state that is meant or entered',
  'seaworthy.circuit_breaker.previous_state': 'the state that was left',
  'seaworthy.circuit_breaker.result': 'what the circuit counted the call as',
  'seaworthy.circuit_breaker.failure_ratio': 'share of failures in the window at that moment; where there is one',
  'seaworthy.rejection.reason': 'why the function was not called; when it was not',
  'seaworthy.concurrency.queue.duration': 'seconds waited for a slot; when it waited',
  'http.request.resend_count': 'repetitions before this request; by `resendCountProcessor()`',
  'seaworthy.timeout.duration': 'seconds that were allowed; when they were over',
};

export const metricTexts: Readonly<Record<string, string>> = {
  'seaworthy.pipeline.duration': 'Volume, error share and latency of what callers see.',
  'seaworthy.attempt.duration': 'Latency and failures of the other side, without pauses and rejections.',
  'seaworthy.concurrency.queue.duration': 'Rises before calls are turned away.',
  'seaworthy.execution.active': 'Grows without end when something never answers.',
  'seaworthy.rejections': 'Load kept from the other side, and from callers.',
  'seaworthy.timeouts': 'The other side is slow, or the limit too tight.',
  'seaworthy.late': 'The other side goes on working for nobody.',
  'seaworthy.retry.executions': 'Every call through it once: the share that needed a retry, and that ran out of them.',
  'seaworthy.retry.attempts': 'Load that retries add.',
  'seaworthy.retry.budget.limit': 'The other half of `remaining`.',
  'seaworthy.retry.budget.remaining': 'At 0, nothing is retried.',
  'seaworthy.fallback.executions': 'Degraded answers, which no error rate shows.',
  'seaworthy.circuit_breaker.status': 'Summed over instances: how many are open.',
  'seaworthy.circuit_breaker.transitions': 'Openings, and flapping.',
  'seaworthy.circuit_breaker.executions': 'What it decides by; `rejected` are calls it turned away.',
  'seaworthy.circuit_breaker.failure_ratio': 'How far it is from opening; only while it is closed.',
  'seaworthy.concurrency.usage': 'With `limit`: saturation.',
  'seaworthy.concurrency.limit': 'Moves with `resize()`.',
  'seaworthy.concurrency.queue.usage': 'Above 0, the bulkhead is full.',
  'seaworthy.concurrency.queue.limit': 'At this many waiting, further calls are turned away.',
  'seaworthy.concurrency.leaked': 'Functions that do not end when they are told to.',
};

export const logTexts: Readonly<Record<string, string>> = {
  'seaworthy.circuit_breaker.state_change':
    'a circuit enters a state, in the trace of the call that caused it, if a call did',
};

export const statusTexts: Readonly<Record<string, string>> = {
  'timed out after {n} ms': 'a timeout of the pipeline, or the deadline of the call, was over',
  'timed out': 'the same, for an attempt that was ended by a timeout outside of it',
  'circuit open': 'not called: its circuit is open, or half open with its probes under way',
  'circuit isolated': 'not called: somebody isolated the circuit',
  'bulkhead full': 'not called: no slot was free and no place in the queue',
  'queue wait exceeded': 'not called: no slot came free within `maxWaitMs`',
  'deadline exceeded': 'not called: too little time was left',
  'pipeline is draining': 'ended by `drain()`, or not called because of it',
};
