import { beforeAll, describe, expect, test } from 'vitest';
import * as names from '../../../src/adapters/otel/names.ts';
import { type Contract, contract, type Emitted, neverCame, unexpected } from './contract.ts';
import { drive } from './contract-drive.ts';
import type { Point } from './sdk.ts';

/**
 * Every policy down every path on a real SDK, held against contract.json both ways. A failure here is a change of public
 * API.
 */

let emitted: Emitted & { readonly diag: readonly string[] };

beforeAll(async () => {
  emitted = await drive();
});

test('nothing is emitted that is not in contract.json', () => {
  expect(unexpected(contract, emitted)).toEqual([]);
});

test('nothing is in contract.json that never comes', () => {
  expect(neverCame(contract, emitted)).toEqual([]);
});

test('every counter and histogram has moved under each of its values', () => {
  // One stuck at 0 would be there all the same.
  const stream = (point: Point) =>
    JSON.stringify([point.name, ...Object.entries(point.attributes).filter(([key]) => !key.endsWith('.name'))]);
  const counters = emitted.points.filter(({ kind }) => kind === 'counter' || kind === 'histogram');
  const moved = new Set(counters.filter(({ value }) => value > 0).map(stream));
  expect([...new Set(counters.map(stream))].filter((each) => !moved.has(each))).toEqual([]);
});

test('the SDK has nothing to complain about', () => {
  expect(emitted.diag).toEqual([]);
});

test('every name the adapter knows is in contract.json', () => {
  const known = new Set(
    JSON.stringify(contract)
      .split('"')
      .filter((word) => word.includes('.')),
  );
  const spoken = [
    ...Object.values(names).filter((value) => typeof value === 'string' && value.includes('.')),
    ...Object.values(names.METRICS).flatMap(({ name, owner, ...rest }) => [
      name,
      owner,
      'detail' in rest && rest.detail,
    ]),
    ...Object.values(names.HISTOGRAMS).map(({ name }) => name),
  ];
  expect(spoken.filter((name) => name !== false && !known.has(name as string))).toEqual([]);
});

/** A JSON file as a test changes it. */
type Tree = { [key: string]: Tree | string | string[] };

/** The file, changed in one place. */
function changed(change: (file: Tree) => void): Contract {
  const file = structuredClone(contract) as unknown as Tree;
  change(file);
  return file as unknown as Contract;
}

/** Where in the file something of `kind` stands. */
function paths(kind: 'entry' | 'list' | 'type', tree: unknown = contract, path: readonly string[] = []): string[][] {
  if (Array.isArray(tree)) return kind === 'list' ? [[...path]] : [];
  if (typeof tree === 'string') return kind === 'type' ? [[...path]] : [];
  if (typeof tree !== 'object' || tree === null) return [];
  const own = kind === 'entry' ? Object.keys(tree).map((key) => [...path, key]) : [];
  return [...own, ...Object.entries(tree).flatMap(([key, value]) => paths(kind, value, [...path, key]))];
}

const sections = ['spans', 'metrics', 'logs', 'othersSpans', 'links', 'errorTypes', 'statusDescriptions'];
const inSections = (path: readonly string[]) => sections.includes(path[0] as string);
const at = (file: Tree, path: readonly string[]) => path.reduce<any>((tree, key) => tree[key], file);
const parts = new Set(['required', 'optional', 'kind', 'unit', 'severity', ...sections]);

/** Every span, metric, event, link and attribute of the file. */
const entries = paths('entry').filter(
  (path) => inSections(path) && path.length > 1 && !parts.has(path.at(-1) as string),
);
const lists = paths('list').filter(inSections);

/** Those of `places` whose change nobody noticed. */
function unnoticed(
  places: readonly (readonly string[])[],
  look: typeof unexpected,
  change: (parent: any, key: string) => void,
): string[] {
  const silent = places.filter((path) => {
    const file = changed((tree) => change(at(tree, path.slice(0, -1)), path.at(-1) as string));
    return look(file, emitted).length === 0;
  });
  return silent.map((path) => path.join(' > '));
}

describe('these tests would notice', () => {
  test('every entry and every value that is missing from the file', () => {
    expect(entries.length).toBeGreaterThan(80);
    expect(unnoticed(entries, unexpected, (parent, key) => delete parent[key])).toEqual([]);
    for (const path of lists) {
      const without = at(contract as unknown as Tree, path).map((value: string) => {
        const file = changed((tree) => {
          const list = at(tree, path);
          list.splice(list.indexOf(value), 1);
        });
        return unexpected(file, emitted).length === 0 ? `${path.join(' > ')} without ${value}` : undefined;
      });
      expect(without.filter(Boolean)).toEqual([]);
    }
  });

  test('every kind, unit, severity and type that is another one, and every bucket', () => {
    const types = paths('type').filter((path) => inSections(path) && path[0] !== 'links');
    expect(unnoticed(types, unexpected, (parent, key) => (parent[key] = 'boolean'))).toEqual([]);
    expect(unexpected({ ...contract, scope: 'other' }, emitted)).not.toEqual([]);
    expect(unexpected({ ...contract, buckets: contract.buckets.slice(1) }, emitted)).not.toEqual([]);
  });

  test('every attribute that does not always come', () => {
    const optional = entries.filter((path) => path.at(-2) === 'optional' && path[0] !== 'othersSpans');
    const required = (path: readonly string[]) =>
      changed((tree) => {
        const shape = at(tree, path.slice(0, -2));
        shape.required[path.at(-1) as string] = at(tree, path);
      });
    expect(optional.filter((path) => unexpected(required(path), emitted).length === 0)).toEqual([]);
  });

  test('every entry and every value of the file that never comes', () => {
    const shape = { kind: 'counter', unit: '1', required: {}, severity: {} };
    for (const section of ['spans', 'metrics', 'logs', 'othersSpans', 'links']) {
      const file = changed((tree) => ((tree[section] as Tree).bogus = { ...shape, optional: {} }));
      expect(neverCame(file, emitted)).not.toEqual([]);
    }
    expect(unnoticed(lists, neverCame, (parent, key) => parent[key].push('bogus'))).toEqual([]);
    const places = entries.filter(
      (path) => path.length === 2 && ['spans', 'metrics', 'logs'].includes(path[0] as string),
    );
    const bogus = (shape: any) => ({ ...shape, optional: { ...shape.optional, bogus: 'string' } });
    expect(unnoticed(places, neverCame, (parent, key) => (parent[key] = bogus(parent[key])))).toEqual([]);
  });
});
