import type { Call } from '../../src/core/call.ts';
import { type Host, type Policy, policy, Stage } from 'seaworthy';
import { policyContract } from 'seaworthy/testing';
import { describe, expect, it } from 'vitest';

/** Names of the cases that `make` breaks, and what they say. */
async function broken(make: () => Policy<any>): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const { name, run } of policyContract(make)) await run().catch((error: Error) => (found[name] = error.message));
  return found;
}

const around = (body: Parameters<typeof policy>[0]['around']) => () => policy({ kind: 'bad', around: body });

/** A policy whose one stage is made by `stage`. */
const staged = (stage: (host: Host) => Stage) => (): Policy => ({ kind: 'bad', stage });

class Seats extends Stage {
  private readonly seats: { free: number };

  constructor(seats: { free: number }) {
    super();
    this.seats = seats;
  }

  override enter(call: Call): void {
    if (this.seats.free === 0) return this.raise(call, new Error('no seat'));
    this.seats.free--;
    this.proceed(call);
  }

  override succeed(call: Call, value: unknown): void {
    this.seats.free++;
    this.pass(call, value);
  }

  override fail(call: Call, error: unknown): void {
    this.seats.free++;
    this.raise(call, error);
  }
}

describe('policyContract', () => {
  it('says in each name what is promised, and makes a policy of its own for each case', async () => {
    let made = 0;
    const cases = policyContract(() => {
      made++;
      return policy({ kind: 'good', around: (_call, next) => next() });
    });
    expect(made).toBe(0);
    expect(new Set(cases.map(({ name }) => name)).size).toBe(cases.length);
    for (const { run } of cases) await run();
    expect(made).toBe(cases.length);
  });

  it('leaves out the cases about errors for a policy that answers them', () => {
    const make = () => policy({ kind: 'good', around: (_call, next) => next() });
    const all = policyContract(make).map(({ name }) => name);
    const rescuing = policyContract(make, { rescues: true }).map(({ name }) => name);
    expect(all.filter((name) => !rescuing.includes(name))).toEqual([
      "the user's error passes untouched",
      'a rejection with undefined stays one',
      'a synchronous throw becomes a rejection',
    ]);
  });

  it('names the policy, the promise and what was found', async () => {
    const found = await broken(around(async (_call, next) => ({ wrapped: await next() })));
    expect(found['a value passes']).toBe(
      'The policy "bad" breaks its contract, "a value passes": a value returned at once must come through as it is; ' +
        'received another object, not another object.',
    );
  });

  const policies: [what: string, make: () => Policy<any>, breaks: string][] = [
    [
      'a kind with capitals',
      () => ({ ...around((_call, next) => next())(), kind: 'Bad' }),
      'kind and name are well formed',
    ],
    [
      'a name with blanks',
      () => ({ ...around((_call, next) => next())(), name: 'my policy' }),
      'kind and name are well formed',
    ],
    [
      'one stage for all places',
      () => {
        const stage = new (class extends Stage {})();
        return { kind: 'bad', stage: () => stage };
      },
      'each place in a pipeline gets a stage of its own',
    ],
    [
      'an error that is wrapped',
      around((_call, next) =>
        next().catch((error: unknown) => {
          throw new Error('wrapped', { cause: error });
        }),
      ),
      "the user's error passes untouched",
    ],
    [
      'undefined taken for no error',
      around(async (_call, next) => {
        let failure: unknown;
        const value = await next().catch((error: unknown) => (failure = error));
        if (failure !== undefined) throw failure;
        return value;
      }),
      'a rejection with undefined stays one',
    ],
    [
      'a seat that only drop would give back',
      () => {
        const seats = { free: 10 };
        return { kind: 'bad', stage: () => new Seats(seats) };
      },
      'permits come back from calls that were given up',
    ],
    [
      'a seat lost with each failure',
      () => {
        let free = 10;
        return policy({
          kind: 'bad',
          around: async (_call, next) => {
            if (free === 0) throw new Error('no seat');
            free--;
            const value = await next();
            free++;
            return value;
          },
        });
      },
      'permits come back from calls that ended, well or not',
    ],
    [
      'a timer that is not cancelled',
      staged(
        ({ clock }) =>
          new (class extends Stage {
            override enter(call: Call): void {
              clock.after(100_000_000_000, () => {});
              this.proceed(call);
            }
          })(),
      ),
      'a value passes',
    ],
    [
      'a call that is started by another',
      () => {
        const waiting: (() => void)[] = [];
        return policy({
          kind: 'bad',
          around: (_call, next) =>
            new Promise<unknown>((resolve, reject) => {
              waiting.push(() => next().then(resolve, reject));
              if (waiting.length === 1) setImmediate(() => waiting.splice(0).forEach((start) => start()));
            }) as Promise<never>,
        });
      },
      "the function runs in its own caller's async context",
    ],
  ];

  it.each(policies)('finds %s', async (_what, make, breaks) => {
    expect(Object.keys(await broken(make))).toContain(breaks);
  });

  it('does not wait for ever for a policy that loses calls', { timeout: 10_000 }, async () => {
    const lost = around(() => new Promise<never>(() => {}));
    const value = policyContract(lost).find(({ name }) => name === 'a value passes')!;
    await expect(value.run()).rejects.toThrow(
      'the call must end; hours later on the virtual clock, and two real seconds, it had not',
    );
  });
});
