import { circuitBreaker, retry, timeout } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { deaf, deferred, stand, stateOf, turn, watch } from '../policies/stand.ts';

const down = new Error('down');
const bad = () => Promise.reject(down);
const ok = async () => 'ok';

/** Two failures open it; a break of a second; two probes, of which one failure is enough. */
function scene() {
  const breaker = circuitBreaker({ minimumCalls: 2, breakMs: 1_000, halfOpenCalls: 2 });
  const classify = ({ value, error }: { value?: unknown; error?: unknown }) =>
    value === 'shrug' ? 'ignored' : error === undefined ? 'success' : 'failure';
  const at = stand([breaker], { classify });
  const begin = (work = deferred(), caller = new AbortController()) => {
    const call = watch(at.pipe.execute(() => work.promise, caller.signal));
    return { work, caller, call };
  };
  const fail = async (times: number) => {
    for (let n = 0; n < times; n++) await at.pipe.tryExecute(bad);
  };
  /** How many more calls it lets in now; they are given up at once. */
  const places = async () => {
    const calls = Array.from({ length: 9 }, () => begin(deferred()));
    await turn();
    const admitted = calls.filter(({ call }) => call.state === 'pending');
    for (const { caller } of admitted) caller.abort();
    await turn();
    return admitted.length;
  };
  return { ...at, breaker, begin, fail, places };
}

type Scene = ReturnType<typeof scene>;
type Late = ReturnType<Scene['begin']>;

const ends: [string, (late: Late) => void][] = [
  ['succeeds', ({ work }) => work.resolve('late')],
  ['fails', ({ work }) => work.reject(new Error('late'))],
  ['is ignored', ({ work }) => work.resolve('shrug')],
  ['is given up', ({ caller }) => caller.abort('late')],
];

const trip = ({ fail }: Scene) => fail(2);
const recover = async (at: Scene) => {
  await trip(at);
  await at.clock.advance(1_000);
  for (let n = 0; n < 2; n++) await at.pipe.execute(ok);
};

/** Where the circuit stands when the calls from before end, how many it lets in then, and how it got there. */
const periods: [string, number, (at: Scene) => Promise<unknown>][] = [
  ['open', 0, trip],
  [
    'half-open',
    2,
    async (at) => {
      await trip(at);
      await at.clock.advance(1_000);
    },
  ],
  [
    'half-open with a probe in flight',
    1,
    async (at) => {
      await trip(at);
      await at.clock.advance(1_000);
      at.begin();
    },
  ],
  [
    'half-open with a probe that succeeded',
    1,
    async (at) => {
      await trip(at);
      await at.clock.advance(1_000);
      await at.pipe.execute(ok);
    },
  ],
  [
    'open again after a probe that failed',
    0,
    async (at) => {
      await trip(at);
      await at.clock.advance(1_000);
      await at.fail(1);
    },
  ],
  ['closed again', 9, recover],
  [
    'isolated',
    0,
    async (at) => {
      await trip(at);
      at.breaker.isolate();
    },
  ],
  [
    'disabled',
    9,
    async (at) => {
      await trip(at);
      at.breaker.disable();
    },
  ],
  [
    'closed by hand',
    9,
    async (at) => {
      await trip(at);
      at.breaker.reset();
    },
  ],
];

describe('a result belongs to the period in which its call was let in', () => {
  const table = periods.flatMap(([where, free, go]) => ends.map(([how, end]) => ({ where, free, go, how, end })));

  it.each(table)('J-1: one from before that $how moves nothing while it is $where', async ({ free, go, end }) => {
    const at = scene();
    const late = [at.begin(), at.begin(), at.begin()];
    await go(at);
    const look = () => [
      at.breaker.toJSON(),
      at.breaker.state,
      stateOf(at.pipe).failureRatio,
      stateOf(at.pipe).transitions,
    ];
    const before = look();
    for (const one of late) end(one);
    await turn();
    expect(late.map(({ call }) => call.state)).not.toContain('pending');
    expect(look()).toEqual(before);
    expect(await at.places()).toBe(free);
  });

  it.each(ends)('P-d: a probe of an earlier half-open period that %s does not decide the next', async (_, end) => {
    const at = scene();
    await trip(at);
    await at.clock.advance(1_000);
    const old = at.begin();
    await at.fail(1);
    await at.clock.advance(1_000);
    const probe = at.begin();
    end(old);
    await turn();
    expect(at.breaker.state).toBe('half_open');
    expect(await at.places()).toBe(1);
    probe.work.resolve('fine');
    await turn();
    expect(at.breaker.state).toBe('half_open');
    expect(await at.pipe.execute(ok)).toBe('ok');
    expect(at.breaker.state).toBe('closed');
  });

  it('P-17: what ends while it is open or isolated is counted, tells no opening anew and does not lengthen the break', async () => {
    const at = scene();
    const late = [at.begin(), at.begin()];
    await trip(at);
    await at.clock.advance(600);
    late[0]!.work.reject(new Error('late'));
    await turn();
    expect(at.told('circuit_state')).toHaveLength(1);
    expect((await at.pipe.tryExecute(ok)).error).toMatchObject({ retryAfterMs: 400 });
    const hold = at.breaker.isolate();
    late[1]!.work.resolve('late');
    await turn();
    hold.dispose();
    await at.clock.advance(400);
    expect(at.breaker.state).toBe('half_open');
    expect(stateOf(at.pipe)).toMatchObject({ executions: { failure: 3, success: 1 }, transitions: { half_open: 1 } });
  });
});

describe('work that goes on after its caller was answered', () => {
  it('settles its permit with the timeout, once: its own end is neither a second failure nor a success', async () => {
    const breaker = circuitBreaker({ consecutiveFailures: 2, breakMs: 1_000 });
    const { pipe, clock } = stand([timeout(100), breaker]);
    const work = deferred();
    watch(pipe.execute(() => work.promise));
    await clock.advance(100);
    work.reject(down);
    await turn();
    expect(breaker.state).toBe('closed');
    expect(stateOf(pipe, 1).executions).toMatchObject({ failure: 1, success: 0 });
    watch(pipe.execute(deaf));
    await clock.advance(100);
    expect(breaker.state).toBe('open');
  });

  it('of an attempt that was timed out does not decide the probe that the next attempt is', async () => {
    const breaker = circuitBreaker({ consecutiveFailures: 1, breakMs: 50, halfOpenCalls: 1 });
    const { pipe, clock } = stand([retry({ backoff: 60 }), breaker, timeout(100)]);
    const works = [deferred(), deferred()];
    let n = 0;
    const call = watch(pipe.execute(() => works[n++]!.promise));
    await clock.advance(160);
    expect([n, breaker.state]).toEqual([2, 'half_open']);
    works[0]!.resolve('late');
    await turn();
    expect([call.state, breaker.state]).toEqual(['pending', 'half_open']);
    works[1]!.reject(down);
    await turn();
    expect(breaker.state).toBe('open');
  });

  it('does not end the wait of a cooperative timeout for the function of a later attempt', async () => {
    const { pipe, clock } = stand([
      retry({ backoff: 0, maxRetries: 1 }),
      timeout(200),
      timeout({ ms: 100, mode: 'cooperative' }),
    ]);
    const works = [deferred(), deferred()];
    let n = 0;
    const call = watch(pipe.execute(() => works[n++]!.promise));
    await clock.advance(310);
    expect([n, call.state]).toEqual([2, 'pending']);
    works[0]!.resolve('late');
    await turn();
    expect(call.state).toBe('pending');
    works[1]!.resolve('late');
    await turn();
    expect(call.error).toMatchObject({ timeoutMs: 100 });
  });

  it('is discarded once for every attempt that was given up, and the winner never', async () => {
    const { pipe, clock, told } = stand([retry({ backoff: 0, maxRetries: 3 }), timeout(100)]);
    const works = Array.from({ length: 4 }, () => deferred());
    const discarded: unknown[] = [];
    let n = 0;
    const onDiscard = (value: unknown) => discarded.push(value);
    const call = watch(pipe.execute(() => works[n++]!.promise, { onDiscard }));
    await clock.advance(300);
    expect(n).toBe(4);
    for (const i of [2, 0, 3, 1]) works[i]!.resolve(i);
    await turn();
    expect(call.value).toBe(3);
    expect(discarded.toSorted()).toEqual([0, 1, 2]);
    expect(told('late')).toHaveLength(3);
  });
});
