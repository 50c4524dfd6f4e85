/**
 * The circuit breaker as a pure state machine: numbers in, decision out; no clock, no promise, no policy. Closed counts,
 * open turns away until the break is over, half-open lets a few probes through and decides as soon as their results can
 * no longer change the answer. From Nygard's "Release It!"; the details answer defects of Hystrix, resilience4j,
 * failsafe-go and cockatiel (research/javascript.md C-8 to C-23, research/jvm-and-go.md 2.2):
 * - one state value, and every permit is a number of the period it was issued in, so a late result moves nothing;
 * - a probe is a lease: one that never reports is a failure dated at its expiry, whoever looks later;
 * - nothing needs a timer: what is due is applied at the next look, as if it had happened when it was due.
 */
import {
  type CircuitRules,
  type CircuitSnapshot,
  type CircuitState,
  checkSnapshot,
  type Settlement,
  type Transition,
  type TransitionCause,
} from './circuit-state.ts';
import { Probes } from './probes.ts';

export type * from './circuit-state.ts';
export { breakerTrip, consecutiveTrip, ratioTrip, type Trip } from './trip.ts';

const none: readonly Transition[] = [];

/** No permit. */
const NONE = -1;

/** One circuit. Every `now` is in monotonic milliseconds; going backwards counts as standing still. */
export class Circuit {
  /** Changes of state nobody has taken yet, oldest first. */
  transitions: readonly Transition[] = none;
  private readonly rules: CircuitRules;
  private current: CircuitState = 'closed';
  private since: number = -Infinity;
  /** The permit of all calls of this period while closed, else -1; probes have the numbers after it, and none comes twice. */
  private period: number = 0;
  private issued: number = 0;
  private openings: number = 0;
  private openUntil: number = 0;
  /** The next break, once somebody had to know it: it may be drawn by chance, and all must see the same. */
  private drawn: number | undefined = undefined;
  /** There while half-open. */
  private probes: Probes | undefined = undefined;

  constructor(rules: CircuitRules) {
    this.rules = rules;
  }

  /** A circuit that goes on where a snapshot ended, at `now`; `TypeError` for anything {@link toJSON} did not write. */
  static restore(rules: CircuitRules, snapshot: unknown, now: number): Circuit {
    const { state, openForMs, remainingMs, openings } = checkSnapshot(snapshot);
    const circuit = new Circuit(rules);
    if (state === 'closed') return circuit;
    circuit.current = state;
    circuit.period = NONE;
    circuit.since = now - openForMs;
    circuit.openUntil = now + (remainingMs ?? Infinity);
    circuit.openings = openings;
    if (state === 'half_open') circuit.probes = new Probes(rules);
    return circuit;
  }

  /** The state as of `now`, moving nothing: `half_open` once the break is over, traffic or not. */
  state(now: number): CircuitState {
    if (this.current === 'closed') return 'closed';
    return now < this.openEnd(now) ? 'open' : 'half_open';
  }

  /** Asks to let a call in: a permit from 0 up to be settled once, or -1 for no. What is due is applied first. */
  admit(now: number): number {
    return this.period !== NONE ? this.period : this.admitProbe(now);
  }

  /**
   * Says how a permitted call ended; an ignored call is `slow` when it had been running for too long already. `false`
   * means it came late (its period is over, or its lease, or it was settled before) and moved nothing.
   */
  settle(permit: number, result: Settlement, slow: boolean, now: number): boolean {
    if (permit !== this.period || permit === NONE)
      return this.period === NONE && this.settleProbe(permit, result, slow, now);
    const { trip } = this.rules;
    let opens: boolean;
    if (result === 'success') opens = trip.success(now, slow);
    else if (result === 'failure') opens = trip.failure(now, slow);
    else opens = slow && trip.lingered(now);
    if (opens) this.open(now, 'tripped', trip.failureRatio(now));
    return true;
  }

  /** Milliseconds until asking again makes sense: the rest of the break, or of the oldest lease when all places are taken. */
  retryAfterMs(now: number): number {
    if (this.current === 'closed') return 0;
    const end = this.openEnd(now);
    if (now < end) return end - now;
    // A break that is over has given its places back, whether or not anybody noticed.
    if (this.probes === undefined || end > -Infinity || this.probes.hasPlace) return 0;
    return this.probes.nextLease(now) - now;
  }

  /** Applies what is due without asking for admission: the end of a break, the end of a lease. */
  advance(now: number): void {
    let probes: Probes | undefined;
    while ((probes = this.probes) !== undefined && now >= probes.oldestLease()) {
      const at = probes.oldestLease();
      this.draw();
      if (probes.expireOldest() === 'failed') this.open(at, 'lease_expired', probes.failureRatio);
    }
    if (this.current === 'open' && now >= this.openUntil)
      this.move('half_open', this.openUntil, 'break_over', undefined);
  }

  /** Closes by order, with a fresh window; calls in flight come late. */
  reset(now: number): void {
    this.advance(now);
    this.close(now, 'reset', undefined);
  }

  /** The share of failures among the closed state's calls, from 0 to 1; `undefined` below the minimum or when not closed. */
  failureRatio(now: number): number | undefined {
    return this.current === 'closed' ? this.rules.trip.failureRatio(now) : undefined;
  }

  /** Whether it counts and lets everybody in, now and until a call ends badly. */
  get closed(): boolean {
    return this.period !== NONE;
  }

  /** Closed, and no change of state waits to be taken: forgetting it loses no more than its counts. */
  get idle(): boolean {
    return this.current === 'closed' && this.transitions.length === 0;
  }

  /** Hands over the changes of state since the last time. */
  takeTransitions(): readonly Transition[] {
    const taken = this.transitions;
    this.transitions = none;
    return taken;
  }

  /** The state as of `now` as plain JSON of its own, moving nothing; see {@link CircuitSnapshot}. */
  toJSON(now: number): CircuitSnapshot {
    const state = this.state(now);
    const lapse = this.probes?.lapse() ?? Infinity;
    const openings = this.openings + (now >= lapse ? 1 : 0);
    if (state !== 'open') return { version: 1, state, openForMs: 0, remainingMs: 0, openings };
    const remainingMs = this.openEnd(now) - now;
    const openForMs = Math.max(0, now - (this.probes === undefined ? this.since : lapse));
    return { version: 1, state, openForMs, remainingMs: remainingMs === Infinity ? null : remainingMs, openings };
  }

  private admitProbe(now: number): number {
    this.advance(now);
    if (this.probes === undefined || !this.probes.hasPlace) return -1;
    this.probes.start(++this.issued, now);
    return this.issued;
  }

  private settleProbe(permit: number, result: Settlement, slow: boolean, now: number): boolean {
    this.advance(now);
    const { probes } = this;
    if (probes === undefined || !probes.has(permit)) return false;
    const failed = result === 'failure' || (slow && this.rules.slowFails);
    if (failed) this.draw();
    const verdict = probes.settle(permit, failed ? 'failure' : result);
    if (verdict === 'failed') this.open(now, 'probes_failed', probes.failureRatio);
    else if (verdict === 'passed') this.close(now, 'probes_passed', probes.failureRatio);
    return true;
  }

  /** When the break ends that is running at `now`, noticed or not; in the past when it is over, -Infinity for none. */
  private openEnd(now: number): number {
    if (this.probes === undefined) return this.openUntil;
    const lapse = this.probes.lapse();
    return now >= lapse ? lapse + this.draw() : -Infinity;
  }

  /** Asked before anything moves: the user's break may throw, and must leave a circuit that can be asked again. */
  private draw(): number {
    return (this.drawn ??= this.rules.breakMs(this.openings + 1));
  }

  private open(at: number, why: TransitionCause, failureRatio: number | undefined): void {
    const breakMs = this.draw();
    if (why !== 'tripped') this.rules.trip.relapsed?.();
    this.openings++;
    this.move('open', at, why, failureRatio);
    this.openUntil = this.since + breakMs;
  }

  private close(at: number, why: TransitionCause, failureRatio: number | undefined): void {
    try {
      this.rules.trip.reset();
    } finally {
      this.openings = 0;
      this.move('closed', at, why, failureRatio);
    }
  }

  /** The one place where the state changes; a new period makes all earlier permits late. */
  private move(to: CircuitState, at: number, why: TransitionCause, failureRatio: number | undefined): void {
    const from = this.current;
    this.since = Math.max(at, this.since);
    this.current = to;
    this.issued++;
    this.period = to === 'closed' ? this.issued : NONE;
    this.drawn = undefined;
    this.probes = to === 'half_open' ? new Probes(this.rules) : undefined;
    if (from !== to) this.transitions = [...this.transitions, { from, to, at: this.since, failureRatio, why }];
  }
}
