import { Circuit, type CircuitRules, type Settlement } from './circuit.ts';
import { type CircuitOptions, circuitRules, type Fault, isBreaker, nobody, quietRules } from './circuit-options.ts';
import { Admission, type Change, CircuitRecord, type HeldState } from './circuit-record.ts';
import { type CircuitSnapshots, checkSnapshot } from './circuit-state.ts';
import { count } from './counts.ts';
import { KeyedStates } from './idle-keys.ts';
import { Quiet } from './quiet.ts';

export type { Admission, Change, CircuitRecord, HeldState };

/** The numbers of each circuit, and where they begin. */
export interface BookOptions extends CircuitOptions {
  /** What `toJSON()` gave in an earlier life. */
  readonly initialState?: CircuitSnapshots | undefined;
}

/** A change of state in the words of listeners. */
export type News = Omit<Change, 'from' | 'to'> & { readonly state: HeldState; readonly previous: HeldState };

/** Why a call was not let in. */
export interface Refusal {
  readonly reason: 'circuit_open' | 'circuit_isolated';
  /** Milliseconds until asking again makes sense. */
  readonly retryAfterMs: number;
}

/** Let through without asking the circuit. */
const UNASKED = -2;

/** What a call came to that may open its circuit. */
export interface Ending {
  readonly error: unknown;
  /** Where the user named one. */
  readonly errorType?: string | undefined;
  /** There when it did not fail with an error. */
  readonly value?: unknown;
}

/** Of a call that went well, or of which nothing is known. */
export const nothing: Ending = { error: undefined };

/** Takes over what a user kept from an earlier life; throws a `TypeError` that says what is wrong. */
function checkSnapshots(value: unknown): CircuitSnapshots {
  const main = checkSnapshot(value);
  const { keys } = value as { keys?: unknown };
  if (keys === undefined) return main;
  if (typeof keys !== 'object' || keys === null)
    throw new TypeError('Cannot restore a circuit: "keys" must be an object');
  return { ...main, keys: Object.fromEntries(Object.entries(keys).map(([key, own]) => [key, checkSnapshot(own)])) };
}

/**
 * All circuits of one breaker: the one without a key, those of the keys, and the counts they share. Who asks gets one
 * answer from holds by hand and the circuit's own state together. One breaker of cockatiel's has one count, so that
 * beside it there is but one circuit, and keys mean nothing.
 */
export class CircuitBook {
  readonly main: CircuitRecord;
  private readonly options: BookOptions;
  private readonly slowMs: number;
  private readonly kept: CircuitSnapshots | undefined;
  private readonly keyed: KeyedStates<CircuitRecord>;
  /** All keys are the main circuit's. */
  private readonly single: boolean;
  /** Counts for keys of which only successes are known; none beside a breaker of the user's, who hears of every call. */
  private readonly quiet: Quiet | undefined;
  /** What a key looks like that has no circuit, and a circuit before it was made. */
  private readonly unseen: CircuitRecord;
  private readonly fresh: Circuit;
  /** User code that failed and nobody has been told of. */
  private readonly faults: Fault[] = [];
  /** What the call came to that is being settled, while it is. */
  private reason = nobody;
  /** When a circuit was last asked to let a call in, which is just before it is asked why not. */
  private askedAt = 0;
  /** How many changes and faults wait to be told. */
  private untold = 0;
  /** The exact time, in monotonic milliseconds. */
  readonly now: () => number;
  private readonly holds = { isolated: 0, disabled: 0 };
  /** How many holds there are on anything. */
  private holding = 0;
  private readonly held: Change[] = [];
  /** Taken to be told, and not told yet. */
  private readonly telling: Change[] = [];
  private readonly transitions: Record<HeldState, number> = {
    closed: 0,
    open: 0,
    half_open: 0,
    isolated: 0,
    disabled: 0,
  };
  private readonly executions = { success: 0, failure: 0, ignored: 0, rejected: 0 };
  private readonly rejections = { circuit_open: 0, circuit_isolated: 0 };

  constructor(options: BookOptions, keys: { readonly max: number; readonly idleMs: number }, now: () => number) {
    this.options = options;
    this.slowMs = options.slowMs ?? Number.POSITIVE_INFINITY;
    this.now = now;
    this.kept = options.initialState === undefined ? undefined : checkSnapshots(options.initialState);
    this.single = isBreaker(options.breaker);
    const quiet = quietRules(options);
    this.quiet = quiet === undefined ? undefined : new Quiet(quiet);
    this.main = new CircuitRecord(undefined);
    this.wake(this.main);
    // A breaker that cannot be made is better heard of here than in a call.
    if (this.faults.length > 0) throw this.faults[0]!.error;
    this.fresh = new Circuit(circuitRules({}, () => {}));
    this.unseen = new CircuitRecord(undefined);
    const pinned = ({ notes }: CircuitRecord) => notes.isolated + notes.disabled > 0;
    const evictable = (record: CircuitRecord) =>
      this.look(record).idle && record.inFlight === 0 && !pinned(record) && record.notes.news.length === 0;
    this.keyed = new KeyedStates({
      ...keys,
      make: (key) => this.make(key),
      evictable,
      pinned,
    });
    this.restore();
  }

  /** Begins where the snapshots ended, as of now: at first, and again should the clock become another. */
  restore(): void {
    const { kept } = this;
    if (kept === undefined) return;
    const now = this.now();
    this.main.circuit = Circuit.restore(this.rules(), kept, now);
    if (this.single) return;
    for (const [key, snapshot] of Object.entries(kept.keys ?? {}))
      this.record(key, now).circuit = Circuit.restore(this.rules(), snapshot, now);
  }

  private rules(): CircuitRules {
    const fault = (fault: Fault) => {
      this.faults.push(fault);
      this.untold++;
    };
    return circuitRules(this.options, fault, () => this.reason);
  }

  private make(key: string): CircuitRecord {
    const record = new CircuitRecord(key);
    if (this.quiet === undefined) this.wake(record);
    return record;
  }

  /** The circuit, to look at only. */
  private look({ circuit }: CircuitRecord): Circuit {
    return circuit ?? this.fresh;
  }

  /** The circuit, from now on at the latest. */
  private wake(record: CircuitRecord): Circuit {
    if (record.circuit !== undefined) return record.circuit;
    const rules = this.rules();
    if (record.quiet > 0) rules.trip.resume?.(record.quiet, record.until);
    return (record.circuit = new Circuit(rules));
  }

  /** The circuit of `key`, made when there is none; the main one has no key. */
  record(key: string, now: number = this.now()): CircuitRecord {
    return this.single ? this.main : this.keyed.get(key, now);
  }

  /** The circuit of `key` to look at only, so that looking neither makes one nor sends another away; none for no key. */
  glance(key: string | undefined): CircuitRecord | undefined {
    if (key === undefined) return undefined;
    return this.single ? this.main : (this.keyed.peek(key) ?? this.unseen);
  }

  all(): CircuitRecord[] {
    return [this.main, ...Array.from(this.keyed, ([, record]) => record)];
  }

  private isolated(record: CircuitRecord): boolean {
    return this.holds.isolated + record.notes.isolated > 0;
  }

  private disabled(record: CircuitRecord): boolean {
    return this.holds.disabled + record.notes.disabled > 0;
  }

  /** Whether slowness counts, so that somebody must say when the work began. */
  get timed(): boolean {
    return this.slowMs !== Number.POSITIVE_INFINITY;
  }

  /** Asks to let a call in: an admission to give back with `settle`, or `undefined` for no (see {@link refuse}). */
  admit(record: CircuitRecord): Admission | undefined {
    const permit = this.holding === 0 ? this.ask(record) : this.permit(record);
    if (permit === -1) return undefined;
    record.inFlight++;
    // Of many quiet keys none keeps one: it would be a fifth of what they are.
    if (record.circuit === undefined) return new Admission(record, permit);
    const { admission } = record;
    return admission?.permit === permit ? admission : (record.admission = new Admission(record, permit));
  }

  private ask(record: CircuitRecord): number {
    const circuit = this.look(record);
    // Of a closed circuit nobody needs to know the time.
    if (circuit.closed) return circuit.admit(0);
    const permit = circuit.admit((this.askedAt = this.now()));
    this.count(record);
    return permit;
  }

  private permit(record: CircuitRecord): number {
    return this.isolated(record) ? -1 : this.disabled(record) ? UNASKED : this.ask(record);
  }

  /** Turns a call away for good: counts it, and says why and when asking again makes sense. */
  refuse(record: CircuitRecord): Refusal {
    this.executions.rejected++;
    const isolated = this.isolated(record);
    this.rejections[isolated ? 'circuit_isolated' : 'circuit_open']++;
    if (isolated) return { reason: 'circuit_isolated', retryAfterMs: Number.POSITIVE_INFINITY };
    return { reason: 'circuit_open', retryAfterMs: this.look(record).retryAfterMs(this.askedAt) };
  }

  /** Says how an admitted call ended whose work began at `startedAt`, where somebody measures that. */
  settle(admission: Admission, result: Settlement, now: number, ending: Ending = nothing, startedAt?: number): void {
    const { record, permit } = admission;
    record.inFlight--;
    count(this.executions, result);
    if (permit === UNASKED) return;
    const slow = startedAt !== undefined && now - startedAt > this.slowMs;
    if (slow || result === 'failure') return this.weigh(record, permit, result, slow, now, ending);
    if (record.circuit === undefined && (result === 'ignored' || this.quiet!.success(record, now))) return;
    const circuit = record.circuit ?? this.wake(record);
    circuit.settle(permit, result, false, now);
    if (circuit.transitions.length !== 0) this.count(record, ending);
  }

  /** What may open a circuit is known to its breaker while that counts it. */
  private weigh(
    record: CircuitRecord,
    permit: number,
    result: Settlement,
    slow: boolean,
    now: number,
    ending: Ending,
  ): void {
    this.reason = ending.error === undefined ? { value: ending.value } : { error: ending.error };
    this.wake(record).settle(permit, result, slow, now);
    this.reason = nobody;
    this.count(record, ending);
  }

  private count(record: CircuitRecord, { error, errorType }: Ending = nothing): void {
    const { circuit, key } = record;
    if (circuit === undefined || circuit.transitions.length === 0) return;
    const { noted } = record;
    for (const { from, to, at, failureRatio, why } of circuit.takeTransitions()) {
      // A lease or a break that is over was only noticed by this call, which did nothing to it.
      const own = why === 'tripped' || why === 'probes_failed';
      if (own) noted.cause = error;
      else if (to === 'closed') noted.cause = undefined;
      const blame = own ? { error, errorType } : { error: undefined, errorType: undefined };
      this.note(noted.news, { from, to, at, failureRatio, key, ...blame });
    }
  }

  private note(news: Change[], change: Change): void {
    this.transitions[change.to]++;
    news.push(change);
    this.untold++;
  }

  /** Whether there are changes of state or faults that nobody has been told of: asked for every call. */
  hasNews(record: CircuitRecord): boolean {
    return this.untold !== 0 && this.faults.length + this.held.length + record.notes.news.length !== 0;
  }

  /** Hands over the faults of user code that nobody has been told of. */
  takeFaults(): readonly Fault[] {
    this.untold -= this.faults.length;
    return this.faults.splice(0);
  }

  /** The changes of state that nobody has been told of, oldest first: this circuit's, and the holds on all. */
  news(record: CircuitRecord): readonly Change[] {
    const { news } = record.notes;
    this.untold -= news.length + this.held.length;
    return [...news.splice(0), ...this.held.splice(0)].sort((a, b) => a.at - b.at);
  }

  /** Tells each of them, in order, also where a listener makes a call that changes more. */
  tellNews(record: CircuitRecord, tell: (news: News) => void): void {
    this.telling.push(...this.news(record));
    for (let change: Change | undefined; (change = this.telling.shift()) !== undefined; ) {
      const { from: previous, to: state, ...rest } = change;
      tell({ state, previous, ...rest });
    }
  }

  /** Holds one circuit, or all, open or out of the way until the answer is called. */
  hold(what: 'isolated' | 'disabled', record: CircuitRecord | undefined): () => void {
    const holds = record?.noted ?? this.holds;
    const change = (by: 1 | -1) => {
      const from = this.state(record);
      holds[what] += by;
      this.holding += by;
      const to = this.state(record);
      if (from === to) return;
      const why = { failureRatio: undefined, error: undefined, errorType: undefined };
      this.note(record?.noted.news ?? this.held, { from, to, at: this.now(), key: record?.key, ...why });
    };
    change(1);
    return () => change(-1);
  }

  /** Closes one circuit, or all, with fresh windows. */
  reset(record: CircuitRecord | undefined): void {
    const now = this.now();
    for (const each of record === undefined ? this.all() : [record]) {
      each.quiet = 0;
      // A call in flight must be seen to come late.
      if (each.circuit === undefined && each.inFlight === 0) continue;
      this.wake(each).reset(now);
      each.noted.cause = undefined;
      this.count(each);
    }
  }

  /**
   * The state of one circuit; of all, the main circuit's, or what most keeps calls out among the keys' own. A hold on one
   * key is left out there: an operator who isolates one of a thousand has not stopped the rest.
   */
  state(record: CircuitRecord | undefined): HeldState {
    const own = record ?? this.main;
    if (this.isolated(own)) return 'isolated';
    if (this.disabled(own)) return 'disabled';
    const now = this.now();
    let state = this.look(own).state(now);
    if (record !== undefined) return state;
    for (const [, record] of this.keyed) {
      if (state === 'open') break;
      const keys = this.look(record).state(now);
      if (keys !== 'closed') state = keys;
    }
    return state;
  }

  toJSON(record: CircuitRecord | undefined): CircuitSnapshots {
    const now = this.now();
    const own = this.look(record ?? this.main).toJSON(now);
    if (record !== undefined) return own;
    const keys = Array.from(this.keyed, ([key, own]) => [key, this.look(own).toJSON(now)] as const).filter(
      ([, { state }]) => state !== 'closed',
    );
    return keys.length === 0 ? own : { ...own, keys: Object.fromEntries(keys) };
  }

  /** The highest failure ratio of all circuits that judge one. */
  private worstRatio(now: number): number | null {
    let worst: number | null = null;
    for (const record of this.all()) {
      const { circuit } = record;
      const ratio = circuit === undefined ? this.quiet!.failureRatio(record, now) : circuit.failureRatio(now);
      if (ratio !== undefined && (worst === null || ratio > worst)) worst = ratio;
    }
    return worst;
  }

  /** Counts and states for snapshots and metrics; what is due has happened by then. */
  read() {
    const now = this.now();
    for (const record of this.all()) {
      record.circuit?.advance(now);
      this.count(record);
    }
    return {
      state: this.state(undefined),
      transitions: { ...this.transitions },
      executions: { ...this.executions },
      rejections: { ...this.rejections },
      failureRatio: this.worstRatio(now),
      circuits: 1 + this.keyed.size,
    };
  }
}
