/**
 * Option checking with one message shape for every bad option:
 * `Cannot create retry: "maxRetries" must be a whole number from 0 up, received -1`. All problems come in one message.
 */

/** One option's rule: answers what it must be when `value` breaks it, and whether the type or the range is wrong. */
export type Rule = (value: unknown) => Problem | undefined;

/** The rules of an options object, by name. */
export type Rules = Readonly<Record<string, Rule>>;

interface Problem {
  readonly must: string;
  readonly range: boolean;
  /** For an object with fields of its own that break these: they are what the message names. */
  readonly fields?: Rules;
}

/**
 * Throws unless every given option keeps its rule and no other option is given; `undefined` counts as not given. `action`
 * is what cannot be done with such options: `create retry`.
 */
export function check(
  action: string,
  options: unknown,
  rules: Rules,
  extra?: (options: any) => string | undefined,
): void {
  if (!isPlain(options)) throw new TypeError(`Cannot ${action}: options must be an object, received ${show(options)}`);
  const breaches = breachesOf(options, rules, '');
  const conflict = breaches.length === 0 ? extra?.(options) : undefined;
  if (conflict !== undefined) throw new TypeError(`Cannot ${action}: ${conflict}`);
  if (breaches.length === 0) return;
  const message = `Cannot ${action}: ${breaches.map(({ text }) => text).join('; ')}`;
  throw breaches.every(({ range }) => range) ? new RangeError(message) : new TypeError(message);
}

interface Breach {
  readonly text: string;
  readonly range: boolean;
}

/** Everything that is wrong with an options object, which stands at `path` in that of the user. */
function breachesOf(given: Record<string, unknown>, rules: Rules, path: string): Breach[] {
  const breaches: Breach[] = [];
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(rules, name)) continue;
    const near = nearest(name, Object.keys(rules));
    const hint = near === undefined ? '' : `, did you mean "${path}${near}"?`;
    breaches.push({ text: `unknown option "${path}${name}"${hint}`, range: false });
  }
  // By the rules and not by the object's own names: what it inherits is read as well.
  for (const [name, rule] of Object.entries(rules)) {
    const value = given[name];
    const problem = value === undefined && !required.has(rule) ? undefined : rule(value);
    if (problem === undefined) continue;
    if (problem.fields !== undefined && isPlain(value))
      breaches.push(...breachesOf(value, problem.fields, `${path}${name}.`));
    else
      breaches.push({
        text: `"${path}${name}" must be ${problem.must}, received ${show(value)}`,
        range: problem.range,
      });
  }
  return breaches;
}

const required = /* @__PURE__ */ new WeakSet<Rule>();

/** The same rule for an option that must be given. */
export function needed(rule: Rule): Rule {
  const own: Rule = (value) => rule(value);
  required.add(own);
  return own;
}

/** A number from `min` to `max`; `whole` numbers only where fractions make no sense. */
export function number(
  min: number,
  max = Number.POSITIVE_INFINITY,
  { whole = false, above = false, infinite = false } = {},
): Rule {
  const kind = whole ? 'a whole number' : 'a number';
  const bounds = above ? `above ${min}` : `from ${min}`;
  const top = max === Number.POSITIVE_INFINITY ? (above ? '' : ' up') : ` ${above ? 'and up to' : 'to'} ${max}`;
  const must = `${kind} ${bounds}${top}${infinite ? ' or Infinity' : ''}`;
  return (value) => {
    if (typeof value !== 'number') return { must, range: false };
    if (infinite && value === Number.POSITIVE_INFINITY) return undefined;
    const ok =
      Number.isFinite(value) &&
      (above ? value > min : value >= min) &&
      value <= max &&
      (!whole || Number.isInteger(value));
    return ok ? undefined : { must, range: true };
  };
}

/** Milliseconds from 0 up. */
export const milliseconds: Rule = /* @__PURE__ */ number(0);

/** A limit in milliseconds: above 0, and `Infinity` is none. */
export const limitMs: Rule = /* @__PURE__ */ number(0, undefined, { above: true, infinite: true });

/** A non-empty name of letters, digits, `.`, `_`, `-`, `/` and `#`, at most 64 characters (128 for policies, which hold a pipeline's). */
export const policyName: Rule = (value) =>
  typeof value === 'string' && /^[\w./#-]{1,128}$/.test(value)
    ? undefined
    : { must: '1-128 characters of letters, digits, ".", "_", "-", "/"', range: false };

/** Anything `test` says yes to. */
export function shape(must: string, test: (value: any) => boolean): Rule {
  return (value) => (test(value) ? undefined : { must, range: false });
}

/** A function. */
export const callable: Rule = (value) =>
  typeof value === 'function' ? undefined : { must: 'a function', range: false };

/** `true` or `false`. */
export const flag: Rule = (value) => (typeof value === 'boolean' ? undefined : { must: 'true or false', range: false });

/** An object with these fields and no others; a field may be missing unless its rule is `needed`. */
export function fields(rules: Rules, must = `{ ${Object.keys(rules).join(', ')} }`): Rule {
  return (value) => {
    if (!isPlain(value)) return { must, range: false };
    return breachesOf(value, rules, '').length === 0 ? undefined : { must, range: false, fields: rules };
  };
}

/** Either rule; the message names both, unless it is about a field of what one of them takes. */
export function either(...rules: readonly Rule[]): Rule {
  return (value) => {
    const problems: Problem[] = [];
    for (const rule of rules) {
      const problem = rule(value);
      if (problem === undefined) return undefined;
      problems.push(problem);
    }
    const inside = problems.find((p) => p.fields !== undefined);
    return inside ?? { must: problems.map((p) => p.must).join(', or '), range: problems.some((p) => p.range) };
  };
}

/** A value as an error message shows it: short, and never calling what the value itself defines. */
export function show(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return value.length > 40 ? `"${value.slice(0, 40)}…"` : `"${value}"`;
    case 'bigint':
      return `${value}n`;
    case 'function':
      return 'a function';
    case 'symbol':
      return 'a symbol';
    case 'object':
      if (value === null) return 'null';
      if (Array.isArray(value)) return 'an array';
      return 'then' in value ? 'a promise' : Symbol.iterator in value ? 'a list' : 'an object';
    default:
      return Object.is(value, -0) ? '-0' : String(value);
  }
}

/** What others call an option of ours, where the words are too unlike. */
const elsewhere: ReadonlyMap<string, string> = /* @__PURE__ */ new Map([['maxAttempts', 'maxRetries']]);

function nearest(name: string, known: readonly string[]): string | undefined {
  const ours = elsewhere.get(name);
  if (ours !== undefined && known.includes(ours)) return ours;
  let best: string | undefined;
  let least = Math.max(1, Math.floor(name.length / 3)) + 1;
  for (const candidate of known) {
    const distance = edits(name.toLowerCase(), candidate.toLowerCase());
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}

/** Edit distance by one row (Wagner and Fischer 1974). */
function edits(a: string, b: string): number {
  const row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    let diagonal = row[0]!;
    row[0] = i;
    for (let j = 1; j <= b.length; j++) {
      const above = row[j]!;
      row[j] = Math.min(above + 1, row[j - 1]! + 1, diagonal + (a[i - 1] === b[j - 1] ? 0 : 1));
      diagonal = above;
    }
  }
  return row[b.length]!;
}

/** True for an object that can hold options: a promise of them (a forgotten `await`) or a map would mean the defaults, in silence. */
export function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !(Symbol.iterator in value) && !('then' in value);
}
