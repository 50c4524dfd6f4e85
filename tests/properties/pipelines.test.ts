import { AsyncLocalStorage } from 'node:async_hooks';
import fc from 'fast-check';
import {
  type Bulkhead,
  bulkhead,
  type CallContext,
  circuitBreaker,
  type DropReason,
  fallback,
  type Observer,
  type Pipeline,
  type Policy,
  pipeline,
  policy,
  retry,
  Stage,
  type Stackable,
  timeout,
} from 'seaworthy';
import { describe, expect, it } from 'vitest';
import type { Call } from '../../src/core/call.ts';
import { seededRandom } from '../../src/testing/seeded-random.ts';
import { type VirtualClock, virtualClock } from '../../src/testing/virtual-clock.ts';

/** What a chain is made of; `Link` is one policy, a list is a nested pipeline. */
type Link =
  | { is: 'retry'; maxRetries: number; backoff: number; rejected: boolean; aborts: Aborts }
  | { is: 'timeout'; ms: number; cooperative: boolean; dynamic: boolean }
  | { is: 'breaker'; failures: number; slow: boolean; aborts: Aborts }
  | { is: 'bulkhead'; limit: number; queue: number; maxWaitMs: number; hold: boolean | number }
  | { is: 'fallback'; to: 'value' | 'ok' | 'fail' | 'hang'; timeoutMs: number | undefined; aborts: Aborts }
  | { is: 'around'; does: Middleware }
  | { is: 'nested'; chain: Link[] };
/** What a predicate answers after it has aborted the caller, when it does that. */
type Aborts = boolean | undefined;
type Middleware = 'pass' | 'twice' | 'race' | 'any' | 'early' | 'late' | 'signal' | 'own' | 'throw';

/** What the function does when it is called: `deaf` works pay no heed to their signal, `rude` ones abort the caller when told to stop. */
type Step = { does: 'ok' | 'fail' | 'throw' | 'hang' | 'deaf' | 'rude' } | { does: 'slow'; ms: number; ok: boolean };

interface Plan {
  at: number;
  steps: Step[];
  abortAt: number | undefined;
  timeoutMs: number | undefined;
  idempotent: boolean;
}

const ms = fc.integer({ min: 1, max: 40 });
const aborts = fc.constantFrom<Aborts>(undefined, undefined, undefined, undefined, undefined, undefined, true, false);
const link: fc.Arbitrary<Link> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      is: fc.constant('retry' as const),
      maxRetries: fc.nat(2),
      backoff: fc.constantFrom(0, 0, 5, 20),
      rejected: fc.boolean(),
      aborts,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      is: fc.constant('timeout' as const),
      ms,
      cooperative: fc.nat(3).map((n) => n === 0),
      dynamic: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      is: fc.constant('breaker' as const),
      failures: fc.integer({ min: 1, max: 4 }),
      slow: fc.boolean(),
      aborts,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      is: fc.constant('bulkhead' as const),
      limit: fc.integer({ min: 1, max: 2 }),
      queue: fc.nat(3),
      maxWaitMs: fc.constantFrom(5, 30, Number.POSITIVE_INFINITY),
      hold: fc.constantFrom<boolean | number>(true, false, 15),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      is: fc.constant('fallback' as const),
      to: fc.constantFrom('value' as const, 'ok' as const, 'fail' as const, 'hang' as const),
      timeoutMs: fc.option(ms, { nil: undefined }),
      aborts,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      is: fc.constant('around' as const),
      does: fc.constantFrom<Middleware>('pass', 'twice', 'race', 'any', 'early', 'late', 'signal', 'own', 'throw'),
    }),
  },
);
const chain: fc.Arbitrary<Link[]> = fc.array(
  fc.oneof(
    { weight: 8, arbitrary: link },
    {
      weight: 1,
      arbitrary: fc.record({ is: fc.constant('nested' as const), chain: fc.array(link, { maxLength: 3 }) }),
    },
  ),
  { maxLength: 6, size: 'max' },
);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    does: fc.constantFrom(
      'ok' as const,
      'fail' as const,
      'fail' as const,
      'throw' as const,
      'hang' as const,
      'deaf' as const,
      'rude' as const,
    ),
  }),
  fc.record({ does: fc.constant('slow' as const), ms, ok: fc.boolean() }),
);
const plan: fc.Arbitrary<Plan> = fc.record({
  at: fc.nat(40),
  steps: fc.array(step, { minLength: 1, maxLength: 5 }),
  abortAt: fc.option(fc.nat(60), { nil: undefined }),
  timeoutMs: fc.option(fc.integer({ min: 0, max: 60 }), { nil: undefined }),
  idempotent: fc.nat(4).map((n) => n > 0),
});

/** An entry into a spy that has not ended. */
interface Open {
  readonly call: Call;
  readonly index: number;
}

/** One spy between two stages, and what it counted. */
class Counts {
  enter = 0;
  succeed = 0;
  fail = 0;
  drop = 0;

  get ended(): number {
    return this.succeed + this.fail + this.drop;
  }
}

class World {
  readonly clock: VirtualClock = virtualClock();
  readonly who = new AsyncLocalStorage<string>();
  readonly wrong: string[] = [];
  readonly counts: Counts[] = [];
  readonly open = new Set<Open>();
  readonly bulkheads: Bulkhead[] = [];
  readonly pipelines: Pipeline<unknown>[] = [];
  /** Checks to run when everything has ended. */
  readonly finally: (() => void)[] = [];
  readonly gates: (() => void)[] = [];
  /** How to abort the caller of that name. */
  readonly callers = new Map<string, () => void>();
  readonly spans = new Map<object, number>();
  readonly observer: Observer = {
    attempts: true,
    interest: () => 2,
    start: (name) => {
      const token = { name };
      this.spans.set(token, 0);
      return token;
    },
    end: (name, token) => {
      const ends = this.spans.get(token as object);
      if (ends === undefined) this.wrong.push(`the end of ${name} without its token`);
      else this.spans.set(token as object, ends + 1);
    },
  };
  readonly listen: boolean;
  private names = 0;

  constructor(listen: boolean) {
    this.listen = listen;
  }

  spy(): { policy: Policy; counts: Counts } {
    const world = this;
    const counts = new Counts();
    this.counts.push(counts);
    class Spy extends Stage {
      override enter(call: Call): void {
        counts.enter++;
        if (call.memo[this.slot] !== undefined) world.wrong.push(`spy ${this.index} finds a memo at enter`);
        const entry = { call, index: this.index };
        call.memo[this.slot] = entry;
        world.open.add(entry);
        this.proceed(call);
      }
      override succeed(call: Call, value: unknown): void {
        counts.succeed++;
        this.close(call, 'succeed');
        this.pass(call, value);
      }
      override fail(call: Call, error: unknown): void {
        counts.fail++;
        this.close(call, 'fail');
        this.raise(call, error);
      }
      override drop(call: Call, why: DropReason): void {
        counts.drop++;
        this.close(call, `drop ${why}`);
      }
      private close(call: Call, how: string): void {
        const entry = call.memo[this.slot] as Open;
        if (!world.open.delete(entry)) world.wrong.push(`spy ${this.index} hears ${how} after its end`);
        // Whatever ends here has ended further inside before, in forks, too.
        for (const other of world.open)
          if (other.index > this.index && comesFrom(other.call, call))
            world.wrong.push(`spy ${this.index} hears ${how} before spy ${other.index} has ended`);
      }
    }
    return { counts, policy: { kind: 'spy', name: `spy-${++this.names}`, stage: () => new Spy() } };
  }

  /** User code checks that it runs in its caller's context. */
  here(where: string, id: string): void {
    const store = this.who.getStore();
    if (store !== id) this.wrong.push(`${where} of ${id} runs in the context of ${store}`);
  }

  /** A predicate that aborts the caller of the call it is asked about, which the async context tells. */
  when(aborts: Aborts): { when: () => boolean } | undefined {
    if (aborts === undefined) return undefined;
    return {
      when: () => {
        const abort = this.callers.get(this.who.getStore() ?? '');
        if (abort === undefined) this.wrong.push('a predicate in nobody’s context');
        abort?.();
        return aborts;
      },
    };
  }

  gate(result: () => unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.gates.push(() => {
        try {
          resolve(result());
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  build(name: string, links: Link[]): Pipeline<unknown> {
    const stack: Stackable[] = [];
    let outside = this.spy();
    stack.push(outside.policy);
    for (const link of links) {
      const made = this.make(link);
      const inside = this.spy();
      stack.push(made, inside.policy);
      this.check(link, made as Policy, outside.counts, inside.counts);
      outside = inside;
    }
    const { clock } = this;
    const made = pipeline(name, stack, {
      clock,
      random: seededRandom(1),
      telemetry: false,
      observers: this.listen ? [this.observer] : [],
    });
    this.pipelines.push(made);
    return made;
  }

  private make(link: Link): Stackable {
    const { clock } = this;
    const key = (call: CallContext) => call.key!;
    switch (link.is) {
      case 'retry':
        return retry({
          maxRetries: link.maxRetries,
          backoff: ({ call }) => {
            this.here('backoff', key(call));
            return link.backoff;
          },
          budget: { capacity: 3, ratio: 0.5, minPerSecond: 1 },
          retryRejected: link.rejected,
          ...this.when(link.aborts),
        });
      case 'timeout':
        return timeout({
          ms: link.dynamic ? (call) => (this.here('ms', key(call)), link.ms) : link.ms,
          mode: link.cooperative ? 'cooperative' : 'abandon',
        });
      case 'breaker':
        return circuitBreaker({
          consecutiveFailures: link.failures,
          breakMs: 10,
          halfOpenCalls: 1,
          halfOpenMs: 1e9,
          ...(link.slow && { slowMs: 20 }),
          ...this.when(link.aborts),
        });
      case 'bulkhead': {
        const slots = bulkhead({
          limit: link.limit,
          queue: link.queue,
          maxWaitMs: link.maxWaitMs,
          holdUntilSettled: typeof link.hold === 'number' ? { maxMs: link.hold } : link.hold,
        });
        this.bulkheads.push(slots);
        return slots;
      }
      case 'fallback':
        if (link.to === 'value') return fallback({ to: { value: 'spare' }, ...this.when(link.aborts) });
        return fallback({
          to: (_outcome, call) => {
            this.here('fallback', key(call));
            if (link.to === 'ok') return 'spare';
            if (link.to === 'fail') throw new Error('fallback');
            return this.gate(() => 'spare');
          },
          timeoutMs: link.timeoutMs,
          ...this.when(link.aborts),
        });
      case 'around':
        return policy({
          kind: 'around',
          repeats: link.does === 'twice' || link.does === 'race' || link.does === 'any',
          around: async (call, next) => {
            this.here('around', key(call));
            switch (link.does) {
              case 'pass':
                return next();
              case 'twice':
                try {
                  return await next();
                } catch {
                  this.here('around again', key(call));
                  return next();
                }
              case 'race':
                return Promise.race([next(), next()]);
              case 'any':
                return Promise.any([next(), next(), next()]);
              case 'early':
                void next();
                return 'early';
              case 'late':
                await undefined;
                return next();
              case 'signal': {
                const own = new AbortController();
                const timer = clock.after(12, () => own.abort('own'));
                return next(own.signal).finally(() => timer.cancel());
              }
              case 'own':
                return 'own';
              case 'throw':
                await next().catch(() => {});
                throw new Error('around');
            }
          },
        });
      case 'nested':
        return this.build(`inner-${++this.names}`, link.chain);
    }
  }

  /** What each kind counts adds up with what the spies around it saw. */
  private check(link: Link, made: Policy, outside: Counts, inside: Counts): void {
    this.finally.push(() => {
      const sum = (counts: object) => Object.values(counts).reduce((a, b) => a + b, 0);
      if (link.is === 'nested') {
        const { calls, active, outcomes } = (made as unknown as Pipeline<unknown>).snapshot();
        expect({ nested: calls, active }).toEqual({ nested: outside.enter, active: 0 });
        expect(sum(outcomes)).toBe(calls);
        return;
      }
      const state = made.snapshot?.();
      if (state?.kind === 'retry') {
        expect(sum(state.executions)).toBe(outside.enter);
        expect(state.attempts).toBe(inside.enter - outside.enter);
      } else if (state?.kind === 'circuit_breaker') {
        const { success, failure, ignored, rejected } = state.executions;
        expect(success + failure + ignored).toBe(inside.enter);
        expect(rejected).toBe(outside.enter - inside.enter);
      } else if (state?.kind === 'bulkhead') {
        const { bulkhead_full = 0, queue_timeout = 0 } = state.rejections;
        expect(inside.enter + bulkhead_full + queue_timeout).toBeLessThanOrEqual(outside.enter);
      } else if (state?.kind === 'fallback') {
        expect(state.executions.success + state.executions.failure).toBeLessThanOrEqual(inside.fail + inside.succeed);
      }
    });
  }
}

function comesFrom(call: Call, ancestor: Call): boolean {
  for (let own: Call | null = call; own !== null; own = own.parent) if (own === ancestor) return true;
  return false;
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

async function play(links: Link[], plans: Plan[], listen: boolean): Promise<void> {
  const world = new World(listen);
  const { clock, who } = world;
  const p = world.build('p', links);
  let invoked = 0;
  const ends = plans.map((plan, i) => {
    const id = `call-${i}`;
    const caller = new AbortController();
    const end = { times: 0, state: '', result: undefined as unknown, reason: { aborted: id }, id };
    world.callers.set(id, () => caller.abort(end.reason));
    let calls = 0;
    const fn = ({ signal }: CallContext): unknown => {
      invoked++;
      world.here('fn', id);
      const step = plan.steps[calls++] ?? { does: 'ok' };
      const stopped = (more?: () => void) =>
        new Promise((resolve, reject) => {
          // Hung for good, were it not for the end of the test.
          world.gates.push(() => resolve('released'));
          signal.addEventListener('abort', () => {
            world.here('abort listener', id);
            more?.();
            reject(signal.reason);
          });
          if (signal.aborted) reject(signal.reason);
        });
      switch (step.does) {
        case 'ok':
          return calls % 2 === 0 ? 'ok' : Promise.resolve('ok');
        case 'fail':
          return Promise.reject(new Error('fail'));
        case 'throw':
          throw new Error('throw');
        case 'hang':
          return stopped();
        case 'rude':
          return stopped(() => caller.abort(end.reason));
        case 'deaf':
          return world.gate(() => 'deaf');
        case 'slow':
          return new Promise((resolve, reject) =>
            clock.after(step.ms, () => (step.ok ? resolve('slow') : reject(new Error('slow')))),
          );
      }
    };
    if (plan.abortAt !== undefined)
      clock.after(plan.abortAt, () => who.run('somebody else', () => caller.abort(end.reason)));
    clock.after(plan.at, () =>
      who.run(id, () => {
        const { timeoutMs, idempotent } = plan;
        p.execute(fn, {
          signal: caller.signal,
          key: id,
          timeoutMs,
          idempotent,
          onDiscard: () => world.here('onDiscard', id),
        }).then(
          (value) => Object.assign(end, { times: end.times + 1, state: 'value', result: value }),
          (error) => Object.assign(end, { times: end.times + 1, state: 'error', result: error }),
        );
      }),
    );
    return end;
  });

  // Whatever hangs for good is let go in the end, more than once, because a retry may hang again.
  for (let round = 0; round < 30; round++) {
    await clock.advance(500);
    for (const open of world.gates.splice(0)) open();
    await turn();
    if (world.gates.length === 0 && round > 1) break;
  }
  await clock.advance(200_000);
  await turn();
  await turn();

  expect([...new Set(world.wrong)]).toEqual([]);
  expect(ends.map(({ times }) => times)).toEqual(plans.map(() => 1));
  for (const { enter, succeed, fail, drop, ended } of world.counts)
    expect({ succeed, fail, drop, ended }).toEqual({ succeed, fail, drop, ended: enter });
  expect(world.open.size).toBe(0);
  for (const { active, queued, held } of world.bulkheads)
    expect({ active, queued, held }).toEqual({ active: 0, queued: 0, held: 0 });
  expect(clock.pending).toBe(0);
  for (const [token, times] of world.spans) expect({ ...token, times }).toEqual({ ...token, times: 1 });
  const snapshot = p.snapshot();
  const values = ends.filter(({ state }) => state === 'value').length;
  const cancelled = ends.filter(({ state, result, reason }) => state === 'error' && result === reason).length;
  expect(snapshot).toMatchObject({ calls: plans.length, active: 0, attempts: invoked });
  expect({
    values: snapshot.outcomes.success + snapshot.outcomes.fallback,
    cancelled: snapshot.outcomes.cancelled,
    failure: snapshot.outcomes.failure,
  }).toEqual({ values, cancelled, failure: plans.length - values - cancelled });
  for (const check of world.finally) check();
}

describe('random chains of all policies, a spy between all stages', () => {
  const runs = Number(process.env.PIPELINE_RUNS ?? 1_000);
  for (const listen of [false, true])
    it(`keep the invariants of the frame ${listen ? 'while somebody listens' : 'while nobody listens'}`, async () => {
      await fc.assert(
        fc.asyncProperty(chain, fc.array(plan, { minLength: 1, maxLength: 5 }), (links, plans) =>
          play(links, plans, listen),
        ),
        {
          seed: Number(process.env.PIPELINE_SEED ?? 20_261_121),
          numRuns: runs,
          unbiased: true,
          endOnFailure: process.env.PIPELINE_FAST === '1',
        },
      );
    }, 120_000);
});
