import { AsyncLocalStorage } from 'node:async_hooks';
import {
  type Bulkhead,
  bulkhead,
  type CallContext,
  circuitBreaker,
  type DropReason,
  fallback,
  type Observer,
  type Pipeline,
  type PipelineEvent,
  type Policy,
  pipeline,
  policy,
  retry,
  Stage,
  type Stackable,
  timeout,
} from 'seaworthy';
import { expect } from 'vitest';
import type { Call } from '../../src/core/call.ts';
import { seededRandom } from '../../src/testing/seeded-random.ts';
import { type VirtualClock, virtualClock } from '../../src/testing/virtual-clock.ts';
import type { Aborts, Link } from './pipelines-plan.ts';

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

/** What the random chain is made of, and all that is known of it. */
export class World {
  readonly clock: VirtualClock = virtualClock();
  readonly who = new AsyncLocalStorage<string>();
  readonly wrong: string[] = [];
  readonly counts: Counts[] = [];
  readonly open = new Set<Open>();
  readonly bulkheads: Bulkhead[] = [];
  readonly pipelines: Pipeline<unknown>[] = [];
  /** Everything any of them told. */
  readonly events: PipelineEvent[] = [];
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
    if (this.listen) made.subscribe((event) => this.events.push(event));
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
