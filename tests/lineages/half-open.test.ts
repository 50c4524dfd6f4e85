import { ConsecutiveBreaker } from 'cockatiel';
import {
  type Bulkhead,
  bulkhead,
  circuitBreaker,
  type CircuitBreakerOptions,
  fallback,
  pipeline,
  policy,
  retry,
  type Stackable,
  timeout,
} from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/testing/seeded-random.ts';
import { deaf, deferred, stand, stateOf, turn, watch } from '../policies/stand.ts';

const down = new Error('down');
const bad = () => Promise.reject(down);
const ok = async () => 'ok';

/** A circuit that stands half-open in a chain: one failure opens it, a break of a second, one probe. */
async function halfOpen(
  chain: (breaker: Stackable) => readonly Stackable[] = (breaker) => [breaker],
  options: CircuitBreakerOptions = {},
  classify?: (outcome: { value?: unknown; error?: unknown }) => any,
) {
  const breaker = circuitBreaker({
    consecutiveFailures: 1,
    breakMs: 1_000,
    halfOpenCalls: 1,
    name: 'fuse',
    ...options,
  });
  const at = stand(chain(breaker), classify === undefined ? {} : { classify });
  // From outside of the chain, so that nothing else in it has happened yet.
  const alone = pipeline('alone', [breaker], { telemetry: false, clock: at.clock });
  await alone.tryExecute(bad);
  await at.clock.advance(1_000);
  expect(breaker.state).toBe('half_open');
  return { ...at, alone, breaker };
}

/** The probe has waited 10 ms in the queue of a bulkhead whose one slot another call holds. */
async function queued(slots: Bulkhead, chain: (breaker: Stackable, slots: Stackable) => readonly Stackable[]) {
  const at = await halfOpen((breaker) => chain(breaker, slots));
  const holder = pipeline('holder', [slots], { telemetry: false, clock: at.clock });
  const work = deferred();
  watch(holder.execute(() => work.promise));
  watch(at.pipe.execute(ok));
  await at.clock.advance(10);
  work.resolve('done');
  return at;
}

describe('a half-open circuit is not disturbed', () => {
  it.each([
    ['alone', (breaker: Stackable) => [breaker]],
    ['in a retry and a fallback', (breaker: Stackable) => [fallback(() => 'instead'), retry({ backoff: 0 }), breaker]],
    ['in a timeout', (breaker: Stackable) => [timeout(50), breaker]],
  ])(
    'J-2: a probe in flight, %s; a hundred calls that are turned away say nothing about it, and it closes',
    async (_, chain) => {
      const { pipe, breaker, clock, alone } = await halfOpen(chain);
      const work = deferred();
      const probe = watch(alone.execute(() => work.promise));
      const refused = Array.from({ length: 100 }, () => watch(pipe.execute(ok)));
      await clock.advance(10);
      expect(refused.every(({ state, value }) => state === 'error' || value === 'instead')).toBe(true);
      expect(breaker.state).toBe('half_open');
      work.resolve('fine');
      await turn();
      expect([probe.value, breaker.state]).toEqual(['fine', 'closed']);
      expect((breaker.snapshot!() as any).transitions).toMatchObject({ open: 1, half_open: 1, closed: 1 });
      expect(await pipe.execute(ok)).toBe('ok');
    },
  );
});

/** What may become of a probe that never says how the other side is: its place is free again at once. */
const silent: [string, (at?: any) => Promise<unknown>][] = [
  [
    'its caller gives up',
    async () => {
      const at = await halfOpen();
      const caller = new AbortController();
      watch(at.pipe.execute(deaf, caller.signal));
      caller.abort();
      return at;
    },
  ],
  [
    'its caller gives up in a queue further inside',
    async () => {
      const slots = bulkhead({ limit: 1, queue: 1, name: 'slots' });
      const at = await halfOpen((breaker) => [breaker, slots]);
      const other = pipeline('other', [slots], { telemetry: false, clock: at.clock });
      const [holder, caller] = [new AbortController(), new AbortController()];
      watch(other.execute(({ signal }) => new Promise((_, no) => signal.addEventListener('abort', no)), holder.signal));
      watch(at.pipe.execute(deaf, caller.signal));
      caller.abort();
      holder.abort();
      return at;
    },
  ],
  [
    'its caller gives up in a pause further inside',
    async () => {
      const at = await halfOpen((breaker) => [breaker, retry({ backoff: 500 })]);
      const caller = new AbortController();
      watch(at.pipe.execute(bad, caller.signal));
      await turn();
      caller.abort();
      return at;
    },
  ],
  [
    'its caller gives up when a listener hears of the admission',
    async () => {
      const at = await halfOpen();
      const caller = new AbortController();
      at.pipe.subscribe(({ type }) => type === 'circuit_admission' && caller.abort());
      watch(at.pipe.execute(deaf, caller.signal));
      return at;
    },
  ],
  [
    'a predicate gives the call up',
    async () => {
      const caller = new AbortController();
      const when = () => (caller.abort(), true);
      const at = await halfOpen((breaker) => [breaker], { when });
      await at.alone.tryExecute(bad, caller.signal);
      return at;
    },
  ],
  [
    'its answer is ignored',
    async () => {
      const at = await halfOpen(undefined, {}, ({ value }) => (value === 'shrug' ? 'ignored' : 'success'));
      await at.pipe.execute(() => 'shrug');
      return at;
    },
  ],
  [
    'its error is ignored',
    async () => {
      const at = await halfOpen(undefined, {}, ({ error }) => (error === undefined ? 'success' : 'ignored'));
      await at.pipe.tryExecute(bad);
      return at;
    },
  ],
  [
    'a bulkhead turns it away',
    async () => {
      const slots = bulkhead({ limit: 1, name: 'slots' });
      const at = await halfOpen((breaker) => [breaker, slots]);
      const holder = pipeline('holder', [slots], { telemetry: false, clock: at.clock });
      const work = deferred();
      watch(holder.execute(() => work.promise));
      expect((await at.pipe.tryExecute(ok)).error).toMatchObject({ code: 'bulkhead_full' });
      work.resolve('done');
      return at;
    },
  ],
  [
    'its wait in a queue is too long',
    () => queued(bulkhead({ limit: 1, queue: 1, maxWaitMs: 10, name: 'slots' }), (breaker, slots) => [breaker, slots]),
  ],
  [
    'an outer timeout comes while it waits in a queue',
    () => queued(bulkhead({ limit: 1, queue: 1, name: 'slots' }), (breaker, slots) => [timeout(10), breaker, slots]),
  ],
  [
    'there is no time left for it',
    async () => {
      let left = 0;
      const at = await halfOpen((breaker) => [breaker, timeout(() => left)]);
      expect((await at.pipe.tryExecute(ok)).error).toMatchObject({ code: 'deadline_exceeded' });
      left = 100;
      return at;
    },
  ],
  [
    'another circuit further inside is held open',
    async () => {
      const inner = circuitBreaker({ name: 'inner' });
      const at = await halfOpen((breaker) => [breaker, inner]);
      const hold = inner.isolate();
      expect((await at.pipe.tryExecute(ok)).error).toMatchObject({ code: 'circuit_isolated' });
      hold.dispose();
      return at;
    },
  ],
  [
    'a middleware outside of it answers without it',
    async () => {
      const race = policy({
        kind: 'race',
        around: (call, next) => (call.key === 'race' ? (void next(), 'mine') : next()),
      });
      const at = await halfOpen((breaker) => [race, breaker]);
      expect(await at.pipe.execute(deaf, { key: 'race' })).toBe('mine');
      return at;
    },
  ],
];

describe('a half-open circuit does not get stuck', () => {
  it.each(silent)(
    'J-3: when %s, the place is free at once, nothing is decided, and the next probe closes it',
    async (_, go) => {
      const { pipe, breaker } = (await go()) as Awaited<ReturnType<typeof halfOpen>>;
      await turn();
      expect(breaker.state).toBe('half_open');
      expect(await pipe.execute(ok)).toBe('ok');
      expect(breaker.state).toBe('closed');
    },
  );

  it('J-3: a probe that hangs is a failure at the end of its lease; the break after it ends too, and the next probe closes it', async () => {
    const { pipe, breaker, clock } = await halfOpen(undefined, { halfOpenMs: 300 });
    const states: string[] = [];
    for (let round = 0; round < 3; round++) {
      watch(pipe.execute(deaf));
      await clock.advance(300);
      states.push(breaker.state);
      await clock.advance(1_000);
      states.push(breaker.state);
    }
    expect(states).toEqual(Array(3).fill(['open', 'half_open']).flat());
    expect(await pipe.execute(ok)).toBe('ok');
    expect(breaker.state).toBe('closed');
  });

  it('P-a: the time it asks callers to wait is never negative and never endless while probes hang', async () => {
    const { pipe, clock } = await halfOpen(undefined, { halfOpenCalls: 3, halfOpenMs: 1_300 });
    const waits: number[] = [];
    for (let n = 0; n < 200; n++) {
      const { status, error } = await Promise.race([
        pipe.tryExecute(deaf),
        turn().then(() => ({ status: 'probe', error: undefined })),
      ]);
      if (status === 'failure') waits.push((error as any).retryAfterMs);
      await clock.advance(137);
    }
    expect(waits.length).toBeGreaterThan(50);
    expect(waits.every((ms) => ms > 0 && ms <= 1_300)).toBe(true);
  });

  it('P-b: a predicate that throws about a probe decides it as not handled, and is reported: nothing stays half-open', async () => {
    const when = () => {
      throw new Error('broken');
    };
    const breaker = circuitBreaker({ breaker: new ConsecutiveBreaker(1), breakMs: 100, halfOpenCalls: 1, when });
    const { pipe, clock, told } = stand([breaker, timeout(10)]);
    watch(pipe.execute(deaf)); // our own timeout, about which no predicate is asked
    await clock.advance(110);
    expect(breaker.state).toBe('half_open');
    expect((await pipe.tryExecute(bad)).error).toBe(down);
    expect(breaker.state).toBe('closed');
    expect(told('fault')).toEqual([expect.objectContaining({ where: 'when' })]);
  });
});

describe('state is one value', () => {
  it.each(['open', 'half_open', 'closed'] as const)(
    'J-4: whoever is told that it is %s and calls at once finds it so',
    async (state) => {
      const { pipe, breaker, clock } = await halfOpen();
      const found: unknown[] = [];
      pipe.subscribe((event) => {
        if (event.type !== 'circuit_state' || event.state !== state || found.length > 0) return;
        found.push(breaker.state);
        // A probe has the only place, so that while half-open nobody else comes in.
        found.push(pipe.tryExecute(() => 'in').then(({ error }) => (error === undefined ? 'in' : 'refused')));
      });
      await pipe.tryExecute(state === 'open' ? bad : ok);
      await clock.advance(1);
      expect([found[0], await found[1]]).toEqual([state, state === 'closed' ? 'in' : 'refused']);
      expect(breaker.state).toBe(state === 'half_open' ? 'closed' : state);
    },
  );

  it('J-4: one that is opened again by a listener told of its closing turns calls away', async () => {
    const { pipe, breaker } = await halfOpen();
    let again = 0;
    pipe.subscribe((event) => {
      if (event.type === 'circuit_state' && event.state === 'closed' && again++ === 0)
        void pipe.tryExecute(() => {
          throw down;
        });
    });
    expect(await pipe.execute(ok)).toBe('ok');
    expect(breaker.state).toBe('open');
    expect((await pipe.tryExecute(ok)).error).toMatchObject({ code: 'circuit_open', retryAfterMs: 1_000, cause: down });
  });

  it.each([undefined, null, 'maybe', 42, {}, { verdict: 'maybe' }, Promise.resolve('failure')])(
    'J-5: a classify that answers %s leaves a legal state, closed or half-open, and lets calls in',
    async (answer) => {
      let odd = false;
      const classify = (): any => (odd ? answer : 'success');
      for (const state of ['closed', 'half_open'] as const) {
        const at =
          state === 'closed'
            ? stand([circuitBreaker({ consecutiveFailures: 1, name: 'fuse' })], { classify })
            : await halfOpen(undefined, {}, classify);
        odd = true;
        expect(await at.pipe.execute(ok)).toBe('ok');
        expect(at.told('fault')).toContainEqual(expect.objectContaining({ where: 'classify', policy: 'fuse' }));
        odd = false;
        expect(await at.pipe.execute(ok)).toBe('ok');
        expect(stateOf(at.pipe).state).toBe('closed');
      }
    },
  );
});

describe('many at a time', () => {
  it('P-16: never more than halfOpenCalls probes are waited for, whatever becomes of them, and it closes in the end (random)', async () => {
    let most = 0;
    for (let seed = 1; seed <= 20; seed++) {
      const random = seededRandom(seed);
      const { pipe, breaker, clock } = await halfOpen(undefined, { halfOpenCalls: 3, halfOpenMs: 200 });
      const probes = new Set<number>();
      // A change of state makes those of before late.
      pipe.subscribe(({ type }) => type === 'circuit_state' && probes.clear());
      for (let n = 0; n < 100; n++) {
        const caller = new AbortController();
        const fate = random();
        const probe = () => {
          if (breaker.state === 'half_open') probes.add(n);
          most = Math.max(most, probes.size);
          return new Promise((yes, no) => {
            const end = () => (fate < 0.2 ? yes('ok') : fate < 0.4 ? no(down) : caller.abort());
            if (fate < 0.8) clock.after(random() * 50, end);
          });
        };
        watch(pipe.execute(probe, caller.signal).finally(() => probes.delete(n)));
        await clock.advance(random() * 15);
      }
      await clock.advance(60_000);
      for (let n = 0; n < 3; n++) await pipe.tryExecute(ok);
      expect(breaker.state).toBe('closed');
    }
    expect(most).toBe(3);
  });
});
