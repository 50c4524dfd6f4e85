import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const source = (path: string) => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href);
const root = fileURLToPath(new URL('../..', import.meta.url));

/** Runs a program on the sources and answers what it wrote and how long it lived after its last word, in milliseconds. */
async function run(program: string): Promise<{ out: string; tail: number }> {
  const before = `import { pipeline, timeout, retry, bulkhead, circuitBreaker, fallback } from ${source('index.ts')};
    let said = performance.now();
    const say = (word) => { console.log(word); said = performance.now(); };
    process.on('exit', () => console.log(performance.now() - said));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', before + program], {
    cwd: root,
  });
  const lines = stdout.trim().split('\n');
  return { out: lines.slice(0, -1).join(), tail: Number(lines.at(-1)) };
}

describe('the process', () => {
  it('exits at once when the last call has settled, whatever deadlines there were', async () => {
    const { out, tail } = await run(`
      const p = pipeline('p', [fallback(() => 'spare'), timeout(60_000), retry(), circuitBreaker(), bulkhead({ limit: 1 }), timeout({ ms: () => 60_000 })]);
      const caller = new AbortController();
      say(await p.execute(async () => 'done', { timeoutMs: 60_000, signal: caller.signal }));`);
    expect(out).toBe('done');
    expect(tail).toBeLessThan(1_000);
  });

  it('exits at once although a slot is held by work that hangs', async () => {
    const { out, tail } = await run(`
      const p = pipeline('p', [bulkhead({ limit: 1 }), timeout(20)]);
      say(await p.execute(() => new Promise(() => {})).catch((error) => error.code));`);
    expect(out).toBe('timeout');
    expect(tail).toBeLessThan(1_000);
  });

  it('stays for a pending timeout, backoff and queue', async () => {
    const { out } = await run(`
      const hang = () => new Promise(() => {});
      const code = (error) => error.code ?? error.message;
      const p = pipeline('p', [timeout(50)]);
      const q = pipeline('q', [bulkhead({ limit: 1, queue: 1, maxWaitMs: 50 })]);
      let calls = 0;
      const r = pipeline('r', [retry({ maxRetries: 1, backoff: 50 })]);
      q.execute(hang);
      say(await p.execute(hang).catch(code));
      say(await q.execute(hang).catch(code));
      say(await r.execute(() => { if (++calls === 1) throw new Error('no'); return 'again'; }));
      say(await pipeline('s', []).execute(hang, { timeoutMs: 50 }).catch(code));`);
    expect(out).toBe('timeout,queue_timeout,again,timeout');
  });
});
