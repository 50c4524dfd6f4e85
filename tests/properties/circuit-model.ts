import { type CircuitRules, type CircuitState, ratioTrip, type Settlement } from '../../src/algorithms/circuit.ts';
import { countWindow } from '../../src/algorithms/rolling-window.ts';

const window = 6;
const minimumCalls = 4;
const leaseMs = 50;
const breakMs = (openings: number) => 100 * openings;

/** What differs from run to run. */
export interface Shape {
  readonly halfOpenCalls: number;
  readonly ratio: number;
}
/** The same rules for the circuit under test. */
export const rulesOf = ({ halfOpenCalls, ratio }: Shape): CircuitRules => ({
  trip: ratioTrip({ failureRatio: ratio, minimumCalls, window: countWindow(window) }),
  breakMs,
  halfOpenCalls,
  halfOpenMs: leaseMs,
  reopenRatio: ratio,
  slowFails: true,
});

/** The promises of behaviour.md written down as naively as possible: lists, and one due event at a time. */
export class Model {
  readonly shape: Shape;
  state: CircuitState = 'closed';
  openings = 0;
  until = 0;
  period = 0;
  outcomes: boolean[] = [];
  probes: { id: number; expires: number }[] = [];
  results: boolean[] = [];
  readonly log: string[] = [];
  constructor(shape: Shape) {
    this.shape = shape;
  }

  to(state: CircuitState, at: number): void {
    this.log.push(`${at}: ${this.state} > ${state}`);
    this.state = state;
    this.period++;
    this.outcomes = [];
    this.probes = [];
    this.results = [];
    if (state === 'closed') this.openings = 0;
    if (state === 'open') this.until = at + breakMs(++this.openings);
  }

  judge(at: number): void {
    const { halfOpenCalls, ratio } = this.shape;
    const failed = this.results.filter((ok) => !ok).length;
    const open = halfOpenCalls - this.results.length;
    if (failed / halfOpenCalls >= ratio && failed > 0) this.to('open', at);
    else if ((failed + open) / halfOpenCalls < ratio || (open === 0 && failed === 0)) this.to('closed', at);
    else if (ratio === 0 && open === 0) this.to('closed', at);
  }

  tick(now: number): void {
    for (;;) {
      const oldest = this.probes[0];
      if (this.state === 'open' && this.until <= now) this.to('half_open', this.until);
      else if (this.state === 'half_open' && oldest !== undefined && oldest.expires <= now) {
        this.probes.shift();
        this.results.push(false);
        this.judge(oldest.expires);
      } else return;
    }
  }

  /** A ticket, or undefined when turned away. */
  admit(now: number, id: number): { period: number; id: number } | undefined {
    this.tick(now);
    if (this.state === 'open') return undefined;
    if (this.state === 'half_open') {
      if (this.probes.length + this.results.length >= this.shape.halfOpenCalls) return undefined;
      this.probes.push({ id, expires: now + leaseMs });
    }
    return { period: this.period, id };
  }

  settle(ticket: { period: number; id: number }, result: Settlement, slow: boolean, now: number): boolean {
    this.tick(now);
    if (ticket.period !== this.period) return false;
    if (this.state === 'closed') {
      if (result === 'ignored') return true;
      this.outcomes = [...this.outcomes, result === 'success'].slice(-window);
      const failed = this.outcomes.filter((ok) => !ok).length;
      if (this.outcomes.length >= minimumCalls && failed > 0 && failed / this.outcomes.length >= this.shape.ratio)
        this.to('open', now);
      return true;
    }
    if (!this.probes.some(({ id }) => id === ticket.id)) return false;
    this.probes = this.probes.filter(({ id }) => id !== ticket.id);
    if (slow) this.results.push(false);
    else if (result !== 'ignored') this.results.push(result === 'success');
    if (slow || result !== 'ignored') this.judge(now);
    return true;
  }
}
