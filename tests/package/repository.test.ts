import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root, tool } from './consumer.ts';

interface Size {
  readonly name: string;
  readonly size: number;
  readonly sizeLimit: number;
  readonly passed: boolean;
}

describe('the repository', () => {
  it('has no type error', async () => {
    await expectQuiet('node_modules/typescript/bin/tsc', '-p', 'tsconfig.json');
  });

  it('is formatted and linted', async () => {
    await expectQuiet('node_modules/@biomejs/biome/bin/biome', 'check', '--colors=off');
  });

  it('has no file, export or dependency that nobody uses', async () => {
    await expectQuiet('node_modules/knip/bin/knip.js', '--no-progress');
  });

  it('has reference documentation without a broken link', async () => {
    await expectQuiet('node_modules/typedoc/bin/typedoc', '--emit', 'none', '--treatWarningsAsErrors');
  });

  it('stays inside the size budget', async () => {
    const { output, errors } = await tool(root, 'node_modules/size-limit/bin.js', '--json');
    const sizes: Size[] = JSON.parse(output || 'null') ?? expect.fail(errors);
    const wrong = sizes
      .filter(({ passed }) => !passed)
      .map(
        ({ name, size, sizeLimit }) =>
          `${name}: ${size} bytes, allowed are ${sizeLimit}. Make it smaller, or raise it in .size-limit.json.`,
      );
    expect(wrong).toEqual([]);
  });

  it('locks every package the other platforms need, so that `npm ci` works', () => {
    const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { optionalDependencies?: Record<string, string> }>;
    };
    const wrong = Object.entries(lock.packages).flatMap(([place, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies)
        .filter(
          (name) => !(`node_modules/${name}` in lock.packages) && !(`${place}/node_modules/${name}` in lock.packages),
        )
        .map((name) => `package-lock.json: ${name}, optional for ${place}, is missing.`),
    );
    expect(wrong).toEqual([]);
  });
});

async function expectQuiet(script: string, ...args: string[]): Promise<void> {
  const { code, output, errors } = await tool(root, script, ...args);
  expect(code, output + errors).toBe(0);
}
