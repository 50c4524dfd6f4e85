import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const src = (path: string) => fileURLToPath(new URL(`./src/${path}`, import.meta.url));

/** Tests that start processes on the built package; the setup builds and packs it once, and only when one of them runs. */
const onTheBuild = [
  'tests/package/**/*.test.ts',
  'tests/bench/instructions.test.ts',
  'tests/examples.test.ts',
  'tests/demo/run.test.ts',
];
const notTests = ['tests/sdk2/**', 'tests/consumers/**', '**/node_modules/**'];

export default defineConfig({
  resolve: {
    alias: [
      { find: /^seaworthy$/, replacement: src('index.ts') },
      { find: /^seaworthy\/fetch$/, replacement: src('adapters/http/fetch.ts') },
      { find: /^seaworthy\/cockatiel$/, replacement: src('adapters/cockatiel/index.ts') },
      { find: /^seaworthy\/otel$/, replacement: src('adapters/otel/index.ts') },
      { find: /^seaworthy\/console$/, replacement: src('console/index.ts') },
      { find: /^seaworthy\/testing$/, replacement: src('testing/index.ts') },
    ],
  },
  test: {
    pool: 'forks',
    execArgv: ['--expose-gc'],
    testTimeout: 20_000,
    projects: [
      {
        extends: true,
        test: { name: 'source', include: ['tests/**/*.test.ts'], exclude: [...onTheBuild, ...notTests] },
      },
      {
        extends: true,
        test: {
          name: 'package',
          include: onTheBuild,
          exclude: notTests,
          globalSetup: ['tests/package/setup.ts'],
          testTimeout: 120_000,
        },
      },
    ],
  },
});
