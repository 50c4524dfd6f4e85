import type { IBackoff, IBackoffFactory, IBreaker } from 'cockatiel';
import { breakerTrip, Circuit, type CircuitRules, type CircuitSnapshot, consecutiveTrip, ratioTrip, type Settlement, type Transition, type Trip } from './circuit.ts';
import { checkSnapshot } from './circuit-state.ts';
import { KeyedStates } from './idle-keys.ts';
import { countWindow, timeWindow } from './rolling-window.ts';

/** What the numbers of a breaker are made from; the circuit breaker policy's options say what each means. */
export interface BookOptions {
  readonly failureRatio?: number | undefined;
  readonly minimumCalls?: number | undefined;
  readonly windowMs?: number | undefined;
  readonly windowCalls?: number | undefined;
  readonly consecutiveFailures?: number | undefined;
  readonly slowMs?: number | undefined;
  readonly slowRatio?: number | undefined;
  readonly breaker?: IBreaker | undefined;
  readonly breakMs?: number | IBackoffFactory<any> | undefined;
  readonly halfOpenCalls?: number | undefined;
  readonly halfOpenMs?: number | undefined;
  readonly initialState?: CircuitSnapshots | undefined;
}

/** The snapshot of the circuit without a key, with those of the keys that are not closed. */
export interface CircuitSnapshots extends CircuitSnapshot {
  readonly keys?: Readonly<Record<string, CircuitSnapshot>>;
}

/** A circuit's own state, or a hold by hand. */
export type HeldState = 'closed' | 'open' | 'half_open' | 'isolated' | 'disabled';

/** One circuit, with what is known of it beside its numbers. */
export interface CircuitRecord {
  readonly key: string | undefined;
  circuit: Circuit;
  /** The failure that opened it; let go when it closes. */
  cause: unknown;
  inFlight: number;
  isolated: number;
  disabled: number;
  /** Counted already, not told yet. */
  news: Transition[];
}

/** Turned away. */
export const NO = -1;
/** Let through without asking the circuit. */
const UNASKED = -2;

/** Checks what a user kept from an earlier life; throws a `TypeError` that says what is wrong. */
export function checkSnapshots(value: unknown): CircuitSnapshots {
  const main = checkSnapshot(value);
  const { keys } = value as { keys?: unknown };
  if (keys === undefined) return main;
  if (typeof keys !== 'object' || keys === null) throw new TypeError('Cannot restore a circuit: "keys" must be an object');
  return { ...main, keys: Object.fromEntries(Object.entries(keys).map(([key, own]) => [key, checkSnapshot(own)])) };
}

/**
 * All circuits of one breaker: the one without a key, those of the keys, and the counts they share. Who asks gets one
 * answer from holds by hand and the circuit's own state together.
 */
export class CircuitBook {
  readonly main: CircuitRecord;
  private readonly options: BookOptions;
  private readonly keyed: KeyedStates<CircuitRecord>;
  private readonly now: () => number;
  private readonly holds = { isolated: 0, disabled: 0 };
  private readonly transitions: Record<HeldState, number> = { closed: 0, open: 0, half_open: 0, isolated: 0, disabled: 0 };
  private readonly executions = { success: 0, failure: 0, ignored: 0, rejected: 0 };
  private readonly rejections = { circuit_open: 0, circuit_isolated: 0 };

  constructor(options: BookOptions, keys: { readonly max: number; readonly idleMs: number }, now: () => number) {
    this.options = options;
    this.now = now;
    this.main = this.make(undefined, options.initialState);
    const evictable = (record: CircuitRecord) => record.circuit.idle && record.inFlight === 0 && record.isolated + record.disabled === 0 && record.news.length === 0;
    this.keyed = new KeyedStates({ ...keys, make: (key) => this.make(key, options.initialState?.keys?.[key]), evictable });
  }

  private make(key: string | undefined, snapshot: CircuitSnapshot | undefined): CircuitRecord {
    const rules = circuitRules(this.options);
    const circuit = snapshot === undefined ? new Circuit(rules) : Circuit.restore(rules, snapshot, this.now());
    return { key, circuit, cause: undefined, inFlight: 0, isolated: 0, disabled: 0, news: [] };
  }

  /** The circuit of `key`; the main one has none. */
  record(key: string, now: number): CircuitRecord {
    return this.keyed.get(key, now);
  }

  all(): CircuitRecord[] {
    return [this.main, ...Array.from(this.keyed, ([, record]) => record)];
  }

  isolated(record: CircuitRecord): boolean {
    return this.holds.isolated + record.isolated > 0;
  }

  private disabled(record: CircuitRecord): boolean {
    return this.holds.disabled + record.disabled > 0;
  }

  /** Asks to let a call in: a permit to give back with `settle`, or {@link NO}. */
  admit(record: CircuitRecord, now: number): number {
    const isolated = this.isolated(record);
    const permit = isolated ? NO : this.disabled(record) ? UNASKED : record.circuit.admit(now);
    if (permit !== NO) {
      record.inFlight++;
      return permit;
    }
    this.executions.rejected++;
    this.rejections[isolated ? 'circuit_isolated' : 'circuit_open']++;
    return NO;
  }

  /** Says how a permitted call ended. */
  settle(record: CircuitRecord, permit: number, result: Settlement, slow: boolean, now: number, error: unknown): void {
    record.inFlight--;
    this.executions[result]++;
    if (permit === UNASKED) return;
    record.circuit.settle(permit, result, slow, now);
    if (record.circuit.transitions.length === 0) return;
    this.count(record);
    const { to } = record.news.at(-1)!;
    if (to === 'open') record.cause = error;
    else if (to === 'closed') record.cause = undefined;
  }

  private count(record: CircuitRecord): void {
    if (record.circuit.transitions.length === 0) return;
    for (const transition of record.circuit.takeTransitions()) {
      this.transitions[transition.to]++;
      record.news.push(transition);
    }
  }

  /** The changes of state that nobody has been told of. */
  news(record: CircuitRecord): readonly Transition[] {
    this.count(record);
    return record.news.length === 0 ? record.news : record.news.splice(0);
  }

  /** Holds one circuit, or all, open or out of the way until the answer is called. */
  hold(what: 'isolated' | 'disabled', record: CircuitRecord | undefined): () => void {
    const holds = record ?? this.holds;
    if (holds[what]++ === 0) this.transitions[what]++;
    return () => {
      holds[what]--;
    };
  }

  reset(record: CircuitRecord, now: number): void {
    record.circuit.reset(now);
    record.cause = undefined;
    this.count(record);
  }

  state(record: CircuitRecord): HeldState {
    if (this.isolated(record)) return 'isolated';
    return this.disabled(record) ? 'disabled' : record.circuit.state(this.now());
  }

  /** The main circuit's state, or `open` while any key's is. */
  overall(): HeldState {
    const state = this.state(this.main);
    if (state !== 'closed') return state;
    const now = this.now();
    for (const [, record] of this.keyed) if (record.circuit.state(now) === 'open') return 'open';
    return state;
  }

  toJSON(record: CircuitRecord | undefined): CircuitSnapshots {
    const now = this.now();
    const own = (record ?? this.main).circuit.toJSON(now);
    if (record !== undefined) return own;
    const keys = Array.from(this.keyed, ([key, { circuit }]) => [key, circuit.toJSON(now)] as const).filter(([, { state }]) => state !== 'closed');
    return keys.length === 0 ? own : { ...own, keys: Object.fromEntries(keys) };
  }

  /** Counts and states for snapshots and metrics; what is due has happened by then. */
  read() {
    const now = this.now();
    for (const record of this.all()) {
      record.circuit.advance(now);
      this.count(record);
    }
    return {
      state: this.overall(),
      transitions: { ...this.transitions },
      executions: { ...this.executions },
      rejections: { ...this.rejections },
      failureRatio: this.main.circuit.failureRatio(now) ?? null,
      circuits: 1 + this.keyed.size,
    };
  }
}

/** The rules of one circuit: its own counting, and its own growing breaks. */
function circuitRules(options: BookOptions): CircuitRules {
  const { halfOpenCalls = 3, halfOpenMs = 10_000, breakMs = 5_000, failureRatio = 0.5 } = options;
  const byRun = options.breaker !== undefined || (options.consecutiveFailures !== undefined && options.failureRatio === undefined);
  return {
    trip: trip(options),
    breakMs: typeof breakMs === 'number' ? () => breakMs : growing(breakMs),
    halfOpenCalls,
    halfOpenMs,
    reopenRatio: byRun ? 0 : failureRatio,
    slowFails: options.slowMs !== undefined,
  };
}

function trip({ breaker, consecutiveFailures, failureRatio, minimumCalls = 10, windowMs = 30_000, windowCalls, slowMs, slowRatio }: BookOptions): Trip {
  if (breaker !== undefined) return breakerTrip(breaker);
  if (consecutiveFailures !== undefined && failureRatio === undefined && slowMs === undefined) return consecutiveTrip(consecutiveFailures);
  const window = windowCalls === undefined ? timeWindow(windowMs) : countWindow(windowCalls);
  // Failures in a row alone replace the ratio; slowness still needs the window.
  const share = consecutiveFailures !== undefined && failureRatio === undefined ? Number.POSITIVE_INFINITY : (failureRatio ?? 0.5);
  return ratioTrip({ failureRatio: share, minimumCalls, window, slowRatio: slowMs === undefined ? undefined : (slowRatio ?? 1), consecutiveFailures });
}

/** A backoff as break lengths: a step further for each opening in a row. */
function growing(backoff: IBackoffFactory<any>): (openings: number) => number {
  let step: IBackoff<any> | undefined;
  return (openings) => {
    step = openings === 1 || step === undefined ? backoff.next({ attempt: openings }) : step.next({ attempt: openings });
    return step.duration;
  };
}
