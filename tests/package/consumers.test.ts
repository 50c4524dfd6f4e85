import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { describe, expect, it } from 'vitest';
import { consumer, node, root, tool } from './consumer.ts';

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const subpaths = Object.keys(manifest.exports)
  .filter((subpath) => subpath !== './package.json')
  .map((subpath) => `seaworthy${subpath.slice(1)}`);

describe('an application that uses the packed library', () => {
  it('runs as an ES module', async () => {
    expect(await node(consumer('esm'), ['app.js'])).toEqual({ code: 0, output: '2\n', errors: '' });
  });

  it('runs as CommonJS, without a warning', async () => {
    expect(await node(consumer('commonjs'), ['app.js'])).toEqual({ code: 0, output: '2\n', errors: '' });
  });

  it('runs from a bundle, without the library beside it', async () => {
    const directory = consumer('bundler');
    await build({
      absWorkingDir: directory,
      entryPoints: ['app.js'],
      bundle: true,
      platform: 'node',
      format: 'esm',
      outfile: 'elsewhere/app.mjs',
      // What a bundle takes from CommonJS packages may call `require`, which ES modules do not have.
      banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
      logLevel: 'error',
    });
    expect(await node(join(directory, 'elsewhere'), ['app.mjs'])).toEqual({ code: 0, output: '2\n', errors: '' });
  });

  it('can read the manifest', async () => {
    const { output } = await node(consumer('commonjs'), ['-p', 'require("seaworthy/package.json").version']);
    expect(output).toBe(`${manifest.version}\n`);
  });
});

describe.each(subpaths)('importing %s', (subpath) => {
  it('starts nothing, draws nothing and leaves nothing behind', async () => {
    const { output, errors } = await node(consumer('esm'), ['side-effects.js', subpath]);
    expect(errors).toBe('');
    expect(JSON.parse(output)).toEqual([]);
  });

  it('loads no file of cockatiel', async () => {
    const directory = consumer('esm');
    rmSync(join(directory, 'node_modules/cockatiel'));
    const { errors } = await node(directory, ['--input-type=module', '--eval', `import '${subpath}'`]);
    expect(errors).toBe('');
  });

  it('works from CommonJS', async () => {
    const { output, errors } = await node(consumer('commonjs'), ['-p', `typeof require('${subpath}')`]);
    expect({ output, errors }).toEqual({ output: 'object\n', errors: '' });
  });

  it('needs no type of Node in a project with the es2022 and dom libraries', async () => {
    const directory = consumer('typescript');
    writeFileSync(join(directory, 'app.ts'), `export * from '${subpath}';\n`);
    expect(await compile(directory, '7', 'bundler.json')).toBe('');
  });
});

describe.each(['5.9', '6', '7'])('TypeScript %s', (version) => {
  it.each(['nodenext.json', 'bundler.json'])('accepts every declaration under %s', async (project) => {
    const directory = consumer('typescript', ['@types/node']);
    expect(await compile(directory, version, project)).toBe('');
  });
});

/** What the compiler complains about. */
async function compile(directory: string, version: string, project: string): Promise<string> {
  const place = version === '6' ? '' : `tests/consumers/typescript-${version}`;
  const { code, output, errors } = await tool(directory, join(place, 'node_modules/typescript/bin/tsc'), '-p', project);
  return code === 0 ? '' : output + errors;
}
