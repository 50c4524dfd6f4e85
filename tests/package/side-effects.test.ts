import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { consumer, node, root } from './consumer.ts';

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const subpaths = Object.keys(manifest.exports)
  .filter((subpath) => subpath !== './package.json')
  .map((subpath) => `seaworthy${subpath.slice(1)}`);

/**
 * What hosts such as Cloudflare's refuse or freeze while modules are loaded. Here each of them throws, whoever asks, our
 * dependencies included; only Node's own loader may go on using them.
 */
const refusing = String.raw`
  import { syncBuiltinESMExports } from 'node:module';
  const used = [];
  const refuse = (owner, name, what = name) => {
    const real = owner[name];
    if (real === undefined) throw new Error('There is no ' + what);
    const check = () => {
      const [, by] = /node_modules\/((?:@[^/:]+\/)?[^/:]+)/.exec(new Error().stack) ?? [];
      if (by === undefined) return;
      used.push(what + ' by ' + by);
      throw new Error(what + ' was used while a module was loaded');
    };
    const proxy = new Proxy(real, {
      apply: (target, self, args) => (check(), Reflect.apply(target, self, args)),
      construct: (target, args, to) => (check(), Reflect.construct(target, args, to)),
    });
    Object.defineProperty(owner, name, { value: proxy, configurable: true, writable: true });
  };
  for (const name of ['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask', 'fetch', 'AbortController', 'Date'])
    refuse(globalThis, name);
  refuse(AbortSignal, 'timeout', 'AbortSignal.timeout');
  refuse(AbortSignal, 'any', 'AbortSignal.any');
  refuse(Math, 'random', 'Math.random');
  refuse(Date, 'now', 'Date.now');
  refuse(performance, 'now', 'performance.now');
  refuse(crypto, 'randomUUID', 'crypto.randomUUID');
  refuse(crypto, 'getRandomValues', 'crypto.getRandomValues');
  syncBuiltinESMExports();
  let error = null;
  try {
    await import(process.argv[2]);
  } catch (thrown) {
    error = thrown.stack;
  }
  console.log(JSON.stringify({ used, error }));`;

async function load(module: string, early?: string): Promise<{ used: string[]; error: string | null }> {
  const directory = consumer('esm');
  writeFileSync(join(directory, 'refusing.mjs'), refusing);
  if (early !== undefined) writeFileSync(join(directory, 'node_modules/early.mjs'), early);
  const { output, errors } = await node(directory, ['refusing.mjs', module]);
  expect(errors).toBe('');
  return JSON.parse(output);
}

describe('in a host without timers, chance, time and signals at module scope', () => {
  it.each(subpaths)('%s can be imported', async (subpath) => {
    const { used, error } = await load(subpath);
    expect(error).toBeNull();
    expect(used).toEqual([]);
  });

  it.each([
    ['setTimeout', 'setTimeout(() => {}, 1);'],
    ['setInterval', 'setInterval(() => {}, 1);'],
    ['setImmediate', 'setImmediate(() => {});'],
    ['queueMicrotask', 'queueMicrotask(() => {});'],
    ['fetch', 'fetch("http://127.0.0.1:1");'],
    ['AbortController', 'new AbortController();'],
    ['AbortSignal.timeout', 'AbortSignal.timeout(1);'],
    ['AbortSignal.any', 'AbortSignal.any([]);'],
    ['Date', 'new Date();'],
    ['Date.now', 'Date.now();'],
    ['Math.random', 'Math.random();'],
    ['performance.now', 'performance.now();'],
    ['crypto.randomUUID', 'crypto.randomUUID();'],
    ['crypto.getRandomValues', 'crypto.getRandomValues(new Uint8Array(1));'],
  ])('a module that uses %s cannot, so this test would notice', async (what, early) => {
    const { used, error } = await load('./node_modules/early.mjs', early);
    expect(used).toEqual([`${what} by early.mjs`]);
    expect(error).toContain(`${what} was used`);
  });
});
