import { describe, expect, expectTypeOf, it } from 'vitest';
import { script, ScriptedError } from '../../src/testing/script.ts';
import { virtualClock } from '../../src/testing/virtual-clock.ts';

describe('script', () => {
  it('plays its steps in order, and the last one for ever', async () => {
    const server = script('fail', { value: 1 }, 'ok');
    await expect(server()).rejects.toThrow('call 1 was scripted to fail');
    expect(await server()).toBe(1);
    expect(await server()).toBe('ok');
    expect(await server()).toBe('ok');
    expect(server.calls).toHaveLength(4);
  });

  it('fails with an error that can be told from others, or with just the one it was given', async () => {
    await expect(script('fail')()).rejects.toBeInstanceOf(ScriptedError);
    const mine = { code: 'E_MINE' };
    await expect(script({ error: mine })()).rejects.toBe(mine);
    await expect(script({ error: undefined })()).rejects.toBeUndefined();
  });

  it('keeps who called: number, time, arguments, attempt', async () => {
    const clock = virtualClock(100);
    const server = script.with(clock, 'ok');
    await server({ attempt: 1 }, 'sku');
    await clock.advance(50);
    await server('no context');
    expect(server.calls).toEqual([
      { number: 1, at: 100, args: [{ attempt: 1 }, 'sku'], attempt: 1 },
      { number: 2, at: 150, args: ['no context'], attempt: undefined },
    ]);
  });

  it('calls a function with the same arguments, and takes what it throws for the answer', async () => {
    const server = script(
      ({ attempt }: { attempt: number }, extra: string) => `${attempt}${extra}`,
      async () => 2,
      () => {
        throw new Error('boom');
      },
    );
    expect(await server({ attempt: 7 }, '!')).toBe('7!');
    expect(await server()).toBe(2);
    await expect(server()).rejects.toThrow('boom');
  });

  it('hangs until the call is aborted, and then gives its reason', async () => {
    const server = script('hang');
    const controller = new AbortController();
    const answer = server({ signal: controller.signal });
    const reason = new Error('enough');
    controller.abort(reason);
    await expect(answer).rejects.toBe(reason);
    await expect(server({ signal: controller.signal })).rejects.toBe(reason);
    const settled = await Promise.race([
      server().then(() => true),
      new Promise((resolve) => setTimeout(resolve, 5, false)),
    ]);
    expect(settled).toBe(false);
  });

  it('waits on its clock, and leaves nothing behind', async () => {
    const clock = virtualClock();
    const server = script.with(clock, { delayMs: 100, then: { delayMs: 100, then: { value: 5 } } });
    const answer = server().then((value) => [value, clock.now()]);
    await clock.advance(500);
    expect(await answer).toEqual([5, 200]);
    expect(clock.pending).toBe(0);
  });

  it('ends a wait when the call is aborted, unless it is to come late', async () => {
    const clock = virtualClock();
    const server = script.with(clock, { delayMs: 100, then: 'ok' }, { delayMs: 100, then: 'ok', ignoreAbort: true });
    const controller = new AbortController();
    const ended = server({ signal: controller.signal });
    const late = server({ signal: controller.signal });
    controller.abort('enough');
    await expect(ended).rejects.toBe('enough');
    expect(clock.pending).toBe(1);
    await clock.advance(100);
    expect(await late).toBe('ok');
  });

  it('reads the signal only where it waits', async () => {
    const call = {
      get signal(): AbortSignal {
        throw new Error('asked for');
      },
    };
    expect(await script('ok')(call)).toBe('ok');
    await expect(script('hang')(call)).rejects.toThrow('asked for');
  });

  it('never throws at once, and needs a step', () => {
    expect(() => script('fail')().catch(() => {})).not.toThrow();
    expect(() => (script as (...steps: never[]) => unknown)()).toThrow(TypeError);
  });

  it('knows what it resolves with', () => {
    expectTypeOf(script('fail', 'hang', { error: 1 })).returns.resolves.toEqualTypeOf<never>();
    expectTypeOf(script('ok', { value: 5 })).returns.resolves.toEqualTypeOf<'ok' | number>();
    expectTypeOf(script({ delayMs: 5, then: { value: 'x' } }, async () => true)).returns.resolves.toEqualTypeOf<
      string | boolean
    >();
  });
});
