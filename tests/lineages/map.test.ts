import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const here = fileURLToPath(new URL('.', import.meta.url));
const tests = fileURLToPath(new URL('..', import.meta.url));

/** A row of the map: a scenario, and the tests that prove it or why there is none. */
interface Row {
  readonly id: string;
  readonly where: string;
  readonly cited: readonly { readonly file: string; readonly title: string }[];
}

const rows: readonly Row[] = readFileSync(`${here}README.md`, 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| ') && !/^\| (scenario|---)/.test(line))
  .map((line) => {
    const [id = '', where = ''] = line.slice(1, -1).split(' | ');
    const cited = [...where.matchAll(/`([^`]+\.test\.ts)` > `([^`]+)`/g)].map(([, file = '', title = '']) => ({
      file,
      title,
    }));
    return { id: id.trim(), where: where.trim(), cited };
  });

/** What a test file calls its tests, as far as that is written in it: the text around what a table fills in. */
function titlesOf(path: string): string[] {
  const titles: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && /^(it|test|describe)\b/.test(node.expression.getText()) && node.arguments[0]) {
      const [title] = node.arguments;
      if (ts.isStringLiteralLike(title)) titles.push(title.text);
      else if (ts.isTemplateExpression(title))
        titles.push([title.head.text, ...title.templateSpans.map(({ literal }) => literal.text)].join('…'));
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest, true));
  return titles;
}

const known = new Map<string, string[]>();
const titles = (file: string): string[] => {
  if (!known.has(file)) known.set(file, existsSync(tests + file) ? titlesOf(tests + file) : []);
  return known.get(file)!;
};

const numbers = (prefix: string, last: number) => Array.from({ length: last }, (_, n) => `${prefix}-${n + 1}`);

describe('the map of the other lineages (README.md)', () => {
  it('has every numbered scenario, once', () => {
    const numbered = rows.map(({ id }) => id).filter((id) => /^[JP]-(\d+|[a-l])$/.test(id));
    expect(numbered.toSorted()).toEqual(
      [...numbers('J', 17), ...numbers('P', 39), ...Array.from('abcdefghijkl', (letter) => `P-${letter}`)].toSorted(),
    );
    expect(new Set(rows.map(({ id }) => id)).size).toBe(rows.length);
  });

  it('says of each where its tests are, or why it has none', () => {
    for (const { id, where, cited } of rows)
      if (cited.length === 0) expect(where, id).toMatch(/^does not apply: \w.{10,}/);
  });

  it('names tests that exist', () => {
    const missing = rows.flatMap(({ id, cited }) =>
      cited
        .filter(({ file, title }) => !titles(file).some((each) => each.includes(title)))
        .map(({ file, title }) => `${id}: ${file} > ${title}`),
    );
    expect(missing).toEqual([]);
  });

  it('knows every test here that bears the number of a scenario', () => {
    const strangers: string[] = [];
    for (const file of readdirSync(here).filter((name) => name.endsWith('.test.ts')))
      for (const title of titles(`lineages/${file}`))
        for (const id of /^((?:[JP]-\w+(?:, )?)+): /.exec(title)?.[1]?.split(', ') ?? []) {
          const row = rows.find((each) => each.id === id);
          if (!row?.cited.some((one) => one.file === `lineages/${file}` && title.includes(one.title)))
            strangers.push(`${id}: ${file} > ${title}`);
        }
    expect(strangers).toEqual([]);
  });
});
