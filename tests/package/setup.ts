import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Where this run keeps its consumers; gone when the run ends. */
    scratch: string;
    /** The tarball `npm publish` would upload. */
    tarball: string;
    /** The same, unpacked. */
    unpacked: string;
  }
}

/** Builds, packs and unpacks the library once for every test that looks at it from outside. */
export default function setup(project: TestProject): () => void {
  const scratch = mkdtempSync(join(tmpdir(), 'seaworthy-'));
  const remove = () => rmSync(scratch, { recursive: true, force: true });
  try {
    execFileSync(process.execPath, ['scripts/build.mjs'], { stdio: 'inherit' });
    // The scripts are left out because `prepack` would build a second time, under the feet of the examples.
    const packed = execFileSync('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', scratch], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const { filename } = firstOf(JSON.parse(packed));
    const tarball = join(scratch, filename);
    const unpacked = join(scratch, 'unpacked');
    mkdirSync(unpacked);
    execFileSync('tar', ['-xzf', tarball, '-C', unpacked, '--strip-components=1']);
    project.provide('scratch', scratch);
    project.provide('tarball', tarball);
    project.provide('unpacked', unpacked);
  } catch (error) {
    remove();
    throw error;
  }
  return remove;
}

/** npm 11 answers an array, npm 12 an object by package name. */
function firstOf(answer: { filename: string }[] | Record<string, { filename: string }>): { filename: string } {
  const [first] = Object.values(answer);
  if (first === undefined) throw new Error('npm pack packed nothing.');
  return first;
}
