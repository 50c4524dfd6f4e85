/**
 * What a circuit is told and what it says of itself: rules, state, changes, and a snapshot as plain JSON to carry over a restart. A snapshot
 * holds durations and no dates, so that it means the same on another machine's clock; it is versioned and checked,
 * because a snapshot of another shape taken at its word is a circuit that never closes (cockatiel, C-21 and C-22 in
 * research/javascript.md).
 */
import type { ProbeRules } from './probes.ts';
import type { Trip } from './trip.ts';

/** Where a circuit stands. */
export type CircuitState = 'closed' | 'open' | 'half_open';

/** What moved a circuit: the trip, the end of the break, its probes (by result or by their lease), or an operator. */
export type TransitionCause = 'tripped' | 'break_over' | 'probes_passed' | 'probes_failed' | 'lease_expired' | 'reset';

/** One change of state. */
export interface Transition {
  readonly from: CircuitState;
  readonly to: CircuitState;
  /** When it was due, in the milliseconds of the caller's clock; that may be long before it was noticed. */
  readonly at: number;
  /** The share of failures that led to it: of the window when it trips, of the settled probes when they decide. */
  readonly failureRatio: number | undefined;
  readonly why: TransitionCause;
}

/** The rules of a circuit; all but `trip` may be shared by many. */
export interface CircuitRules extends ProbeRules {
  /** Counts the closed state's calls, for this circuit alone. */
  readonly trip: Trip;
  /** How long to stay open, in milliseconds from 0 up, for the `openings`th time in a row since it was last closed, from 1. */
  breakMs(openings: number): number;
  /** A slow probe is a failed one: set where slowness can open the circuit. */
  readonly slowFails: boolean;
}

/** How a permitted call ended for the circuit. */
export type Settlement = 'success' | 'failure' | 'ignored';

/** What `Circuit.toJSON` writes and `Circuit.restore` reads. Counts and probes are left out: they start anew. */
export interface CircuitSnapshot {
  readonly version: 1;
  readonly state: CircuitState;
  /** For how long it had been open, in milliseconds; 0 unless open. */
  readonly openForMs: number;
  /** How much of the break was left, in milliseconds; 0 unless open, `null` for a break without end. */
  readonly remainingMs: number | null;
  /** How often in a row it had opened since it was last closed. */
  readonly openings: number;
}

/** The snapshot of the circuit without a key, with those of the keys that are not closed. */
export interface CircuitSnapshots extends CircuitSnapshot {
  readonly keys?: Readonly<Record<string, CircuitSnapshot>>;
}

const states: readonly unknown[] = ['closed', 'open', 'half_open'] satisfies CircuitState[];

/** Reads a snapshot into an object of ours, or throws a `TypeError` that names everything wrong with it. */
export function checkSnapshot(value: unknown): CircuitSnapshot {
  if (typeof value !== 'object' || value === null) throw refused(`it must be an object, received ${show(value)}`);
  const { version, state, openForMs, remainingMs, openings } = value as Record<string, unknown>;
  if (version !== 1) throw refused(`"version" must be 1, received ${show(version)}`);
  if (!states.includes(state))
    throw refused(`"state" must be 'closed', 'open' or 'half_open', received ${show(state)}`);

  const problems: string[] = [];
  const duration = 'must be a finite number of milliseconds from 0 up';
  if (!isDuration(openForMs)) problems.push(`"openForMs" ${duration}, received ${show(openForMs)}`);
  if (remainingMs !== null && !isDuration(remainingMs))
    problems.push(`"remainingMs" ${duration} or null, received ${show(remainingMs)}`);
  const least = state === 'closed' ? 0 : 1;
  if (!Number.isSafeInteger(openings) || (openings as number) < least) {
    problems.push(`"openings" must be a whole number from ${least} up, received ${show(openings)}`);
  }
  if (problems.length > 0) throw refused(problems.join('; '));
  return { version: 1, state, openForMs, remainingMs, openings } as CircuitSnapshot;
}

function isDuration(value: unknown): boolean {
  return typeof value === 'number' && value >= 0 && value < Infinity;
}

function refused(why: string): TypeError {
  return new TypeError(`Cannot restore a circuit: ${why}`);
}

function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}
