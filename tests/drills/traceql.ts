import type { Span } from './otlp.ts';
import type { Sample } from './promql.ts';
import { Tokens } from './tokens.ts';

/**
 * As much of TraceQL as the drills need: `{ conditions }`, one structural operator, and one metrics function with `by`.
 * Written after Tempo's documentation; no Tempo has seen it. What it does not know it refuses.
 */

/** Answers a metrics query over the spans that began in a range (milliseconds since 1970), one element per group. */
export function traceql(query: string, spans: readonly Span[], from: number, to: number): readonly Sample[] {
  const tokens = new Tokens(query);
  const left = conditions(tokens);
  const operator = ['>>', '<<', '>', '<'].find((candidate) => tokens.take(candidate));
  const right = operator === undefined ? undefined : conditions(tokens);
  tokens.expect('|');
  const how = metric(tokens);
  const by = tokens.take('by') ? fields(tokens) : [];
  const least = tokens.take('>') ? Number(tokens.next().text) : -Infinity;
  tokens.end();

  const inside = spans.filter(({ start }) => start >= from && start <= to);
  const found = right === undefined ? inside.filter(left) : related(inside, left, operator!, right);
  const groups = new Map<string, Span[]>();
  for (const span of found) {
    const key = JSON.stringify(by.map((field) => read(span, field) ?? null));
    groups.set(key, [...(groups.get(key) ?? []), span]);
  }
  return [...groups.values()]
    .map((group) => ({
      labels: Object.fromEntries(by.map((field) => [field, String(read(group[0]!, field) ?? 'nil')])),
      value: how(group),
    }))
    .filter(({ value }) => value > least);
}

type Condition = (span: Span) => boolean;

function conditions(tokens: Tokens): Condition {
  tokens.expect('{');
  if (tokens.take('}')) return () => true;
  const condition = either(tokens);
  tokens.expect('}');
  return condition;
}

function either(tokens: Tokens): Condition {
  const all = [both(tokens)];
  while (tokens.take('||')) all.push(both(tokens));
  return (span) => all.some((condition) => condition(span));
}

function both(tokens: Tokens): Condition {
  const all = [single(tokens)];
  while (tokens.take('&&')) all.push(single(tokens));
  return (span) => all.every((condition) => condition(span));
}

function single(tokens: Tokens): Condition {
  if (tokens.take('(')) {
    const inner = either(tokens);
    tokens.expect(')');
    return inner;
  }
  const field = tokens.next().text;
  check(field);
  const operator = tokens.next().text;
  const { kind, text } = tokens.next();
  if (kind === 'word' && text === 'nil' && operator === '!=') return (span) => read(span, field) !== undefined;
  const wanted = kind === 'number' ? Number(text) : text;
  const whole = new RegExp(`^(?:${text})$`);
  return (span) => {
    const value = read(span, field);
    // An attribute that is not there is in no relation to anything.
    if (value === undefined) return false;
    switch (operator) {
      case '=':
        return value === wanted;
      case '!=':
        return value !== wanted;
      case '=~':
        return whole.test(String(value));
      case '!~':
        return !whole.test(String(value));
      case '>':
        return value > wanted;
      case '>=':
        return value >= wanted;
      case '<':
        return value < wanted;
      default:
        throw new SyntaxError(`Unknown operator "${operator}"`);
    }
  };
}

function metric(tokens: Tokens): (group: readonly Span[]) => number {
  const name = tokens.next().text;
  tokens.expect('(');
  if (name === 'count_over_time') {
    tokens.expect(')');
    return (group) => group.length;
  }
  const field = tokens.next().text;
  check(field);
  tokens.expect(')');
  const values = (group: readonly Span[]) => group.map((span) => Number(read(span, field)));
  if (name === 'avg_over_time') return (group) => values(group).reduce((a, b) => a + b) / group.length;
  if (name === 'max_over_time') return (group) => Math.max(...values(group));
  throw new SyntaxError(`Unknown function "${name}"`);
}

function fields(tokens: Tokens): string[] {
  const named: string[] = [];
  tokens.expect('(');
  while (!tokens.take(')')) {
    named.push(tokens.next().text);
    check(named.at(-1)!);
    tokens.take(',');
  }
  return named;
}

const intrinsics = ['name', 'kind', 'status', 'duration'] as const;

function check(field: string): void {
  if (!/^(?:span|resource)\../.test(field) && !(intrinsics as readonly string[]).includes(field))
    throw new SyntaxError(`Unknown field "${field}"`);
}

function read(span: Span, field: string): string | number | boolean | undefined {
  const [, scope, key = ''] = /^(span|resource)\.(.+)$/.exec(field) ?? [];
  if (scope === undefined) return span[field as (typeof intrinsics)[number]];
  return span[scope as 'span' | 'resource'][key];
}

/** The spans on the right that are children (`>`), descendants (`>>`), parents (`<`) or ancestors (`<<`) of one on the left. */
function related(spans: readonly Span[], left: Condition, operator: string, right: Condition): Span[] {
  const byId = new Map(spans.map((span) => [span.traceId + span.spanId, span]));
  const parent = (span: Span) => span.parentSpanId && byId.get(span.traceId + span.parentSpanId);
  const above = (span: Span) => {
    const line: Span[] = [];
    for (let up = parent(span); up; up = operator.length === 2 ? parent(up) : undefined) line.push(up);
    return line;
  };
  if (operator.startsWith('>')) return spans.filter((span) => right(span) && above(span).some(left));
  const found = new Set(spans.filter(left).flatMap(above).filter(right));
  return spans.filter((span) => found.has(span));
}
