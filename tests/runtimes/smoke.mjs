// The built library on a runtime that need not be Node: a plain script, so that no test runner stands in between.
// `npm run runtimes` puts it beside the package and starts it; it prints `N passed, N failed`.
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { createServer } from 'node:http';
import process from 'node:process';
import * as cockatiel from 'cockatiel';
import {
  bulkhead,
  circuitBreaker,
  fallback,
  isRejectedError,
  isTimeoutError,
  pipeline,
  policy,
  retry,
  retryBudget,
  snapshots,
  timeout,
} from 'seaworthy';
import { toCockatiel } from 'seaworthy/cockatiel';
import { resilientFetch } from 'seaworthy/fetch';
import { getAttempt } from 'seaworthy/otel';
import { policyContract, recorder, script, seededRandom, virtualClock } from 'seaworthy/testing';

const unhandled = [];
process.on('unhandledRejection', (reason) => unhandled.push(reason));
const warnings = [];
process.on('warning', ({ name }) => warnings.push(name));

const broken = new Error('broken');
const fail = () => {
  throw broken;
};
const hang = () => new Promise(() => {});
/** Answers its signal as fetch does. */
const obedient = ({ signal }) =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(new DOMException('aborted', 'AbortError'))));
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const failing = (times, value) => {
  let calls = 0;
  return async () => {
    if (++calls <= times) throw broken;
    return value;
  };
};
const rejection = async (promise) => {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('It should have been rejected.');
};

const checks = {
  async 'values and errors pass untouched, from synchronous functions too'() {
    const p = pipeline('p', [fallback({ to: hang, when: () => false }), retry(), circuitBreaker(), timeout(1_000)]);
    const value = { any: 'thing' };
    assert.equal(await p.execute(() => value), value);
    assert.equal(await p.execute(async () => value), value);
    assert.equal(await rejection(pipeline('q', [circuitBreaker(), timeout(1_000)]).execute(fail)), broken);
    assert.deepEqual(await pipeline('r', []).tryExecute(fail), { status: 'failure', error: broken });
  },

  async 'a timeout ends a call that hangs, in time and never early'() {
    const p = pipeline('p', [timeout(40)]);
    const begun = performance.now();
    const error = await rejection(p.execute(hang));
    const took = performance.now() - begun;
    assert.ok(took >= 40 && took < 1_000, `${took} ms`);
    assert.equal(error.code, 'timeout');
    assert.equal(error.timeoutMs, 40);
    assert.ok(isTimeoutError(error) && error instanceof Error);
  },

  async 'a timeout aborts the signal of the function, with its error'() {
    let signal;
    const error = await rejection(
      pipeline('p', [timeout(10)]).execute((call) => {
        signal = call.signal;
        return hang();
      }),
    );
    assert.equal(signal.reason, error);
  },

  async 'a cooperative timeout waits for the function'() {
    const p = pipeline('p', [timeout({ ms: 10, mode: 'cooperative' })]);
    let over = false;
    const error = await rejection(
      p.execute(async ({ signal }) => {
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        await pause(10);
        over = true;
        throw broken;
      }),
    );
    assert.equal(error.code, 'timeout');
    assert.equal(over, true);
  },

  async 'the signal is not aborted after a success'() {
    let signal;
    const caller = new AbortController();
    await pipeline('p', [timeout(15)]).execute((call) => {
      signal = call.signal;
    }, caller.signal);
    await pause(30);
    assert.equal(signal.aborted, false);
  },

  async 'a retry calls again, after a pause'() {
    const begun = performance.now();
    const p = pipeline('p', [retry({ maxRetries: 2, backoff: 20 })]);
    assert.equal(await p.execute(failing(2, 'third')), 'third');
    assert.ok(performance.now() - begun >= 40);
    assert.equal(await rejection(p.execute(failing(3))), broken);
  },

  async 'a retry stops when its budget is empty'() {
    const budget = retryBudget({ capacity: 2, ratio: 0, minPerSecond: 0 });
    const p = pipeline('p', [retry({ maxRetries: 9, backoff: 0, budget })]);
    assert.equal(await rejection(p.execute(fail)), broken);
    assert.equal(p.snapshot().attempts, 3);
  },

  async 'a circuit opens, turns calls away, probes and closes'() {
    const breaker = circuitBreaker({ consecutiveFailures: 2, breakMs: 300, halfOpenCalls: 1 });
    const p = pipeline('p', [breaker]);
    await p.tryExecute(fail);
    await p.tryExecute(fail);
    assert.equal(breaker.state, 'open');
    const error = await rejection(p.execute(() => 'not called'));
    assert.equal(error.code, 'circuit_open');
    assert.equal(error.cause, broken);
    assert.ok(isRejectedError(error) && error.retryAfterMs > 0 && error.retryAfterMs <= 300);
    await pause(310);
    assert.equal(breaker.state, 'half_open');
    assert.equal(await p.execute(() => 'probe'), 'probe');
    assert.equal(breaker.state, 'closed');
  },

  async 'a circuit per key, by hand, and kept over a restart'() {
    const breaker = circuitBreaker({ consecutiveFailures: 1 });
    const p = pipeline('p', [breaker]);
    await p.tryExecute(fail, { key: 'a' });
    assert.equal(await p.execute(() => 'b', { key: 'b' }), 'b');
    assert.equal((await rejection(p.execute(() => 'a', { key: 'a' }))).code, 'circuit_open');
    const again = circuitBreaker({ consecutiveFailures: 1, initialState: JSON.parse(JSON.stringify(breaker)) });
    assert.equal(again.forKey('a').state, 'open');
    const hold = breaker.isolate();
    assert.equal((await rejection(p.execute(() => 'b', { key: 'b' }))).code, 'circuit_isolated');
    hold.dispose();
    assert.equal(await p.execute(() => 'b', { key: 'b' }), 'b');
  },

  async 'a bulkhead admits, queues in order and refuses'() {
    const p = pipeline('p', [bulkhead({ limit: 1, queue: 2, maxWaitMs: 5_000 })]);
    const order = [];
    const calls = [1, 2, 3].map((n) => p.execute(async () => void (await pause(5), order.push(n))));
    assert.equal((await rejection(p.execute(() => 4))).code, 'bulkhead_full');
    await Promise.all(calls);
    assert.deepEqual(order, [1, 2, 3]);
  },

  async 'a wait for a slot ends'() {
    const p = pipeline('p', [bulkhead({ limit: 1, queue: 1, maxWaitMs: 20 })]);
    const first = p.execute(() => pause(400));
    assert.equal((await rejection(p.execute(() => 2))).code, 'queue_timeout');
    await first;
  },

  async 'a slot is held while abandoned work runs'() {
    const slots = bulkhead({ limit: 1 });
    const p = pipeline('p', [slots, timeout(10)]);
    await rejection(p.execute(() => pause(400)));
    assert.deepEqual([slots.active, slots.held], [1, 1]);
    await pause(450);
    assert.deepEqual([slots.active, slots.held], [0, 0]);
  },

  async 'a fallback answers failures, rejections and timeouts'() {
    const p = pipeline('p', [fallback(({ error }) => error.code ?? error.message), timeout(10)]);
    assert.equal(await p.execute(fail), 'broken');
    assert.equal(await p.execute(hang), 'timeout');
  },

  async 'all five policies in a row do what they say'() {
    const p = pipeline('p', [
      fallback(() => 'spare'),
      retry({ maxRetries: 2, backoff: 1 }),
      circuitBreaker({ consecutiveFailures: 3, breakMs: 60_000 }),
      bulkhead({ limit: 5 }),
      timeout(10),
    ]);
    assert.equal(await p.execute(failing(2, 'fresh')), 'fresh');
    assert.equal(await p.execute(hang), 'spare');
    assert.equal(p.snapshot().policies.find(({ kind }) => kind === 'circuit_breaker').state, 'open');
  },

  async "the caller's deadline limits everything"() {
    const p = pipeline('p', [retry({ maxRetries: 9, backoff: 60_000 })]);
    const remaining = [];
    const error = await rejection(
      p.execute(
        (call) => {
          remaining.push(call.remainingMs);
          return hang();
        },
        { timeoutMs: 40 },
      ),
    );
    assert.equal(error.policy, 'deadline');
    assert.ok(remaining[0] > 0 && remaining[0] <= 40);
    // A pause that does not fit is not begun.
    assert.equal(await rejection(p.execute(fail, { timeoutMs: 5_000 })), broken);
  },

  async "the caller's abort ends a call at once, with its own reason"() {
    const p = pipeline('p', [retry({ backoff: 60_000 }), bulkhead({ limit: 1, queue: 1 }), timeout(60_000)]);
    const reason = { why: 'the page was closed' };
    for (const fn of [hang, fail, obedient]) {
      const caller = new AbortController();
      const call = p.execute(fn, caller.signal);
      setTimeout(() => caller.abort(reason), 5);
      assert.equal(await rejection(call), reason);
    }
    let called = false;
    assert.equal(
      await rejection(
        p.execute(() => {
          called = true;
        }, AbortSignal.abort(reason)),
      ),
      reason,
    );
    assert.equal(called, false);
  },

  async 'a thousand calls behind one signal end together'() {
    const caller = new AbortController();
    const p = pipeline('p', [timeout(60_000)]);
    const calls = Array.from({ length: 1_000 }, () => p.tryExecute(obedient, caller.signal));
    caller.abort(broken);
    assert.ok((await Promise.all(calls)).every(({ error }) => error === broken));
    assert.equal(p.snapshot().active, 0);
  },

  async 'late values are given to onDiscard, and late errors to nobody'() {
    const discarded = [];
    const p = pipeline('p', [timeout(5)]);
    await rejection(p.execute(() => pause(200).then(() => 'late'), { onDiscard: (value) => discarded.push(value) }));
    await rejection(p.execute(() => pause(200).then(fail)));
    await pause(250);
    assert.deepEqual(discarded, ['late']);
    assert.deepEqual(unhandled, []);
    assert.equal(p.snapshot().late, 0);
    assert.equal(p.snapshot().policies[0].late, 2);
  },

  async "every call keeps its own async context: after a timeout, a pause, a queue and another's abort"() {
    const storage = new AsyncLocalStorage();
    const found = [];
    const see = (where) => found.push(`${where}: ${storage.getStore()}`);
    const again = pipeline('again', [
      fallback(() => see('fallback')),
      retry({ maxRetries: 1, backoff: 5 }),
      timeout(10),
    ]);
    await storage.run('retried', () =>
      again.execute(({ attempt }) => {
        see(`attempt ${attempt}`);
        return hang();
      }),
    );
    // Two calls behind one timer, which the first of them armed.
    const shared = pipeline('shared', [fallback(() => see('instead')), timeout(20)]);
    await Promise.all(['one', 'two'].map((name) => storage.run(name, () => shared.execute(hang))));
    const full = pipeline('full', [bulkhead({ limit: 1, queue: 1 })]);
    const first = storage.run('first', () => full.execute(() => pause(10)));
    await storage.run('queued', () => full.execute(() => see('from the queue')));
    await first;
    const caller = new AbortController();
    const aborted = storage.run('aborted', () =>
      pipeline('aborted', []).tryExecute(({ signal }) => {
        signal.addEventListener('abort', () => see('abort'));
        return hang();
      }, caller.signal),
    );
    storage.run('somebody else', () => caller.abort(broken));
    await aborted;
    assert.deepEqual(found, [
      'attempt 1: retried',
      'attempt 2: retried',
      'fallback: retried',
      'instead: one',
      'instead: two',
      'from the queue: queued',
      'abort: aborted',
    ]);
  },

  async 'middleware and nested pipelines'() {
    const seen = [];
    const tag = policy({
      kind: 'tag',
      around: async ({ attempt }, next) => {
        seen.push(attempt);
        return `<${await next()}>`;
      },
    });
    const inner = pipeline('inner', [timeout(1_000)]);
    const p = pipeline('outer', [retry({ backoff: 0 }), tag, inner]);
    assert.equal(await p.execute(failing(1, 'in')), '<in>');
    assert.deepEqual(seen, [1, 2]);
  },

  async 'wrapped functions keep their parameters and this'() {
    const p = pipeline('p', [retry({ backoff: 0 })]);
    const shop = {
      name: 'shop',
      find: p.wrap(async function (a, b) {
        return `${this.name} ${a} ${b}`;
      }),
    };
    assert.equal(await shop.find(1, 2), 'shop 1 2');
    assert.equal(await p.wrapWithCall(({ attempt }, word) => `${word} ${attempt}`)('attempt'), 'attempt 1');
  },

  async 'a pipeline that is disposed takes no new calls'() {
    const p = pipeline('p', []);
    p[Symbol.dispose]();
    assert.equal((await rejection(p.execute(() => 1))).code, 'draining');
  },

  async 'bad options throw where the policy is made'() {
    assert.throws(() => retry({ maxRetries: -1 }), RangeError);
    assert.throws(() => timeout('1s'), TypeError);
    assert.throws(() => bulkhead({ limits: 1 }), TypeError);
  },

  async 'events and snapshots'() {
    const p = pipeline('events', [retry({ maxRetries: 1, backoff: 0 })]);
    const types = [];
    p.subscribe(({ type }) => types.push(type));
    await p.execute(failing(1, 1));
    assert.ok(types.includes('retry') && types.at(-1) === 'execution_end', types.join());
    const snapshot = JSON.parse(JSON.stringify(p.snapshot()));
    assert.deepEqual([snapshot.calls, snapshot.attempts, snapshot.outcomes.success], [1, 2, 1]);
    assert.ok(snapshots().some(({ name }) => name === 'events'));
  },

  async "cockatiel's policies inside a pipeline"() {
    const p = pipeline('p', [
      cockatiel.retry(cockatiel.handleAll, { maxAttempts: 2, backoff: new cockatiel.ConstantBackoff(1) }),
      cockatiel.bulkhead(1, 1),
      timeout(1_000),
    ]);
    assert.equal(await p.execute(failing(2, 'third')), 'third');
    const caller = new AbortController();
    const call = p.execute(hang, caller.signal);
    setTimeout(() => caller.abort(broken), 5);
    assert.equal(await rejection(call), broken);
  },

  async "a pipeline inside cockatiel's, and errors its guards know"() {
    const wrapped = cockatiel.wrap(
      cockatiel.retry(cockatiel.handleAll, { maxAttempts: 1, backoff: new cockatiel.ConstantBackoff(1) }),
      toCockatiel(pipeline('p', [timeout(10)])),
    );
    const error = await rejection(wrapped.execute(hang));
    assert.ok(cockatiel.isTaskCancelledError(error));
    const full = pipeline('q', [bulkhead({ limit: 1 })]);
    const first = full.execute(() => pause(5));
    assert.ok(cockatiel.isBulkheadRejectedError(await rejection(full.execute(hang))));
    await first;
  },

  async 'fetch: retries what may be sent again, answers the last response, keeps bodies and aborts'() {
    const seen = [];
    const server = createServer((request, response) => {
      seen.push(`${request.method} ${request.url}`);
      const times = seen.filter((line) => line === seen.at(-1)).length;
      if (request.url === '/flaky' && times < 3) response.writeHead(503).end('busy');
      else if (request.url === '/down') response.writeHead(503).end('down');
      else if (request.url === '/slow') return;
      else if (request.url === '/echo') request.pipe(response);
      else response.end('fine');
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const origin = `http://127.0.0.1:${server.address().port}`;
    const http = resilientFetch(pipeline('shop', [retry({ maxRetries: 2, backoff: 1 }), timeout(5_000)]));
    try {
      const flaky = await http(`${origin}/flaky`);
      assert.deepEqual([flaky.status, await flaky.text()], [200, 'fine']);
      const down = await http(`${origin}/down`, { method: 'POST', body: 'x' });
      assert.deepEqual([down.status, await down.text()], [503, 'down']);
      assert.equal(seen.filter((line) => line === 'POST /down').length, 1);
      const echo = await http(`${origin}/echo`, { method: 'PUT', body: 'a body' });
      assert.equal(await echo.text(), 'a body');
      const caller = new AbortController();
      const slow = http(`${origin}/slow`, { signal: caller.signal });
      setTimeout(() => caller.abort(broken), 20);
      assert.equal(await rejection(slow), broken);
      const hasty = resilientFetch(pipeline('hasty', [timeout(30)]));
      assert.equal((await rejection(hasty(`${origin}/slow`))).code, 'timeout');
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
    const refused = await rejection(http(`${origin}/gone`));
    assert.ok(refused instanceof Error);
  },

  async 'lengths that no timer of the host holds do not fire at once'() {
    const p = pipeline('p', [timeout(2 ** 31), timeout(Number.POSITIVE_INFINITY)]);
    assert.equal(await p.execute(() => pause(30).then(() => 'in time'), { timeoutMs: 1e12 }), 'in time');
    assert.deepEqual(
      warnings.filter((name) => name.startsWith('Timeout')),
      [],
    );
  },

  async 'the virtual clock, the script and the recorder'() {
    const clock = virtualClock();
    const heard = recorder();
    const p = pipeline('users', [retry({ maxRetries: 2 }), timeout(1_000)], {
      clock,
      random: seededRandom(7),
      observers: [heard],
    });
    const server = script.with(clock, 'hang', 'fail', { value: 'Ada' });
    const answer = p.execute(server);
    await clock.advance(60_000);
    assert.equal(await answer, 'Ada');
    assert.equal(heard.of('timeout').length, 1);
    assert.equal(clock.pending, 0);
  },

  async 'without an OpenTelemetry SDK nothing is recorded, and nothing breaks'() {
    const { context } = await import('@opentelemetry/api');
    const attempt = await pipeline('p', [retry()]).execute(() => getAttempt(context.active()));
    assert.equal(attempt, undefined);
  },
};

// What every policy promises, tried on each of the five.
const policies = {
  timeout: () => timeout(60_000),
  retry: () => retry({ maxRetries: 0 }),
  circuitBreaker: () => circuitBreaker(),
  bulkhead: () => bulkhead({ limit: 10 }),
  fallback: () => fallback({ to: () => 'instead', when: () => false }),
};
for (const [policy, make] of Object.entries(policies))
  for (const { name, run } of policyContract(make)) checks[`${policy}: ${name}`] = run;

const failures = [];
for (const [name, check] of Object.entries(checks)) {
  try {
    // A promise that never settles would let the process end, and look like success.
    const late = pause(20_000).then(() => Promise.reject(new Error('It took longer than 20 s.')));
    late.catch(() => {});
    await Promise.race([check(), late]);
  } catch (error) {
    failures.push(name);
    console.error(`FAILED: ${name}\n${error?.stack ?? error}\n`);
  }
}
if (unhandled.length > 0) {
  failures.push('unhandled rejections');
  console.error('unhandled rejections:', unhandled);
}
console.log(`${Object.keys(checks).length - failures.length} passed, ${failures.length} failed`);
process.exit(failures.length === 0 ? 0 : 1);
