/** Reads the text format that Prometheus scrapes. */

/** One line of a scrape. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Every sample of a scrape, in order; throws a `SyntaxError` for a line that is none. */
export function parse(text: string): Sample[] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('#'))
    .map(sample);
}

/** The sum of all samples of that name whose labels are as wanted; 0 when there are none. */
export function sum(samples: readonly Sample[], name: string, wanted: (labels: Sample['labels']) => boolean): number {
  return samples
    .filter((one) => one.name === name && wanted(one.labels))
    .reduce((total, { value }) => total + value, 0);
}

function sample(line: string): Sample {
  const [, name, rest] = /^([a-zA-Z_:][\w:]*)(.*)$/.exec(line) ?? [];
  if (name === undefined || rest === undefined) throw new SyntaxError(`Not a sample: ${line}`);
  const labels: Record<string, string> = {};
  let tail = rest;
  if (rest.startsWith('{')) {
    const label = /\s*([a-zA-Z_]\w*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*,?/y;
    let end = (label.lastIndex = 1);
    for (let match = label.exec(rest); match !== null; match = label.exec(rest)) {
      labels[match[1]!] = unescape(match[2]!);
      end = label.lastIndex;
    }
    if (rest[end] !== '}') throw new SyntaxError(`Not a sample: ${line}`);
    tail = rest.slice(end + 1);
  }
  // A timestamp may follow the value.
  const [word = ''] = tail.trim().split(/\s+/);
  return { name, labels, value: number(word, line) };
}

function unescape(value: string): string {
  return value.replace(/\\(.)/g, (_, letter: string) => (letter === 'n' ? '\n' : letter));
}

function number(word: string, line: string): number {
  if (/^[+-]?Inf$/.test(word)) return word.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  if (word === 'NaN') return Number.NaN;
  if (word === '' || Number.isNaN(Number(word))) throw new SyntaxError(`Not a sample: ${line}`);
  return Number(word);
}
