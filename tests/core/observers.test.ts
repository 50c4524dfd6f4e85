import type { Observer } from 'seaworthy';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Observers } from '../../src/core/observers.ts';
import type { CallInfo, SpanEnd } from '../../src/telemetry/observer.ts';
import { turn, unhandled } from './spy.ts';

const boom = new Error('boom');
const call = { executionId: 'e' } as CallInfo;
const end = { outcome: 'success' } as SpanEnd;
const event = { type: 'late', policy: 'p' } as const;
const fail = () => {
  throw boom;
};

/** Each test has a pipeline of its own, because a message is told once. */
let name = '';
let tests = 0;
let warnings: { message: string; cause: unknown }[] = [];
beforeEach(() => {
  name = `observed-${++tests}`;
  warnings = [];
  vi.spyOn(process, 'emitWarning').mockImplementation(((warning: Error) =>
    warnings.push({ message: warning.message, cause: warning.cause })) as never);
});
afterEach(() => vi.restoreAllMocks());

const observed = (...list: object[]) => new Observers(name, list as Observer[]);
const told = (cause: unknown) => [
  { message: `An observer of pipeline "${name}" threw; the call went on without it.`, cause },
];

describe('what observers want to hear', () => {
  it.each<[string, object[], number]>([
    ['of nobody is nothing', [], 0],
    ['of one is its wish', [{ interest: () => 1 }], 1],
    ['of one that does not say is everything', [{}], 2],
    ['of several is the most, wherever it stands: first', [{ interest: () => 2 }, { interest: () => 0 }], 2],
    ['of several is the most, wherever it stands: last', [{ interest: () => 0 }, { interest: () => 1 }], 1],
    ['of several with one that does not say is everything', [{ interest: () => 0 }, {}], 2],
  ])('%s', (_what, list, most) => {
    expect(observed(...list).interest()).toBe(most);
    expect(warnings).toEqual([]);
  });

  it.each<[string, () => unknown, unknown]>([
    ['throws', fail, boom],
    ['is no such number', () => 3, new TypeError('interest() must answer 0, 1 or 2, received 3')],
    [
      'comes to nothing',
      () => Promise.reject(boom),
      new TypeError('interest() must answer 0, 1 or 2, received a promise'),
    ],
  ])('that %s is told, and counts as nothing beside the others', async (_what, interest, cause) => {
    const lost = await unhandled(() => {
      expect(observed({ interest }).interest()).toBe(0);
      expect(observed({ interest }, { interest: () => 1 }).interest()).toBe(1);
    });
    expect(lost).toEqual([]);
    expect(warnings).toEqual(told(cause));
  });

  it('is attempts too, where one of them says so', () => {
    expect(observed({}, { attempts: false }).wantAttempts).toBe(false);
    expect(observed({}, { attempts: true }, {}).wantAttempts).toBe(true);
    expect(observed({ attempts: 'yes' }).wantAttempts).toBe(false);
  });
});

describe('who listens', () => {
  it('grows by who is added, and shrinks by just that one', () => {
    const heard: string[] = [];
    const all = observed({ event: () => void heard.push('first') });
    const leave = all.add({ event: () => void heard.push('second') });
    all.add({ event: () => void heard.push('third') });
    all.event(event, call, undefined);
    leave();
    leave();
    all.event(event, call, undefined);
    expect(heard).toEqual(['first', 'second', 'third', 'first', 'third']);
  });

  it('is told with its own token, and each whatever the others do', async () => {
    const heard: unknown[] = [];
    const ear = (who: string) => ({
      start: (span: string, _call: CallInfo, parent: unknown) => (heard.push(['start', who, span, parent]), who),
      event: (_event: object, _call: CallInfo, token: unknown) => void heard.push(['event', who, token]),
      end: (span: string, token: unknown, how: SpanEnd) => void heard.push(['end', who, span, token, how]),
    });
    const all = observed(ear('a'), {}, { start: fail, event: fail, end: fail }, ear('d'));
    const tokens = all.start('execution', call, ['x', 'y', 'z']);
    expect(tokens).toEqual(['a', undefined, undefined, 'd']);
    all.event(event, call, tokens);
    all.end('attempt', tokens, end, call);
    expect(heard).toEqual([
      ['start', 'a', 'execution', 'x'],
      ['start', 'd', 'execution', undefined],
      ['event', 'a', 'a'],
      ['event', 'd', 'd'],
      ['end', 'a', 'attempt', 'a', end],
      ['end', 'd', 'attempt', 'd', end],
    ]);
    expect(warnings).toEqual(told(boom));
  });

  it('is told without tokens where nothing was begun', () => {
    const tokens: unknown[] = [];
    const keep = (token: unknown) => void tokens.push(token);
    const all = observed({
      start: (_span: string, _call: CallInfo, parent: unknown) => keep(parent),
      event: (_event: object, _call: CallInfo, token: unknown) => keep(token),
      end: (_span: string, token: unknown) => keep(token),
    });
    all.start('execution', call, undefined);
    all.event(event, call, undefined);
    all.end('execution', undefined, end, call);
    expect([tokens, warnings]).toEqual([[undefined, undefined, undefined], []]);
  });

  it('has no tokens where nobody made anything of a beginning', () => {
    expect(observed({ start: () => undefined }, {}).start('execution', call, undefined)).toBe(undefined);
  });

  it.each<[string, (all: Observers) => unknown]>([
    ['start', (all) => all.start('execution', call, undefined)],
    ['event', (all) => all.event(event, call, undefined)],
    ['end', (all) => all.end('execution', undefined, end, call)],
    ['dispose', (all) => all.dispose()],
  ])('is told of a rejection of %s as if it had thrown', async (method, tell) => {
    tell(observed({ [method]: () => Promise.reject(boom) }));
    await turn();
    expect(warnings).toEqual(told(boom));
  });

  it.each<[string, (all: Observers) => unknown]>([
    ['start', (all) => all.start('execution', call, undefined)],
    ['event', (all) => all.event(event, call, undefined)],
    ['end', (all) => all.end('execution', undefined, end, call)],
    ['dispose', (all) => all.dispose()],
  ])('is told of a throw of %s, and of nothing where it has none', (method, tell) => {
    tell(observed({}));
    expect(warnings).toEqual([]);
    tell(observed({ [method]: fail }));
    expect(warnings).toEqual(told(boom));
  });

  it('is let go one by one, whatever the others do', () => {
    const gone: string[] = [];
    observed({ dispose: fail }, {}, { dispose: () => gone.push('last') }).dispose();
    expect(gone).toEqual(['last']);
    expect(warnings).toEqual(told(boom));
  });
});

describe('user code inside observers', () => {
  type Within = (token: unknown, run: () => unknown) => unknown;
  const inside = (within: Within, fn: () => unknown) => observed({ within }).within(['token'], fn);

  it('stands inside the first, and only of those that began something', () => {
    const log: unknown[] = [];
    const around = (who: string): { within: Within } => ({
      within(token, run) {
        log.push(`${who} in ${token}`);
        const answer = run();
        log.push(`${who} out`);
        return answer;
      },
    });
    const all = observed(around('a'), {}, around('c'), around('d'));
    expect(all.within([1, 2, undefined, 4], () => (log.push('fn'), 'answer'))).toBe('answer');
    expect(log).toEqual(['a in 1', 'd in 4', 'fn', 'd out', 'a out']);
    expect(warnings).toEqual([]);
  });

  it.each<[string, Within, unknown[]]>([
    ['does not run it', () => undefined, []],
    ['runs it twice', (_token, run) => (run(), run()), []],
    ['answers something else', (_token, run) => (run(), 'else'), []],
    ['throws before it', fail, [boom]],
    ['throws after it', (_token, run) => (run(), fail()), [boom]],
  ])('runs once and is answered where one %s', (_what, within, causes) => {
    let calls = 0;
    expect(inside(within, () => (++calls, 'answer'))).toBe('answer');
    expect(calls).toBe(1);
    expect(warnings).toEqual(causes.flatMap(told));
  });

  const down = new Error('down');
  it.each<[string, Within, unknown[]]>([
    ['passes it on', (_token, run) => run(), []],
    [
      'swallows it',
      (_token, run) => {
        try {
          return run();
        } catch {
          return 'fine';
        }
      },
      [],
    ],
    [
      'throws another in its place',
      (_token, run) => {
        try {
          return run();
        } catch {
          throw boom;
        }
      },
      [boom],
    ],
  ])('fails with its own error where one %s', (_what, within, causes) => {
    let calls = 0;
    const fn = () => {
      calls++;
      throw down;
    };
    expect(() => inside(within, fn)).toThrow(down);
    expect(calls).toBe(1);
    expect(warnings).toEqual(causes.flatMap(told));
  });

  it('is asked for later in vain: it has run already', () => {
    let later!: () => unknown;
    let calls = 0;
    const answer = inside(
      (_token, run) => void (later = run),
      () => ++calls,
    );
    expect([answer, later(), calls]).toEqual([1, 1, 1]);
  });

  it.each<[string, Within, () => unknown, unknown[]]>([
    ['an async one that fails before it is told', async () => fail(), () => 'answer', [boom]],
    // What went wrong is the function's own, and its caller hears of it.
    ["the function's own rejection is not", async (_token, run) => run(), () => Promise.reject(down), []],
    ['an async one that fails after it is not', async (_token, run) => (run(), fail()), () => 'answer', []],
  ])('%s', async (_what, within, fn, causes) => {
    const lost = await unhandled(() => Promise.resolve(inside(within, fn)).catch(() => {}));
    expect([lost, warnings]).toEqual([[], causes.flatMap(told)]);
  });
});
