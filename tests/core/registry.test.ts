import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { PipelineSnapshot } from '../../src/telemetry/snapshot.ts';

interface Living {
  readonly name: string;
  snapshot(): PipelineSnapshot;
}

/** What is not collected yet, and how often somebody has asked. */
let alive = new Set<object>();
let asked = 0;
let registry: typeof import('../../src/core/registry.ts');

/** A WeakRef whose target goes when a test says so. */
class Ref<T extends object> {
  private readonly target: T;

  constructor(target: T) {
    this.target = target;
    alive.add(target);
  }

  deref(): T | undefined {
    asked++;
    return alive.has(this.target) ? this.target : undefined;
  }
}

beforeEach(async () => {
  alive = new Set();
  asked = 0;
  vi.stubGlobal('WeakRef', Ref);
  vi.resetModules();
  registry = await import('../../src/core/registry.ts');
});
afterEach(() => vi.unstubAllGlobals());

const born = (name: string): Living => {
  const living = { name, snapshot: () => ({ name }) as PipelineSnapshot };
  registry.remember(living);
  return living;
};
const names = () => registry.snapshots().map(({ name }) => name);
/** How many a look at all of them asks: those that are remembered. */
const remembered = () => {
  asked = 0;
  registry.snapshots();
  return asked;
};

describe('the pipelines of a process', () => {
  it('are none before the first', () => {
    expect(registry.snapshots()).toEqual([]);
  });

  it('are told oldest first', () => {
    for (const name of ['a', 'b', 'c', 'd']) born(name);
    expect(names()).toEqual(['a', 'b', 'c', 'd']);
  });

  it('are forgotten at a look at all when they were collected', () => {
    const [, b] = ['a', 'b', 'c'].map(born);
    alive.delete(b!);
    expect(names()).toEqual(['a', 'c']);
    expect(remembered()).toBe(2);
  });

  it('that come and go are forgotten beside two that stay', () => {
    for (const name of ['a', 'b']) born(name);
    for (let i = 0; i < 1_000; i++) alive.delete(born('passing'));
    expect(remembered()).toBeLessThan(10);
    expect(names()).toEqual(['a', 'b']);
  });

  it('are forgotten as others come when they were collected, with about two looks for each that comes', () => {
    for (let i = 0; i < 10; i++) born('old');
    alive.clear();
    asked = 0;
    for (let i = 0; i < 20; i++) born(`new ${i}`);
    expect(asked).toBeGreaterThanOrEqual(30);
    expect(asked).toBeLessThanOrEqual(40);
    expect(remembered()).toBe(20);
    expect(names()).toEqual(Array.from({ length: 20 }, (_, i) => `new ${i}`));
  });
});
