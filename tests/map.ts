/** Tables that say which tests watch what, and what those tests are called. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const tests = fileURLToPath(new URL('.', import.meta.url));

/** A row: what is watched, and the tests that watch it or why there is none. */
export interface Row {
  readonly what: string;
  readonly where: string;
  readonly cited: readonly { readonly file: string; readonly title: string }[];
}

/** The rows of all tables in a file of `tests`, which begin with a head row as `head` says. */
export function rowsOf(file: string, head: string): readonly Row[] {
  return readFileSync(tests + file, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith(`| ${head} `) && !line.startsWith('| ---'))
    .map((line) => {
      const [what = '', where = ''] = line.slice(1, -1).split(' | ');
      const cited = [...where.matchAll(/`([^`]+\.test\.ts)` > `([^`]+)`/g)].map(([, file = '', title = '']) => ({
        file,
        title,
      }));
      return { what: what.trim(), where: where.trim(), cited };
    });
}

/** The tests that rows name and that do not exist. */
export function missing(rows: readonly Row[]): string[] {
  return rows.flatMap(({ what, cited }) =>
    cited
      .filter(({ file, title }) => !titlesOf(file).some((each) => each.includes(title)))
      .map(({ file, title }) => `${what}: ${file} > ${title}`),
  );
}

const known = new Map<string, readonly string[]>();

/** What a file of `tests` calls its tests and groups. */
function titlesOf(file: string): readonly string[] {
  if (!known.has(file)) known.set(file, existsSync(tests + file) ? titled(file).map(({ title }) => title) : []);
  return known.get(file)!;
}

/** The title of each test in a file of `tests`, after those of the groups around it. */
export function testsOf(file: string): readonly (readonly string[])[] {
  return titled(file)
    .filter(({ test }) => test)
    .map(({ around, title }) => [...around, title]);
}

interface Titled {
  /** Of a test, and not of a group. */
  readonly test: boolean;
  /** As far as it is written there: the text around what a table fills in. */
  readonly title: string;
  readonly around: readonly string[];
}

function titled(file: string): readonly Titled[] {
  const found: Titled[] = [];
  const visit = (node: ts.Node, around: readonly string[]): void => {
    let inside = around;
    const [, kind] = ts.isCallExpression(node) ? (/^(it|test|describe)\b/.exec(node.expression.getText()) ?? []) : [];
    const title = kind === undefined ? undefined : textOf((node as ts.CallExpression).arguments[0]);
    if (title !== undefined) {
      found.push({ test: kind !== 'describe', title, around });
      inside = [...around, title];
    }
    ts.forEachChild(node, (child) => visit(child, inside));
  };
  visit(ts.createSourceFile(file, readFileSync(tests + file, 'utf8'), ts.ScriptTarget.Latest, true), []);
  return found;
}

function textOf(title: ts.Node | undefined): string | undefined {
  if (title === undefined) return undefined;
  if (ts.isStringLiteralLike(title)) return title.text;
  if (!ts.isTemplateExpression(title)) return undefined;
  return [title.head.text, ...title.templateSpans.map(({ literal }) => literal.text)].join('…');
}
