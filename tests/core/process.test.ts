import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const source = (path: string) => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href);
const root = fileURLToPath(new URL('../..', import.meta.url));

/** Runs a program on the sources and answers what it wrote. One that does not end by itself in time is an error. */
async function run(program: string): Promise<string> {
  const before = `
    import { pipeline, timeout, retry, bulkhead, circuitBreaker, fallback, policy } from ${source('index.ts')};
    const hang = () => new Promise(() => {});
    const fail = () => { throw new Error('no'); };
    const say = (word) => console.log(word);
    const tell = (promise) => void promise.then(say, (error) => say(error.code ?? error.message));
    const on = (...policies) => pipeline('p', policies);`;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--no-warnings', '--experimental-strip-types', '--input-type=module', '--eval', before + program],
    {
      cwd: root,
      timeout: 60_000,
    },
  );
  return stdout.trim();
}

describe.concurrent('the process stays for', { timeout: 90_000 }, () => {
  it.each([
    ['a pending timeout', `tell(on(timeout(50)).execute(hang));`, 'timeout'],
    ['one whose length a function gives', `tell(on(timeout(() => 50)).execute(hang));`, 'timeout'],
    [
      'a cooperative timeout',
      `const told = ({ signal }) => new Promise((resolve) => signal.addEventListener('abort', resolve));
       tell(on(timeout({ ms: 50, mode: 'cooperative' })).execute(told));`,
      'timeout',
    ],
    ["the caller's deadline", `tell(on().execute(hang, { timeoutMs: 50 }));`, 'timeout'],
    [
      'the pause before a retry',
      `tell(on(retry({ maxRetries: 1, backoff: 50 })).execute(({ attempt }) => attempt === 1 ? fail() : 'again'));`,
      'again',
    ],
    [
      'a wait for a slot',
      `const p = on(bulkhead({ limit: 1, queue: 1, maxWaitMs: 50 }));
       p.execute(hang);
       tell(p.execute(hang));`,
      'queue_timeout',
    ],
    ["a fallback's own limit", `tell(on(fallback({ to: hang, timeoutMs: 50 })).execute(fail));`, 'timeout'],
    [
      'what is inside a middleware',
      `tell(on(policy({ kind: 'own', around: (_, next) => next() }), timeout(50)).execute(hang));`,
      'timeout',
    ],
    ['what is inside a nested pipeline', `tell(on(pipeline('inner', [timeout(50)])).execute(hang));`, 'timeout'],
  ])('%s', async (_, program, said) => {
    expect(await run(program)).toBe(said);
  });
});

describe.concurrent('the process does not stay for', { timeout: 90_000 }, () => {
  // Everything here is set to an hour, and a program has a minute.
  it.each([
    [
      'pipelines without calls',
      `on(fallback(() => 1), timeout(3_600_000), retry(), circuitBreaker(), bulkhead({ limit: 1 }));`,
      '',
    ],
    [
      'deadlines of calls that have settled',
      `const p = on(fallback(() => 'spare'), timeout(3_600_000), retry(), circuitBreaker(), bulkhead({ limit: 1 }), timeout({ ms: () => 3_600_000 }));
       say(await p.execute(async () => 'done', { timeoutMs: 3_600_000, signal: new AbortController().signal }));`,
      'done',
    ],
    [
      'deadlines and pauses of calls that were aborted',
      `const caller = new AbortController();
       const { signal } = caller;
       tell(on(timeout(3_600_000)).execute(hang, { signal, timeoutMs: 3_600_000 }));
       tell(on(retry({ backoff: 3_600_000 })).execute(fail, signal));
       const full = on(bulkhead({ limit: 1, queue: 1, maxWaitMs: 3_600_000 }));
       full.execute(hang);
       tell(full.execute(hang, signal));
       tell(on(fallback({ to: hang, timeoutMs: 3_600_000 })).execute(fail, signal));
       setImmediate(() => caller.abort(new Error('away')));`,
      'away\naway\naway\naway',
    ],
    [
      'a slot held by work that hangs',
      `tell(on(bulkhead({ limit: 1, holdUntilSettled: { maxMs: 3_600_000 } }), timeout(20)).execute(hang));`,
      'timeout',
    ],
    [
      "a circuit's break, its window and its probe",
      `const breaker = circuitBreaker({ failureRatio: 0.1, minimumCalls: 1, breakMs: 3_600_000, windowMs: 3_600_000 });
       await on(breaker).tryExecute(fail);
       say(breaker.state);
       const probed = circuitBreaker({ consecutiveFailures: 1, breakMs: 0, halfOpenMs: 3_600_000 });
       const p = on(probed);
       await p.tryExecute(fail);
       p.execute(hang);
       say(probed.state);`,
      'open\nhalf_open',
    ],
    [
      'the circuits of keys',
      `const p = on(circuitBreaker({ keys: { idleMs: 3_600_000 } }));
       say(await p.execute(() => 'done', { key: 'a' }));`,
      'done',
    ],
    [
      'the budget of retries',
      `const p = on(retry({ maxRetries: 1, backoff: 0, budget: { capacity: 1, minPerSecond: 0.01 } }));
       tell(p.execute(fail));`,
      'no',
    ],
    [
      'the coarse clock and the counts of the last ten seconds',
      `const p = on(circuitBreaker());
       p.subscribe(() => {});
       await p.execute(() => 1);
       say(p.snapshot().last10s.calls);`,
      '1',
    ],
    [
      'a call that waits for nothing but its function',
      `tell(on(retry(), circuitBreaker(), bulkhead({ limit: 1 })).execute(hang, new AbortController().signal));`,
      '',
    ],
    [
      'waits that never end',
      `const p = on(timeout(Infinity), bulkhead({ limit: 1, queue: 1, maxWaitMs: Infinity }));
       tell(p.execute(hang, { timeoutMs: Infinity }));
       tell(p.execute(hang));`,
      '',
    ],
  ])('%s', async (_, program, said) => {
    expect(await run(program)).toBe(said);
  });
});
