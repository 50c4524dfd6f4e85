import { getEventListeners } from 'node:events';
import { bulkhead, type CallContext, type Next, type Policy, pipeline, policy, retry } from 'seaworthy';
import { virtualClock } from 'seaworthy/testing';
import { describe, expect, it } from 'vitest';
import { gate, microtasks, spy, turn, unhandled, watch } from './spy.ts';

const hang = () => new Promise<never>(() => {});
const boom = new Error('boom');

/** A middleware that goes inwards with a signal of its own. */
function tells(name = 'tells') {
  const own = new AbortController();
  const made: Policy = policy({ kind: 'tells', name, around: (_call, next) => next(own.signal) });
  return { own, policy: made };
}

/** A pipeline of one slot that is taken. */
function full() {
  const slots = bulkhead({ limit: 1, queue: 2, name: 'slots' });
  const busy = gate();
  void pipeline('busy', [slots]).execute(() => busy.promise);
  return { slots, free: () => busy.open(0) };
}

describe('the signal that a middleware gives to what is inside it', () => {
  it('tells work that runs, whose answer is still the answer', async () => {
    const { own, policy } = tells();
    const log: string[] = [];
    const pipe = pipeline('p', [policy, spy('in', log)]);
    const work = gate();
    let signal!: AbortSignal;
    const seen = watch(pipe.execute((call) => ((signal = call.signal), work.promise)));
    own.abort('stop');
    await turn();
    expect([seen.state, signal.aborted, signal.reason, log]).toEqual(['pending', true, 'stop', ['in enter']]);
    work.open('answered');
    await turn();
    expect([seen.result, log]).toEqual(['answered', ['in enter', 'in succeed']]);
    expect(pipe.snapshot()).toMatchObject({ active: 0, late: 0, outcomes: { success: 1 } });
  });

  it('tells work that looks at its signal only afterwards, with the first reason that there was', async () => {
    const outer = tells('outer');
    const inner = tells('inner');
    const caller = new AbortController();
    let call!: CallContext;
    const pipe = pipeline('p', [outer.policy, inner.policy]);
    const seen = watch(pipe.execute((given) => ((call = given), hang()), caller.signal));
    inner.own.abort('first');
    outer.own.abort('second');
    caller.abort('third');
    await microtasks();
    expect([seen.result, call.signal.reason]).toEqual(['third', 'first']);
    expect(call.signal).toBe(call.signal);
  });

  it('ends at once what waits inside, which gives back its place; the function is never called', async () => {
    const { own, policy } = tells();
    const { slots, free } = full();
    const log: string[] = [];
    let calls = 0;
    const pipe = pipeline('p', [policy, spy('in', log), slots]);
    const seen = watch(pipe.execute(() => ++calls));
    expect(slots.queued).toBe(1);
    own.abort('stop');
    await turn();
    expect(seen).toEqual({ state: 'error', result: 'stop', times: 1 });
    expect([slots.queued, log]).toEqual([0, ['in enter', 'in drop timed_out']]);
    free();
    await turn();
    expect([calls, slots.active]).toEqual([0, 0]);
  });

  it('reaches work through middlewares that give no signal of their own, each of several', async () => {
    const { own, policy: outer } = tells();
    const both = policy({ kind: 'both', repeats: true, around: (_call, next) => Promise.all([next(), next()]) });
    const passes = policy({ kind: 'passes', around: (_call, next) => next() });
    const pipe = pipeline('p', [outer, both, passes]);
    const reasons: unknown[] = [];
    const seen = watch(
      pipe.execute(
        ({ signal }) =>
          new Promise((resolve) =>
            signal.addEventListener('abort', () => {
              reasons.push(signal.reason);
              resolve('answered');
            }),
          ),
      ),
    );
    own.abort('stop');
    await turn();
    expect(reasons).toEqual(['stop', 'stop']);
    expect(seen.result).toEqual(['answered', 'answered']);
  });

  it('that has aborted before: nothing begins, and next() rejects with its reason', async () => {
    const { own, policy } = tells();
    const log: string[] = [];
    own.abort('before');
    await expect(pipeline('p', [policy, spy('in', log)]).execute(() => log.push('called'))).rejects.toBe('before');
    expect(log).toEqual([]);
    expect(getEventListeners(own.signal, 'abort')).toEqual([]);
  });

  it('has no listener once what is inside has ended, however it did', async () => {
    const { own, policy } = tells();
    const caller = new AbortController();
    const pipe = pipeline('p', [policy]);
    const work = gate();
    const calls = [
      pipe.execute(() => work.promise),
      pipe.execute(async () => {
        throw boom;
      }),
      pipe.execute(hang, caller.signal),
    ].map(watch);
    expect(getEventListeners(own.signal, 'abort').length).toBeGreaterThan(0);
    work.open('done');
    caller.abort('enough');
    await turn();
    expect(calls.map(({ result }) => result)).toEqual(['done', boom, 'enough']);
    expect(getEventListeners(own.signal, 'abort')).toEqual([]);
  });

  it('that is the echo of the caller’s changes nothing: what is inside hears that the caller gave up', async () => {
    const log: string[] = [];
    const caller = new AbortController();
    const echoes = policy({
      kind: 'echoes',
      around: ({ signal }, next) => {
        const own = new AbortController();
        signal.addEventListener('abort', () => own.abort('echo'));
        return next(own.signal);
      },
    });
    let heard: unknown;
    const pipe = pipeline('p', [echoes, spy('in', log)]);
    const seen = watch(
      pipe.execute(({ signal }) => {
        signal.addEventListener('abort', () => (heard = signal.reason));
        return hang();
      }, caller.signal),
    );
    caller.abort('enough');
    await microtasks();
    expect([seen.result, heard, log]).toEqual(['enough', 'enough', ['in enter', 'in drop cancelled']]);
  });

  it('its own error wins over the rejection that it made', async () => {
    const mine = new Error('mine');
    const limits = policy({
      kind: 'limits',
      around: (_call, next) => {
        const own = new AbortController();
        const limit = gate<never>();
        const answer = Promise.race([next(own.signal), limit.promise]);
        own.abort('stop');
        void Promise.resolve().then(() => limit.break(mine));
        return answer;
      },
    });
    const pipe = pipeline('p', [limits]);
    const answer = pipe.execute(
      ({ signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason));
        }),
    );
    await expect(answer).rejects.toBe(mine);
  });

  it('a rejection that nobody asked for comes without a detour', async () => {
    const order: string[] = [];
    const listens = policy({
      kind: 'listens',
      around: (_call, next) => {
        const own = new AbortController();
        return next(own.signal).catch(() => order.push('rejected'));
      },
    });
    await pipeline('p', [listens]).execute(() => {
      setImmediate(() => order.push('macrotask'));
      throw boom;
    });
    await turn();
    expect(order).toEqual(['rejected', 'macrotask']);
  });
});

describe('what still runs when a middleware has answered', () => {
  const race = (own?: AbortController) =>
    policy({
      kind: 'race',
      repeats: true,
      around: (_call, next) => Promise.race([next(), next(own?.signal)]),
    });

  /** Two runs, the first of which is in hand; what stages and functions inside hear. */
  const setup = (own?: AbortController) => {
    const log: string[] = [];
    const reasons: unknown[] = [];
    const first = gate();
    let calls = 0;
    const pipe = pipeline('p', [race(own), spy('in', log)]);
    const seen = watch(
      pipe.execute(({ signal }) => {
        if (++calls === 1) return first.promise;
        signal.addEventListener('abort', () => reasons.push(signal.reason));
        return hang();
      }),
    );
    return { log, reasons, first, pipe, seen };
  };

  it.each([
    ['answered', (first: ReturnType<typeof gate>) => first.open('won'), 'won', 'succeed'],
    ['failed', (first: ReturnType<typeof gate>) => first.break(boom), boom, 'fail'],
  ])('or %s is told that it has lost', async (_how, end, result, word) => {
    const { log, reasons, first, pipe, seen } = setup();
    end(first);
    await turn();
    expect(seen.result).toBe(result);
    expect(log).toEqual(['in enter', 'in enter', `in ${word}`, 'in drop lost']);
    expect(reasons).toMatchObject([{ name: 'AbortError', message: 'not needed any more' }]);
    expect(pipe.snapshot().active).toBe(0);
  });

  it('after it was told to stop: it hears that its time is over, with the reason it was given', async () => {
    const own = new AbortController();
    const { log, reasons, first } = setup(own);
    own.abort('stop');
    first.open('won');
    await turn();
    expect(log.slice(2)).toEqual(['in succeed', 'in drop timed_out']);
    expect(reasons).toEqual(['stop']);
  });

  it('and the caller gives up: each inner next() rejects with his reason', async () => {
    const caller = new AbortController();
    const heard: unknown[] = [];
    const both = policy({
      kind: 'both',
      repeats: true,
      around: (_call, next) => {
        for (const inner of [next(), next()]) inner.catch((reason: unknown) => heard.push(reason));
        return hang();
      },
    });
    const seen = watch(pipeline('p', [both]).execute(hang, caller.signal));
    caller.abort('enough');
    await microtasks();
    expect([seen.result, heard]).toEqual(['enough', ['enough', 'enough']]);
  });
});

describe('next()', () => {
  it('that is called when its middleware is done is refused, though the call goes on elsewhere', async () => {
    let kept!: Next;
    const keeps = policy({ kind: 'keeps', around: (_call, next) => ((kept = next), next()) });
    const clock = virtualClock();
    const pipe = pipeline('p', [retry({ maxRetries: 1, backoff: 100 }), keeps], { clock });
    let calls = 0;
    const seen = watch(
      pipe.execute(() => {
        if (++calls === 1) throw boom;
        return 'second';
      }),
    );
    await clock.advance(50);
    await expect(kept()).rejects.toThrow('next() was called after the call had ended');
    expect(calls).toBe(1);
    await clock.advance(50);
    expect([seen.result, calls]).toEqual(['second', 2]);
  });

  it('is a promise, and a rejection that its middleware never looks at is not unhandled', async () => {
    const careless = policy({
      kind: 'careless',
      around: (_call, next) => {
        const inner = next();
        expect(inner).toBeInstanceOf(Promise);
        return 'mine';
      },
    });
    const pipe = pipeline('p', [careless]);
    const reasons = await unhandled(async () => {
      expect(await pipe.execute(() => Promise.reject(boom))).toBe('mine');
    });
    expect(reasons).toEqual([]);
  });

  it('that is called again makes a retry of the next attempt, which waited for nothing', async () => {
    const kinds: string[] = [];
    const again = policy({ kind: 'again', repeats: true, around: (_call, next) => next().catch(() => next()) });
    const pipe = pipeline('p', [again], {
      telemetry: false,
      observers: [
        {
          start: (name, { attempt, attemptKind, retryDelayMs }) =>
            kinds.push(`${name} ${attempt}: ${attemptKind}, ${retryDelayMs} ms`),
        },
      ],
    });
    const answer = await pipe.execute(({ attempt }) => {
      if (attempt === 1) throw boom;
      return attempt;
    });
    expect(answer).toBe(2);
    expect(kinds).toEqual(['execution 0: initial, 0 ms', 'attempt 1: initial, 0 ms', 'attempt 2: retry, 0 ms']);
  });
});

describe('the snapshot of a middleware', () => {
  it('is its own, but for the kind, and none of its own is none', () => {
    const around = (_call: CallContext, next: Next) => next();
    const counts = policy({ kind: 'counts', around, snapshot: () => ({ kind: 'mine', seen: 3 }) });
    const pipe = pipeline('p', [counts, policy({ kind: 'plain', around })]);
    expect(pipe.snapshot().policies).toEqual([
      { name: 'p/counts', kind: 'custom', bypassed: false, seen: 3 },
      { name: 'p/plain', kind: 'custom', bypassed: false },
    ]);
    expect(policy({ kind: 'plain', around }).snapshot).toBeUndefined();
  });
});

describe('the options of policy()', () => {
  const around = (_call: CallContext, next: Next) => next();

  it.each(['', 'Mine', '1st', '_a', 'a-b', 'a b', 'a'.repeat(41), 5])('refuse %j as a kind', (kind) => {
    expect(() => policy({ kind: kind as never, around })).toThrow(
      /^Cannot create policy: "kind" must be lower-case letters, digits and "_", received /,
    );
  });

  it.each(['a', 'a_1', 'a'.repeat(40)])('take %j as a kind', (kind) => {
    expect(policy({ kind, around }).kind).toBe(kind);
  });

  it('say whether it repeats; one that does not has no attempts of its own', async () => {
    for (const [repeats, names] of [
      [undefined, ['execution']],
      [false, ['execution']],
      [true, ['execution', 'attempt']],
    ] as const) {
      const told: string[] = [];
      const pipe = pipeline('p', [policy({ kind: 'mine', repeats, around })], {
        telemetry: false,
        observers: [{ start: (name) => void told.push(name) }],
      });
      await pipe.execute(() => 1);
      expect(told).toEqual(names);
    }
  });
});
