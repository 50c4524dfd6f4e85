import type { CircuitStateName, FallbackResult, OutcomeName, RejectionReason, RetryResult } from './events.ts';

/** Counts since creation and states now, as plain JSON. The metrics are read from the same cells. */
export interface PipelineSnapshot {
  readonly name: string;
  /** Executions started. */
  readonly calls: number;
  /** Executions that have ended, by outcome. */
  readonly outcomes: Readonly<Record<OutcomeName, number>>;
  /** Times the function was called. */
  readonly attempts: number;
  readonly attemptsPerCall: number;
  /** Executions running or waiting now. */
  readonly active: number;
  /** Abandoned work, by the caller or by the pipeline itself, that ended afterwards. */
  readonly late: number;
  /** Calls that met the caller's own deadline (`timeoutMs`). */
  readonly timeouts: number;
  /** Calls the pipeline itself turned away: too little time left, or no new calls taken. */
  readonly rejections: Rejections;
  /** Ended in the last ten seconds (within a second). */
  readonly last10s: { readonly calls: number; readonly failures: number };
  /**
   * Milliseconds, of executions that ended in the last ten to twenty seconds. `null` where none did, and until somebody has
   * asked: measured from the first `snapshot()` or `subscribe()` on until ten minutes after the last.
   */
  readonly latency: { readonly p50: number; readonly p90: number; readonly p99: number } | null;
  readonly policies: readonly PolicySnapshot[];
}

/** One policy's counts and state; `name` is the full name. */
export type PolicySnapshot = { readonly name: string; readonly bypassed: boolean } & PolicyState;

/** Counts by reason; only the reasons that policy has. */
export type Rejections = Readonly<Partial<Record<RejectionReason, number>>>;

/** What a policy knows of itself, by kind. */
export type PolicyState =
  | { readonly kind: 'timeout'; readonly timeouts: number; readonly late: number; readonly rejections: Rejections }
  | {
      readonly kind: 'retry';
      readonly executions: Readonly<Record<RetryResult, number>>;
      /** Re-attempts only. */
      readonly attempts: number;
      readonly budget: { readonly limit: number; readonly remaining: number } | null;
    }
  | {
      readonly kind: 'circuit_breaker';
      readonly state: CircuitStateName;
      readonly transitions: Readonly<Record<CircuitStateName, number>>;
      readonly executions: Readonly<Record<'success' | 'failure' | 'ignored' | 'rejected', number>>;
      readonly rejections: Rejections;
      /** `null` below the minimum number of calls. */
      readonly failureRatio: number | null;
      /** Circuits held, one per key and the key-less one. */
      readonly circuits: number;
    }
  | {
      readonly kind: 'bulkhead';
      readonly active: number;
      readonly limit: number;
      readonly queued: number;
      readonly queueLimit: number;
      /** Slots held by abandoned work. */
      readonly held: number;
      /** Slots given up before their work had ended. */
      readonly leaked: number;
      readonly rejections: Rejections;
    }
  | {
      readonly kind: 'fallback';
      readonly executions: Readonly<Record<FallbackResult, number>>;
      /** Runs of its function that took too long, and how many of those ended afterwards; there when it has a limit. */
      readonly timeouts?: number;
      readonly late?: number;
    }
  | { readonly kind: 'custom'; readonly [field: string]: unknown };
