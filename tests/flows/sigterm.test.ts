import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const script = fileURLToPath(new URL('sigterm-service.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'seaworthy-sigterm-'));
const file = join(folder, 'breaker.json');

/** The other side: what `down` asks for fails, everything else waits until it is let go. */
const held: ServerResponse[] = [];
let arrived = () => {};
const upstream = createServer((request, response) => {
  if (request.url === '/down') return void response.writeHead(500).end();
  held.push(response);
  arrived();
});

const children: ChildProcess[] = [];

/** Starts the service and answers how to ask it. */
async function start() {
  const child = fork(script, [`http://127.0.0.1:${(upstream.address() as AddressInfo).port}`, file], {
    execArgv: ['--no-warnings'],
  });
  children.push(child);
  const [port] = await once(child, 'message');
  const ask = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${port}/${path}`, { headers: { connection: 'close' } });
    return `${response.status} ${await response.text()}`;
  };
  return { child, ask };
}

beforeAll(async () => {
  upstream.listen(0, '127.0.0.1');
  await once(upstream, 'listening');
});

afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
  upstream.closeAllConnections();
  upstream.close();
  rmSync(folder, { recursive: true, force: true });
});

describe('SIGTERM under load', () => {
  it('lets what runs finish, turns the queue away, and carries the open circuit over the restart', {
    timeout: 60_000,
  }, async () => {
    const first = await start();
    expect(await first.ask('down')).toBe('503 failed');
    expect(await first.ask('down')).toBe('503 circuit_open');

    const bothThere = new Promise<void>((resolve) => {
      arrived = () => held.length === 2 && resolve();
    });
    const running = [first.ask('a'), first.ask('a')];
    await bothThere;
    const queued = [first.ask('a'), first.ask('a'), first.ask('a')];
    while ((await first.ask('queued')) !== '200 3');

    const exit = once(first.child, 'exit');
    first.child.kill('SIGTERM');
    expect(await Promise.all(queued)).toEqual(Array(3).fill('503 draining'));
    await expect(first.ask('a')).rejects.toThrow();
    expect(held).toHaveLength(2);
    for (const response of held.splice(0)) response.end('done');
    expect(await Promise.all(running)).toEqual(['200 done', '200 done']);
    expect(await exit).toEqual([0, null]);

    const kept = JSON.parse(readFileSync(file, 'utf8'));
    expect(kept).toMatchObject({ version: 1, state: 'closed', keys: { down: { state: 'open', openings: 1 } } });
    expect(kept.keys.down.remainingMs).toBeGreaterThan(500_000);

    const second = await start();
    expect(await second.ask('down')).toBe('503 circuit_open');
    arrived = () => held.splice(0).forEach((response) => void response.end('again'));
    expect(await second.ask('a')).toBe('200 again');
    const end = once(second.child, 'exit');
    second.child.kill('SIGTERM');
    expect(await end).toEqual([0, null]);
  });
});
