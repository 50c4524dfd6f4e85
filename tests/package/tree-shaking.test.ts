import { readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { build } from 'esbuild';
import { type Plugin, rollup } from 'rollup';
import { beforeAll, describe, expect, it } from 'vitest';
import { consumer, root } from './consumer.ts';

interface Bundle {
  readonly code: string;
  /** Modules of the library of which something is left, by their path in `dist`. */
  readonly modules: readonly string[];
  /** Packages it still asks for. */
  readonly imports: readonly string[];
}

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const subpaths = Object.keys(manifest.exports).filter((subpath) => subpath !== './package.json');
const others = /^(node:|@opentelemetry\/api|cockatiel|tslib)/;
const policies = ['bulkhead', 'circuitBreaker', 'fallback', 'retry', 'timeout'];
const fileOf = (policy: string) => `policies/${policy === 'circuitBreaker' ? 'circuit-breaker' : policy}.js`;

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
    const { modules, imports } = await bundle(`export { ${policy} } from 'seaworthy';`);
    expect(modules).toContain(fileOf(policy));
    expect(modules.filter((module) => !/^(core|algorithms|ports)\//.test(module))).toEqual([fileOf(policy)]);
    expect(modules).not.toContain('core/pipeline.js');
    // Its backoffs are cockatiel's.
    expect(imports.filter((name) => name !== 'node:async_hooks')).toEqual(policy === 'retry' ? ['cockatiel'] : []);
  });

  it('of a pipeline holds no policy and nothing of cockatiel', async () => {
    const { modules, imports } = await bundle(`export { pipeline } from 'seaworthy';`);
    expect(modules).toContain('core/pipeline.js');
    expect(modules.filter((module) => /^(policies|console|testing|adapters\/http)\//.test(module))).toEqual([]);
    expect(modules).not.toContain('adapters/cockatiel/index.js');
    expect(imports).not.toContain('cockatiel');
  });

  it('of an error holds errors alone', async () => {
    const { modules, imports } = await bundle(`export { TimeoutError, isTimeoutError } from 'seaworthy';`);
    expect({ modules, imports }).toEqual({ modules: ['core/errors.js'], imports: [] });
  });

  it.each(['console', 'cockatiel', 'fetch', 'testing'])(
    'of seaworthy/%s holds no policy, no telemetry and nothing of cockatiel',
    async (subpath) => {
      const { modules, imports } = await bundle(`export * from 'seaworthy/${subpath}';`);
      expect(modules).not.toEqual([]);
      expect(modules.filter((module) => /^(policies|adapters\/otel)\//.test(module))).toEqual([]);
      expect(imports.filter((name) => name !== 'node:async_hooks')).toEqual([]);
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
    write: false,
  });
  const [output] = Object.values(metafile.outputs);
  return {
    code: outputFiles[0]!.text,
    modules: inLibrary(
      Object.entries(output!.inputs).map(([path, { bytesInOutput }]) => [join(directory, path), bytesInOutput]),
    ),
    imports: output!.imports.map(({ path }) => path),
  };
}

async function withRollup(contents: string): Promise<Bundle> {
  const bundle = await rollup({ input: 'entry', external: others, logLevel: 'silent', plugins: [packages(contents)] });
  const [output] = (await bundle.generate({ format: 'es' })).output;
  return {
    code: output.code,
    modules: inLibrary(Object.entries(output.modules).map(([path, { renderedLength }]) => [path, renderedLength])),
    imports: output.imports,
  };
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
    load: (id) => (id === 'entry' ? contents : null),
  };
}

function inLibrary(sizes: readonly (readonly [path: string, bytes: number])[]): string[] {
  return sizes
    .filter(([path, bytes]) => bytes > 0 && path.startsWith(library))
    .map(([path]) => relative(join(library, 'dist'), path))
    .sort();
}
