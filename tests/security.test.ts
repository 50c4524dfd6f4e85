import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string) => readFileSync(join(root, path), 'utf8');
const parse = (path: string) => ts.createSourceFile(path, read(path), ts.ScriptTarget.Latest, true);

/** Every node of a file. */
function* nodes(node: ts.Node): Generator<ts.Node> {
  yield node;
  for (const child of node.getChildren()) yield* nodes(child);
}

describe('SECURITY.md', () => {
  const threats = read('SECURITY.md')
    .split(/^### /m)
    .slice(1)
    .map((section) => ({ section, name: section.split('\n')[0]! }));
  const proofs = [...read('SECURITY.md').matchAll(/^- `(tests\/[^`]+)` > (.+)$/gm)].map(([, file, title]) => ({
    file: file!,
    title: title!,
  }));

  it('speaks of all twenty threats, in order', () => {
    expect(threats.map(({ name }) => name.split(' ')[0])).toEqual(Array.from({ length: 20 }, (_, n) => `T${n + 1}`));
  });

  it.each(threats)('$name: has a proof, and says what is left to you', ({ section }) => {
    expect(section).toMatch(/^- `tests\/[^`]+` > /m);
    expect(section).toMatch(/^Left to you: /m);
  });

  it('names only tests that are there', () => {
    const titles = new Map<string, Set<string>>();
    const titlesOf = (file: string) => {
      const known = titles.get(file);
      if (known !== undefined) return known;
      const made = new Set<string>();
      if (existsSync(join(root, file)))
        for (const node of nodes(parse(file))) {
          const [title] = ts.isCallExpression(node) ? node.arguments : [];
          if (title !== undefined && ts.isStringLiteralLike(title)) made.add(title.text);
        }
      titles.set(file, made);
      return made;
    };
    const missing = proofs.filter(({ file, title }) => !titlesOf(file).has(title));
    expect(missing.map(({ file, title }) => `SECURITY.md: ${file} has no test "${title}".`)).toEqual([]);
    expect(proofs.length).toBeGreaterThan(20);
  });
});

describe('the supply chain', () => {
  interface Locked {
    readonly dependencies?: Record<string, string>;
    readonly optionalDependencies?: Record<string, string>;
    readonly hasInstallScript?: boolean;
    readonly integrity?: string;
    readonly link?: boolean;
    readonly dev?: boolean;
    readonly optional?: boolean;
    readonly os?: readonly string[];
  }
  const manifest = JSON.parse(read('package.json'));
  const locked: Record<string, Locked> = JSON.parse(read('package-lock.json')).packages;
  const installed = [...Object.keys(manifest.dependencies), ...Object.keys(manifest.peerDependencies)];

  it('the package has two dependencies, which have none, and one peer', () => {
    expect(installed).toEqual(['cockatiel', 'tslib', '@opentelemetry/api']);
    const theirs = installed.flatMap((name) => {
      const { dependencies = {}, optionalDependencies = {} } = locked[`node_modules/${name}`]!;
      return Object.keys({ ...dependencies, ...optionalDependencies });
    });
    expect(theirs).toEqual([]);
  });

  it('nothing that is installed with the package runs a script', () => {
    const own = Object.keys(manifest.scripts).filter((name) => /^(pre|post)?(install|prepare|uninstall)$/.test(name));
    const theirs = installed.filter((name) => locked[`node_modules/${name}`]!.hasInstallScript === true);
    expect([...own, ...theirs]).toEqual([]);
  });

  it('no code is made from strings, and no module is named at run time', () => {
    const wrong: string[] = [];
    for (const path of globSync('src/**/*.ts', { cwd: root }))
      for (const node of nodes(parse(path))) {
        const called = ts.isCallExpression(node) || ts.isNewExpression(node) ? node.expression : undefined;
        const dangerous =
          called?.kind === ts.SyntaxKind.ImportKeyword ||
          (called !== undefined && /^(globalThis\.)?(eval|Function|require|setTimeout)$/.test(called.getText()));
        const [first] = (node as ts.CallExpression).arguments ?? [];
        // A timer is fine with a function.
        if (dangerous && !(called!.getText() === 'setTimeout' && first !== undefined && !ts.isStringLiteralLike(first)))
          wrong.push(`${path}: ${node.getText()}`);
      }
    expect(wrong).toEqual([]);
  });

  it('every package in the lock file has an integrity hash, but for binaries of development tools', () => {
    const wrong = Object.entries(locked)
      .filter(([place, { link, integrity }]) => place.includes('node_modules/') && !link && integrity === undefined)
      .filter(([, { dev, optional, os }]) => !(dev && optional && os !== undefined))
      .map(([place]) => `package-lock.json: ${place} has no integrity hash.`);
    expect(wrong).toEqual([]);
  });
});
