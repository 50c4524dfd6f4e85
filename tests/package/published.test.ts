import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, inject, it } from 'vitest';
import { root, tool } from './consumer.ts';

const unpacked = inject('unpacked');
const declarations = globSync('dist/**/*.d.ts', { cwd: unpacked }).map((path) => ({
  path,
  text: readFileSync(join(unpacked, path), 'utf8'),
}));

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
    expect(strangers).toEqual([]);
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

  it('leads every source map to a source that is packed too', () => {
    const wrong: string[] = [];
    for (const path of globSync('dist/**/*.map', { cwd: unpacked })) {
      const { sources } = JSON.parse(readFileSync(join(unpacked, path), 'utf8')) as { sources: string[] };
      for (const source of sources) {
        const [found] = globSync(join(path, '..', source), { cwd: unpacked });
        if (found === undefined) wrong.push(`${path} names ${source}. Add its folder to "files" in package.json.`);
      }
    }
    expect(wrong).toEqual([]);
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
    expect(built.map(([, variable, own = variable]) => own).sort()).toEqual(classes.map(([, name]) => name).sort());
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
