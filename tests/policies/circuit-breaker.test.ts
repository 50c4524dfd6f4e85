import {
  ConsecutiveBreaker,
  ExponentialBackoff,
  isBrokenCircuitError,
  isIsolatedCircuitError,
  IterableBackoff,
  noJitterGenerator,
} from 'cockatiel';
import { bulkhead, circuitBreaker, type CircuitBreakerOptions, CircuitOpenError, pipeline, timeout } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { script } from '../../src/testing/script.ts';
import { virtualClock } from '../../src/testing/virtual-clock.ts';
import { deaf, deferred, likeFetch, stand, stateOf, thrownBy, turn, watch } from './stand.ts';

const ok = async () => 'ok';
const down = new Error('down');
const bad = () => Promise.reject(down);

/** A breaker in a pipeline of its own; three failures in a row open it unless said otherwise. */
function circuit(options: CircuitBreakerOptions = { consecutiveFailures: 3 }) {
  const breaker = circuitBreaker(options);
  const at = stand([breaker]);
  const run = async (fn: () => unknown, times = 1, options: object = {}) => {
    for (let n = 0; n < times; n++) await at.pipe.tryExecute(fn, options);
    return breaker.state;
  };
  return { ...at, breaker, run };
}

describe('circuit breaker', () => {
  describe('closed', () => {
    it('opens when half of at least ten calls within 30 s have failed: the defaults', async () => {
      const { run } = circuit({});
      expect(await run(ok, 5)).toBe('closed');
      expect(await run(bad, 4)).toBe('closed');
      expect(await run(bad)).toBe('open');
    });

    it('does not open below minimumCalls, whatever fails', async () => {
      const { run } = circuit({});
      expect(await run(bad, 9)).toBe('closed');
      expect(await run(bad)).toBe('open');
      const small = circuit({ minimumCalls: 2 });
      expect(await small.run(bad)).toBe('closed');
      expect(await small.run(bad)).toBe('open');
    });

    it('opens at failureRatio, not below', async () => {
      const { run } = circuit({ failureRatio: 0.2 });
      expect(await run(ok, 9)).toBe('closed');
      expect(await run(bad)).toBe('closed');
      const exact = circuit({ failureRatio: 0.2 });
      expect(await exact.run(ok, 8)).toBe('closed');
      expect(await exact.run(bad)).toBe('closed');
      expect(await exact.run(bad)).toBe('open');
    });

    it('counts a window of windowMs, and all of it expires, also after an idle hour', async () => {
      const { run, clock } = circuit({ windowMs: 5_000 });
      await run(bad, 9);
      await clock.advance(3_600_000);
      expect(await run(bad)).toBe('closed');
      const short = circuit({ windowMs: 1_000, minimumCalls: 2 });
      await short.run(bad);
      await short.clock.advance(1_200);
      expect(await short.run(bad)).toBe('closed');
    });

    it('counts the last windowCalls calls', async () => {
      const { run, clock } = circuit({ windowCalls: 10 });
      await run(bad, 4);
      await clock.advance(1e7);
      await run(ok, 5);
      expect(await run(bad)).toBe('open');
      const past = circuit({ windowCalls: 10 });
      await past.run(bad, 4);
      await past.run(ok, 10);
      expect(await past.run(bad, 4)).toBe('closed');
    });

    it('minimumCalls is never more than windowCalls unless said so: a window of five opens at five', async () => {
      const { run } = circuit({ windowCalls: 5 });
      expect(await run(bad, 4)).toBe('closed');
      expect(await run(bad)).toBe('open');
    });

    it('with consecutiveFailures alone opens at so many in a row, and by no share', async () => {
      const { run } = circuit({ consecutiveFailures: 3 });
      expect(await run(bad, 2)).toBe('closed');
      await run(ok);
      for (let n = 0; n < 10; n++) {
        await run(bad, 2);
        expect(await run(ok)).toBe('closed');
      }
      expect(await run(bad, 3)).toBe('open');
    });

    it('with consecutiveFailures and an explicit failureRatio opens by either', async () => {
      const byRun = circuit({ consecutiveFailures: 3, failureRatio: 0.9 });
      expect(await byRun.run(bad, 3)).toBe('open');
      const byShare = circuit({ consecutiveFailures: 30, failureRatio: 0.5, minimumCalls: 4 });
      await byShare.run(ok, 2);
      expect(await byShare.run(bad, 2)).toBe('open');
    });

    it('opens by slowness: slowRatio of the calls took longer than slowMs, all of them by default', async () => {
      const slow = (clock: { after(ms: number, fn: () => void): unknown }) => () =>
        new Promise<void>((resolve) => clock.after(101, resolve));
      for (const [slowRatio, quick, expected] of [
        [undefined, 1, 'closed'],
        [undefined, 0, 'open'],
        [0.5, 5, 'open'],
        [0.6, 5, 'closed'],
      ] as const) {
        const { pipe, clock, breaker } = circuit({ slowMs: 100, slowRatio });
        for (let n = 0; n < quick; n++) await pipe.execute(ok);
        for (let n = quick; n < 10; n++) watch(pipe.execute(slow(clock)));
        await clock.advance(150);
        expect(breaker.state, `${slowRatio} ${quick}`).toBe(expected);
      }
    });

    it('measures slowMs from the start of the function, so that our own queue never opens it', async () => {
      const breaker = circuitBreaker({ slowMs: 100, slowRatio: 0.5, minimumCalls: 2 });
      const { pipe, clock } = stand([breaker, bulkhead({ limit: 1, queue: 10 })]);
      const server = script.with(clock, { delayMs: 80, then: 'ok' });
      for (let n = 0; n < 10; n++) watch(pipe.execute(server));
      await clock.advance(1_000);
      expect(server.calls).toHaveLength(10);
      expect(breaker.state).toBe('closed');
    });

    it('a cockatiel breaker decides when to open', async () => {
      const { run } = circuit({ breaker: new ConsecutiveBreaker(2) });
      expect(await run(bad)).toBe('closed');
      expect(await run(bad)).toBe('open');
    });

    it('one cockatiel breaker is one circuit, whatever the keys', async () => {
      const { run, breaker, pipe } = circuit({ breaker: new ConsecutiveBreaker(2), breakMs: 1_000 });
      await run(bad, 1, { key: 'a' });
      expect(await run(bad, 1, { key: 'b' })).toBe('open');
      expect([breaker.forKey('a').state, breaker.forKey('c').state]).toEqual(['open', 'open']);
      expect((await pipe.tryExecute(ok)).error).toMatchObject({ code: 'circuit_open' });
      expect(stateOf(pipe).circuits).toBe(1);
    });

    it('a function that makes a cockatiel breaker gives each key its own', async () => {
      const { run, breaker } = circuit({ breaker: () => new ConsecutiveBreaker(2) });
      for (let n = 0; n < 2; n++) {
        await run(bad, 1, { key: 'dead' });
        await run(ok, 1, { key: 'alive' });
      }
      expect([breaker.forKey('dead').state, breaker.forKey('alive').state]).toEqual(['open', 'closed']);
    });
  });

  describe("the user's code in it fails", () => {
    const oops = () => {
      throw new Error('oops');
    };

    it('a breaker that throws says no, is reported, and neither takes the place of a result nor of an error', async () => {
      const { pipe, told, breaker } = circuit({ breaker: { state: 0, success: oops, failure: oops } });
      expect(await pipe.execute(ok)).toBe('ok');
      expect((await pipe.tryExecute(bad)).error).toBe(down);
      expect(breaker.state).toBe('closed');
      expect(told('fault')).toEqual(Array(2).fill(expect.objectContaining({ where: 'breaker' })));
      expect(stateOf(pipe).executions).toMatchObject({ success: 1, failure: 1 });
      expect(() => breaker.reset()).not.toThrow();
    });

    it('a breaker that cannot be made for a key never opens it; one for no key is refused at once', async () => {
      let made = 0;
      const { run, pipe, told } = circuit({ breaker: () => (made++ === 0 ? new ConsecutiveBreaker(1) : oops()) });
      await run(bad, 3, { key: 'a' });
      expect(await pipe.execute(ok, { key: 'a' })).toBe('ok');
      expect(told('fault')).toEqual([expect.objectContaining({ where: 'breaker' })]);
      expect(thrownBy(() => circuitBreaker({ breaker: oops })).message).toBe('oops');
      expect(thrownBy(() => circuitBreaker({ breaker: () => ({}) as never }))).toBeInstanceOf(TypeError);
    });

    it.each([
      ['throws', oops],
      ['answers NaN', () => ({ duration: Number.NaN })],
      ['answers less than 0', () => ({ duration: -1 })],
      ['answers nothing', () => undefined],
    ])('a breakMs that %s is 5 s, and reported', async (_, next) => {
      const { run, pipe, told, clock, breaker } = circuit({ consecutiveFailures: 1, breakMs: { next } as never });
      expect((await pipe.tryExecute(bad)).error).toBe(down);
      expect(told('fault')).toEqual([expect.objectContaining({ where: 'breakMs' })]);
      await clock.advance(4_999);
      expect(await run(ok)).toBe('open');
      await clock.advance(1);
      expect(breaker.state).toBe('half_open');
    });

    it('nor does it throw at whoever reads it', async () => {
      for (const read of [
        ({ breaker }: any) => breaker.state,
        ({ breaker }: any) => breaker.toJSON().state,
        ({ pipe }: any) => stateOf(pipe).state,
      ]) {
        let asked = 0;
        const at = circuit({
          consecutiveFailures: 1,
          halfOpenCalls: 1,
          breakMs: { next: () => (asked++ === 0 ? { duration: 1_000, next: oops } : oops()) } as never,
        });
        await at.run(bad);
        await at.clock.advance(1_000);
        watch(at.pipe.execute(deaf));
        await at.clock.advance(10_001);
        expect(read(at)).toBe('open');
      }
    });
  });

  describe('open', () => {
    it('rejects without calling, with the time until a probe and the failure that opened it', async () => {
      const { pipe, clock, run, told } = circuit();
      await run(bad, 3);
      await clock.advance(2_000);
      const server = script('ok');
      const { error } = await pipe.tryExecute(server);
      expect(server.calls).toHaveLength(0);
      expect(error).toBeInstanceOf(CircuitOpenError);
      expect(error).toMatchObject({
        name: 'CircuitOpenError',
        code: 'circuit_open',
        retryAfterMs: 3_000,
        policy: 'shop/circuit_breaker',
      });
      expect((error as Error).cause).toBe(down);
      expect(isBrokenCircuitError(error)).toBe(true);
      expect(isIsolatedCircuitError(error)).toBe(false);
      expect(told('rejected')).toEqual([expect.objectContaining({ reason: 'circuit_open', retryAfterMs: 3_000 })]);
    });

    it('breaks for breakMs, 5 s by default', async () => {
      for (const breakMs of [undefined, 700]) {
        const { run, clock, breaker } = circuit({ consecutiveFailures: 1, breakMs });
        await run(bad);
        await clock.advance((breakMs ?? 5_000) - 1);
        expect(breaker.state).toBe('open');
        await clock.advance(1);
        expect(breaker.state).toBe('half_open');
      }
    });

    it('breaks may grow by a cockatiel backoff, and start small again after a recovery', async () => {
      const generator = noJitterGenerator;
      const { run, clock, breaker } = circuit({
        consecutiveFailures: 1,
        halfOpenCalls: 1,
        breakMs: new ExponentialBackoff({ generator, initialDelay: 100 }),
      });
      for (const breakMs of [100, 200, 400]) {
        expect(await run(bad)).toBe('open');
        await clock.advance(breakMs - 1);
        expect(breaker.state).toBe('open');
        await clock.advance(1);
        expect(breaker.state).toBe('half_open');
      }
      expect(await run(ok)).toBe('closed');
      await run(bad);
      await clock.advance(100);
      expect(breaker.state).toBe('half_open');
    });

    it('with Infinity breaks until reset', async () => {
      const { run, clock, breaker } = circuit({ consecutiveFailures: 1, breakMs: Number.POSITIVE_INFINITY });
      await run(bad);
      await clock.advance(1e9);
      expect(breaker.state).toBe('open');
      breaker.reset();
      expect(breaker.state).toBe('closed');
    });
  });

  describe('half-open', () => {
    const halfOpen = async (options: CircuitBreakerOptions = {}) => {
      const at = circuit({ minimumCalls: 1, breakMs: 1_000, ...options });
      await at.run(bad);
      await at.clock.advance(1_000);
      expect(at.breaker.state).toBe('half_open');
      return at;
    };

    it('lets halfOpenCalls probes in, three by default, and rejects all others at once: nobody waits', async () => {
      for (const halfOpenCalls of [undefined, 2]) {
        const { pipe } = await halfOpen({ halfOpenCalls });
        const server = script('hang');
        const calls = Array.from({ length: 10 }, () => watch(pipe.execute(server)));
        await turn();
        expect(server.calls).toHaveLength(halfOpenCalls ?? 3);
        expect(calls.filter(({ error }) => error?.code === 'circuit_open')).toHaveLength(10 - (halfOpenCalls ?? 3));
      }
    });

    it('closes when failures can no longer reach failureRatio', async () => {
      const { run } = await halfOpen({ failureRatio: 0.5 });
      expect(await run(ok)).toBe('half_open');
      expect(await run(ok)).toBe('closed');
    });

    it('reopens as soon as failures have reached failureRatio', async () => {
      const { run } = await halfOpen({ failureRatio: 0.5 });
      expect(await run(bad)).toBe('half_open');
      expect(await run(bad)).toBe('open');
    });

    it('in consecutive mode or with one probe reopens at any failure', async () => {
      const consecutive = circuit({ consecutiveFailures: 1, breakMs: 1_000 });
      await consecutive.run(bad);
      await consecutive.clock.advance(1_000);
      expect(await consecutive.run(ok)).toBe('half_open');
      expect(await consecutive.run(bad)).toBe('open');
      const single = await halfOpen({ halfOpenCalls: 1 });
      expect(await single.run(bad)).toBe('open');
    });

    it('a cancelled probe frees its place for another and decides nothing', async () => {
      const { pipe, breaker } = await halfOpen({ halfOpenCalls: 1 });
      const caller = new AbortController();
      const probe = watch(pipe.execute(deaf, caller.signal));
      expect((await pipe.tryExecute(ok)).error).toMatchObject({ code: 'circuit_open' });
      caller.abort();
      await turn();
      expect(probe.state).toBe('error');
      expect(breaker.state).toBe('half_open');
      expect(await pipe.execute(ok)).toBe('ok');
      expect(breaker.state).toBe('closed');
    });

    it('an ignored probe frees its place for another and decides nothing', async () => {
      const breaker = circuitBreaker({ minimumCalls: 1, breakMs: 1_000, halfOpenCalls: 1 });
      const { pipe, clock } = stand([breaker], {
        classify: ({ value, error }) => (value === 'shrug' ? 'ignored' : error === undefined ? 'success' : 'failure'),
      });
      await pipe.tryExecute(bad);
      await clock.advance(1_000);
      await pipe.execute(() => 'shrug');
      expect(breaker.state).toBe('half_open');
      await pipe.execute(() => 'fine');
      expect(breaker.state).toBe('closed');
    });

    it('lease: a probe older than halfOpenMs, 10 s by default, is a failure dated at its expiry, whoever looks later', async () => {
      for (const halfOpenMs of [undefined, 500]) {
        const { pipe, clock, breaker, told } = await halfOpen({ halfOpenCalls: 1, halfOpenMs });
        watch(pipe.execute(deaf));
        const due = 1_000 + (halfOpenMs ?? 10_000);
        await clock.advance((halfOpenMs ?? 10_000) - 1);
        expect(breaker.state).toBe('half_open');
        await clock.advance(400);
        // Nobody has looked until now, and the break has been running since the lease ended.
        expect(breaker.state).toBe('open');
        const { error } = await pipe.tryExecute(ok);
        expect((error as CircuitOpenError).retryAfterMs).toBe(1_000 - 399);
        expect(told('circuit_state').at(-1)).toMatchObject({ state: 'open', previous: 'half_open', at: due });
      }
    });

    it('a probe that answers after its lease moves nothing', async () => {
      const { pipe, clock, breaker } = await halfOpen({ halfOpenCalls: 1, halfOpenMs: 500 });
      const work = deferred();
      const probe = watch(pipe.execute(() => work.promise));
      await clock.advance(600);
      expect(breaker.state).toBe('open');
      work.resolve('late');
      await turn();
      expect(probe.value).toBe('late');
      expect(breaker.state).toBe('open');
    });

    it('a probe that answers after its lease leaves the failure that opened it', async () => {
      const { pipe, clock, told } = await halfOpen({ halfOpenCalls: 1, halfOpenMs: 500 });
      const work = deferred();
      watch(pipe.execute(() => work.promise));
      await clock.advance(600);
      work.reject(new Error('late'));
      await turn();
      expect(told('circuit_state').at(-1)).toMatchObject({ state: 'open', error: undefined });
      expect((await pipe.tryExecute(ok)).error).toMatchObject({ code: 'circuit_open', cause: down });
    });

    it('ramps: the first success does not let everybody in', async () => {
      const { pipe } = await halfOpen({});
      await pipe.execute(ok);
      const server = script('hang');
      for (let n = 0; n < 100; n++) watch(pipe.execute(server));
      await turn();
      expect(server.calls.length).toBeLessThanOrEqual(2);
    });
  });

  describe('late results', () => {
    it('a call from before the outage moves nothing, neither its failure nor its success', async () => {
      const { pipe, clock, run, breaker } = circuit({ consecutiveFailures: 1, breakMs: 1_000, halfOpenCalls: 1 });
      const [old, older] = [deferred(), deferred()];
      const late = [watch(pipe.execute(() => old.promise)), watch(pipe.execute(() => older.promise))];
      await run(bad);
      await clock.advance(1_000);
      const probe = deferred();
      watch(pipe.execute(() => probe.promise));
      old.resolve('fine');
      await turn();
      expect(breaker.state).toBe('half_open');
      probe.resolve('fine');
      await turn();
      expect(breaker.state).toBe('closed');
      older.reject(down);
      await turn();
      expect(breaker.state).toBe('closed');
      expect(late.map(({ state }) => state)).toEqual(['value', 'error']);
    });
  });

  describe('closing', () => {
    it('starts a fresh window and drops the reference to the last failure', async () => {
      const { pipe, run, clock, breaker } = circuit({ minimumCalls: 4, breakMs: 1_000, halfOpenCalls: 1 });
      await run(bad, 4);
      await clock.advance(1_000);
      await run(ok);
      expect(breaker.state).toBe('closed');
      expect(await run(bad, 3)).toBe('closed');
      const handle = breaker.isolate();
      const { error } = await pipe.tryExecute(ok);
      expect((error as Error).cause).toBe(undefined);
      handle.dispose();
    });
  });

  describe('what counts as what', () => {
    it("the caller's abort is ignored", async () => {
      const { pipe, breaker } = circuit({ consecutiveFailures: 1 });
      const caller = new AbortController();
      watch(pipe.execute(likeFetch, caller.signal));
      caller.abort();
      await turn();
      expect(breaker.state).toBe('closed');
      expect(stateOf(pipe).executions).toEqual({ success: 0, failure: 0, ignored: 1, rejected: 0 });
    });

    it('our RejectedError is ignored, whatever when says', async () => {
      const breaker = circuitBreaker({ consecutiveFailures: 1, when: () => true });
      const { pipe } = stand([breaker, bulkhead({ limit: 1 })]);
      watch(pipe.execute(deaf));
      expect((await pipe.tryExecute(ok)).error).toMatchObject({ code: 'bulkhead_full' });
      expect(breaker.state).toBe('closed');
      expect(stateOf(pipe).executions.ignored).toBe(1);
    });

    it('our TimeoutError is a failure, whatever when says', async () => {
      const breaker = circuitBreaker({ consecutiveFailures: 1, when: () => false });
      const { pipe, clock } = stand([breaker, timeout(10)]);
      watch(pipe.execute(deaf));
      await clock.advance(10);
      expect(breaker.state).toBe('open');
    });

    it('an outer timeout is a failure if the function was running, and ignored if it waited in an inner queue', async () => {
      const breaker = circuitBreaker({ consecutiveFailures: 1 });
      const { pipe, clock } = stand([timeout(10), breaker, bulkhead({ limit: 1, queue: 1 })]);
      watch(pipe.execute(deaf));
      await clock.advance(5);
      watch(pipe.execute(deaf));
      await clock.advance(5);
      expect(stateOf(pipe, 1).executions).toMatchObject({ failure: 1, ignored: 0 });
      await clock.advance(5);
      expect(stateOf(pipe, 1).executions).toMatchObject({ failure: 1, ignored: 1 });
    });

    it('the outer timeout that opened it is its cause, and in the event', async () => {
      const { pipe, clock, told } = stand([timeout(10), circuitBreaker({ consecutiveFailures: 1 })]);
      const call = watch(pipe.execute(deaf));
      await clock.advance(10);
      expect(call.error).toMatchObject({ code: 'timeout' });
      expect(told('circuit_state')[0]).toMatchObject({ state: 'open', error: call.error });
      expect(((await pipe.tryExecute(ok)).error as Error).cause).toBe(call.error);
    });

    it('when: yes is a failure and no a success, for errors and results', async () => {
      const { run } = circuit({ consecutiveFailures: 1, when: (error) => error !== down });
      expect(await run(bad)).toBe('closed');
      expect(await run(() => Promise.reject(new Error('other')))).toBe('open');
      const byResult = circuit({
        consecutiveFailures: 1,
        when: { result: (r: { status: number }) => r.status === 503 },
      });
      expect(await byResult.run(() => ({ status: 200 }))).toBe('closed');
      expect(await byResult.run(() => ({ status: 503 }))).toBe('open');
    });

    it('a when that throws counts as "not handled", runs once and is reported', async () => {
      let runs = 0;
      const { run, told } = circuit({
        consecutiveFailures: 1,
        when: () => {
          runs++;
          throw new Error('broken');
        },
      });
      expect(await run(bad)).toBe('closed');
      expect(runs).toBe(1);
      expect(told('fault')).toHaveLength(1);
    });

    it('by classify: failure, success and ignored as said', async () => {
      for (const verdict of ['failure', 'success', 'ignored'] as const) {
        const { pipe } = stand([circuitBreaker({ consecutiveFailures: 1 })], { classify: () => verdict });
        await pipe.tryExecute(bad);
        expect(stateOf(pipe).executions[verdict]).toBe(1);
        expect(stateOf(pipe).state).toBe(verdict === 'failure' ? 'open' : 'closed');
      }
    });

    it('a classify may name another verdict for breakers', async () => {
      const { pipe } = stand([circuitBreaker({ consecutiveFailures: 1 })], {
        classify: () => ({ verdict: 'failure', breaker: 'ignored', errorType: '429' }),
      });
      await pipe.tryExecute(ok);
      expect(stateOf(pipe)).toMatchObject({ state: 'closed', executions: { ignored: 1 } });
    });

    it('a cancelled call that had already been running for longer than slowMs counts as slow', async () => {
      const { pipe, clock, breaker } = circuit({ slowMs: 100, minimumCalls: 1 });
      const caller = new AbortController();
      watch(pipe.execute(deaf, caller.signal));
      await clock.advance(101);
      caller.abort();
      await turn();
      expect(breaker.state).toBe('open');
      expect(stateOf(pipe).executions).toMatchObject({ ignored: 1 });
    });
  });

  describe('state', () => {
    it('is computed when read: half_open once the break is over, traffic or not', async () => {
      const { run, clock, breaker, pipe } = circuit();
      await run(bad, 3);
      await clock.advance(5_000);
      expect(breaker.state).toBe('half_open');
      expect(stateOf(pipe).state).toBe('half_open');
    });

    it('changes are told at the first admission, dated when they were due', async () => {
      const { run, clock, told } = circuit();
      await run(bad, 3);
      await clock.advance(60_000);
      expect(told('circuit_state')).toHaveLength(1);
      await run(ok);
      expect(told('circuit_state').map((e: any) => [e.previous, e.state, e.at])).toEqual([
        ['closed', 'open', 0],
        ['open', 'half_open', 5_000],
      ]);
      expect(told('circuit_state')[0]).toMatchObject({ error: down, policy: 'shop/circuit_breaker', key: undefined });
    });

    it('changes are counted at the first collection', async () => {
      const { run, clock, pipe } = circuit();
      await run(bad, 3);
      expect(stateOf(pipe).transitions).toMatchObject({ open: 1, half_open: 0 });
      await clock.advance(60_000);
      expect(stateOf(pipe).transitions).toMatchObject({ open: 1, half_open: 1 });
    });

    it('the snapshot counts calls by what they were, and rejections by reason', async () => {
      const { run, pipe } = circuit({ consecutiveFailures: 2, name: 'fuse' });
      await run(ok);
      await run(bad, 2);
      await run(ok, 3);
      expect(stateOf(pipe)).toMatchObject({
        name: 'fuse',
        kind: 'circuit_breaker',
        executions: { success: 1, failure: 2, ignored: 0, rejected: 3 },
        rejections: { circuit_open: 3, circuit_isolated: 0 },
        circuits: 1,
      });
    });

    it('failureRatio is null below the minimum', async () => {
      const { run, pipe } = circuit({ minimumCalls: 4 });
      await run(bad);
      await run(ok, 2);
      expect(stateOf(pipe).failureRatio).toBe(null);
      await run(ok);
      expect(stateOf(pipe).failureRatio).toBe(0.25);
    });
  });

  describe('isolate()', () => {
    it('rejects everything, says so, and is reference counted', async () => {
      const { pipe, breaker, run, told } = circuit();
      const [one, two] = [breaker.isolate(), breaker.isolate()];
      expect(await run(ok)).toBe('isolated');
      const { error } = await pipe.tryExecute(ok);
      expect(error).toMatchObject({ code: 'circuit_isolated', retryAfterMs: Number.POSITIVE_INFINITY });
      expect(isIsolatedCircuitError(error)).toBe(true);
      expect(told('rejected').at(-1)).toMatchObject({ reason: 'circuit_isolated' });
      expect(stateOf(pipe)).toMatchObject({
        state: 'isolated',
        transitions: { isolated: 1 },
        rejections: { circuit_isolated: 2 },
      });
      one.dispose();
      one.dispose();
      expect(breaker.state).toBe('isolated');
      two[Symbol.dispose]();
      expect(await run(ok)).toBe('closed');
    });
  });

  describe('disable()', () => {
    it('lets everything through and still counts', async () => {
      const { breaker, run, pipe } = circuit({ consecutiveFailures: 1 });
      const handle = breaker.disable();
      expect(await run(bad, 5)).toBe('disabled');
      expect(stateOf(pipe)).toMatchObject({ executions: { failure: 5, rejected: 0 }, transitions: { disabled: 1 } });
      handle.dispose();
      expect(breaker.state).toBe('closed');
    });

    it('is weaker than isolate()', async () => {
      const { breaker } = circuit();
      breaker.disable();
      const handle = breaker.isolate();
      expect(breaker.state).toBe('isolated');
      handle.dispose();
      expect(breaker.state).toBe('disabled');
    });
  });

  it('turns nobody away by a coarse reading from before a stall', async () => {
    const inner = virtualClock();
    const clock = Object.assign(Object.create(inner), { coarse: () => 0 });
    const breaker = circuitBreaker({ consecutiveFailures: 1, breakMs: 1_000 });
    const pipe = pipeline('stalled', [breaker], { telemetry: false, clock });
    await pipe.tryExecute(bad);
    await inner.advance(1_000);
    expect(await pipe.execute(ok)).toBe('ok');
    expect(stateOf(pipe).executions.rejected).toBe(0);
  });

  it('reset() closes it, with a fresh window', async () => {
    const { breaker, run } = circuit({ minimumCalls: 4 });
    await run(bad, 4);
    breaker.reset();
    expect(await run(bad, 3)).toBe('closed');
    expect(await run(bad)).toBe('open');
  });

  describe('toJSON() and initialState', () => {
    it('carry an open circuit over a restart, with what is left of its break', async () => {
      const first = circuit({ consecutiveFailures: 1, breakMs: 1_000 });
      await first.run(bad);
      await first.clock.advance(400);
      const json = JSON.parse(JSON.stringify(first.breaker));
      expect(json).toEqual({ version: 1, state: 'open', openForMs: 400, remainingMs: 600, openings: 1 });
      const second = circuit({ consecutiveFailures: 1, breakMs: 1_000, initialState: json });
      expect(second.breaker.state).toBe('open');
      await second.clock.advance(599);
      expect(second.breaker.state).toBe('open');
      await second.clock.advance(1);
      expect(second.breaker.state).toBe('half_open');
    });

    it('carry the circuits of keys, from the moment of the restart', async () => {
      const first = circuit({ consecutiveFailures: 1, breakMs: 1_000 });
      await first.run(bad, 1, { key: 'a' });
      await first.run(ok, 1, { key: 'b' });
      const json = JSON.parse(JSON.stringify(first.breaker));
      expect(Object.keys(json.keys)).toEqual(['a']);
      const second = circuit({ consecutiveFailures: 1, breakMs: 1_000, halfOpenCalls: 1, initialState: json });
      expect(second.breaker.state).toBe('open');
      await second.clock.advance(1_000);
      expect(second.breaker.forKey('a').state).toBe('half_open');
      await second.run(ok, 1, { key: 'a' });
      expect(second.breaker.forKey('a').state).toBe('closed');
    });

    it('a key that has recovered does not open again when it is forgotten and comes back', async () => {
      const initialState = {
        version: 1 as const,
        state: 'closed' as const,
        openForMs: 0,
        remainingMs: 0,
        openings: 0,
        keys: { a: { version: 1 as const, state: 'open' as const, openForMs: 0, remainingMs: 1_000, openings: 1 } },
      };
      const { run, breaker, clock } = circuit({
        consecutiveFailures: 1,
        halfOpenCalls: 1,
        keys: { max: 1 },
        initialState,
      });
      await clock.advance(1_000);
      await run(ok, 1, { key: 'a' });
      await run(ok, 1, { key: 'b' });
      expect(breaker.forKey('a').state).toBe('closed');
    });

    it('never contain manual holds', () => {
      const { breaker } = circuit();
      breaker.isolate();
      expect(breaker.toJSON()).toMatchObject({ state: 'closed' });
    });

    it("never alias the caller's object", async () => {
      const initialState = {
        version: 1 as const,
        state: 'open' as const,
        openForMs: 0,
        remainingMs: 500,
        openings: 1,
        keys: {} as any,
      };
      const copy = structuredClone(initialState);
      const { breaker, run, clock } = circuit({ consecutiveFailures: 1, initialState });
      await clock.advance(500);
      await run(ok, 3);
      expect(initialState).toEqual(copy);
      initialState.keys.z = { version: 1, state: 'open', openForMs: 0, remainingMs: null, openings: 1 };
      expect(breaker.forKey('z').state).toBe('closed');
      const early = circuitBreaker({ initialState });
      initialState.keys.late = initialState.keys.z;
      stand([early]);
      expect([early.forKey('z').state, early.forKey('late').state]).toEqual(['open', 'closed']);
      expect(breaker.toJSON()).not.toBe(breaker.toJSON());
    });

    it('are versioned and validated', () => {
      for (const wrong of [
        {},
        { version: 2, state: 'closed', openForMs: 0, remainingMs: 0, openings: 0 },
        { version: 1, state: 'ajar' },
        { version: 1, state: 'open', openForMs: -1, remainingMs: 'x', openings: 0 },
      ]) {
        const error = thrownBy(() => circuitBreaker({ initialState: wrong as never }));
        expect(error).toBeInstanceOf(TypeError);
        expect(error.message).toMatch(/^Cannot restore a circuit: /);
      }
    });
  });

  describe('keys', () => {
    it('give each key its own circuit; the one without a key is another', async () => {
      const { run, breaker, pipe } = circuit({ consecutiveFailures: 1 });
      await run(bad, 1, { key: 'a' });
      expect(breaker.forKey('a').state).toBe('open');
      expect(breaker.forKey('b').state).toBe('closed');
      expect(await pipe.execute(ok)).toBe('ok');
      expect(await pipe.execute(ok, { key: 'b' })).toBe('ok');
      const { error } = await pipe.tryExecute(ok, { key: 'a' });
      expect(error).toMatchObject({ code: 'circuit_open', key: 'a' });
    });

    it("state is the key-less circuit's, or what keeps most calls out among the keys'", async () => {
      const { run, breaker, clock } = circuit({ consecutiveFailures: 1 });
      expect(await run(bad, 1, { key: 'a' })).toBe('open');
      await clock.advance(5_000);
      expect(breaker.state).toBe('half_open');
      expect(await run(bad)).toBe('open');
      await clock.advance(5_000);
      expect(breaker.state).toBe('half_open');
      expect(await run(bad, 1, { key: 'b' })).toBe('open');
    });

    it('isolate, disable and reset of the policy act on all', async () => {
      const { run, breaker, pipe } = circuit({ consecutiveFailures: 1 });
      await run(bad, 1, { key: 'a' });
      const held = breaker.isolate();
      expect(breaker.forKey('never seen').state).toBe('isolated');
      expect((await pipe.tryExecute(ok, { key: 'b' })).error).toMatchObject({ code: 'circuit_isolated' });
      held.dispose();
      const off = breaker.disable();
      expect(await pipe.execute(ok, { key: 'a' })).toBe('ok');
      off.dispose();
      breaker.reset();
      expect(breaker.forKey('a').state).toBe('closed');
    });

    it('forKey(key) has the same members for one', async () => {
      const { run, breaker, pipe } = circuit({ consecutiveFailures: 1 });
      const a = breaker.forKey('a');
      const held = a.isolate();
      expect([a.state, breaker.forKey('b').state]).toEqual(['isolated', 'closed']);
      expect((await pipe.tryExecute(ok, { key: 'a' })).error).toMatchObject({ code: 'circuit_isolated' });
      held.dispose();
      const off = a.disable();
      expect(a.state).toBe('disabled');
      off.dispose();
      await run(bad, 1, { key: 'a' });
      expect(a.toJSON()).toMatchObject({ state: 'open' });
      a.reset();
      expect(a.state).toBe('closed');
    });

    it('forKey(key) still works when its circuit was forgotten in between', async () => {
      const { run, breaker, pipe } = circuit({ consecutiveFailures: 1, keys: { max: 2 } });
      const a = breaker.forKey('a');
      for (let n = 0; n < 10; n++) await run(ok, 1, { key: `other-${n}` });
      const held = a.isolate();
      expect((await pipe.tryExecute(ok, { key: 'a' })).error).toMatchObject({ code: 'circuit_isolated' });
      held.dispose();
      expect(await pipe.execute(ok, { key: 'a' })).toBe('ok');
    });

    it('are not made by reading them', async () => {
      const { run, breaker, pipe } = circuit({ consecutiveFailures: 3, keys: { max: 1 } });
      await run(bad, 2, { key: 'a' });
      expect(breaker.forKey('b').state).toBe('closed');
      expect(breaker.forKey('b').toJSON()).toMatchObject({ state: 'closed' });
      breaker.forKey('b').reset();
      expect(stateOf(pipe).circuits).toBe(2);
      expect(await run(bad, 1, { key: 'a' })).toBe('open');
    });

    it('held by hand are kept, however many keys there are', async () => {
      const { run, breaker, pipe } = circuit({ consecutiveFailures: 1, keys: { max: 2 } });
      const held = breaker.forKey('a').isolate();
      for (let n = 0; n < 10; n++) await run(bad, 1, { key: `k${n}` });
      expect(breaker.forKey('a').state).toBe('isolated');
      expect((await pipe.tryExecute(ok, { key: 'a' })).error).toMatchObject({ code: 'circuit_isolated' });
      held.dispose();
    });

    it('are bounded, 1000 by default, and evict idle closed ones first', async () => {
      const { run, breaker, pipe } = circuit({ consecutiveFailures: 1, keys: { max: 10 } });
      await run(bad, 1, { key: 'sick' });
      for (let n = 0; n < 100; n++) await run(ok, 1, { key: `k${n}` });
      expect(stateOf(pipe).circuits).toBe(11);
      expect(breaker.forKey('sick').state).toBe('open');
      const large = circuit({});
      for (let n = 0; n < 1_500; n++) await large.run(ok, 1, { key: `k${n}` });
      expect(stateOf(large.pipe).circuits).toBe(1_001);
    });

    it('are forgotten after idleMs without use, ten minutes by default, and have no timer', async () => {
      const { run, clock, pipe } = circuit({ consecutiveFailures: 1 });
      for (let n = 0; n < 5; n++) await run(ok, 1, { key: `k${n}` });
      await turn();
      expect(clock.pending).toBe(0);
      await clock.advance(600_001);
      for (let n = 0; n < 10; n++) await run(ok, 1, { key: 'fresh' });
      expect(stateOf(pipe).circuits).toBe(2);
    });
  });

  it('an admission is told while somebody listens', async () => {
    const { run, told } = circuit();
    await run(ok);
    expect(told('circuit_admission')).toEqual([
      expect.objectContaining({ state: 'closed', policy: 'shop/circuit_breaker' }),
    ]);
  });

  it('may sit in several pipelines with a name, and then is one circuit with one clock', async () => {
    const breaker = circuitBreaker({ consecutiveFailures: 1, name: 'db' });
    const clock = virtualClock();
    const a = pipeline('a', [breaker], { telemetry: false, clock });
    const b = pipeline('b', [breaker], { telemetry: false, clock });
    await a.tryExecute(bad);
    expect((await b.tryExecute(ok)).error).toMatchObject({ policy: 'db', pipeline: 'b' });
    expect(() => pipeline('c', [breaker], { telemetry: false, clock: virtualClock() })).toThrow(TypeError);
  });

  it('neither mutates nor keeps its options', async () => {
    const options = { consecutiveFailures: 2, breakMs: 100, keys: { max: 5 } };
    const before = structuredClone(options);
    const { run, breaker } = circuit(options);
    expect(options).toEqual(before);
    options.consecutiveFailures = 1;
    await run(bad, 1, { key: 'made later' });
    expect(breaker.forKey('made later').state).toBe('closed');
  });

  describe('bad options', () => {
    it.each([
      [{ failureRatio: 0 }, '"failureRatio" must be a number above 0 and up to 1, received 0'],
      [{ failureRatio: 1.1 }, '"failureRatio" must be a number above 0 and up to 1, received 1.1'],
      [{ minimumCalls: 0 }, '"minimumCalls" must be a whole number from 1 up, received 0'],
      [{ windowMs: 0 }, '"windowMs" must be a number above 0, received 0'],
      [{ windowCalls: 2.5 }, '"windowCalls" must be a whole number from 1 to 1000000, received 2.5'],
      [{ consecutiveFailures: 0 }, '"consecutiveFailures" must be a whole number from 1 up, received 0'],
      [{ halfOpenCalls: 0 }, '"halfOpenCalls" must be a whole number from 1 up, received 0'],
      [{ halfOpenMs: Number.NaN }, '"halfOpenMs" must be a number above 0, received NaN'],
      [{ breakMs: -1 }, '"breakMs" must be a number from 0 up or Infinity, or a cockatiel backoff, received -1'],
      [
        { minimumCalls: 0, halfOpenCalls: 0 },
        '"minimumCalls" must be a whole number from 1 up, received 0; "halfOpenCalls" must be a whole number from 1 up, received 0',
      ],
    ])('%j is a RangeError', (options, message) => {
      const error = thrownBy(() => circuitBreaker(options));
      expect(error).toBeInstanceOf(RangeError);
      expect(error.message).toBe(`Cannot create circuit breaker: ${message}`);
    });

    it.each([
      [{ failureratio: 1 }, 'unknown option "failureratio", did you mean "failureRatio"?'],
      [{ resetTimeout: 1 }, 'unknown option "resetTimeout"'],
      [{ slowRatio: 0.5 }, '"slowRatio" needs "slowMs"'],
      [{ windowMs: 10, windowCalls: 10 }, '"windowMs" excludes "windowCalls"'],
      [
        { breaker: new ConsecutiveBreaker(1), minimumCalls: 3, slowMs: 1 },
        '"breaker" excludes "minimumCalls", "slowMs"',
      ],
      [{ breaker: {} }, '"breaker" must be a cockatiel breaker, or a function, received an object'],
      [
        { windowCalls: 5, minimumCalls: 6 },
        '"minimumCalls" must be at most "windowCalls", received 6 and 5: it would never open',
      ],
      [
        { consecutiveFailures: 5, windowMs: 6 },
        '"windowMs" beside "consecutiveFailures" needs "failureRatio" or "slowMs"',
      ],
      [{ keys: { maximum: 1 } }, 'unknown option "keys.maximum"'],
      [{ when: 1 }, '"when" must be a predicate, { error, result } or a cockatiel handler, received 1'],
      [{ initialState: 'open' }, '"initialState" must be what toJSON() gave, received "open"'],
    ])('%j is a TypeError', (options, message) => {
      const error = thrownBy(() => circuitBreaker(options as never));
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toBe(`Cannot create circuit breaker: ${message}`);
    });
  });

  it('goes by a break schedule', async () => {
    const { run, clock, breaker } = circuit({ consecutiveFailures: 1, breakMs: new IterableBackoff([50]) });
    await run(bad);
    await clock.advance(50);
    expect(breaker.state).toBe('half_open');
  });
});
