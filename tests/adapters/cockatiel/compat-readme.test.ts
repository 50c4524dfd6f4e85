import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { headings } from './compat-table.ts';

const here = new URL('./', import.meta.url);
const sources = readdirSync(here).filter((name) => /^compat-.*\.test\.ts$/.test(name));

describe('README.md', () => {
  it('has a table for every heading of the tests, and no other', () => {
    const compared = sources
      .map((name) => readFileSync(new URL(name, here), 'utf8'))
      .flatMap((source) => [...source.matchAll(/^compare<.*>\('(.*)', \[$/gm)].map(([, heading]) => heading));
    expect([...headings].sort()).toEqual(compared.sort());
  });

  it('says of which test each table is', () => {
    const readme = readFileSync(new URL('README.md', here), 'utf8');
    const named = [...readme.matchAll(/^`(compat-.*\.test\.ts)`$/gm)].map(([, name]) => name);
    expect([...new Set(named)].sort()).toEqual(sources.filter((name) => name !== 'compat-readme.test.ts').sort());
  });
});
