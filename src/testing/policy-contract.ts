import { AsyncLocalStorage } from 'node:async_hooks';
import type { ExecuteOptions } from '../core/execute-options.ts';
import { flag } from '../core/options.ts';
import type { Outcome } from '../core/outcome.ts';
import { Pipeline } from '../core/pipeline.ts';
import { type Host, type Policy, Stage } from '../core/policy.ts';
import type { CallContext } from '../core/work.ts';
import { systemClock } from '../ports/clock.ts';
import { soon } from '../ports/turn.ts';
import type { Observer } from '../telemetry/observer.ts';
import { seededRandom } from './seeded-random.ts';
import { type VirtualClock, virtualClock } from './virtual-clock.ts';

/** One promise of the contract. */
export interface PolicyContractCase {
  /** What is promised, as a sentence. */
  readonly name: string;
  /** Rejects with an error that says what was broken. */
  run(): Promise<void>;
}

/** What the contract has to know of the policy. */
export interface PolicyContractOptions {
  /**
   * Whether the policy answers failures itself, as a fallback does; the user's error then need not come through.
   * @default false
   */
  readonly rescues?: boolean | undefined;
}

/**
 * What every policy promises, as test cases for a policy of your own. `make` is called once for each case and must give a
 * new policy, set so that single calls come through: a limit above 0, a timeout above a second. The cases belong to no
 * test runner:
 *
 * ```ts
 * for (const { name, run } of policyContract(() => myPolicy())) test(name, run);
 * ```
 *
 * Time is a virtual clock that is moved on while a call waits; a policy that keeps time by itself gets two real seconds
 * for each call. The runner's fake timers must be off.
 */
export function policyContract(
  make: () => Policy<unknown>,
  { rescues = false }: PolicyContractOptions = {},
): PolicyContractCase[] {
  return cases
    .filter(({ errors }) => !(errors && rescues))
    .map(({ name, run }) => ({
      name,
      run: async () => {
        const bench = new Bench(name, make(), rescues);
        await run(bench);
        await bench.nothingLeft();
      },
    }));
}

/** `errors`: an error of the function has to come through. */
const cases: readonly { name: string; errors?: boolean; run(bench: Bench): Promise<void> | void }[] = [
  {
    name: 'kind and name are well formed',
    run({ policy, hold }) {
      hold(
        typeof policy.kind === 'string' && /^[a-z][a-z0-9_]{0,39}$/.test(policy.kind),
        `kind must be snake_case, at most 40 characters, and is ${String(policy.kind)}`,
      );
      hold(
        policy.name === undefined || (typeof policy.name === 'string' && /^[\w./#-]{1,128}$/.test(policy.name)),
        `name must be 1-128 characters of letters, digits, ".", "_", "-", "/", "#", or undefined, and is ${String(policy.name)}`,
      );
    },
  },
  {
    name: 'each place in a pipeline gets a stage of its own',
    run({ policy, clock, hold }) {
      const host = (name: string): Host => ({
        pipeline: 'contract',
        policy: name,
        clock,
        random: seededRandom(1),
        stackTraces: false,
      });
      const [one, other] = [policy.stage(host('one')), policy.stage(host('other'))];
      hold(one instanceof Stage, 'stage() must answer a Stage');
      hold(one !== other, 'stage() must make a new stage each time: a stage knows its place in one pipeline');
    },
  },
  {
    name: 'a value passes',
    async run(bench) {
      const value = { some: 'value' };
      bench.same(await bench.value(() => value), value, 'a value returned at once must come through as it is');
      bench.same(
        await bench.value(async () => value),
        value,
        'a value that a promise brings must come through as it is',
      );
      bench.same(await bench.value(async () => undefined), undefined, 'undefined is a value, too');
    },
  },
  {
    name: "the user's error passes untouched",
    errors: true,
    async run(bench) {
      // Frozen, so that writing to it would throw.
      const error = Object.freeze(new Error('of the user'));
      bench.same(
        await bench.error(async () => Promise.reject(error)),
        error,
        "the user's error must come through as the same object",
      );
    },
  },
  {
    name: 'a rejection with undefined stays one',
    errors: true,
    async run(bench) {
      bench.same(
        await bench.error(async () => Promise.reject(undefined)),
        undefined,
        'a rejection with undefined must stay one',
      );
    },
  },
  {
    name: 'a synchronous throw becomes a rejection',
    errors: true,
    async run(bench) {
      const error = new Error('thrown at once');
      const failing = () => {
        throw error;
      };
      let promise: Promise<unknown> | undefined;
      try {
        promise = bench.pipeline.execute(failing);
        promise.catch(() => {});
      } catch {
        bench.hold(false, 'execute must not throw synchronously');
      }
      await bench.settle(
        promise!.then(
          () => {},
          () => {},
        ),
      );
      bench.same(
        await bench.error(failing),
        error,
        'what the function threw at once must come through as the same object',
      );
    },
  },
  {
    name: "the caller's abort ends a call at once, with the caller's own reason",
    async run(bench) {
      for (const ms of [0, 1, 10_000]) {
        const caller = new AbortController();
        const reason = { given: 'by the caller' };
        let work: Deferred | undefined;
        let seen: AbortSignal | undefined;
        const promise = bench.pipeline.tryExecute(({ signal }) => {
          seen = signal;
          return (work ??= new Deferred()).promise;
        }, caller.signal);
        if (ms > 0) await bench.clock.advance(ms);
        let outcome: Outcome | undefined;
        void promise.then((ended) => (outcome = ended));
        // A policy may have ended the call by itself meanwhile.
        await turn();
        if (outcome === undefined) {
          caller.abort(reason);
          await turn();
          bench.hold(outcome !== undefined, 'the call must end in the turn of the abort, though the function goes on');
          bench.same(
            (outcome as Outcome | undefined)?.error,
            reason,
            "the call must reject with the caller's signal.reason, the same object",
          );
          bench.hold(seen === undefined || seen.aborted, "the function's signal must be aborted with the call");
        }
        work?.resolve(undefined);
        await turn();
      }
    },
  },
  {
    name: 'an already aborted signal means that the function is not called',
    async run(bench) {
      const reason = { given: 'before' };
      let called = 0;
      const outcome = await bench.settle(bench.pipeline.tryExecute(() => called++, AbortSignal.abort(reason)));
      bench.same(called, 0, 'the function must not be called');
      bench.same(outcome.error, reason, "the call must reject with the caller's signal.reason");
    },
  },
  {
    name: 'permits come back from calls that were given up',
    async run(bench) {
      // Many at a time, so that queues fill; then as many again one by one, which no leak survives.
      for (const together of [200, ...Array<number>(200).fill(1)]) {
        const caller = new AbortController();
        const calls = Array.from({ length: together }, () => bench.pipeline.tryExecute(untilAborted, caller.signal));
        await turn();
        caller.abort(new Error('given up'));
        for (const call of calls) await bench.settle(call);
      }
      await bench.idle();
      bench.same(
        await bench.value(() => 'through'),
        'through',
        'after 400 calls that were given up the next one must come through',
      );
    },
  },
  {
    name: 'permits come back from calls that ended, well or not',
    async run(bench) {
      for (const ends of ['value', 'error', 'sync error'] as const) {
        for (let i = 0; i < 100; i++) {
          const promise = bench.pipeline.tryExecute(() => {
            if (ends === 'value') return Promise.resolve();
            if (ends === 'error') return Promise.reject(new Error('failed'));
            throw new Error('failed');
          });
          await bench.settle(promise);
        }
      }
      // Longer than any break: what failures alone have closed is open again.
      await bench.clock.advance(3_600_000);
      await bench.idle();
      bench.same(
        await bench.value(() => 'through'),
        'through',
        'an hour after 300 calls the next one must come through',
      );
    },
  },
  {
    name: "the function's late answer moves nothing",
    async run(bench) {
      for (const late of ['value', 'error'] as const) {
        for (const end of ['abort', 'deadline'] as const) {
          const caller = new AbortController();
          const discarded: unknown[] = [];
          const work: Deferred[] = [];
          const options: ExecuteOptions = {
            signal: caller.signal,
            timeoutMs: end === 'deadline' ? 5 : undefined,
            onDiscard: (value) => discarded.push(value),
          };
          const promise = bench.pipeline.tryExecute(() => work[work.push(new Deferred()) - 1]!.promise, options);
          await turn();
          if (end === 'abort') caller.abort(new Error('given up'));
          const outcome = await bench.settle(promise);
          const { outcomes, attempts } = bench.pipeline.snapshot();
          const value = { late: true };
          for (const one of work) {
            if (late === 'value') one.resolve(value);
            else one.reject(new Error('late'));
          }
          await turn();
          await turn();
          const after = bench.pipeline.snapshot();
          bench.same(await promise, outcome, 'the outcome must stand');
          bench.same(JSON.stringify(after.outcomes), JSON.stringify(outcomes), 'no outcome may be counted twice');
          bench.same(after.attempts, attempts, 'a late answer must start nothing');
          if (late === 'value' && outcome.value !== value)
            bench.same(discarded.length, work.length, 'each late value must be given to onDiscard, once');
        }
      }
      // Deadlines may well have opened a circuit.
      await bench.clock.advance(3_600_000);
      bench.same(await bench.value(() => 'through'), 'through', 'afterwards a call must come through');
    },
  },
  {
    name: 'a listener that throws changes nothing',
    async run(bench) {
      // Reported, as every fault of a listener; without a stack, which would look like a fault of the test.
      const error = new Error('thrown on purpose by policyContract');
      error.stack = String(error);
      const thrower = () => {
        throw error;
      };
      const loud = bench.anew([{ event: thrower, start: thrower, end: thrower, within: thrower, interest: () => 2 }]);
      loud.pipeline.subscribe(thrower);
      const value = { some: 'value' };
      bench.same(await loud.value(() => value), value, 'a value must come through');
      if (!bench.rescues) {
        const error = new Error('of the user');
        bench.same(await loud.error(() => Promise.reject(error)), error, "the user's error must come through");
      }
      const caller = new AbortController();
      const promise = loud.pipeline.tryExecute(untilAborted, caller.signal);
      caller.abort('reason');
      bench.same((await loud.settle(promise)).error, 'reason', "the caller's reason must come through");
    },
  },
  {
    name: "the function runs in its own caller's async context",
    async run(bench) {
      const store = new AsyncLocalStorage<number>();
      const wrong = new Set<string>();
      const one = (caller: number) =>
        store.run(caller, () =>
          bench.pipeline.tryExecute(async () => {
            const first = store.getStore();
            if (first !== caller) wrong.add(`caller ${caller} found the context of ${first}`);
            await turn();
            // Failing, so that what goes again does so, and from whatever timer or slot wakes it.
            if (caller % 2 === 0) throw new Error('again');
            return caller;
          }),
        );
      const calls = Array.from({ length: 20 }, (_, caller) => one(caller));
      for (const call of calls) await bench.settle(call);
      bench.hold(
        wrong.size === 0,
        `the function, queued or repeated, must find the context of its caller: ${[...wrong].join('; ')}`,
      );
    },
  },
];

/** One policy in a pipeline of its own, on a clock of its own. */
class Bench {
  readonly clock: VirtualClock = virtualClock(1_000);
  readonly pipeline: Pipeline<unknown>;
  readonly policy: Policy<unknown>;
  readonly rescues: boolean;
  private readonly name: string;

  constructor(
    name: string,
    policy: Policy<unknown>,
    rescues: boolean,
    observers: readonly Observer[] = [],
    clock?: VirtualClock,
  ) {
    this.name = name;
    this.policy = policy;
    this.rescues = rescues;
    if (clock !== undefined) this.clock = clock;
    const nobody = () => ({});
    this.pipeline = new Pipeline(
      'contract',
      [policy],
      { clock: this.clock, random: seededRandom(1), telemetry: false, observers },
      {
        observer: () => nobody,
        telemetry: flag,
        adopt: (foreign) => {
          throw new TypeError(`policyContract takes policies with a kind and a stage, received ${typeof foreign}`);
        },
      },
    );
  }

  /** The same policy with others listening. */
  anew(observers: readonly Observer[]): Bench {
    return new Bench(this.name, this.policy, this.rescues, observers, this.clock);
  }

  readonly hold = (kept: boolean, promise: string): void => {
    if (!kept) throw new Error(`The policy "${this.policy.kind}" breaks its contract, "${this.name}": ${promise}.`);
  };

  same(received: unknown, expected: unknown, promise: string): void {
    if (!Object.is(received, expected))
      this.hold(false, `${promise}; received ${describe(received)}, not ${describe(expected)}`);
  }

  async value(fn: (call: CallContext) => unknown): Promise<unknown> {
    const outcome = await this.settle(this.pipeline.tryExecute(fn));
    this.hold(outcome.status === 'value', `the call must resolve, and rejected with ${describe(outcome.error)}`);
    return outcome.value;
  }

  async error(fn: (call: CallContext) => unknown): Promise<unknown> {
    const outcome = await this.settle(this.pipeline.tryExecute(fn));
    this.hold(outcome.status === 'failure', `the call must reject, and resolved with ${describe(outcome.value)}`);
    return outcome.error;
  }

  /** What `promise` brings, with time moving on as long as it takes. */
  async settle<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const done = () => {
      settled = true;
    };
    promise.then(done, done);
    await turn();
    for (let ms = 1; ms <= 10_000_000 && !settled; ms *= 10) await this.clock.advance(ms);
    const until = systemClock.now() + 2_000;
    while (!settled && systemClock.now() < until) await new Promise<void>((resolve) => systemClock.after(1, resolve));
    this.hold(settled, 'the call must end; hours later on the virtual clock, and two real seconds, it had not');
    return promise;
  }

  /** The last of the abandoned work has ended. */
  async idle(): Promise<void> {
    await turn();
    await turn();
    const { active } = this.pipeline.snapshot();
    this.same(active, 0, 'no execution may be left running');
    const state: Readonly<Record<string, unknown>> = { ...this.policy.snapshot?.() };
    for (const count of ['active', 'queued', 'held'])
      if (typeof state[count] === 'number') this.same(state[count], 0, `snapshot().${count} must come back to 0`);
  }

  async nothingLeft(): Promise<void> {
    await this.idle();
    this.same(this.clock.pending, 0, 'two turns after the last call no timer may be left on the clock');
  }
}

class Deferred {
  resolve!: (value: unknown) => void;
  reject!: (error: unknown) => void;
  readonly promise = new Promise<unknown>((resolve, reject) => {
    this.resolve = resolve;
    this.reject = reject;
  });
}

function untilAborted({ signal }: CallContext): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) return reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

/** A turn of the event loop: every promise that could settle has. */
function turn(): Promise<void> {
  return new Promise<void>(soon);
}

function describe(value: unknown): string {
  if (value instanceof Error) return `${value.name}: ${value.message}`;
  return typeof value === 'object' && value !== null ? 'another object' : String(value);
}
