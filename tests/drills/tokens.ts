/** A word, a number (durations included), a string or a sign. */
export interface Token {
  readonly kind: 'word' | 'number' | 'string' | 'sign' | 'end';
  readonly text: string;
}

const pattern =
  /\s*(?:(?<string>"(?:[^"\\]|\\.)*")|(?<number>\d+(?:\.\d+)?(?:ms|[smh])?)|(?<word>[a-zA-Z_][\w.]*)|(?<sign>>>|<<|&&|\|\||[=!]~|[<>=!]=|[-+*/<>=(){}[\],|]))/y;

/** The tokens of a query, PromQL's and TraceQL's alike. */
export class Tokens {
  private readonly all: readonly Token[];
  private at: number;

  constructor(query: string) {
    const all: Token[] = [];
    const text = query.trim();
    pattern.lastIndex = 0;
    while (pattern.lastIndex < text.length) {
      const from = pattern.lastIndex;
      const groups = pattern.exec(text)?.groups;
      if (groups === undefined) throw new SyntaxError(`Cannot read "${text.slice(from, from + 20)}"`);
      const kind = (['string', 'number', 'word', 'sign'] as const).find((name) => groups[name] !== undefined)!;
      all.push({ kind, text: kind === 'string' ? JSON.parse(groups[kind]!) : groups[kind]! });
    }
    this.all = all;
    this.at = 0;
  }

  peek(): Token {
    return this.all[this.at] ?? { kind: 'end', text: '' };
  }

  next(): Token {
    const token = this.peek();
    this.at++;
    return token;
  }

  /** Goes past `text` if it comes next. */
  take(text: string): boolean {
    const { kind, text: found } = this.peek();
    if (found !== text || kind === 'string' || kind === 'end') return false;
    this.at++;
    return true;
  }

  expect(text: string): void {
    if (!this.take(text)) throw new SyntaxError(`Expected "${text}", found "${this.peek().text}"`);
  }

  string(): string {
    const { kind, text } = this.next();
    if (kind !== 'string') throw new SyntaxError(`Expected a string, found "${text}"`);
    return text;
  }

  end(): void {
    if (this.peek().kind !== 'end') throw new SyntaxError(`Expected the end, found "${this.peek().text}"`);
  }
}
