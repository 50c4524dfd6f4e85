import type { Series } from './otlp.ts';
import { type Token, Tokens } from './tokens.ts';

/**
 * As much of PromQL as the drills need, with Prometheus' own arithmetic (extrapolation, staleness after five minutes, buckets);
 * `promql.test.ts` holds it against a real Prometheus. What it does not know it refuses.
 */

/** One element of an answer. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

type Vector = readonly Sample[];
type Range = readonly { labels: Sample['labels']; samples: Series['samples'] }[];
type Run = (at: number) => Vector | number;

const lookBackMs = 300_000;

/** Answers `query` at a moment (milliseconds since 1970). */
export function promql(query: string, series: readonly Series[], at: number): Vector {
  const answer = new Parser(new Tokens(query), series).parse()(at);
  return typeof answer === 'number' ? [{ labels: {}, value: answer }] : answer;
}

const comparisons: Record<string, (a: number, b: number) => boolean> = {
  '>': (a, b) => a > b,
  '<': (a, b) => a < b,
  '>=': (a, b) => a >= b,
  '<=': (a, b) => a <= b,
  '==': (a, b) => a === b,
};
const arithmetic: Record<string, (a: number, b: number) => number> = {
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  '/': (a, b) => a / b,
};
/** From the loosest to the tightest. */
const levels = [['and', 'unless'], Object.keys(comparisons), ['+', '-'], ['*', '/']];

class Parser {
  private readonly tokens: Tokens;
  private readonly series: readonly Series[];

  constructor(tokens: Tokens, series: readonly Series[]) {
    this.tokens = tokens;
    this.series = series;
  }

  parse(): Run {
    const run = this.binary(0);
    this.tokens.end();
    return run;
  }

  private binary(level: number): Run {
    const operators = levels[level];
    if (operators === undefined) return this.primary();
    let left = this.binary(level + 1);
    for (;;) {
      const operator = operators.find((candidate) => this.tokens.take(candidate));
      if (operator === undefined) return left;
      const on = this.tokens.take('on') ? this.names() : undefined;
      const [one, other] = [left, this.binary(level + 1)];
      left = (at) => combine(operator, on, one(at), other(at));
    }
  }

  private primary(): Run {
    const { tokens } = this;
    if (tokens.take('(')) {
      const inner = this.binary(0);
      tokens.expect(')');
      return inner;
    }
    const token = tokens.next();
    if (token.kind === 'number') return () => Number(token.text);
    switch (token.text) {
      case 'sum':
      case 'max':
      case 'count':
        return this.aggregation(token.text);
      case 'rate':
      case 'increase':
      case 'max_over_time':
        return this.overTime(token.text);
      case 'histogram_quantile': {
        tokens.expect('(');
        const quantile = Number(tokens.next().text);
        tokens.expect(',');
        const buckets = this.binary(0);
        tokens.expect(')');
        return (at) => quantiles(quantile, vector(buckets(at)));
      }
      case 'label_replace':
        return this.labelReplace();
      default:
        return this.instant(token);
    }
  }

  private aggregation(how: 'sum' | 'max' | 'count'): Run {
    const by = this.tokens.take('by') ? this.names() : [];
    this.tokens.expect('(');
    const inner = this.binary(0);
    this.tokens.expect(')');
    return (at) =>
      [...grouped(vector(inner(at)), by)].map(([, group]) => ({
        labels: only(group[0]!.labels, by),
        value:
          how === 'count'
            ? group.length
            : group.map(({ value }) => value).reduce((a, b) => (how === 'sum' ? a + b : Math.max(a, b))),
      }));
  }

  private overTime(how: 'rate' | 'increase' | 'max_over_time'): Run {
    const { tokens } = this;
    tokens.expect('(');
    const select = this.selector(tokens.next());
    tokens.expect('[');
    const rangeMs = duration(tokens.next());
    tokens.expect(']');
    const offsetMs = this.offset();
    tokens.expect(')');
    return (at) =>
      select(at - offsetMs, rangeMs).flatMap(({ labels, samples }) => {
        const { __name__: _, ...rest } = labels;
        if (how === 'max_over_time') return [{ labels: rest, value: Math.max(...samples.map(([, value]) => value)) }];
        const grown = increase(samples, at - offsetMs - rangeMs, at - offsetMs);
        if (grown === undefined) return [];
        return [{ labels: rest, value: how === 'rate' ? grown / (rangeMs / 1000) : grown }];
      });
  }

  private instant(token: Token): Run {
    const select = this.selector(token);
    const offsetMs = this.offset();
    return (at) =>
      select(at - offsetMs, lookBackMs).map(({ labels, samples }) => ({ labels, value: samples.at(-1)![1] }));
  }

  private labelReplace(): Run {
    const { tokens } = this;
    tokens.expect('(');
    const inner = this.binary(0);
    const [target, replacement, source, pattern] = Array.from({ length: 4 }, () => {
      tokens.expect(',');
      return tokens.string();
    }) as [string, string, string, string];
    tokens.expect(')');
    const whole = new RegExp(`^(?:${pattern})$`);
    return (at) =>
      vector(inner(at)).map(({ labels, value }) => {
        const found = whole.exec(labels[source] ?? '');
        const made = found && replacement.replaceAll(/\$(\d)/g, (_, group) => found[Number(group)] ?? '');
        return { labels: made ? { ...labels, [target]: made } : labels, value };
      });
  }

  private selector(token: Token): (at: number, backMs: number) => Range {
    if (token.kind !== 'word') throw new SyntaxError(`Expected a metric, found "${token.text}"`);
    const wanted: ((labels: Sample['labels']) => boolean)[] = [(labels) => labels.__name__ === token.text];
    if (this.tokens.take('{'))
      while (!this.tokens.take('}')) {
        const name = this.tokens.next().text;
        const operator = this.tokens.next().text;
        const value = this.tokens.string();
        const pattern = new RegExp(`^(?:${value})$`);
        const tests: Record<string, (held: string) => boolean> = {
          '=': (held) => held === value,
          '!=': (held) => held !== value,
          '=~': (held) => pattern.test(held),
          '!~': (held) => !pattern.test(held),
        };
        const fits = tests[operator];
        if (fits === undefined) throw new SyntaxError(`Unknown matcher "${operator}"`);
        wanted.push((labels) => fits(labels[name] ?? ''));
        this.tokens.take(',');
      }
    return (at, backMs) =>
      this.series
        .filter(({ labels }) => wanted.every((fits) => fits(labels)))
        .map(({ labels, samples }) => ({ labels, samples: samples.filter(([t]) => t >= at - backMs && t <= at) }))
        .filter(({ samples }) => samples.length > 0);
  }

  private offset(): number {
    return this.tokens.take('offset') ? duration(this.tokens.next()) : 0;
  }

  private names(): string[] {
    const names: string[] = [];
    this.tokens.expect('(');
    while (!this.tokens.take(')')) {
      names.push(this.tokens.next().text);
      this.tokens.take(',');
    }
    return names;
  }
}

function duration({ text }: Token): number {
  const [, amount, unit] = /^(\d+)([smh])$/.exec(text) ?? [];
  if (unit === undefined) throw new SyntaxError(`Expected a duration, found "${text}"`);
  return Number(amount) * { s: 1_000, m: 60_000, h: 3_600_000 }[unit as 's' | 'm' | 'h'];
}

/** Growth of a counter over a range, resets undone, extrapolated to the range's ends where samples come close to them. */
function increase(samples: Series['samples'], from: number, to: number): number | undefined {
  const [first, last] = [samples[0], samples.at(-1)];
  if (first === undefined || last === undefined || samples.length < 2) return undefined;
  let grown = last[1] - first[1];
  samples.forEach(([, value], i) => {
    const before = samples[i - 1]?.[1] ?? 0;
    if (i > 0 && value < before) grown += before;
  });
  const sampled = last[0] - first[0];
  const apart = sampled / (samples.length - 1);
  let toStart = first[0] - from;
  if (grown > 0 && first[1] >= 0) toStart = Math.min(toStart, sampled * (first[1] / grown));
  const reach = (gap: number) => (gap < apart * 1.1 ? gap : apart / 2);
  return grown * ((sampled + reach(toStart) + reach(to - last[0])) / sampled);
}

function quantiles(quantile: number, buckets: Vector): Vector {
  const names = [...new Set(buckets.flatMap(({ labels }) => Object.keys(labels)))].filter((name) => name !== 'le');
  return [...grouped(buckets, names)].map(([, group]) => {
    const sorted = group
      .map(({ labels, value }) => ({ le: labels.le === '+Inf' ? Infinity : Number(labels.le), value }))
      .sort((a, b) => a.le - b.le);
    const rank = quantile * sorted.at(-1)!.value;
    const i = sorted.slice(0, -1).findIndex(({ value }) => value >= rank);
    const labels = only(group[0]!.labels, names);
    if (sorted.at(-1)!.value === 0) return { labels, value: NaN };
    if (i === -1) return { labels, value: sorted.at(-2)!.le };
    const [lower, below] = i === 0 ? [0, 0] : [sorted[i - 1]!.le, sorted[i - 1]!.value];
    const { le, value } = sorted[i]!;
    return { labels, value: lower + (le - lower) * ((rank - below) / (value - below)) };
  });
}

function combine(operator: string, on: readonly string[] | undefined, left: Vector | number, right: Vector | number) {
  const keep = comparisons[operator];
  const compute = arithmetic[operator];
  if (typeof left === 'number') {
    if (compute === undefined) throw new SyntaxError(`Nothing is known of a number on the left of "${operator}"`);
    if (typeof right === 'number') return compute(left, right);
    return right.map(({ labels, value }) => ({ labels: nameless(labels), value: compute(left, value) }));
  }
  const result = (one: Sample, other: number): Sample[] => {
    if (compute) return [{ labels: nameless(one.labels), value: compute(one.value, other) }];
    return keep!(one.value, other) ? [one] : [];
  };
  if (typeof right === 'number') return left.flatMap((one) => result(one, right));
  const key = ({ labels }: Sample) =>
    JSON.stringify(Object.entries(on ? only(labels, on) : nameless(labels)).sort(([a], [b]) => (a < b ? -1 : 1)));
  const others = new Map(right.map((other) => [key(other), other.value]));
  if (operator === 'and' || operator === 'unless')
    return left.filter((one) => others.has(key(one)) === (operator === 'and'));
  if (others.size < right.length || new Set(left.map(key)).size < left.length)
    throw new Error(`"${operator}" meets several series of the same labels`);
  return left.flatMap((one) => {
    const other = others.get(key(one));
    if (other === undefined) return [];
    return result(one, other).map(({ labels, value }) => ({ labels: on ? only(labels, on) : labels, value }));
  });
}

function grouped(samples: Vector, by: readonly string[]): Map<string, Sample[]> {
  const groups = new Map<string, Sample[]>();
  for (const sample of samples) {
    const key = JSON.stringify(by.map((name) => sample.labels[name] ?? ''));
    groups.set(key, [...(groups.get(key) ?? []), sample]);
  }
  return groups;
}

function only(labels: Sample['labels'], names: readonly string[]): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).filter(([name]) => names.includes(name)));
}

function nameless(labels: Sample['labels']): Record<string, string> {
  const { __name__: _, ...rest } = labels;
  return rest;
}

function vector(value: Vector | number): Vector {
  if (typeof value === 'number') throw new SyntaxError('Expected series, found a number');
  return value;
}
