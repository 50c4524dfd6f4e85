import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { missing, rowsOf, testsOf } from '../map.ts';

const here = fileURLToPath(new URL('.', import.meta.url));
const rows = rowsOf('lineages/README.md', 'scenario');

const numbers = (prefix: string, last: number) => Array.from({ length: last }, (_, n) => `${prefix}-${n + 1}`);

describe('the map of the other lineages (README.md)', () => {
  it('has every numbered scenario, once', () => {
    const numbered = rows.map(({ what }) => what).filter((id) => /^[JP]-(\d+|[a-l])$/.test(id));
    expect(numbered.toSorted()).toEqual(
      [...numbers('J', 17), ...numbers('P', 39), ...Array.from('abcdefghijkl', (letter) => `P-${letter}`)].toSorted(),
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

  it('knows every test here that bears the number of a scenario', () => {
    const strangers: string[] = [];
    for (const file of readdirSync(here).filter((name) => name.endsWith('.test.ts')))
      for (const title of new Set(testsOf(`lineages/${file}`).flat()))
        for (const id of /^((?:[JP]-\w+(?:, )?)+): /.exec(title)?.[1]?.split(', ') ?? []) {
          const row = rows.find(({ what }) => what === id);
          if (!row?.cited.some((one) => one.file === `lineages/${file}` && title.includes(one.title)))
            strangers.push(`${id}: ${file} > ${title}`);
        }
    expect(strangers).toEqual([]);
  });
});
