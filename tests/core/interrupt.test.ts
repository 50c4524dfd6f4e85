import {
  circuitBreaker,
  fallback,
  type Pipeline,
  type Policy,
  pipeline,
  policy,
  retry,
  Stage,
  timeout,
} from 'seaworthy';
import { virtualClock } from 'seaworthy/testing';
import { describe, expect, it } from 'vitest';
import type { Call } from '../../src/core/call.ts';
import { interrupt } from '../../src/core/interrupt.ts';
import type { Clock } from '../../src/ports/clock.ts';
import { spy, turn, watch } from './spy.ts';

const boom = new Error('boom');
const hang = () => new Promise<never>(() => {});
const passes = (name: string) => policy({ kind: 'passes', name, around: (_call, next) => next() });

/** A clock whose timers ring by their length, when a test says so. */
function handClock() {
  const rings = new Map<number, () => void>();
  const timer = { cancel() {}, ref() {}, unref() {} };
  let time = 0;
  const clock: Clock = {
    now: () => time,
    after: (ms, fn) => (rings.set(ms, fn), timer),
  };
  return { clock, at: (ms: number) => void (time = ms), ring: (ms: number) => rings.get(ms)!() };
}

describe('what a middleware runs is timed out, and an abort listener in it', () => {
  it.each([
    ['one middleware', [passes('a')]],
    ['two of them', [passes('a'), passes('b')]],
  ])('aborts the caller: what is inside %s hears its end before what is outside', async (_what, middle) => {
    const clock = virtualClock();
    const caller = new AbortController();
    const log: string[] = [];
    const pipe = pipeline('p', [spy('out', log), ...middle, timeout(10), spy('in', log)], { clock });
    const seen = watch(
      pipe.execute(({ signal }) => {
        signal.addEventListener('abort', () => {
          log.push('abort');
          caller.abort('enough');
        });
        return hang();
      }, caller.signal),
    );
    await clock.advance(10);
    expect(seen).toEqual({ state: 'error', result: 'enough', times: 1 });
    expect(log.slice(2)).toEqual(['abort', 'in drop timed_out', 'out drop cancelled']);
    expect(pipe.snapshot()).toMatchObject({ active: 0, outcomes: { cancelled: 1 } });
  });

  it('ends another call, which waits for nothing', async () => {
    const clock = virtualClock();
    const caller = new AbortController();
    const other = pipeline('other', [passes('b')]);
    const ended = watch(other.execute(hang, caller.signal));
    const active: number[] = [];
    const pipe = pipeline('p', [passes('a'), timeout(10)], { clock });
    const seen = watch(
      pipe.execute(({ signal }) => {
        signal.addEventListener('abort', () => {
          caller.abort('enough');
          active.push(other.snapshot().active);
        });
        return hang();
      }),
    );
    await clock.advance(10);
    expect(active).toEqual([0]);
    expect([ended.result, seen.result]).toEqual(['enough', expect.objectContaining({ code: 'timeout' })]);
  });

  it('ends another call and then aborts the caller: what is inside still hears its end first', async () => {
    const clock = virtualClock();
    const [first, second] = [new AbortController(), new AbortController()];
    const other = watch(pipeline('other', []).execute(hang, first.signal));
    const log: string[] = [];
    const pipe = pipeline('p', [spy('out', log), passes('a'), timeout(10), spy('in', log)], { clock });
    const seen = watch(
      pipe.execute(({ signal }) => {
        signal.addEventListener('abort', () => {
          first.abort('other');
          second.abort('enough');
        });
        return hang();
      }, second.signal),
    );
    await clock.advance(10);
    expect([other.result, seen.result]).toEqual(['other', 'enough']);
    expect(log.slice(2)).toEqual(['in drop timed_out', 'out drop cancelled']);
  });

  it('leaves nothing behind that the next call would wait for', async () => {
    const clock = virtualClock();
    const pipe = pipeline('p', [passes('a'), timeout(10)], { clock });
    for (const reason of ['first', 'second']) {
      const caller = new AbortController();
      const seen = watch(
        pipe.execute(({ signal }) => {
          signal.addEventListener('abort', () => caller.abort(reason));
          return hang();
        }, caller.signal),
      );
      await clock.advance(10);
      expect(seen).toEqual({ state: 'error', result: reason, times: 1 });
    }
  });

  it.each([
    ['the call itself', []],
    ['a middleware', [passes('a')]],
  ])(
    'lets an outer timeout pass and aborts the caller, in either order, in %s: the caller wins',
    async (_what, middle) => {
      for (const callerFirst of [true, false]) {
        const { clock, at, ring } = handClock();
        const caller = new AbortController();
        const log: string[] = [];
        const stages = [spy('out', log), timeout(15), spy('mid', log), ...middle, timeout(10), spy('in', log)];
        const pipe = pipeline('p', stages, { clock, telemetry: false });
        const seen = watch(
          pipe.execute(({ signal }) => {
            signal.addEventListener('abort', () => {
              if (callerFirst) caller.abort('enough');
              ring(15);
              caller.abort('enough');
            });
            return hang();
          }, caller.signal),
        );
        at(15);
        ring(10);
        await turn();
        expect(seen).toEqual({ state: 'error', result: 'enough', times: 1 });
        expect(log.slice(3)).toEqual(['in drop timed_out', 'mid drop cancelled', 'out drop cancelled']);
        expect(pipe.snapshot()).toMatchObject({ active: 0, outcomes: { cancelled: 1 } });
      }
    },
  );
});

describe('the caller gives up, and an abort listener', () => {
  it('lets an outer timeout pass: the caller wins', async () => {
    const { clock, at, ring } = handClock();
    const caller = new AbortController();
    const log: string[] = [];
    const pipe = pipeline('p', [spy('out', log), timeout(15), spy('in', log)], { clock, telemetry: false });
    const seen = watch(
      pipe.execute(({ signal }) => {
        signal.addEventListener('abort', () => ring(15));
        return hang();
      }, caller.signal),
    );
    at(15);
    caller.abort('enough');
    await turn();
    expect(seen).toEqual({ state: 'error', result: 'enough', times: 1 });
    expect(log.slice(2)).toEqual(['in drop cancelled', 'out drop cancelled']);
  });
});

describe('the deadline passes, and', () => {
  it.each([
    ['', []],
    [' inside a leading fallback, which does not answer', [fallback(() => 'spare')]],
  ])('an abort listener aborts the caller%s: the caller wins, and it counts once', async (_where, leading) => {
    const clock = virtualClock();
    const caller = new AbortController();
    const pipe = pipeline('p', leading, { clock });
    const seen = watch(
      pipe.execute(
        ({ signal }) => {
          signal.addEventListener('abort', () => caller.abort('enough'));
          return hang();
        },
        { signal: caller.signal, timeoutMs: 10 },
      ),
    );
    await clock.advance(10);
    expect(seen).toEqual({ state: 'error', result: 'enough', times: 1 });
    const { active, outcomes } = pipe.snapshot();
    expect([active, outcomes]).toEqual([0, { success: 0, fallback: 0, failure: 0, cancelled: 1, ignored: 0 }]);
  });

  it('a listener told of the end aborts the caller: it has ended once', async () => {
    const clock = virtualClock();
    const caller = new AbortController();
    const pipe = pipeline('p', [], { clock });
    const told: string[] = [];
    pipe.subscribe((event) => {
      if (event.type !== 'execution_end') return;
      told.push(event.outcome);
      caller.abort('enough');
    });
    const seen = watch(pipe.execute(hang, { signal: caller.signal, timeoutMs: 10 }));
    await clock.advance(10);
    expect(seen.times).toBe(1);
    expect(told).toEqual(['failure']);
    expect(pipe.snapshot()).toMatchObject({ active: 0, outcomes: { failure: 1, cancelled: 0 } });
  });
});

describe('a middleware', () => {
  it.each([
    ['inside a retry', (mine: Policy, within: Policy) => [retry({ backoff: 0 }), mine, within]],
    [
      'inside a nested pipeline',
      (mine: Policy, within: Policy) => [retry({ backoff: 0 }), pipeline('inner', [mine, within])],
    ],
  ])('%s is told that the call has ended, and tells what it runs', async (_where, policies) => {
    const caller = new AbortController();
    const log: string[] = [];
    const pipe = pipeline('p', policies(passes('a'), spy('in', log)));
    let calls = 0;
    const seen = watch(
      pipe.execute(() => {
        if (++calls === 1) throw boom;
        return hang();
      }, caller.signal),
    );
    await turn();
    caller.abort('enough');
    await turn();
    expect(seen.result).toBe('enough');
    expect(log).toEqual(['in enter', 'in fail', 'in enter', 'in drop cancelled']);
  });
});

describe('a predicate of a value ends the call', () => {
  const caller = { current: new AbortController() };
  const when = {
    result: () => {
      caller.current.abort('enough');
      return true;
    },
  };
  const executionsOf = (pipe: Pipeline<any>) =>
    (pipe.snapshot().policies[0] as unknown as { executions: Record<string, number> }).executions;

  it.each([
    ['a retry', () => [retry({ when })]],
    ['a retry around a nested pipeline', () => [retry({ when }), pipeline('inner', [])]],
    ['a breaker', () => [circuitBreaker({ when })]],
    ['a breaker around a retry', () => [circuitBreaker({ when }), retry()]],
    ['a breaker around a nested pipeline', () => [circuitBreaker({ when }), pipeline('inner', [])]],
  ])('of %s, which hears of that one end alone', async (_of, policies) => {
    caller.current = new AbortController();
    const pipe = pipeline('p', policies());
    await expect(pipe.execute(() => 'value', caller.current.signal)).rejects.toBe('enough');
    const counts = Object.values(executionsOf(pipe));
    expect(counts.reduce((sum, count) => sum + count)).toBe(1);
    expect(pipe.snapshot()).toMatchObject({ active: 0, outcomes: { cancelled: 1 } });
  });
});

describe('a stage that ends the call while it hears a value', () => {
  it.each([
    ['of the function', () => []],
    ['of a nested pipeline', () => [pipeline('inner', [])]],
    ['of a timeout', () => [timeout(1_000)]],
  ])('%s is not told of that end as well', async (_of, inside) => {
    const heard: string[] = [];
    const caller = new AbortController();
    class Ends extends Stage {
      override succeed(call: Call, value: unknown): void {
        heard.push('succeed');
        caller.abort('enough');
        this.pass(call, value);
      }
      override drop(): void {
        heard.push('drop');
      }
    }
    const pipe = pipeline('p', [{ kind: 'ends', stage: () => new Ends() }, ...inside()]);
    await expect(pipe.execute(() => 'value', caller.signal)).rejects.toBe('enough');
    expect(heard).toEqual(['succeed']);
  });
});

describe('a policy throws and the caller gives up, while both can', () => {
  /** Goes inwards, and keeps the call at hand. */
  class Holds extends Stage {
    held!: Call;
    override enter(call: Call): void {
      this.held = call;
      this.proceed(call);
    }
  }

  const setup = (onAbort: (bug: () => void, caller: AbortController) => void) => {
    const clock = virtualClock();
    const holds = new Holds();
    const caller = new AbortController();
    const bug = () =>
      holds.held.guarded(() => {
        throw boom;
      });
    const pipe = pipeline('p', [{ kind: 'holds', stage: () => holds }, passes('a'), timeout(10)], { clock });
    const seen = watch(
      pipe.execute(({ signal }) => {
        signal.addEventListener('abort', () => onAbort(bug, caller));
        return hang();
      }, caller.signal),
    );
    return { clock, caller, bug, pipe, seen };
  };

  it('the one whose end is under way wins', async () => {
    const thrown = setup((_bug, caller) => caller.abort('enough'));
    thrown.bug();
    await turn();
    expect(thrown.seen).toEqual({ state: 'error', result: boom, times: 1 });
    const cancelled = setup((bug) => bug());
    cancelled.caller.abort('enough');
    await turn();
    expect(cancelled.seen).toEqual({ state: 'error', result: 'enough', times: 1 });
  });

  it('the one that asks first wins, when both wait for what a middleware runs', async () => {
    const thrown = setup((bug, caller) => {
      bug();
      caller.abort('enough');
    });
    await thrown.clock.advance(10);
    expect(thrown.seen).toEqual({ state: 'error', result: boom, times: 1 });
    const cancelled = setup((bug, caller) => {
      caller.abort('enough');
      bug();
    });
    await cancelled.clock.advance(10);
    expect(cancelled.seen).toEqual({ state: 'error', result: 'enough', times: 1 });
  });
});

describe('a stage that has ended what is inside it, and goes on with the call', () => {
  it('is told when the call ends elsewhere, as before', () => {
    const heard: string[] = [];
    let held!: Call;
    class Ends extends Stage {
      override enter(call: Call): void {
        held = call;
        this.proceed(call);
      }
      override drop(_call: Call, why: string): void {
        heard.push(`drop ${why}`);
      }
    }
    const ends = new Ends();
    const caller = new AbortController();
    const log: string[] = [];
    const pipe = pipeline('p', [{ kind: 'ends', stage: () => ends }, spy('in', log)]);
    watch(pipe.execute(hang, caller.signal));
    interrupt(held, ends.index, 'timed_out', 'inside', ends);
    expect([log, heard]).toEqual([['in enter', 'in drop timed_out'], []]);
    caller.abort('enough');
    expect([log.length, heard]).toEqual([2, ['drop cancelled']]);
  });
});

describe('an outer timeout that rings while an abort listener runs', () => {
  const passes = policy({ kind: 'passes', around: (_call, next) => next() });

  it.each([
    ['beside it', []],
    ['with a middleware in between', [passes]],
  ])('ends the call, %s', async (_, between) => {
    const rings = new Map<number, () => void>();
    const timer = { cancel() {}, ref() {}, unref() {} };
    let time = 0;
    const clock: Clock = { now: () => time, after: (ms, ring) => (rings.set(ms, ring), timer) };
    const pipe = pipeline('p', [timeout(15), ...between, timeout(10)], { clock, telemetry: false });
    const call = watch(
      pipe.execute(({ signal }) => {
        signal.addEventListener('abort', () => rings.get(15)!());
        return hang();
      }, new AbortController().signal),
    );
    time = 15;
    rings.get(10)!();
    await turn();
    expect(call).toMatchObject({ state: 'error', result: { code: 'timeout', timeoutMs: 15 } });
  });
});
