/** What happened inside one call, in the words of the policies. A listener can tell calls apart by what comes with it, {@link CallInfo}. */
export type PolicyEvent =
  /** Another attempt follows after `delayMs`. */
  | {
      readonly type: 'retry';
      readonly policy: string;
      readonly retry: number;
      readonly delayMs: number;
      readonly error?: unknown;
      readonly value?: unknown;
    }
  /** The retry policy is done with a call, one way or another. */
  | { readonly type: 'retry_result'; readonly policy: string; readonly result: RetryResult; readonly retries: number }
  /** Time was up after `timeoutMs`; `deadline` is the caller's own `timeoutMs`. */
  | { readonly type: 'timeout'; readonly policy: string; readonly timeoutMs: number }
  /** The call was turned away before the function was called. */
  | {
      readonly type: 'rejected';
      readonly policy: string;
      readonly reason: RejectionReason;
      readonly retryAfterMs?: number | undefined;
    }
  /** A circuit let the call in; told only while somebody listens. */
  | { readonly type: 'circuit_admission'; readonly policy: string; readonly state: CircuitStateName }
  /** A circuit changed its state; `at` is when that was due, on the pipeline's clock. */
  | {
      readonly type: 'circuit_state';
      readonly policy: string;
      readonly state: CircuitStateName;
      readonly previous: CircuitStateName;
      readonly at: number;
      readonly failureRatio: number | undefined;
      readonly error?: unknown;
      readonly errorType?: string | undefined;
      readonly key: string | undefined;
    }
  /** A waiting call got its slot after `waitedMs`. */
  | { readonly type: 'dequeued'; readonly policy: string; readonly waitedMs: number }
  /** A slot was given up before the work that held it had ended. */
  | { readonly type: 'leaked'; readonly policy: string }
  /** A fallback answered (`success`) or failed; `error` or `value` is what it stood in for. */
  | {
      readonly type: 'fallback';
      readonly policy: string;
      readonly result: FallbackResult;
      readonly error?: unknown;
      readonly value?: unknown;
      readonly errorType?: string | undefined;
      readonly cause?: unknown;
    }
  /** Work that had been abandoned by `policy` has now ended. */
  | { readonly type: 'late'; readonly policy: string; readonly error?: unknown; readonly value?: unknown }
  /** User code other than the function itself threw; the call went on as if it had said no. */
  | { readonly type: 'fault'; readonly policy: string; readonly where: string; readonly error: unknown }
  /** An operator switched a policy off or on again. */
  | { readonly type: 'bypass'; readonly policy: string; readonly active: boolean };

/** How a call ended for the retry policy; the values partition the calls. */
export type RetryResult =
  | 'success'
  | 'success_after_retry'
  | 'not_retryable'
  | 'exhausted'
  | 'budget_exhausted'
  | 'deadline'
  | 'cancelled';
/** Why a call was turned away; the same word is the error's `code`. */
export type RejectionReason =
  | 'circuit_open'
  | 'circuit_isolated'
  | 'bulkhead_full'
  | 'queue_timeout'
  | 'rate_limited'
  | 'concurrency_limited'
  | 'deadline_exceeded'
  | 'draining';
/** How a fallback went. */
export type FallbackResult = 'success' | 'failure';
/** A circuit's state as operators see it; `half_open` as soon as the break is over. */
export type CircuitStateName = 'closed' | 'open' | 'half_open' | 'isolated' | 'disabled';
/** How an execution or an attempt ended. */
export type OutcomeName = 'success' | 'fallback' | 'failure' | 'cancelled' | 'ignored';
