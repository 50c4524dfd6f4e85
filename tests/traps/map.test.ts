import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { missing, rowsOf, testsOf } from '../map.ts';

const here = fileURLToPath(new URL('.', import.meta.url));
const rows = rowsOf('traps/traps.md', 'trap');

const numbers = (prefix: string, last: number) => Array.from({ length: last }, (_, n) => `${prefix}-${n + 1}`);

describe('the map of the traps (traps.md)', () => {
  it('has every numbered trap, each row once', () => {
    const ids = new Set(rows.map(({ what }) => /^([DTM]-\d+[ab]?): \w/.exec(what.replaceAll('`', 'x'))?.[1]));
    expect([...ids].toSorted()).toEqual(
      [...numbers('D', 10), ...numbers('T', 16), 'T-7a', 'T-7b', ...numbers('M', 7)].toSorted(),
    );
    expect(new Set(rows.map(({ what }) => what)).size).toBe(rows.length);
  });

  it('says of each where its tests are, or why it has none', () => {
    for (const { what, where, cited } of rows)
      if (cited.length === 0) expect(where, what).toMatch(/^does not apply: \w.{10,}/);
  });

  it('names tests that exist', () => {
    expect(missing(rows)).toEqual([]);
  });

  it('knows every group or test of the files here', () => {
    const cited = rows.flatMap((row) => row.cited);
    const unknown = readdirSync(here)
      .filter((name) => name.endsWith('.test.ts') && name !== 'map.test.ts')
      .flatMap((name) => testsOf(`traps/${name}`).map((titles) => ({ file: `traps/${name}`, titles })))
      .filter(({ file, titles }) =>
        titles.every((title) => !cited.some((one) => one.file === file && title.includes(one.title))),
      );
    expect(unknown).toEqual([]);
  });
});
