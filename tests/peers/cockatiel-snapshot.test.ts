import * as cockatiel from 'cockatiel';
import { circuitBreaker } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { deaf, stand, watch } from '../policies/stand.ts';
import { down, ours, touchy } from './cockatiel-fixture.ts';
import { mended, onFakeTime } from './scene.ts';

const { CircuitState, ConsecutiveBreaker, handleAll } = cockatiel;

describe('snapshots', () => {
  it('C-21: a hold by hand is not restored, because nobody could let it go', async () => {
    const policy = touchy();
    policy.isolate();
    const restored = cockatiel.circuitBreaker(handleAll, {
      halfOpenAfter: 100,
      breaker: new ConsecutiveBreaker(1),
      initialState: JSON.parse(JSON.stringify(policy)),
    });
    restored.isolate().dispose();
    expect(restored.state, mended).toBe(CircuitState.Isolated);

    const held = ours();
    held.isolate();
    held.disable();
    expect(held.state).toBe('isolated');
    const breaker = circuitBreaker({ initialState: JSON.parse(JSON.stringify(held)) });
    expect(breaker.state).toBe('closed');
    breaker.isolate().dispose();
    expect(breaker.state).toBe('closed');
  });

  it('C-22: what is no snapshot is refused where it is given', async () => {
    const options = { halfOpenAfter: 100, breaker: new ConsecutiveBreaker(1) };
    // An empty object fails in the constructor, by reading a member of undefined.
    expect(() => cockatiel.circuitBreaker(handleAll, { ...options, initialState: {} as any }), mended).toThrow(
      "reading 'value'",
    );
    const policy = cockatiel.circuitBreaker(handleAll, { ...options, initialState: { ownState: {} } as any });
    await expect(
      policy.execute(() => 'ok'),
      mended,
    ).rejects.toThrow('Unexpected circuit state [object Object]');

    const good = ours().toJSON();
    for (const [initialState, why] of [
      [{}, '"version" must be 1, received undefined'],
      [{ ...good, version: 2 }, '"version" must be 1, received 2'],
      [{ ...good, state: 'isolated' }, `"state" must be 'closed', 'open' or 'half_open', received "isolated"`],
      [{ ...good, remainingMs: -1 }, '"remainingMs" must be a finite number of milliseconds from 0 up or null'],
      [{ ...good, keys: { a: {} } }, '"version" must be 1'],
    ] as const)
      expect(() => circuitBreaker({ initialState: initialState as any })).toThrow(why);
  });

  it("C-22: the caller's snapshot is neither changed nor kept", async () => {
    await onFakeTime(async (pass) => {
      const policy = touchy();
      await policy.execute(down).catch(() => {});
      const kept = policy.toJSON() as any;
      const options = { halfOpenAfter: 100, breaker: new ConsecutiveBreaker(1), initialState: kept };
      const restored = cockatiel.circuitBreaker(handleAll, options);
      expect(Object.keys(kept.ownState), mended).toContain('backoff');
      kept.ownState.openedAt -= 100;
      expect(await restored.execute(() => 'ok'), mended).toBe('ok');
      await pass(0);
    });

    const first = ours();
    const { pipe } = stand([first]);
    await pipe.tryExecute(down, { key: 'a' });
    await pipe.tryExecute(down);
    const kept = JSON.parse(JSON.stringify(first));
    const copy = structuredClone(kept);
    const breaker = circuitBreaker({ consecutiveFailures: 1, breakMs: 100, initialState: kept });
    expect(kept).toEqual(copy);
    for (const own of [kept, kept.keys.a]) own.remainingMs = 0;
    // On its own clock it begins anew, by what it was given.
    const again = stand([breaker]);
    expect(await again.pipe.tryExecute(() => 'ok')).toMatchObject({ error: { code: 'circuit_open' } });
    expect(await again.pipe.tryExecute(() => 'ok', { key: 'a' })).toMatchObject({ error: { code: 'circuit_open' } });
  });

  it('C-22: a snapshot of other numbers changes no numbers', async () => {
    const small = new cockatiel.CountBreaker({ threshold: 0.5, size: 10 });
    const policy = cockatiel.circuitBreaker(handleAll, { halfOpenAfter: 100, breaker: small });
    await policy.execute(() => 'ok');
    const large = new cockatiel.CountBreaker({ threshold: 0.5, size: 100, minimumNumberOfCalls: 10 });
    cockatiel.circuitBreaker(handleAll, { halfOpenAfter: 100, breaker: large, initialState: policy.toJSON() });
    expect((large.state as any).samples, mended).toHaveLength(10);

    const first = circuitBreaker({ failureRatio: 0.5, windowCalls: 10 });
    const before = stand([first]);
    for (let n = 0; n < 9; n++) await before.pipe.tryExecute(down);
    const breaker = circuitBreaker({
      failureRatio: 0.5,
      windowCalls: 100,
      minimumCalls: 100,
      initialState: first.toJSON(),
    });
    const { pipe } = stand([breaker]);
    for (let n = 0; n < 99; n++) await pipe.tryExecute(down);
    expect(breaker.state).toBe('closed');
    await pipe.tryExecute(down);
    expect(breaker.state).toBe('open');
  });

  it('C-22: the break after a restored half-open period is the next longer one', async () => {
    const steps = () => new cockatiel.IterableBackoff([100, 200, 400, 800]);
    await onFakeTime(async (pass) => {
      const make = (initialState?: any) =>
        cockatiel.circuitBreaker(handleAll, {
          halfOpenAfter: steps(),
          breaker: new ConsecutiveBreaker(1),
          initialState,
        });
      const policy = make();
      await policy.execute(down).catch(() => {});
      await pass(100);
      watch(policy.execute(deaf));
      const restored = make(policy.toJSON());
      await restored.execute(down).catch(() => {});
      await pass(399);
      // 200 ms would be its turn.
      await expect(
        restored.execute(() => 'ok'),
        mended,
      ).rejects.toThrow(cockatiel.BrokenCircuitError);
    });

    const numbers = { consecutiveFailures: 1, halfOpenCalls: 1 };
    const first = circuitBreaker({ ...numbers, breakMs: steps() });
    const { pipe, clock } = stand([first]);
    await pipe.tryExecute(down);
    await clock.advance(100);
    watch(pipe.execute(deaf));
    const initialState = first.toJSON();
    expect(initialState).toMatchObject({ state: 'half_open', openings: 1 });
    const breaker = circuitBreaker({ ...numbers, breakMs: steps(), initialState });
    const again = stand([breaker]);
    const breaks: number[] = [];
    for (let n = 0; n < 3; n++) {
      await again.pipe.tryExecute(down);
      const { error } = await again.pipe.tryExecute(() => 'ok');
      breaks.push((error as any).retryAfterMs);
      await again.clock.advance((error as any).retryAfterMs);
    }
    expect(breaks).toEqual([200, 400, 800]);
  });
});
