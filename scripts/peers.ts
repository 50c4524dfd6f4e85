/**
 * What other libraries get wrong and this one does not: `node scripts/peers.ts` writes the table of README.md from the
 * titles of the tests in tests/peers, so that it claims nothing that no test shows. With `--check` it only looks, and
 * exits with 1 when the table is out of date.
 */
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { inapplicable } from '../tests/peers/inapplicable.ts';

/** One test of tests/peers, whose title is `C-4: what ours does`. */
export interface Claim {
  /** Of the defect. */
  readonly id: string;
  /** Tells the tests of one defect apart: `a` in `C-12a`. */
  readonly part: string;
  readonly peer: string;
  readonly does: string;
}

const root = fileURLToPath(new URL('..', import.meta.url));
const [from, to] = ['<!-- peers -->', '<!-- /peers -->'];

/** What the first letter of an id says; the others are named by the `describe` around the test. */
const peers: Readonly<Record<string, string>> = { C: 'cockatiel', O: 'opossum' };

/** The tests of tests/peers by id, and the titles that name no defect. */
export function readClaims(): { readonly claims: readonly Claim[]; readonly nameless: readonly string[] } {
  const claims: Claim[] = [];
  const nameless: string[] = [];
  for (const path of globSync('tests/peers/{cockatiel,opossum,others}*.test.ts', { cwd: root }).sort()) {
    const text = readFileSync(`${root}${path}`, 'utf8');
    visit(ts.createSourceFile(path, text, ts.ScriptTarget.Latest), undefined);
  }
  return { claims: claims.sort((a, b) => byId(a.id, b.id) || a.part.localeCompare(b.part)), nameless };

  function visit(node: ts.Node, group: string | undefined): void {
    const call = titled(node);
    if (call?.kind === 'test') read(call.title, group);
    const within = call?.kind === 'group' ? call.title : group;
    ts.forEachChild(node, (child) => visit(child, within));
  }

  function read(title: string, group: string | undefined): void {
    const [, id, part, does] = /^([A-Z]-\d+)([a-z]?): (.+)$/.exec(title) ?? [];
    if (id === undefined) nameless.push(title);
    else claims.push({ id, part: part!, peer: peers[id[0]!] ?? group ?? '', does: does! });
  }
}

/** A test or a group of tests with its title, `it.each(table)('title', ...)` included. */
function titled(node: ts.Node): { readonly kind: 'test' | 'group'; readonly title: string } | undefined {
  if (!ts.isCallExpression(node)) return undefined;
  const [title] = node.arguments;
  if (title === undefined || !ts.isStringLiteralLike(title)) return undefined;
  const name = nameOf(node.expression);
  if (name === 'describe') return { kind: 'group', title: title.text };
  return name === 'it' || name === 'test' ? { kind: 'test', title: title.text } : undefined;
}

/** What a callee begins with: `it` in `it.each(table)`. */
function nameOf(callee: ts.Expression): string {
  if (ts.isCallExpression(callee) || ts.isPropertyAccessExpression(callee)) return nameOf(callee.expression);
  if (ts.isTaggedTemplateExpression(callee)) return nameOf(callee.tag);
  return ts.isIdentifier(callee) ? callee.text : '';
}

function byId(a: string, b: string): number {
  return a[0]!.localeCompare(b[0]!) || Number(a.slice(2)) - Number(b.slice(2));
}

/** The README with the table as it ought to be; throws an `Error` where its place is missing. */
export function withTable(readme: string): string {
  const start = readme.indexOf(from);
  const end = readme.indexOf(to);
  if (start < 0 || end < start) throw new Error(`README.md has no ${from} followed by ${to} for the table to stand in`);
  return `${readme.slice(0, start + from.length)}\n${table()}\n${readme.slice(end)}`;
}

function table(): string {
  const { claims } = readClaims();
  const defects = new Set(claims.map(({ id }) => id)).size;
  const names = [...new Set(claims.map(({ peer }) => peer))];
  const others = inapplicable.length === 0 ? '' : `; ${inapplicable.length} have none, with the reason`;
  return [
    '<details>',
    `<summary>${claims.length} tests for ${defects} defects and traps of ${names.slice(0, -1).join(', ')} and ${names.at(-1)}${others}</summary>`,
    '',
    '| id | peer | what seaworthy does |',
    '|---|---|---|',
    ...claims.map(({ id, part, peer, does }) => `| ${id}${part} | ${peer} | ${cell(does)} |`),
    '',
    ...(inapplicable.length === 0 ? [] : without()),
    '</details>',
  ].join('\n');
}

function without(): string[] {
  return [
    '| id | why it has no test |',
    '|---|---|',
    ...inapplicable.toSorted((a, b) => byId(a.id, b.id)).map(({ id, reason }) => `| ${id} | ${cell(reason)} |`),
    '',
  ];
}

function cell(text: string): string {
  return text
    .replace(/%[sdifjo]/g, '…')
    .replaceAll('|', '\\|')
    .replaceAll('<', '&lt;');
}

if (import.meta.main) {
  const readme = readFileSync(`${root}README.md`, 'utf8');
  const wanted = withTable(readme);
  if (!process.argv.includes('--check')) writeFileSync(`${root}README.md`, wanted);
  else if (wanted !== readme) {
    console.error('README.md: the table of the peers is out of date. Run node scripts/peers.ts.');
    process.exitCode = 1;
  }
}
