// Testing code behind a pipeline: no sleeping, no fake timers, a server that plays what the test says.
import assert from 'node:assert/strict';
import { circuitBreaker, pipeline, retry, timeout } from 'seaworthy';
import { recorder, script, seededRandom, virtualClock } from 'seaworthy/testing';

// #region readme
const clock = virtualClock();
const heard = recorder();
const users = pipeline('users', [retry({ maxRetries: 2 }), circuitBreaker(), timeout(1_000)], {
  clock, // nothing moves until the test says so
  random: seededRandom(7), // the same jitter every time
  observers: [heard],
});

const server = script.with(clock, 'hang', 'fail', { value: 'Ada' });
const answer = users.execute(server);
await clock.advance(60_000); // a minute, in no time

assert.equal(await answer, 'Ada');
assert.equal(server.calls.length, 3);
assert.deepEqual(
  heard.ends('attempt').map(({ outcome }) => outcome),
  ['failure', 'failure', 'success'],
);
assert.equal(heard.of('timeout').length, 1);
assert.equal(clock.pending, 0); // no timer is left behind
// #endregion
console.log(`answered after ${heard.ends('execution')[0]?.durationMs.toFixed(0)} virtual milliseconds:`);
for (const { at, attempt } of server.calls) console.log(`  attempt ${attempt} at ${at.toFixed(0)} ms`);
