import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const here = fileURLToPath(new URL('.', import.meta.url));
const tests = fileURLToPath(new URL('..', import.meta.url));

/** A trap, and the tests that watch it or why there is none. */
interface Row {
  readonly trap: string;
  readonly where: string;
  readonly cited: readonly { readonly file: string; readonly title: string }[];
}

const rows: readonly Row[] = readFileSync(`${here}traps.md`, 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| ') && !/^\| (trap|---)/.test(line))
  .map((line) => {
    const [trap = '', where = ''] = line.slice(1, -1).split(' | ');
    const cited = [...where.matchAll(/`([^`]+\.test\.ts)` > `([^`]+)`/g)].map(([, file = '', title = '']) => ({
      file,
      title,
    }));
    return { trap: trap.trim(), where: where.trim(), cited };
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

describe('the map of the traps (traps.md)', () => {
  it('has every numbered trap, each row once', () => {
    const ids = new Set(rows.map(({ trap }) => /^([DTM]-\d+[ab]?): \w/.exec(trap.replaceAll('`', 'x'))?.[1]));
    expect([...ids].toSorted()).toEqual(
      [...numbers('D', 10), ...numbers('T', 16), 'T-7a', 'T-7b', ...numbers('M', 7)].toSorted(),
    );
    expect(new Set(rows.map(({ trap }) => trap)).size).toBe(rows.length);
  });

  it('says of each where its tests are, or why it has none', () => {
    for (const { trap, where, cited } of rows)
      if (cited.length === 0) expect(where, trap).toMatch(/^does not apply: \w.{10,}/);
  });

  it('names tests that exist', () => {
    const missing = rows.flatMap(({ trap, cited }) =>
      cited
        .filter(({ file, title }) => !titles(file).some((each) => each.includes(title)))
        .map(({ file, title }) => `${trap}: ${file} > ${title}`),
    );
    expect(missing).toEqual([]);
  });

  it('knows every group or test of the files here', () => {
    const cited = rows.flatMap((row) => row.cited);
    const unknown = readdirSync(here)
      .filter((name) => name.endsWith('.test.ts') && name !== 'map.test.ts')
      .flatMap((name) => groupsOf(here + name).map((group) => ({ file: `traps/${name}`, group })))
      .filter(({ file, group }) =>
        group.every((title) => !cited.some((one) => one.file === file && title.includes(one.title))),
      );
    expect(unknown).toEqual([]);
  });
});

/** Each test's title with those of the groups around it. */
function groupsOf(path: string): string[][] {
  const groups: string[][] = [];
  const visit = (node: ts.Node, around: string[]): void => {
    let inside = around;
    if (ts.isCallExpression(node) && node.arguments.length > 1) {
      const [title] = node.arguments;
      const callee = node.expression.getText();
      if (/^(it|describe)\b/.test(callee) && title !== undefined && ts.isStringLiteralLike(title)) {
        inside = [...around, title.text];
        if (callee.startsWith('it')) groups.push(inside);
      }
    }
    ts.forEachChild(node, (child) => visit(child, inside));
  };
  visit(ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest, true), []);
  return groups;
}
