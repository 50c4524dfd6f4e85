import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { bulkhead, circuitBreaker, pipeline, type ResilienceError, timeout } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { deaf, turn } from '../policies/stand.ts';

const quiet = { telemetry: false } as const;
const down = new Error('down');
const never = Promise.reject(down);
never.catch(() => {});

/** Calls that end with an error of ours, as often as one likes. */
function rejections(options: object = quiet): Record<string, () => Promise<unknown>> {
  const full = pipeline('full', [bulkhead({ limit: 1 })], options);
  void full.execute(deaf);
  const waiting = pipeline('waiting', [bulkhead({ limit: 1, queue: 10, maxWaitMs: 1 })], options);
  void waiting.execute(deaf);
  const open = pipeline('open', [circuitBreaker({ consecutiveFailures: 1, breakMs: 60_000 })], options);
  void open.tryExecute(() => {
    throw down;
  });
  const isolated = circuitBreaker();
  isolated.isolate();
  const held = pipeline('held', [isolated], options);
  const draining = pipeline('draining', [], options);
  draining.dispose();
  return {
    timeout: () => pipeline('slow', [timeout(1)], options).execute(deaf),
    bulkhead_full: () => full.execute(() => 1),
    queue_timeout: () => waiting.execute(() => 1),
    circuit_open: () => open.execute(() => 1),
    circuit_isolated: () => held.execute(() => 1),
    deadline_exceeded: () => pipeline('late', [], options).execute(() => 1, { timeoutMs: 0 }),
    draining: () => draining.execute(() => 1),
  };
}

const errorOf = (promise: Promise<unknown>) =>
  promise.then(
    () => expect.fail('it did not reject'),
    (error: ResilienceError & { cause?: unknown }) => error,
  );

describe.each(Object.keys(rejections()))('the error of a call that ends with %s', (code) => {
  it('is another one each time, which its owner may change', async () => {
    const reject = rejections()[code]!;
    const [first, second] = [await errorOf(reject()), await errorOf(reject())];
    expect(first).not.toBe(second);
    expect([first.code, second.code]).toEqual([code, code]);
    Object.assign(first, { note: 'mine' });
    expect(second).not.toHaveProperty('note');
  });

  it('has no frames unless they are asked for, and leaves the limit as the user has set it', async () => {
    const { stackTraceLimit } = Error;
    try {
      for (const limit of [stackTraceLimit, 0, 3, Number.POSITIVE_INFINITY]) {
        Error.stackTraceLimit = limit;
        const promise = rejections()[code]!();
        expect(Error.stackTraceLimit).toBe(limit);
        const error = await errorOf(promise);
        expect(error.stack).not.toMatch(/\n +at /);
        expect(Error.stackTraceLimit).toBe(limit);
      }
      Error.stackTraceLimit = 10;
      const traced = await errorOf(rejections({ ...quiet, stackTraces: true })[code]!());
      expect(traced.stack).toMatch(/\n +at /);
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
    }
  });
});

describe('the stack of the user’s own errors', () => {
  it('is there for those made while ours are made without one', async () => {
    const stacks: (string | undefined)[] = [];
    const note = () => void stacks.push(new Error('theirs').stack);
    const pipe = pipeline('slow', [timeout(1)], quiet);
    pipe.subscribe(note);
    await pipe.tryExecute(({ signal }) => {
      signal.addEventListener('abort', note);
      return deaf();
    });
    await turn();
    expect(stacks.length).toBeGreaterThanOrEqual(2);
    for (const stack of stacks) expect(stack).toMatch(/\n +at /);
  });
});

describe('a process whose intrinsics are frozen', () => {
  it('gets the same errors with the stacks that cannot be switched off, and every policy works', async () => {
    const source = JSON.stringify(new URL('../../src/index.ts', import.meta.url).href);
    const program = `
      import { bulkhead, circuitBreaker, fallback, pipeline, policy, retry, timeout } from ${source};
      const quiet = { telemetry: false };
      const deaf = () => new Promise(() => {});
      const fail = async () => { throw new Error('down'); };
      const five = pipeline('five', [fallback({ to: () => 'spare' }), retry({ maxRetries: 1, backoff: 0 }),
        circuitBreaker(), bulkhead({ limit: 1 }), policy({ kind: 'own', around: (_, next) => next() }), timeout(50)], quiet);
      const slow = pipeline('slow', [timeout(1)], quiet);
      const full = pipeline('full', [bulkhead({ limit: 1 })], quiet);
      full.execute(deaf);
      const open = pipeline('open', [circuitBreaker({ consecutiveFailures: 1 })], quiet);
      await open.tryExecute(fail);
      const caller = new AbortController();
      caller.abort('enough');
      const errors = [];
      for (const run of [() => slow.tryExecute(({ signal }) => (signal.aborted, deaf())), () => full.tryExecute(() => 1),
        () => open.tryExecute(() => 1), () => slow.tryExecute(() => 1, { timeoutMs: 0 })]) {
        const { error } = await run();
        errors.push([error.name, error.code, /\\n +at /.test(error.stack), error.cause?.message]);
      }
      console.log(JSON.stringify({
        frozen: Object.isFrozen(Error),
        good: await five.execute(async () => 'good'),
        spare: await five.execute(fail),
        cancelled: (await five.tryExecute(() => 1, caller.signal)).error,
        errors,
      }));`;
    const flags = ['--frozen-intrinsics', '--no-warnings', '--experimental-strip-types', '--input-type=module'];
    const { stdout } = await promisify(execFile)(process.execPath, [...flags, '--eval', program], {
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
      timeout: 60_000,
    });
    expect(JSON.parse(stdout)).toEqual({
      frozen: true,
      good: 'good',
      spare: 'spare',
      cancelled: 'enough',
      errors: [
        ['TimeoutError', 'timeout', true, null],
        ['BulkheadFullError', 'bulkhead_full', true, null],
        ['CircuitOpenError', 'circuit_open', true, 'down'],
        ['DeadlineExceededError', 'deadline_exceeded', true, null],
      ],
    });
  }, 90_000);
});
