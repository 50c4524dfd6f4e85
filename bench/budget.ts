/** What was promised, beside what was measured: a goal to come to, and a gate that nothing may be worse than. */
import type { Figure } from './part.ts';
import { figure, table } from './table.ts';

/** A number computed from the figures; nothing where one of them was not measured. */
type Of = (figures: Figures) => number | undefined;

interface Promised {
  readonly what: string;
  readonly unit: string;
  readonly at: 'most' | 'least';
  readonly goal: number | Of;
  /** @default the goal */
  readonly gate?: number | Of;
  readonly measured: Of;
  /** Nothing is granted to other Nodes: it is no matter of speed. */
  readonly exact?: true;
}

/** One line of the table. */
export interface Judged {
  readonly what: string;
  readonly unit: string;
  readonly at: 'most' | 'least';
  readonly goal: number | undefined;
  readonly gate: number | undefined;
  readonly measured: number | undefined;
  readonly verdict: 'goal' | 'gate' | 'misses' | 'not measured';
}

/** Figures by their names. */
class Figures {
  private readonly all: readonly Figure[];
  /** A check looks at one place of each curve, which stands for all of them. */
  private readonly check: boolean;
  constructor(all: readonly Figure[], check: boolean) {
    this.all = all;
    this.check = check;
  }

  value(part: string, row: string, series: string, name: string, x?: number): number | undefined {
    const own = this.of(part, row, series);
    return own.find((one) => x === undefined || this.check || one.x === x)?.values[name];
  }

  /** The value at the first place of a curve, and at the last. */
  ends(part: string, row: string, series: string, name: string): readonly [number | undefined, number | undefined] {
    const own = this.of(part, row, series).toSorted((a, b) => a.x! - b.x!);
    if (own.length < 2 && !this.check) return [undefined, undefined];
    return [own[0]?.values[name], own.at(-1)?.values[name]];
  }

  private of(part: string, row: string, series: string): Figure[] {
    return this.all.filter((one) => one.part === part && one.row === row && one.series === series);
  }
}

const over = (a: number | undefined, b: number | undefined) => (a === undefined || b === undefined ? undefined : a / b);
const less = (a: number | undefined, b: number | undefined) => (a === undefined || b === undefined ? undefined : a - b);

const ratio =
  (row: string, series = 'ours'): Of =>
  (figures) =>
    figures.value('calls', row, series, 'ratio');

/** How many times ours a peer costs. */
const timesOurs =
  (series: string, row = 'five'): Of =>
  (figures) =>
    over(ratio(row, series)(figures), ratio(row)(figures));

/** The same, without what the bare rejection costs both. */
const timesOursAboveFloor =
  (series: string, row: string): Of =>
  (figures) =>
    over(less(ratio(row, series)(figures), 1), less(ratio(row)(figures), 1));

const telemetry =
  (row: string, name: string, series = 'ours'): Of =>
  (figures) =>
    figures.value('telemetry', row, series, name);

const grows =
  (row: string, from: number, to: number): Of =>
  (figures) =>
    over(figures.value('growth', row, 'ours', 'ns', to), figures.value('growth', row, 'ours', 'ns', from));

/** From the first place of a curve to its last. */
const growsOver =
  (row: string): Of =>
  (figures) => {
    const [first, last] = figures.ends('growth', row, 'ours', 'ns');
    return over(last, first);
  };

const of =
  (part: string, row: string, name: string): Of =>
  (figures) =>
    figures.value(part, row, 'ours', name);

const most = (what: string, unit: string, goal: Promised['goal'], gate: Promised['goal'], measured: Of): Promised => ({
  what,
  unit,
  at: 'most',
  goal,
  gate,
  measured,
});
const least = (...all: Parameters<typeof most>): Promised => ({ ...most(...all), at: 'least' });
const exactly = (promised: Promised): Promised => ({ ...promised, exact: true });

const oneSpan = 'traces sampled, one span';
/** What a span costs around the bare function, which itself is 1, and 8 more. */
const bareSpanAnd8: Of = (figures) => plus(telemetry(oneSpan, 'ratio', 'span alone')(figures), 7);

const bare = 'x bare';
const ours = 'x ours';
const above = 'x ours, floor off';
const adds = 'x what ours adds';

const promises: readonly Promised[] = [
  most('T1 five policies', bare, 5, 6.5, ratio('five')),
  most('T1 five policies, in the opposite order', bare, 5, 6.5, ratio('five, in the opposite order')),
  most('T1 five policies, among other shapes', bare, 5, 6.5, ratio('five, among other shapes')),
  most('five policies, fn reads its signal', bare, 6, 7.5, ratio('five, fn reads its signal')),
  most('five policies, one signal for all callers', bare, 6, 7.5, ratio('five, one signal for all callers')),
  most('five policies, a signal per call', bare, 14, 14, ratio('five, a signal per call')),
  least('T2 cockatiel, five policies', ours, 35, 25, timesOurs('cockatiel')),
  least('T3 opossum, four policies', ours, 2.5, 2, timesOurs('opossum')),
  least('T3 opossum and a retry loop', ours, 2.3, 2.3, timesOurs('opossum + loop')),
  most('T4 synchronous function', bare, 2.5, 3.5, ratio('five, synchronous function')),
  most('T5 setImmediate, 64 at once', bare, 2.4, 2.4, ratio('five, setImmediate, 64 at once')),
  most('T6 rejecting function with fallback', bare, 1.6, 1.6, ratio('five, rejecting function')),
  least('circuit open: cockatiel', ours, 2.5, 2.5, timesOurs('cockatiel', 'circuit open')),
  least('circuit open: opossum', ours, 2.5, 2.5, timesOurs('opossum', 'circuit open')),
  least('circuit open: cockatiel, floor off', above, 8, 8, timesOursAboveFloor('cockatiel', 'circuit open')),
  least('circuit open: opossum, floor off', above, 8, 8, timesOursAboveFloor('opossum', 'circuit open')),
  most('circuit open: tryExecute', 'x execute', 0.99, 0.99, (figures) =>
    over(ratio('circuit open, tryExecute')(figures), ratio('circuit open')(figures)),
  ),
  most(
    'T9 telemetry on, no SDK: at most 5 % over off',
    bare,
    (figures) => times(telemetry('no SDK', 'ratio', 'off')(figures), 1.05),
    7.5,
    telemetry('no SDK', 'ratio'),
  ),
  most('metrics SDK', bare, 30, 30, telemetry('metrics', 'ratio')),
  most('T7 metrics by our producer', bare, 8, 8, telemetry('metrics by our producer', 'ratio')),
  least('metrics, by hand', adds, 3, 3, telemetry('metrics', 'adds', 'by hand')),
  least('metrics and traces sampled, by hand', adds, 2, 2, telemetry('metrics, traces sampled', 'adds', 'by hand')),
  most('T8 a span, sampled: at most a bare span and 8', bare, bareSpanAnd8, bareSpanAnd8, telemetry(oneSpan, 'ratio')),
  most('T10 bytes per call', 'B', 1_300, 1_300, of('calls', 'five', 'bytes')),
  most('bytes kept of a call', 'B', 1, 1, of('calls', 'five', 'kept')),
  most('T11 bytes per call in flight', 'B', 1_100, 1_100, (figures) =>
    figures.value('growth', 'in flight', 'ours', 'bytes', 10_000),
  ),
  most('T12 10k in flight, processor time', bare, 5, 5, of('steady', '10k in flight', 'ratio')),
  most('T13 100k in flight', 'x 10k', 4, 4, grows('in flight', 10_000, 100_000)),
  most('T13 100k in flight, shared signal', 'x 10k', 4, 4, grows('in flight, shared signal', 10_000, 100_000)),
  most('growth over keys', 'x the first', 4, 4, growsOver('keys')),
  most('growth over the window', 'x the first', 4, 4, growsOver('window')),
  most('growth over the queue', 'x the first', 4, 4, growsOver('queue')),
  exactly(most('T14 spurious timeouts after a stall', 'calls', 0, 0, of('steady', 'stall', 'spurious'))),
  exactly(most('T15 timeouts late, p99', 'ms', 3, 3, of('steady', 'lateness', 'p99Ms'))),
  exactly(most('T15 timeouts early', 'ms', 0, 0, of('steady', 'lateness', 'earlyMs'))),
  most('T16 an idle key', 'B', 200, 200, (figures) => figures.ends('growth', 'keys', 'ours', 'bytes')[1]),
  most('T17 undici, processor time', bare, 1.05, 1.05, of('http', 'undici', 'cpuRatio')),
  most('T17 undici, signal passed on', bare, 1.15, 1.15, of('http', 'undici, signal', 'cpuRatio')),
  exactly(most('import { pipeline, retry, timeout }, minified', 'kB', 20, 20, of('import', 'base', 'kB'))),
  exactly(most('import { pipeline, retry, timeout }, gzipped', 'kB', 8, 8, of('import', 'base', 'gzipKb'))),
  exactly(most('each further policy, minified', 'kB', 3, 3, of('import', 'dearest further policy', 'kB'))),
  most('time to import', 'ms', 10, 10, of('import', 'time', 'ms')),
];

function times(value: number | undefined, factor: number): number | undefined {
  return value === undefined ? undefined : value * factor;
}

function plus(value: number | undefined, more: number): number | undefined {
  return value === undefined ? undefined : value + more;
}

/** Judges figures of Node `major`: other versions than 24 get half as much again. */
export function budget(all: readonly Figure[], major: number, check = false): Judged[] {
  const figures = new Figures(all, check);
  return promises.map(({ what, unit, at, goal, gate = goal, measured, exact }) => {
    const leave = major === 24 || exact === true ? 1 : 1.5;
    const bar = (given: number | Of) => {
      const value = typeof given === 'number' ? given : given(figures);
      return times(value, at === 'most' ? leave : 1 / leave);
    };
    const [found, goalBar, gateBar] = [measured(figures), bar(goal), bar(gate)];
    return {
      what,
      unit,
      at,
      goal: goalBar,
      gate: gateBar,
      measured: found,
      verdict: verdict(at, found, goalBar, gateBar),
    };
  });
}

function verdict(
  at: Promised['at'],
  measured: number | undefined,
  goal: number | undefined,
  gate: number | undefined,
): Judged['verdict'] {
  if (measured === undefined || goal === undefined || gate === undefined) return 'not measured';
  const meets = (bar: number) => (at === 'most' ? measured <= bar : measured >= bar);
  if (meets(goal)) return 'goal';
  return meets(gate) ? 'gate' : 'misses';
}

/** The table of what was measured, and how many rows stand where; in a check nothing is judged. */
export function printBudget(judged: readonly Judged[], check: boolean): string {
  const bar = ({ at }: Judged, value: number | undefined) =>
    value === undefined ? '-' : `${at === 'most' ? '<=' : '>='} ${figure(value)}`;
  const found = judged.filter(({ verdict }) => verdict !== 'not measured');
  const lines = found.map((one) => [
    one.what,
    one.unit,
    bar(one, one.goal),
    bar(one, one.gate),
    figure(one.measured),
    check ? '-' : one.verdict,
  ]);
  const text = table([['what', 'in', 'goal', 'gate', 'measured', 'verdict'], ...lines]);
  if (check) return text;
  const count = (verdict: Judged['verdict']) => judged.filter((one) => one.verdict === verdict).length;
  return `${text}\n\n${count('goal')} at the goal, ${count('gate')} at the gate, ${count('misses')} miss, ${count('not measured')} not measured.`;
}
