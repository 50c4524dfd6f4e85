import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, inject, it } from 'vitest';
import { root, tool } from './consumer.ts';

const unpacked = inject('unpacked');
const declarations = globSync('dist/**/*.d.ts', { cwd: unpacked }).map((path) => ({
  path,
  text: readFileSync(join(unpacked, path), 'utf8'),
}));

/** Every source that a source map names, by its path in the package, and the package it comes `from` if that is another. */
const mapped = globSync('dist/**/*.map', { cwd: unpacked }).flatMap((path) => {
  const { sources } = JSON.parse(readFileSync(join(unpacked, path), 'utf8')) as { sources: string[] };
  return sources.map((source) => {
    const [, from] = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(source) ?? [];
    return { path, source: join(path, '..', source), from };
  });
});

describe('the published package', () => {
  it('satisfies publint', async () => {
    const { code, output, errors } = await tool(root, 'node_modules/publint/src/cli.js', inject('tarball'), '--strict');
    expect(code, output + errors).toBe(0);
  });

  it('has types that resolve the way its code does', async () => {
    const cli = 'node_modules/@arethetypeswrong/cli/dist/index.js';
    const { code, output, errors } = await tool(root, cli, inject('tarball'), '--profile', 'esm-only', '--no-color');
    expect(code, output + errors).toBe(0);
  });

  it('holds the build, its sources and what a reader needs, and nothing else', () => {
    const top = globSync('*', { cwd: unpacked }).sort();
    expect(top).toEqual([
      ...['CHANGELOG.md', 'LICENSE', 'README.md', 'dist', 'docs'],
      ...['observability', 'package.json', 'src'],
    ]);
    const strangers = globSync('{dist,src}/**/*.*', { cwd: unpacked }).filter(
      (path) => !/\.(d\.ts|js|map|ts)$/.test(path),
    );
    expect(strangers).toEqual(['dist/LICENSE-cockatiel.txt']);
    const read = globSync('{docs,observability}/**/*.*', { cwd: unpacked });
    expect(read.filter((path) => !/\.(json|md|yml)$/.test(path))).toEqual([]);
    for (const name of ['grafana-dashboard.json', 'prometheus-rules.yml', 'prometheus-rules-no-suffix.yml'])
      expect(read).toContain(join('observability', name));
  });

  it('names nothing of the machine it was built on', () => {
    const wrong = globSync('**/*.{js,ts,map,json,md}', { cwd: unpacked }).filter((path) =>
      readFileSync(join(unpacked, path), 'utf8').includes(root),
    );
    expect(wrong).toEqual([]);
  });

  it('leads every source map to a source that is packed too, but for what is bundled from others', () => {
    const wrong = mapped
      .filter(({ source, from }) => from === undefined && globSync(source, { cwd: unpacked }).length === 0)
      .map(({ path, source }) => `${path} names ${source}. Add its folder to "files" in package.json.`);
    expect(wrong).toEqual([]);
  });

  it('holds the licence of every package from which code is bundled, which is cockatiel alone', () => {
    const packages = new Set(mapped.flatMap(({ from }) => from ?? []));
    expect([...packages]).toEqual(['cockatiel']);
    const licence = readFileSync(join(root, 'node_modules/cockatiel/LICENSE'), 'utf8');
    expect(licence).toContain('Permission is hereby granted');
    expect(readFileSync(join(unpacked, 'dist/LICENSE-cockatiel.txt'), 'utf8')).toBe(licence);
  });

  it('calls its classes what the sources call them, because stack traces show it', () => {
    const read = (pattern: string) =>
      globSync(pattern, { cwd: unpacked }).map((path) => readFileSync(join(unpacked, path), 'utf8'));
    const classes = read('src/**/*.ts').flatMap((text) => [
      ...text.matchAll(/^(?:export )?(?:abstract )?class (\w+)/gm),
    ]);
    const built = read('dist/**/*.js').flatMap((text) => [
      ...text.matchAll(/^var (\w+) = class(?: (?!extends\b)(\w+))?/gm),
    ]);
    const names = [...classes.map(([, name]) => name), 'ExponentialBackoff'];
    expect(built.map(([, variable, own = variable]) => own).sort()).toEqual(names.sort());
  });

  it('is one module per subpath and a few they share, because each costs time to load', () => {
    const modules = globSync('dist/**/*.js', { cwd: unpacked });
    expect(modules.length, modules.join('\n')).toBeLessThan(25);
  });

  it('declares nothing in the words of Node', () => {
    const wrong = declarations
      .map(({ path, text }) => ({
        path,
        word: /\bNodeJS\.|\bBuffer\b|from 'node:|import\(["']node:|<reference types=/.exec(text)?.[0],
      }))
      .filter(({ word }) => word !== undefined)
      .map(({ path, word }) => `${path}: ${word} makes everybody install @types/node. Describe the methods you use.`);
    expect(wrong).toEqual([]);
  });
});
