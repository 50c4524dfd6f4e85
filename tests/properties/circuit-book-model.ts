import type { CircuitRecord, HeldState } from '../../src/algorithms/circuit-book.ts';
import type { Settlement, Transition } from '../../src/algorithms/circuit.ts';
import type { CircuitSnapshots } from '../../src/algorithms/circuit-state.ts';
import { Model, type Pass, type Shape, slowMs } from './circuit-model.ts';
import { same } from './explore.ts';

export type Hold = 'isolated' | 'disabled';

/** One key's circuit, or the main one. */
export class Keyed {
  readonly key: string | undefined;
  circuit: Model;
  readonly holds: Record<Hold, number> = { isolated: 0, disabled: 0 };
  inFlight = 0;
  cause: unknown = undefined;
  /** Changes of state that nobody has been told of. */
  pending: object[] = [];
  /** What it is in the book under test, to see when that has forgotten it. */
  record: CircuitRecord | undefined = undefined;

  constructor(key: string | undefined, circuit: Model) {
    this.key = key;
    this.circuit = circuit;
  }

  get idle(): boolean {
    return this.circuit.state === 'closed' && this.inFlight === 0 && this.pending.length === 0 && !this.pinned;
  }

  get pinned(): boolean {
    return this.holds.isolated + this.holds.disabled > 0;
  }
}

/** A call that was let in; without a pass nobody asked the circuit. */
export interface Ticket {
  readonly of: Keyed;
  readonly pass: Pass | undefined;
  readonly startedAt: number | undefined;
}

/** A breaker with keys and holds, as a list of circuits. */
export class BookModel {
  private readonly shape: Shape;
  readonly main: Keyed;
  readonly keys = new Map<string, Keyed>();
  readonly holds: Record<Hold, number> = { isolated: 0, disabled: 0 };
  /** Holds on all that nobody has been told of. */
  pending: object[] = [];
  readonly transitions: Record<HeldState, number> = { closed: 0, open: 0, half_open: 0, isolated: 0, disabled: 0 };
  readonly executions = { success: 0, failure: 0, ignored: 0, rejected: 0 };
  readonly rejections = { circuit_open: 0, circuit_isolated: 0 };

  constructor(shape: Shape) {
    this.shape = shape;
    this.main = new Keyed(undefined, new Model(shape));
  }

  of(key: string | undefined): Keyed {
    if (key === undefined) return this.main;
    const known = this.keys.get(key) ?? new Keyed(key, new Model(this.shape));
    this.keys.set(key, known);
    return known;
  }

  get all(): Keyed[] {
    return [this.main, ...this.keys.values()];
  }

  /** Does what is due everywhere, and writes down what has changed. */
  tick(now: number): void {
    for (const each of this.all) {
      each.circuit.tick(now);
      this.note(each, undefined);
    }
  }

  private note(of: Keyed, error: unknown): void {
    for (const change of of.circuit.log.splice(0)) {
      const own = change.why === 'tripped' || change.why === 'probes_failed';
      if (own) of.cause = error;
      else if (change.to === 'closed') of.cause = undefined;
      this.changed(of.pending, change, of.key, own ? error : undefined);
    }
  }

  private changed(
    to: object[],
    change: Omit<Transition, 'why' | 'from' | 'to'> & { from: HeldState; to: HeldState },
    key: string | undefined,
    error: unknown,
  ): void {
    const { from, to: state, at, failureRatio } = change;
    this.transitions[state]++;
    to.push({ from, to: state, at, failureRatio, key, error, errorType: undefined });
  }

  private held(what: Hold, of: Keyed): boolean {
    return this.holds[what] + of.holds[what] > 0;
  }

  /** A ticket, or why not and for how long. */
  admit(key: string | undefined, now: number, timed: boolean): Ticket | { reason: string; retryAfterMs: number } {
    const of = this.of(key);
    this.tick(now);
    const isolated = this.held('isolated', of);
    const asked = !isolated && !this.held('disabled', of);
    const pass = asked ? of.circuit.admit(now) : undefined;
    if (isolated || (asked && pass === undefined)) {
      this.executions.rejected++;
      const reason = isolated ? 'circuit_isolated' : 'circuit_open';
      this.rejections[reason]++;
      return { reason, retryAfterMs: isolated ? Infinity : of.circuit.retryAfterMs(now) };
    }
    of.inFlight++;
    return { of, pass, startedAt: timed ? now : undefined };
  }

  settle({ of, pass, startedAt }: Ticket, result: Settlement, now: number, error: unknown): void {
    this.tick(now);
    of.inFlight--;
    this.executions[result]++;
    const slow = this.shape.slowRatio !== undefined && startedAt !== undefined && now - startedAt > slowMs;
    if (pass !== undefined) of.circuit.settle(pass, result, slow, now);
    this.note(of, error);
  }

  hold(what: Hold, of: Keyed | undefined, by: 1 | -1, now: number): void {
    this.tick(now);
    const from = this.state(of, now);
    (of ?? this).holds[what] += by;
    const to = this.state(of, now);
    const change = { from, to, at: now, failureRatio: undefined };
    if (from !== to) this.changed((of ?? this).pending, change, of?.key, undefined);
  }

  reset(of: Keyed | undefined, now: number): void {
    this.tick(now);
    for (const each of of === undefined ? this.all : [of]) {
      each.circuit.reset(now);
      each.cause = undefined;
      this.note(each, undefined);
    }
  }

  state(of: Keyed | undefined, now: number): HeldState {
    this.tick(now);
    const own = of ?? this.main;
    if (this.held('isolated', own)) return 'isolated';
    if (this.held('disabled', own)) return 'disabled';
    const states = (of === undefined ? this.all : [of]).map(({ circuit }) => circuit.state);
    return states.includes('open') ? 'open' : states.includes('half_open') ? 'half_open' : 'closed';
  }

  snapshot(now: number): CircuitSnapshots {
    const open = [...this.keys].filter(([, { circuit }]) => (circuit.tick(now), circuit.state !== 'closed'));
    const own = this.main.circuit.snapshot(now);
    const keys = Object.fromEntries(open.map(([key, { circuit }]) => [key, circuit.snapshot(now)]));
    return open.length === 0 ? own : { ...own, keys };
  }

  /** The highest failure ratio of all circuits that judge one. */
  worstRatio(now: number): number | null {
    const ratios = this.all.map(({ circuit }) => circuit.failureRatio(now)).filter((ratio) => ratio !== undefined);
    return ratios.length === 0 ? null : Math.max(...ratios);
  }

  /** Another life: what is not closed goes on, holds and counts do not. */
  restored(now: number, shift: number): BookModel {
    this.tick(now);
    const next = new BookModel(this.shape);
    next.main.circuit = this.main.circuit.restored(now, shift);
    for (const [key, { circuit }] of this.keys)
      if (circuit.state !== 'closed') next.of(key).circuit = circuit.restored(now, shift);
    return next;
  }

  /** Forgets what the book has forgotten; answers those. */
  forget(records: ReadonlySet<CircuitRecord>): Keyed[] {
    const gone = [...this.keys.values()].filter(({ record }) => record !== undefined && !records.has(record));
    for (const each of gone) this.keys.delete(each.key!);
    return gone;
  }

  /** The changes that `of` and all have not been told of, in no order. */
  news(of: Keyed): object[] {
    return sorted([...this.pending.splice(0), ...of.pending.splice(0)]);
  }

  check(read: object, now: number): void {
    this.tick(now);
    const { transitions, executions, rejections } = this;
    const circuits = this.all.length;
    const failureRatio = this.worstRatio(now);
    const state = this.state(undefined, now);
    same('totals', read, { state, transitions, executions, rejections, failureRatio, circuits });
  }
}

export function sorted<T extends object>(changes: readonly T[]): T[] {
  const name = (change: object) => JSON.stringify(change);
  return [...changes].sort((a, b) => (name(a) < name(b) ? -1 : 1));
}
