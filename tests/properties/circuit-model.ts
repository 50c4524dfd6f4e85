import { ConsecutiveBreaker, IterableBackoff } from 'cockatiel';
import fc from 'fast-check';
import type {
  CircuitSnapshot,
  CircuitState,
  Settlement,
  Transition,
  TransitionCause,
} from '../../src/algorithms/circuit.ts';
import type { CircuitOptions } from '../../src/algorithms/circuit-options.ts';

/** What differs from run to run: what opens a circuit, and how it comes back. */
export interface Shape {
  readonly opens: 'ratio' | 'run' | 'either' | 'breaker';
  readonly window: { readonly windowMs: number } | { readonly windowCalls: number };
  readonly minimumCalls: number;
  readonly ratio: number;
  readonly runLimit: number;
  /** The share of slow calls that opens, where they count. */
  readonly slowRatio: number | undefined;
  readonly halfOpenCalls: number;
  readonly grows: boolean;
}
export const shape: fc.Arbitrary<Shape> = fc.record({
  opens: fc.constantFrom('ratio', 'ratio', 'run', 'either', 'breaker'),
  window: fc.constantFrom({ windowMs: 400 }, { windowMs: 3000 }, { windowCalls: 4 }, { windowCalls: 9 }),
  minimumCalls: fc.integer({ min: 1, max: 4 }),
  ratio: fc.constantFrom(0, 0.1, 0.34, 0.5, 0.75, 1),
  runLimit: fc.integer({ min: 1, max: 4 }),
  slowRatio: fc.constantFrom(undefined, undefined, 0.3, 1),
  halfOpenCalls: fc.integer({ min: 1, max: 5 }),
  grows: fc.boolean(),
});

export const slowMs = 25;
const leaseMs = 50;
const breaks = [100, 160, 300] as const;

/** The same as options of a circuit breaker. */
export function optionsOf(of: Shape): CircuitOptions {
  const { opens, window, minimumCalls, ratio, runLimit, slowRatio, halfOpenCalls, grows } = of;
  const coming = { halfOpenCalls, halfOpenMs: leaseMs, breakMs: grows ? new IterableBackoff([...breaks]) : breaks[0] };
  if (opens === 'breaker') return { ...coming, breaker: () => new ConsecutiveBreaker(runLimit) };
  const slow = slowRatio === undefined ? {} : { slowMs, slowRatio };
  if (opens === 'run' && slowRatio === undefined) return { ...coming, consecutiveFailures: runLimit };
  return {
    ...coming,
    ...slow,
    ...window,
    minimumCalls,
    ...(opens !== 'ratio' && { consecutiveFailures: runLimit }),
    ...(opens !== 'run' && { failureRatio: ratio }),
  };
}

interface Done {
  readonly at: number;
  readonly failed: boolean;
  readonly slow: boolean;
}

/** A permit of the model's. */
export interface Pass {
  readonly period: number;
  readonly id: number;
}

/** The promises of behaviour.md written down as naively as possible: lists, and one due event at a time. */
export class Model {
  private readonly of: Shape;
  state: CircuitState = 'closed';
  openings = 0;
  until = 0;
  private since = -Infinity;
  private period = 0;
  private ids = 0;
  /** Everything that was counted since it closed, and the beginning of the first bucket, which stays. */
  private done: Done[] = [];
  private firstAt: number | undefined = undefined;
  private run = 0;
  private probes: { id: number; expires: number }[] = [];
  private results: boolean[] = [];
  /** Changes of state. */
  log: Transition[] = [];

  constructor(of: Shape) {
    this.of = of;
  }

  /** Counts slow calls and failures among the others. */
  private get windowed(): boolean {
    const { opens, slowRatio } = this.of;
    return opens === 'ratio' || opens === 'either' || (opens === 'run' && slowRatio !== undefined);
  }

  private get countsSlow(): boolean {
    return this.of.opens !== 'breaker' && this.of.slowRatio !== undefined;
  }

  private to(state: CircuitState, at: number, why: TransitionCause, failureRatio: number | undefined): void {
    if (state !== this.state) this.log.push({ from: this.state, to: state, at, failureRatio, why });
    this.state = state;
    this.since = at;
    this.period++;
    this.done = [];
    this.run = 0;
    this.probes = [];
    this.results = [];
    if (state === 'closed') this.openings = 0;
    if (state === 'open') this.until = at + this.breakMs(++this.openings);
  }

  private breakMs(openings: number): number {
    return this.of.grows ? breaks[Math.min(openings, breaks.length) - 1]! : breaks[0];
  }

  /** The calls that still count. */
  private window(now: number): Done[] {
    const { window } = this.of;
    if ('windowCalls' in window) return this.done.slice(-window.windowCalls);
    const bucket = (at: number) => Math.floor((at - this.firstAt!) / (window.windowMs / 10));
    return this.done.filter(({ at }) => bucket(now) - bucket(at) < 10);
  }

  failureRatio(now: number): number | undefined {
    if (this.state !== 'closed' || !this.windowed) return undefined;
    const calls = this.window(now);
    if (calls.length === 0 || calls.length < this.of.minimumCalls) return undefined;
    return calls.filter(({ failed }) => failed).length / calls.length;
  }

  private count(result: Settlement, slow: boolean, at: number): void {
    const failed = result === 'failure';
    // An ignored call that was slow counts among the calls and ends no run.
    if (failed) this.run++;
    else if (result === 'success') this.run = 0;
    this.firstAt ??= at;
    this.done.push({ at, failed, slow });
    if (this.trips(failed, at)) this.to('open', at, 'tripped', this.failureRatio(at));
  }

  private trips(failed: boolean, now: number): boolean {
    const { opens, runLimit, minimumCalls, ratio, slowRatio } = this.of;
    if (opens !== 'ratio' && failed && this.run >= runLimit) return true;
    const calls = this.windowed ? this.window(now) : [];
    if (calls.length < minimumCalls) return false;
    const share = (which: (call: Done) => boolean) => calls.filter(which).length / calls.length;
    const failures = share((call) => call.failed);
    if (opens !== 'run' && failures > 0 && failures >= ratio) return true;
    const slow = share((call) => call.slow);
    return slowRatio !== undefined && slow > 0 && slow >= slowRatio;
  }

  private judge(at: number, why: 'probes_failed' | 'lease_expired'): void {
    const { opens, ratio, halfOpenCalls } = this.of;
    const reopenRatio = opens === 'run' || opens === 'breaker' ? 0 : ratio;
    const enough = (failures: number) => failures > 0 && failures / halfOpenCalls >= reopenRatio - 1e-9;
    const failed = this.results.filter((ok) => !ok).length;
    const share = failed / this.results.length;
    if (enough(failed)) this.to('open', at, why, share);
    else if (!enough(failed + halfOpenCalls - this.results.length)) this.to('closed', at, 'probes_passed', share);
  }

  /** Does what is due, at the time it was due. */
  tick(now: number): void {
    for (;;) {
      const oldest = this.probes[0];
      if (this.state === 'open' && this.until <= now) this.to('half_open', this.until, 'break_over', undefined);
      else if (this.state === 'half_open' && oldest !== undefined && oldest.expires <= now) {
        this.probes.shift();
        this.results.push(false);
        this.judge(oldest.expires, 'lease_expired');
      } else return;
    }
  }

  private get full(): boolean {
    return this.probes.length + this.results.length >= this.of.halfOpenCalls;
  }

  /** A pass, or undefined when turned away. */
  admit(now: number): Pass | undefined {
    this.tick(now);
    if (this.state === 'open' || (this.state === 'half_open' && this.full)) return undefined;
    const id = ++this.ids;
    if (this.state === 'half_open') this.probes.push({ id, expires: now + leaseMs });
    return { period: this.period, id };
  }

  settle({ period, id }: Pass, result: Settlement, slow: boolean, now: number): boolean {
    this.tick(now);
    if (period !== this.period) return false;
    if (this.state === 'closed') {
      if (result !== 'ignored' || (slow && this.countsSlow)) this.count(result, slow, now);
      return true;
    }
    if (!this.probes.some((probe) => probe.id === id)) return false;
    this.probes = this.probes.filter((probe) => probe.id !== id);
    const failed = result === 'failure' || (slow && this.countsSlow);
    if (failed || result === 'success') {
      this.results.push(!failed);
      this.judge(now, 'probes_failed');
    }
    return true;
  }

  reset(now: number): void {
    this.tick(now);
    this.to('closed', now, 'reset', undefined);
  }

  retryAfterMs(now: number): number {
    this.tick(now);
    if (this.state === 'open') return this.until - now;
    return this.state === 'half_open' && this.full ? this.probes[0]!.expires - now : 0;
  }

  snapshot(now: number): CircuitSnapshot {
    this.tick(now);
    const { state, openings } = this;
    const open = state === 'open';
    const [openForMs, remainingMs] = open ? [now - this.since, this.until - now] : [0, 0];
    return { version: 1, state, openForMs, remainingMs, openings };
  }

  /** Starts another life from a snapshot of this one, `shift` milliseconds further on another clock. */
  restored(now: number, shift: number): Model {
    const next = new Model(this.of);
    this.tick(now);
    next.state = this.state;
    next.openings = this.openings;
    next.until = this.until + shift;
    next.since = this.since + shift;
    return next;
  }
}
