import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import {
  type CallContext,
  type DropReason,
  isTimeoutError,
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
import { type VirtualClock, virtualClock } from '../../src/testing/virtual-clock.ts';
import { commands, explore, holds, operations, patience, same } from './explore.ts';
import { type Link, type Middleware, Timeline, Tree } from './tree-model.ts';

const link: fc.Arbitrary<Link> = fc.oneof(
  fc.record({ is: fc.constant('retry' as const), maxRetries: fc.nat(2), pauseMs: fc.constantFrom(0, 0, 7, 30) }),
  fc.record({ is: fc.constant('timeout' as const), ms: fc.integer({ min: 5, max: 60 }), waits: fc.boolean() }),
  fc.record({
    is: fc.constant('around' as const),
    does: fc.constantFrom<Middleware>('pass', 'again', 'race', 'any', 'all', 'early', 'tells', 'tells', 'limits'),
  }),
);
/** A list in the list is a nested pipeline. */
const chain = fc.array(
  fc.oneof({ weight: 5, arbitrary: link }, { weight: 1, arbitrary: fc.array(link, { maxLength: 2 }) }),
  {
    minLength: 1,
    maxLength: 4,
    size: 'max',
  },
);
const command = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('start' as const), which: fc.constant(0) }) },
  { weight: 9, arbitrary: fc.record({ do: fc.constantFrom('value' as const, 'error' as const), which: fc.nat(1000) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('pass' as const), which: fc.nat(40) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('abort' as const), which: fc.nat(1000) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('tell' as const), which: fc.nat(1000) }) },
);

/** What an error or a reason is called in the model. */
const nameOf = (error: unknown): string => {
  if (isTimeoutError(error)) return `timeout ${error.timeoutMs}`;
  if (error instanceof AggregateError) return 'any';
  const { message } = error as Error;
  return message === 'not needed any more' ? 'lost' : message;
};

/** A run of the function. */
interface Run {
  readonly call: CallContext;
  aborted: string | undefined;
  /** Whether it has read its signal at once; others are asked in the end. */
  readonly eager: boolean;
  settle(ok: boolean, result: string): void;
}

/** One call, under test. */
class Caller {
  readonly controller = new AbortController();
  readonly runs: Run[] = [];
  readonly tellers: AbortController[] = [];
  end: string | undefined;
  ends = 0;

  start(pipe: Pipeline<unknown>, key: string): void {
    pipe
      .execute((call) => this.run(call), { signal: this.controller.signal, key })
      .then(
        (value) => this.finish(`value ${Array.isArray(value) ? 'all' : String(value)}`),
        (error) => this.finish(`error ${nameOf(error)}`),
      );
  }

  private finish(end: string): void {
    this.ends++;
    this.end = end;
  }

  private run(call: CallContext): Promise<string> {
    const polite = this.runs.length % 4 === 1;
    return new Promise((resolve, reject) => {
      const settle = (ok: boolean, result: string) => (ok ? resolve(result) : reject(new Error(result)));
      const run: Run = { call, aborted: undefined, eager: polite || this.runs.length % 3 > 0, settle };
      this.runs.push(run);
      if (!run.eager) return;
      const { signal } = call;
      signal.addEventListener('abort', () => {
        same('aborted once', run.aborted, undefined);
        run.aborted = nameOf(signal.reason);
        if (polite) reject(signal.reason);
      });
    });
  }
}

/** Between all stages: each hears exactly one end, and nothing after it. */
class Spy extends Stage {
  readonly open: Set<object>;
  constructor(open: Set<object>) {
    super();
    this.open = open;
  }
  override enter(call: Call): void {
    holds('a stage finds nothing of an earlier run', call.memo[this.slot] === undefined);
    const entry = {};
    call.memo[this.slot] = entry;
    this.open.add(entry);
    this.proceed(call);
  }
  override succeed(call: Call, value: unknown): void {
    this.close(call);
    this.pass(call, value);
  }
  override fail(call: Call, error: unknown): void {
    this.close(call);
    this.raise(call, error);
  }
  override drop(call: Call, _why: DropReason): void {
    this.close(call);
  }
  private close(call: Call): void {
    holds('a stage hears one end', this.open.delete(call.memo[this.slot] as object));
  }
}

/** The pipelines under test beside their model; calls begin one after the other and share nothing but the stages. */
class Forest {
  readonly clock: VirtualClock = virtualClock();
  readonly time = new Timeline();
  readonly callers: Caller[] = [];
  readonly trees: Tree[] = [];
  private readonly links: Link[] = [];
  private readonly open = new Set<object>();
  private readonly pipe: Pipeline<unknown>;
  private reasons = 0;

  constructor(chain: readonly (Link | Link[])[]) {
    this.pipe = this.build('tree', chain);
  }

  private build(name: string, chain: readonly (Link | Link[])[]): Pipeline<unknown> {
    const spy: Policy = { kind: 'spy', stage: () => new Spy(this.open) };
    const stack: Stackable[] = [{ ...spy }];
    for (const link of chain)
      stack.push(Array.isArray(link) ? this.build(`${name}-${stack.length}`, link) : this.make(link), { ...spy });
    return pipeline(name, stack, { clock: this.clock, telemetry: false });
  }

  private make(given: Link): Policy {
    if (given.is === 'retry') {
      this.links.push(given);
      return retry({ maxRetries: given.maxRetries, backoff: given.pauseMs, budget: false });
    }
    if (given.is === 'timeout') {
      // A fraction of its own: no two stages are due at the same moment.
      const link = { ...given, ms: given.ms + 0.0137 * (this.links.length + 1) };
      this.links.push(link);
      return timeout({ ms: link.ms, mode: link.waits ? 'cooperative' : 'abandon' });
    }
    this.links.push(given);
    const { does } = given;
    return policy({
      kind: 'around',
      repeats: does === 'again',
      around: async (call, next) => {
        if (does === 'pass') return next();
        if (does === 'again') return next().catch(() => next());
        if (does === 'race') return Promise.race([next(), next()]);
        if (does === 'any') return Promise.any([next(), next()]);
        if (does === 'all') return Promise.all([next(), next()]);
        if (does === 'early') return (void next(), 'early');
        const own = new AbortController();
        this.callers[Number(call.key)]!.tellers.push(own);
        if (does === 'tells') return next(own.signal);
        // It takes its time to say so, and its word must come first all the same.
        const limit = new Promise<void>((resolve) => {
          own.signal.addEventListener('abort', function limit() {
            resolve();
          });
        }).then(async () => {
          for (let n = 0; n < 10; n++) await undefined;
          throw new Error('limit');
        });
        return Promise.race([next(own.signal), limit]);
      },
    });
  }

  start(): void {
    const caller = new Caller();
    const key = String(this.callers.push(caller) - 1);
    caller.start(this.pipe, key);
    this.trees.push(new Tree(this.time, this.links));
  }

  /** The runs of the function that have not ended, by call and number. */
  get running(): { caller: Caller; tree: Tree; at: number }[] {
    return this.trees.flatMap((tree, call) =>
      tree.leaves.flatMap(({ over }, at) => (over ? [] : [{ caller: this.callers[call]!, tree, at }])),
    );
  }

  settle(which: number, ok: boolean): void {
    const { running } = this;
    const { caller, tree, at } = running[which % running.length]!;
    const result = `${ok ? 'v' : 'e'}${at}`;
    caller.runs[at]!.settle(ok, result);
    tree.leaves[at]!.settle(ok, result);
  }

  /** The middlewares that may abort a signal of their own. */
  get tellers(): { own: AbortController; tell: (reason: string) => void }[] {
    return this.trees.flatMap((tree, call) =>
      tree.tellers.flatMap((teller, at) =>
        teller.mayTell
          ? [{ own: this.callers[call]!.tellers[at]!, tell: (reason: string) => teller.tell(reason) }]
          : [],
      ),
    );
  }

  async tell(which: number): Promise<void> {
    const { tellers } = this;
    const { own, tell } = tellers[which % tellers.length]!;
    const reason = `told ${++this.reasons}`;
    own.abort(new Error(reason));
    tell(reason);
    // Each middleware on the way out may take a turn for a word of its own.
    for (let n = 0; n < 6; n++) await turn();
  }

  abort(which: number): void {
    const at = which % this.callers.length;
    this.callers[at]!.controller.abort(new Error('caller'));
    this.trees[at]!.abort('caller');
  }

  async pass(ms: number): Promise<void> {
    await this.clock.advance(ms);
    this.time.pass(ms);
  }

  compare(): void {
    for (const [n, { leaves, end }] of this.trees.entries()) {
      const caller = this.callers[n]!;
      if (caller.end !== end) same(`the end of call ${n}`, caller.end, end);
      const { length } = caller.runs;
      if (length !== leaves.length) same(`runs of call ${n}`, length, leaves.length);
      for (let at = 0; at < length; at++) {
        const { eager, aborted } = caller.runs[at]!;
        if (eager && aborted !== leaves[at]!.aborted)
          same(`the signal of run ${at} of call ${n}`, aborted, leaves[at]!.aborted);
      }
    }
    if (this.trees.every(({ end }) => end !== undefined))
      same('timers of calls that have ended', this.clock.pending, 0);
  }

  /** Whatever runs is let go, and then nothing of it is left. */
  async finish(): Promise<void> {
    do {
      while (this.running.length > 0) {
        this.settle(0, true);
        await this.pass(0);
      }
      await this.pass(200);
    } while (this.running.length > 0);
    await turn();
    this.compare();
    for (const [n, { runs, ends, controller, tellers }] of this.callers.entries()) {
      same(`ends of call ${n}`, ends, 1);
      for (const [at, { call }] of runs.entries()) {
        const { aborted } = this.trees[n]!.leaves[at]!;
        same(`the signal of run ${at}, read late`, call.signal.aborted, aborted !== undefined);
        if (aborted !== undefined) same('its reason', nameOf(call.signal.reason), aborted);
      }
      same('listeners left', getEventListeners(controller.signal, 'abort').length, 0);
      // That of the middleware itself may be there; ours is not.
      for (const { signal } of tellers)
        same('listeners left', getEventListeners(signal, 'abort').filter((own) => own.name !== 'limit').length, 0);
    }
    same('open stages and pending timers', [this.open.size, this.clock.pending], [0, 0]);
  }
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('nested middlewares, retries and timeouts', () => {
  it(
    'abort each signal exactly when the model says, start as many runs, end each stage once, and leave nothing behind',
    async () => {
      const seen = { starts: 0, told: 0, aborted: 0, runs: 0 };
      await explore('cancellation tree', fc.tuple(chain, commands(command, 60)), async ([chain, run], did) => {
        const forest = new Forest(chain);
        for (const next of run) {
          if (next.do === 'start' && forest.running.length > 12) continue;
          if ((next.do === 'value' || next.do === 'error') && forest.running.length === 0) continue;
          if (next.do === 'tell' && forest.tellers.length === 0) continue;
          if (next.do === 'abort' && forest.trees.length === 0) continue;
          did();
          if (next.do === 'start') forest.start();
          else if (next.do === 'tell') {
            await forest.tell(next.which);
            seen.told++;
          } else if (next.do === 'abort') forest.abort(next.which);
          else if (next.do !== 'pass') forest.settle(next.which, next.do === 'value');
          // A moment of its own for everything.
          await forest.pass(next.do === 'pass' ? next.which : 0.0171);
          forest.compare();
        }
        await forest.finish();
        seen.starts += forest.trees.length;
        for (const { leaves } of forest.trees) {
          seen.runs += leaves.length;
          seen.aborted += leaves.filter(({ aborted }) => aborted !== undefined).length;
        }
      });
      for (const often of Object.values(seen)) expect(often).toBeGreaterThan(operations / 100);
    },
    patience,
  );
});
