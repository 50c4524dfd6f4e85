import { existsSync, globSync, readFileSync } from 'node:fs';
import { basename, dirname, join, posix, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import viteConfig from '../vitest.config.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string) => readFileSync(join(root, path), 'utf8');
const list = (pattern: string) => globSync(pattern, { cwd: root }).sort();
const manifest = JSON.parse(read('package.json'));

/** Every TypeScript source of the library, parsed once. */
const sources = list('src/**/*.ts').map((path) => ({ path, tree: parse(path) }));

/**
 * Who may import whom: ARCHITECTURE.md's table. `runs` are folders, files or packages that may be imported as values,
 * `types` those that may be imported with `import type` only. A folder may always import itself.
 */
const table: { where: string; runs: string[]; types: string[] }[] = [
  { where: 'ports', runs: [], types: [] },
  { where: 'telemetry', runs: [], types: [] },
  // The build bundles what runs of cockatiel, and that is then another than the user's.
  { where: 'algorithms/backoff.ts', runs: ['algorithms', 'cockatiel'], types: ['ports'] },
  { where: 'algorithms', runs: [], types: ['ports', 'cockatiel'] },
  { where: 'core', runs: ['ports', 'telemetry', 'algorithms', 'node:async_hooks'], types: ['cockatiel'] },
  { where: 'policies', runs: ['core', 'algorithms', 'ports'], types: ['telemetry', 'cockatiel'] },
  {
    where: 'adapters/otel',
    runs: ['telemetry', 'core/options.ts', 'ports/wall-clock.ts', '@opentelemetry/api'],
    types: ['core', 'ports'],
  },
  { where: 'adapters/cockatiel', runs: ['core', 'ports'], types: ['cockatiel'] },
  { where: 'adapters/http', runs: ['core', 'ports'], types: [] },
  { where: 'console', runs: ['core/options.ts', 'core/registry.ts', 'ports'], types: ['telemetry'] },
  { where: 'testing', runs: ['ports', 'core', 'telemetry', 'node:async_hooks'], types: ['policies'] },
  {
    where: 'index.ts',
    runs: ['core', 'policies', 'algorithms', 'ports', 'telemetry', 'adapters/otel', 'adapters/cockatiel'],
    types: [],
  },
];

describe('who may import whom', () => {
  it('follows the table', () => {
    const wrong: string[] = [];
    for (const { path, tree } of sources) {
      const place = path.slice('src/'.length);
      const rule = ruleOf(place);
      if (rule === undefined) {
        wrong.push(
          `${path}: no row of the table covers it. Move it to one of the folders, or add a row here and in ARCHITECTURE.md.`,
        );
        continue;
      }
      for (const { target, typeOnly, line } of importsOf(tree, place)) {
        if (within(target, folderOf(rule.where)) || rule.runs.some((allowed) => within(target, allowed))) continue;
        if (rule.types.some((allowed) => within(target, allowed))) {
          if (!typeOnly)
            wrong.push(`${path}:${line}: only types of ${target} may be imported here: write \`import type\`.`);
          continue;
        }
        const may = [...rule.runs, ...rule.types.map((folder) => `types of ${folder}`)].join(', ') || 'nothing';
        wrong.push(
          `${path}:${line}: imports ${target}; ${rule.where} may import ${may}. Pass it in from outside, or move the code.`,
        );
      }
    }
    expect(wrong).toEqual([]);
  });

  it('no policy knows another policy', () => {
    const wrong = sources
      .filter(({ path }) => path.startsWith('src/policies/'))
      .flatMap(({ path, tree }) =>
        importsOf(tree, path.slice('src/'.length))
          .filter(({ target }) => within(target, 'policies'))
          .map(
            ({ target, line }) =>
              `${path}:${line}: imports ${target}. What two policies share belongs to algorithms/ or core/.`,
          ),
      );
    expect(wrong).toEqual([]);
  });

  it('no adapter knows another adapter', () => {
    const wrong = sources
      .filter(({ path }) => path.startsWith('src/adapters/'))
      .flatMap(({ path, tree }) =>
        importsOf(tree, path.slice('src/'.length))
          .filter(({ target }) => within(target, 'adapters') && !within(target, folderOf(path.slice('src/'.length))))
          .map(
            ({ target, line }) =>
              `${path}:${line}: imports ${target}. Join them in src/index.ts, or let both use a core noun.`,
          ),
      );
    expect(wrong).toEqual([]);
  });

  it('imports only its three dependencies and node:async_hooks at run time', () => {
    const known = new Set([...Object.keys(manifest.dependencies), '@opentelemetry/api', 'node:async_hooks']);
    const wrong = sources.flatMap(({ path, tree }) =>
      importsOf(tree, path.slice('src/'.length))
        .filter(({ target, typeOnly, local }) => !local && !typeOnly && !known.has(target))
        .map(
          ({ target, line }) =>
            `${path}:${line}: imports ${target}. Take the client as an argument and describe the methods you use.`,
        ),
    );
    expect(wrong).toEqual([]);
  });
});

describe('the world comes in by ports', () => {
  const members = new Map([
    ['Date', ['now']],
    ['Math', ['random']],
    ['AbortSignal', ['timeout']],
  ]);
  const globals = new Set(
    'setTimeout setInterval setImmediate clearTimeout clearInterval clearImmediate process performance console crypto'.split(
      ' ',
    ),
  );

  it('no clock, timer, chance, process or console outside src/ports', () => {
    const wrong: string[] = [];
    for (const { path, tree } of sources) {
      if (path.startsWith('src/ports/')) continue;
      visit(tree, (node) => {
        const found = worldly(node);
        if (found !== undefined)
          wrong.push(`${path}:${lineOf(node)}: ${found}. Ask the clock, the random source or a report of src/ports.`);
      });
    }
    expect(wrong).toEqual([]);
  });

  function worldly(node: ts.Node): string | undefined {
    if (ts.isNewExpression(node) && node.expression.getText() === 'Date' && !node.arguments?.length)
      return 'new Date()';
    if (ts.isPropertyAccessExpression(node)) {
      const object = node.expression.getText().replace(/^globalThis\./, '');
      if (members.get(object)?.includes(node.name.text)) return node.getText();
      if (object === 'globalThis' && globals.has(node.name.text)) return node.getText();
    }
    if (ts.isIdentifier(node) && globals.has(node.text) && isValue(node)) return node.text;
    return undefined;
  }

  /** Neither a member of something, nor a name being declared, nor part of a type. */
  function isValue(node: ts.Identifier): boolean {
    const { parent } = node;
    if (ts.isPropertyAccessExpression(parent)) return parent.expression === node;
    if (ts.isTypeNode(parent) || ts.isQualifiedName(parent)) return false;
    return !('name' in parent && parent.name === node);
  }
});

describe('importing has no side effect', () => {
  const costly = new Set([
    'AbortController',
    'EventEmitter',
    'EventTarget',
    'FinalizationRegistry',
    'MessageChannel',
    'Promise',
  ]);
  const calls =
    /^(globalThis\.)?(setTimeout|setInterval|setImmediate|queueMicrotask|AbortSignal\..*|Math\.random|performance\.now|Date\.now|process\..*)$/;

  it('no module starts, draws or waits for anything when it is loaded', () => {
    const wrong: string[] = [];
    for (const { path, tree } of sources) {
      visitLoaded(tree, (node) => {
        const found =
          ts.isAwaitExpression(node) || (ts.isForOfStatement(node) && node.awaitModifier !== undefined)
            ? 'top-level await'
            : ts.isNewExpression(node) && costly.has(node.expression.getText())
              ? `new ${node.expression.getText()}`
              : ts.isCallExpression(node) && calls.test(node.expression.getText())
                ? node.expression.getText()
                : undefined;
        if (found !== undefined)
          wrong.push(`${path}:${lineOf(node)}: ${found} at module scope. Make it when it is first needed.`);
      });
    }
    expect(wrong).toEqual([]);
  });

  /** Visits what runs while the module loads: no function bodies, but static members of classes. */
  function visitLoaded(node: ts.Node, see: (node: ts.Node) => void): void {
    if (ts.isFunctionLike(node)) return;
    if (
      ts.isPropertyDeclaration(node) &&
      !node.modifiers?.some((modifier) => modifier.kind === ts.SyntaxKind.StaticKeyword)
    )
      return;
    see(node);
    node.forEachChild((child) => visitLoaded(child, see));
  }
});

describe('files', () => {
  it('stay readable at a sitting: 200 lines in core and policies', () => {
    const wrong = sources
      .filter(({ path }) => /^src\/(core|policies)\//.test(path))
      .map(({ path }) => ({ path, lines: read(path).trimEnd().split('\n').length }))
      .filter(({ lines }) => lines > 200)
      .map(
        ({ path, lines }) =>
          `${path} has ${lines} lines. Look for a decision to move to algorithms/, or a noun to give its own file.`,
      );
    expect(wrong).toEqual([]);
  });

  it('are named after what they hold', () => {
    const wrong = sources
      .filter(({ path }) => /\/(utils?|helpers?|common|misc|shared|types)(\.ts$|\/)/.test(path))
      .map(({ path }) => `${path}: a type or function lives with its owner; name the file after that.`);
    expect(wrong).toEqual([]);
  });

  it('the lock file names no registry', () => {
    const lock = JSON.parse(read('package-lock.json')) as { packages: Record<string, { resolved?: string }> };
    const wrong = Object.entries(lock.packages)
      .filter(([, { resolved }]) => resolved?.includes('://'))
      .map(([name]) => `package-lock.json: ${name} has an address. Run npm with omit-lockfile-registry-resolved=true.`);
    expect(wrong).toEqual([]);
  });
});

describe('the subpaths', () => {
  const subpaths = Object.entries<{ types: string; default: string }>(manifest.exports)
    .filter(([subpath]) => subpath !== './package.json')
    .map(([subpath, target]) => ({
      id: posix.join('seaworthy', subpath),
      target,
      source: target.default.replace(/^\.\/dist\//, 'src/').replace(/\.js$/, '.ts'),
    }));

  it.each(subpaths)('$id has a source, and types first', ({ id, target, source }) => {
    expect(
      existsSync(join(root, source)),
      `package.json exports ${id} from ${target.default}, but ${source} does not exist.`,
    ).toBe(true);
    expect(Object.keys(target), `package.json: put "types" before "default" in ${id}.`).toEqual(['types', 'default']);
    expect(target.types, `package.json: the types of ${id} must stand beside its code.`).toBe(
      target.default.replace(/\.js$/, '.d.ts'),
    );
  });

  it('are the same in package.json, tsconfig.json, vitest.config.ts and typedoc.json', () => {
    const expected = subpaths.map(({ id, source }) => `${id} -> ${source}`);
    const paths = Object.entries<string[]>(JSON.parse(read('tsconfig.json')).compilerOptions.paths);
    expect(
      paths.map(([id, [source]]) => `${id} -> ${posix.normalize(String(source))}`),
      'tsconfig.json: "paths" must list every subpath.',
    ).toEqual(expected);
    const alias = (viteConfig as { resolve: { alias: { find: RegExp; replacement: string }[] } }).resolve.alias;
    expect(
      subpaths.map(
        ({ id }) => `${id} -> ${relative(root, alias.find(({ find }) => find.test(id))?.replacement ?? '')}`,
      ),
      'vitest.config.ts: "alias" must list every subpath.',
    ).toEqual(expected);
    expect(
      JSON.parse(read('typedoc.json')).entryPoints,
      'typedoc.json: "entryPoints" must list every subpath.',
    ).toEqual(subpaths.map(({ source }) => source));
  });

  it('no manifest entry but exports leads into the package', () => {
    expect(Object.keys(manifest), 'package.json: remove it, `exports` says it all.').not.toContain('main');
    expect(Object.keys(manifest)).not.toContain('module');
    expect(Object.keys(manifest)).not.toContain('types');
  });

  it('everything they export is documented', () => {
    const program = ts.createProgram(
      subpaths.map(({ source }) => join(root, source)).filter((path) => existsSync(path)),
      { ...tsOptions(), noEmit: true },
    );
    const checker = program.getTypeChecker();
    const wrong: string[] = [];
    for (const { id, source } of subpaths) {
      const module = program.getSourceFile(join(root, source));
      const symbol = module && checker.getSymbolAtLocation(module);
      if (symbol === undefined) continue;
      for (const exported of checker.getExportsOfModule(symbol)) {
        const owner = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
        const [declaration] = owner.declarations ?? [];
        if (declaration?.getSourceFile().fileName.includes('node_modules')) continue;
        if (owner.getDocumentationComment(checker).length > 0) continue;
        const where = declaration
          ? `${relative(root, declaration.getSourceFile().fileName)}:${lineOf(declaration)}`
          : source;
        wrong.push(
          `${where}: ${exported.name}, exported from ${id}, has no comment. Say in one sentence what it is for.`,
        );
      }
    }
    expect(wrong).toEqual([]);
  });
});

describe('every policy', () => {
  const examples = list('examples/*.ts').map(read);
  const readme = existsSync(join(root, 'README.md')) ? read('README.md') : '';
  const policies = sources
    .filter(({ path }) => path.startsWith('src/policies/'))
    .map(({ path, tree }) => ({ path, name: basename(path, '.ts'), factories: functionsOf(tree) }));

  it('has tests of its own', () => {
    const wrong = policies
      .filter(({ name }) => !existsSync(join(root, `tests/policies/${name}.test.ts`)))
      .map(({ path, name }) => `${path}: write tests/policies/${name}.test.ts.`);
    expect(wrong).toEqual([]);
  });

  it('is used by an example', () => {
    const wrong = policies
      .filter(({ factories }) => !examples.some((text) => factories.some((name) => importsName(text, name))))
      .map(({ path, name }) => `${path}: no file in examples/ imports it from 'seaworthy'. Write examples/${name}.ts.`);
    expect(wrong).toEqual([]);
  });

  it('has a row in the README', () => {
    const rows = readme.split('\n').filter((line) => line.startsWith('|'));
    const wrong = policies
      .filter(({ factories }) => !rows.some((row) => factories.some((name) => new RegExp(`[\`[]${name}\\b`).test(row))))
      .map(
        ({ path, factories }) =>
          `${path}: add a row for \`${factories.join('` or `')}\` to the README's table of policies.`,
      );
    expect(wrong).toEqual([]);
  });

  function importsName(text: string, name: string): boolean {
    return [...text.matchAll(/import\s*\{([^}]*)\}\s*from\s*'seaworthy'/g)].some(([, names]) =>
      new RegExp(`\\b${name}\\b`).test(names ?? ''),
    );
  }
});

/*
 * A block of TypeScript in a document is a region of an example, so that what people copy has run:
 *
 *     <!-- example: examples/quickstart.ts -->       the region between `// #region readme` and `// #endregion`
 *     <!-- example: examples/quickstart.ts#wrap -->  the region between `// #region wrap` and `// #endregion`
 */
describe('documents', () => {
  const documents = list('{*,docs/*,docs/runbooks/*,observability/*}.md');

  it.each(documents)('every TypeScript block of %s is code of an example', (document) => {
    const wrong: string[] = [];
    const lines = read(document).split('\n');
    for (const [index, line] of lines.entries()) {
      if (!/^```(ts|typescript)\b/.test(line)) continue;
      const end = lines.indexOf('```', index);
      const [, example, name = 'readme'] =
        /^<!-- example: ([^#\s]+)(?:#(\S+))? -->$/.exec(previousLine(lines, index)) ?? [];
      const at = `${document}:${index + 1}`;
      if (example === undefined)
        wrong.push(`${at}: put <!-- example: examples/<file>.ts --> above the block and take its code from there.`);
      else if (!existsSync(join(root, example))) wrong.push(`${at}: ${example} does not exist.`);
      else if (
        region(read(example), name) !==
        lines
          .slice(index + 1, end)
          .join('\n')
          .trim()
      )
        wrong.push(`${at}: differs from the region "${name}" of ${example}. Copy the region into the document.`);
    }
    expect(wrong).toEqual([]);
  });

  it.each(documents)('every relative link of %s leads somewhere', (document) => {
    const wrong = [...read(document).matchAll(/\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)/g)]
      .filter(([, target]) => !existsSync(join(root, dirname(document), String(target))))
      .map(([, target]) => `${document}: links to ${target}, which does not exist.`);
    expect(wrong).toEqual([]);
  });

  function previousLine(lines: readonly string[], index: number): string {
    return lines.slice(0, index).findLast((line) => line.trim() !== '') ?? '';
  }

  function region(text: string, name: string): string | undefined {
    const lines = text.split('\n');
    const start = lines.findIndex((line) => line.trim() === `// #region ${name}`);
    if (start < 0) return undefined;
    const end = lines.findIndex((line, index) => index > start && line.trim() === '// #endregion');
    const body = lines.slice(start + 1, end < 0 ? undefined : end);
    const indent = Math.min(...body.filter((line) => line.trim() !== '').map((line) => line.search(/\S/)));
    return body
      .map((line) => line.slice(indent))
      .join('\n')
      .trim();
  }
});

function parse(path: string): ts.SourceFile {
  return ts.createSourceFile(path, read(path), ts.ScriptTarget.Latest, true);
}

function visit(node: ts.Node, see: (node: ts.Node) => void): void {
  see(node);
  node.forEachChild((child) => visit(child, see));
}

function lineOf(node: ts.Node): number {
  return node.getSourceFile().getLineAndCharacterOfPosition(node.getStart()).line + 1;
}

/** Names of the functions a module exports, each once whatever its overloads. */
function functionsOf(tree: ts.SourceFile): string[] {
  const names = tree.statements
    .filter((statement) => ts.isFunctionDeclaration(statement))
    .filter((statement) => statement.modifiers?.some((modifier) => modifier.kind === ts.SyntaxKind.ExportKeyword))
    .map((statement) => statement.name?.text ?? '');
  return [...new Set(names)];
}

interface Import {
  /** A path inside src, or a package. */
  readonly target: string;
  readonly local: boolean;
  /** Nothing of it is left in the compiled code. */
  readonly typeOnly: boolean;
  readonly line: number;
}

/** Everything the file at `place` (a path inside src) imports, exports from, or names in an import type. */
function importsOf(tree: ts.SourceFile, place: string): Import[] {
  const found: Import[] = [];
  const add = (specifier: ts.Node | undefined, typeOnly: boolean) => {
    if (specifier === undefined || !ts.isStringLiteralLike(specifier)) return;
    const local = specifier.text.startsWith('.');
    const target = local ? posix.join(posix.dirname(place), specifier.text) : specifier.text;
    found.push({ target, local, typeOnly, line: lineOf(specifier) });
  };
  visit(tree, (node) => {
    // `import { type A }` leaves `import {}` in the output, so only `import type` counts as a type.
    if (ts.isImportDeclaration(node))
      add(node.moduleSpecifier, node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword);
    else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, node.isTypeOnly);
    else if (ts.isImportTypeNode(node))
      add(ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined, true);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      add(node.arguments[0], false);
  });
  return found;
}

function ruleOf(place: string): (typeof table)[number] | undefined {
  return table.find(({ where }) => within(place, where));
}

function within(target: string, folder: string): boolean {
  return target === folder || target.startsWith(`${folder}/`);
}

/** The part of the tree that may import itself: a top folder, or one adapter. */
function folderOf(place: string): string {
  const [first = '', second = ''] = place.split('/');
  return first === 'adapters' ? `${first}/${second}` : first;
}

function tsOptions(): ts.CompilerOptions {
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile);
  return ts.parseJsonConfigFileContent({ ...config, files: [], include: [] }, ts.sys, root).options;
}
