import { readFileSync } from 'node:fs';
import { SourceMap, type SourceMapPayload } from 'node:module';
import { join } from 'node:path';
import { build } from 'esbuild';
import { type Plugin, rollup } from '@rollup/wasm-node';
import { beforeAll, describe, expect, it } from 'vitest';
import { consumer, root } from './consumer.ts';

interface Bundle {
  readonly code: string;
  /** Sources of the library of which something is left, by their path in `src`. */
  readonly modules: readonly string[];
  /** Packages it still asks for. */
  readonly imports: readonly string[];
}

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const subpaths = Object.keys(manifest.exports).filter((subpath) => subpath !== './package.json');
const others = /^(node:|@opentelemetry\/api|cockatiel|tslib)/;
/** Of a function that the build takes from cockatiel. */
const cockatiels = 'decorrelatedJitterGenerator';
const policies = ['bulkhead', 'circuitBreaker', 'fallback', 'retry', 'timeout'];
const fileOf = (policy: string) => `policies/${policy === 'circuitBreaker' ? 'circuit-breaker' : policy}.ts`;

let directory: string;
let library: string;
beforeAll(() => {
  directory = consumer('bundler');
  library = join(directory, 'node_modules/seaworthy');
});

describe.each([
  ['esbuild', withEsbuild],
  ['rollup', withRollup],
])('a bundle made by %s', (_, bundle) => {
  it.each(subpaths)('holds nothing of %s where nothing of it is used', async (subpath) => {
    const { code } = await bundle(`import * as unused from ${JSON.stringify(`seaworthy${subpath.slice(1)}`)};`);
    expect(code.trim()).toBe('');
  });

  it.each(policies)('of %s alone holds no other policy, no pipeline and no adapter', async (policy) => {
    const { code, modules, imports } = await bundle(`export { ${policy} } from 'seaworthy';`);
    expect(modules).toContain(fileOf(policy));
    expect(modules.filter((module) => !/^(core|algorithms|ports)\//.test(module))).toEqual([fileOf(policy)]);
    expect(modules).not.toContain('core/pipeline.ts');
    expect(imports.filter((name) => name !== 'node:async_hooks')).toEqual([]);
    expect(code.includes(cockatiels), cockatiels).toBe(policy === 'retry');
  });

  it('of a pipeline holds no policy and nothing of cockatiel', async () => {
    const { code, modules, imports } = await bundle(`export { pipeline } from 'seaworthy';`);
    expect(modules).toContain('core/pipeline.ts');
    expect(modules.filter((module) => /^(policies|console|testing|adapters\/http)\//.test(module))).toEqual([]);
    expect(modules).not.toContain('adapters/cockatiel/index.ts');
    expect(imports).not.toContain('cockatiel');
    expect(code).not.toContain(cockatiels);
  });

  it('of an error holds errors alone', async () => {
    const { modules, imports } = await bundle(`export { TimeoutError, isTimeoutError } from 'seaworthy';`);
    expect({ modules, imports }).toEqual({ modules: ['core/errors.ts'], imports: [] });
  });

  it.each(['console', 'cockatiel', 'fetch', 'testing'])(
    'of seaworthy/%s holds no policy, no telemetry and nothing of cockatiel',
    async (subpath) => {
      const { code, modules, imports } = await bundle(`export * from 'seaworthy/${subpath}';`);
      expect(modules).not.toEqual([]);
      expect(modules.filter((module) => /^(policies|adapters\/otel)\//.test(module))).toEqual([]);
      expect(imports.filter((name) => name !== 'node:async_hooks')).toEqual([]);
      expect(code).not.toContain(cockatiels);
    },
  );
});

async function withEsbuild(contents: string): Promise<Bundle> {
  const { metafile, outputFiles } = await build({
    stdin: { contents, resolveDir: directory },
    bundle: true,
    format: 'esm',
    platform: 'node',
    external: ['node:*', '@opentelemetry/api', 'cockatiel', 'tslib'],
    absWorkingDir: directory,
    metafile: true,
    sourcemap: 'external',
    outfile: 'bundle.js',
    write: false,
  });
  const [map, bundle] = outputFiles;
  const imports = metafile.outputs['bundle.js']!.imports.map(({ path }) => path);
  return { code: bundle!.text, modules: sourcesOf(bundle!.text, JSON.parse(map!.text)), imports };
}

async function withRollup(contents: string): Promise<Bundle> {
  const bundle = await rollup({ input: 'entry', external: others, logLevel: 'silent', plugins: [packages(contents)] });
  const [output] = (await bundle.generate({ format: 'es', sourcemap: 'hidden' })).output;
  return { code: output.code, modules: sourcesOf(output.code, output.map!), imports: output.imports };
}

/** Finds the library by its `exports` and heeds its `sideEffects`, as Rollup's own plugin for packages does. */
function packages(contents: string): Plugin {
  const { exports, sideEffects } = JSON.parse(readFileSync(join(library, 'package.json'), 'utf8'));
  return {
    name: 'packages',
    resolveId(id, importer) {
      if (id === 'entry') return id;
      if (others.test(id)) return null;
      const path = id.startsWith('seaworthy')
        ? join(library, exports[id.replace('seaworthy', '.')].default)
        : join(importer!, '..', id);
      return { id: path, moduleSideEffects: sideEffects };
    },
    load: (id) =>
      id === 'entry' ? contents : { code: readFileSync(id, 'utf8'), map: readFileSync(`${id}.map`, 'utf8') },
  };
}

/** What the code comes from, by the source maps: a chunk of the library holds many sources. */
function sourcesOf(code: string, map: unknown): string[] {
  const sourceMap = new SourceMap(map as SourceMapPayload);
  const found = new Set<string>();
  for (const [line, text] of code.split('\n').entries()) {
    for (let column = 0; column < text.length; column++) {
      const entry = sourceMap.findEntry(line, column);
      const [, source] = 'originalSource' in entry ? (/seaworthy\/src\/(.*)/.exec(entry.originalSource) ?? []) : [];
      if (source !== undefined) found.add(source);
    }
  }
  return [...found].sort();
}
