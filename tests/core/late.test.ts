import { bulkhead, fallback, type Observer, type PipelineEvent, pipeline, policy, retry, timeout } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { virtualClock } from '../../src/testing/virtual-clock.ts';
import { gate, microtasks, turn, unhandled, watch } from './spy.ts';

const boom = new Error('boom');

describe('work that was abandoned', () => {
  const setup = (policies = [timeout(10)]) => {
    const clock = virtualClock();
    const p = pipeline('p', policies, { clock });
    const events: PipelineEvent[] = [];
    p.subscribe((event) => events.push(event));
    const discarded: unknown[] = [];
    const onDiscard = (value: unknown) => discarded.push(value);
    return { clock, p, events, discarded, onDiscard, late: () => events.filter((event) => event.type === 'late') };
  };

  it('and succeeds late: onDiscard once, one late event, in the count of the timeout', async () => {
    const { clock, p, discarded, onDiscard, late } = setup();
    const work = gate();
    const seen = watch(p.execute(() => work.promise, { onDiscard }));
    await clock.advance(10);
    expect(seen.result).toMatchObject({ code: 'timeout' });
    expect(late()).toEqual([]);
    work.open('late value');
    await turn();
    expect(seen.times).toBe(1);
    expect(discarded).toEqual(['late value']);
    expect(late()).toMatchObject([{ type: 'late', policy: 'p/timeout', value: 'late value', executionId: 'p-1' }]);
    expect(p.snapshot().policies[0]).toMatchObject({ timeouts: 1, late: 1 });
    expect(p.snapshot().late).toBe(0);
  });

  it('and fails late: no unhandled rejection, no discard, the error is the cause of the timeout', async () => {
    const { clock, p, discarded, onDiscard, late } = setup();
    const work = gate();
    const seen = watch(p.execute(() => work.promise, { onDiscard }));
    await clock.advance(10);
    const rejections = await unhandled(() => work.break(boom));
    expect(rejections).toEqual([]);
    expect(discarded).toEqual([]);
    expect(late()).toMatchObject([{ policy: 'p/timeout', error: boom }]);
    expect((seen.result as Error).cause).toBe(boom);
  });

  it('by the caller: in the count of the pipeline', async () => {
    const { p, discarded, onDiscard, late } = setup();
    const caller = new AbortController();
    const work = gate();
    const seen = watch(p.execute(() => work.promise, { signal: caller.signal, onDiscard }));
    caller.abort('enough');
    await microtasks();
    work.open('late');
    await turn();
    expect(seen).toEqual({ state: 'error', result: 'enough', times: 1 });
    expect(discarded).toEqual(['late']);
    expect(late()).toMatchObject([{ policy: 'p' }]);
    expect(p.snapshot()).toMatchObject({ late: 1, active: 0 });
  });

  it('by the deadline: in the count of the pipeline', async () => {
    const { clock, p, late } = setup([]);
    const work = gate();
    watch(p.execute(() => work.promise, { timeoutMs: 10 }));
    await clock.advance(10);
    work.open('late');
    await turn();
    expect(late()).toMatchObject([{ policy: 'p/deadline' }]);
    expect(p.snapshot()).toMatchObject({ late: 1, timeouts: 1 });
  });

  it('answers while the call goes on elsewhere: the later attempt is not touched', async () => {
    const { clock, p, discarded, onDiscard } = setup([retry({ backoff: 0 }), timeout(10)]);
    const works = [gate(), gate()];
    let calls = 0;
    const seen = watch(p.execute(() => works[calls++]!.promise, { onDiscard }));
    await clock.advance(10);
    expect(calls).toBe(2);
    works[0]!.open('first, late');
    await turn();
    expect(seen.state).toBe('pending');
    works[1]!.open('second');
    await turn();
    expect(seen).toEqual({ state: 'value', result: 'second', times: 1 });
    expect(discarded).toEqual(['first, late']);
  });

  it('answers in the same turn in which the call ends: once each', async () => {
    const { clock, p, discarded, onDiscard } = setup([retry({ backoff: 0 }), timeout(10)]);
    const works = [gate(), gate()];
    let calls = 0;
    const seen = watch(p.execute(() => works[calls++]!.promise, { onDiscard }));
    await clock.advance(10);
    works[1]!.open('second');
    works[0]!.open('first');
    await turn();
    expect(seen).toEqual({ state: 'value', result: 'second', times: 1 });
    expect(discarded).toEqual(['first']);
  });

  it('of a fallback that took too long', async () => {
    const work = gate();
    const { clock, p, discarded, onDiscard, late } = setup([
      fallback({ to: () => work.promise, timeoutMs: 10 }),
    ] as never);
    const seen = watch(p.execute(() => Promise.reject(boom), { onDiscard }));
    await clock.advance(10);
    expect(seen.result).toMatchObject({ code: 'timeout', policy: 'p/fallback' });
    work.open('late');
    await turn();
    expect(discarded).toEqual(['late']);
    expect(late()).toHaveLength(1);
  });

  it('inside a nested pipeline, while the call waits outside of it for another try: its slot comes back', async () => {
    const clock = virtualClock();
    const slots = bulkhead({ limit: 1, queue: 1, maxWaitMs: 1_000 });
    const inner = pipeline('inner', [timeout(10)], { clock });
    const p = pipeline('p', [retry({ backoff: 0, maxRetries: 1 }), slots, inner], { clock });
    const events: PipelineEvent[] = [];
    inner.subscribe((event) => events.push(event));
    const works = [gate(), gate()];
    let calls = 0;
    const seen = watch(p.execute(() => works[calls++]!.promise));
    await clock.advance(10);
    // Attempt 2 waits for the slot that attempt 1 still holds.
    expect([calls, slots.active, slots.queued]).toEqual([1, 1, 1]);
    works[0]!.open('late');
    await turn();
    expect([calls, slots.active, slots.queued]).toEqual([2, 1, 0]);
    works[1]!.open('second');
    await turn();
    expect(seen).toEqual({ state: 'value', result: 'second', times: 1 });
    expect(slots.active).toBe(0);
    expect(events.filter(({ type }) => type === 'late')).toMatchObject([
      { policy: 'inner/timeout', executionId: 'inner-1' },
    ]);
  });

  it('in a fork that lost: each value once, the winner never', async () => {
    const { p, discarded, onDiscard } = setup([
      policy({ kind: 'race', repeats: true, around: (_call, next) => Promise.race([next(), next(), next()]) }),
    ]);
    const works = [gate(), gate(), gate()];
    let calls = 0;
    const seen = watch(p.execute(() => works[calls++]!.promise, { onDiscard }));
    works[1]!.open('won');
    await turn();
    expect(seen.result).toBe('won');
    works[0]!.open('lost 0');
    works[2]!.open('lost 2');
    await turn();
    expect(discarded).toEqual(['lost 0', 'lost 2']);
    expect(p.snapshot()).toMatchObject({ active: 0, outcomes: { success: 1 } });
  });

  it('by a fork: the slot around it waits for it', async () => {
    const slots = bulkhead({ limit: 1 });
    const race = policy({ kind: 'race', repeats: true, around: (_call, next) => Promise.race([next(), next()]) });
    const p = pipeline('p', [slots, race]);
    const works = [gate(), gate()];
    let calls = 0;
    const seen = watch(p.execute(() => works[calls++]!.promise));
    works[0]!.open('won');
    await turn();
    expect(seen.result).toBe('won');
    expect([slots.active, slots.held]).toEqual([1, 1]);
    works[1]!.open('lost');
    await turn();
    expect([slots.active, slots.held]).toEqual([0, 0]);
  });

  it('and throws in onDiscard: reported, and nothing else', async () => {
    const { clock, p } = setup();
    const work = gate();
    const seen = watch(
      p.execute(() => work.promise, {
        onDiscard: () => {
          throw boom;
        },
      }),
    );
    await clock.advance(10);
    const rejections = await unhandled(() => work.open('late'));
    expect(rejections).toEqual([]);
    expect(seen.times).toBe(1);
  });

  it('leaves the reason of the caller as it was, though the work fails later', async () => {
    const { p } = setup();
    const caller = new AbortController();
    const reason = new Error('enough');
    const work = gate();
    const seen = watch(p.execute(() => work.promise, caller.signal));
    caller.abort(reason);
    work.break(boom);
    await turn();
    expect(seen.result).toBe(reason);
    expect(reason.cause).toBeUndefined();
  });

  it('is told to observers that want every event, and to no others', async () => {
    const heard: string[] = [];
    const observer = (name: string, interest: 1 | 2): Observer => ({
      interest: () => interest,
      event: ({ type }) => type === 'late' && heard.push(name),
    });
    const clock = virtualClock();
    for (const interest of [1, 2] as const) {
      const observers = [observer(`interest ${interest}`, interest)];
      const p = pipeline('p', [timeout(10)], { clock, telemetry: false, observers });
      const work = gate();
      watch(p.execute(() => work.promise));
      await clock.advance(10);
      work.open('late');
      await turn();
    }
    expect(heard).toEqual(['interest 2']);
  });

  it('does not get a winner discarded, nor the value of a call that went well', async () => {
    const { p, discarded, onDiscard } = setup([retry({ backoff: 0 }), timeout(10)]);
    await expect(p.execute(async () => 'fine', { onDiscard })).resolves.toBe('fine');
    await turn();
    expect(discarded).toEqual([]);
  });

  it('and has ended while the call went on: no slot waits for it any more', async () => {
    const slots = bulkhead({ limit: 1 });
    const { clock, p } = setup([slots, retry({ backoff: 0 }), timeout(10)] as never);
    const works = [gate(), gate(), gate()];
    let calls = 0;
    const seen = watch(p.execute(() => works[calls++]!.promise));
    await clock.advance(20);
    expect(calls).toBe(3);
    works[1]!.open('second, late');
    works[0]!.open('first, late');
    await turn();
    works[2]!.open('third');
    await turn();
    expect([seen.result, slots.active, slots.held]).toEqual(['third', 0, 0]);
  });

  it('holds its slot for ever where it may, and the caller hears of the timeout all the same', async () => {
    const slots = bulkhead({ limit: 1, holdUntilSettled: true });
    const { clock, p } = setup([slots, timeout(10)] as never);
    const work = gate();
    const seen = watch(p.execute(() => work.promise));
    await clock.advance(10);
    expect(seen.result).toMatchObject({ code: 'timeout' });
    await clock.advance(1e9);
    expect([slots.active, slots.held]).toEqual([1, 1]);
    work.open('late');
    await turn();
    expect([slots.active, slots.held]).toEqual([0, 0]);
  });

  it('by one of several attempts at a time: only the slot of that one waits for it', async () => {
    const slots = bulkhead({ limit: 2 });
    const both = policy({
      kind: 'both',
      repeats: true,
      around: (_call, next) => Promise.allSettled([next(), next()]),
    });
    const limit = timeout(({ attempt }) => (attempt === 2 ? 10 : undefined));
    const { clock, p } = setup([both, slots, limit] as never);
    const works = [gate(), gate()];
    let calls = 0;
    watch(p.execute(() => works[calls++]!.promise));
    await clock.advance(10);
    expect([slots.active, slots.held]).toEqual([2, 1]);
    works[0]!.open('first');
    await turn();
    expect([slots.active, slots.held]).toEqual([1, 1]);
    works[1]!.open('second, late');
    await turn();
    expect([slots.active, slots.held]).toEqual([0, 0]);
  });

  it('is none when a cooperative timeout passes before the function was called, which then waits for nothing', async () => {
    const slots = bulkhead({ limit: 1, queue: 1, name: 'slots' });
    const { clock, p } = setup([timeout({ ms: 10, mode: 'cooperative' }), slots] as never);
    void pipeline('busy', [slots], { clock }).execute(() => new Promise(() => {}));
    let calls = 0;
    const seen = watch(p.execute(() => ++calls));
    await clock.advance(10);
    expect(seen.result).toMatchObject({ code: 'timeout', policy: 'p/timeout' });
    expect([calls, slots.queued]).toEqual([0, 0]);
  });
});
