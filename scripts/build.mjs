/*
 * Builds dist, or the folder given: a module per entry of package.json's `exports` with the chunks they share, because a
 * hundred modules take twice the time to load, and a declaration per source. A file of an earlier build would be published,
 * so it starts empty.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';

const [dist = 'dist'] = process.argv.slice(2);
rmSync(dist, { recursive: true, force: true });
const { exports } = JSON.parse(readFileSync('package.json', 'utf8'));
const entries = Object.values(exports).flatMap(({ default: path }) => path ?? []);
const { outputFiles } = await build({
  entryPoints: entries.map((path) => path.replace('./dist/', 'src/').replace(/\.js$/, '.ts')),
  outdir: dist,
  outbase: 'src',
  chunkNames: 'chunks/[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'es2023',
  // The one backoff of cockatiel's that runs is bundled: loading the whole of cockatiel took a third of the import.
  external: ['@opentelemetry/api', 'tslib'],
  sourcemap: true,
  sourcesContent: false,
  write: false,
});
for (const { path, text } of outputFiles) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, path.endsWith('.js') ? ownNames(text) : text);
}
copyFileSync('node_modules/cockatiel/LICENSE', join(dist, 'LICENSE-cockatiel.txt'));

const tsc = ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json', '--emitDeclarationOnly', '--outDir', dist];
const { status } = spawnSync(process.execPath, tsc, { stdio: 'inherit' });
process.exit(status ?? 1);

/**
 * esbuild calls a class that mentions itself `_Pipeline`, which stack traces would show. The space keeps the columns of
 * the source map.
 */
function ownNames(code) {
  const names = [...code.matchAll(/ = class (_\w+)/g)].map(([, name]) => name);
  return names.reduce((text, name) => text.replaceAll(new RegExp(`\\b${name}\\b`, 'g'), `${name.slice(1)} `), code);
}
