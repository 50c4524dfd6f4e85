import * as cockatiel from 'cockatiel';
import { circuitBreaker } from 'seaworthy';
import { compare, type Pass, pipe } from './compat-table.ts';

const { CircuitState, ConsecutiveBreaker, CountBreaker, SamplingBreaker } = cockatiel;

/** A circuit with one breaker; a second of break and one probe. */
interface Circuit {
  succeed(): Promise<unknown>;
  fail(): Promise<unknown>;
  state(): string;
}

const boom = new Error('boom');
const quiet = (call: Promise<unknown>) => call.catch((error) => error);

function theirs(breaker: cockatiel.IBreaker): Circuit {
  const policy = cockatiel.circuitBreaker(cockatiel.handleAll, { halfOpenAfter: 1_000, breaker });
  return {
    succeed: () => quiet(policy.execute(() => 'ok')),
    fail: () => quiet(policy.execute(() => Promise.reject(boom))),
    state: () => (policy.state === CircuitState.Open ? 'open' : 'closed'),
  };
}

function ours(breaker: cockatiel.IBreaker): Circuit {
  const policy = circuitBreaker({ breaker, breakMs: 1_000, halfOpenCalls: 1 });
  const own = pipe([policy]);
  return {
    succeed: () => own.tryExecute(() => 'ok'),
    fail: () => own.tryExecute(() => Promise.reject(boom)),
    state: () => policy.state,
  };
}

/** Both made around a breaker of `make`. */
const around = (make: () => cockatiel.IBreaker) => ({ theirs: () => theirs(make()), ours: () => ours(make()) });

/**
 * Plays calls, `s` for one that succeeds and `f` for one that fails, and draws what the circuit is after each, `-` closed
 * and `O` open. At a `.` so many milliseconds pass.
 */
const plays =
  (calls: string, ms = 0) =>
  async (side: Circuit, pass: Pass) => {
    let drawn = '';
    for (const call of calls) {
      if (call === '.') await pass(ms);
      else await (call === 's' ? side.succeed() : side.fail());
      drawn += call === '.' ? '.' : side.state() === 'open' ? 'O' : '-';
    }
    return drawn;
  };

const count = (minimumNumberOfCalls?: number, size = 10) =>
  around(
    () =>
      new CountBreaker({ threshold: 0.5, size, ...(minimumNumberOfCalls !== undefined && { minimumNumberOfCalls }) }),
  );
const sampling = () => around(() => new SamplingBreaker({ threshold: 0.5, duration: 5_000, minimumRps: 3 }));

compare<Circuit>('ConsecutiveBreaker', [
  {
    behaviour: 'opens at so many failures in a row',
    ...around(() => new ConsecutiveBreaker(3)),
    scene: plays('fff'),
    both: '--O',
  },
  {
    behaviour: 'a success in between begins the row anew',
    ...around(() => new ConsecutiveBreaker(3)),
    scene: plays('ffsfff'),
    both: '-----O',
  },
  {
    behaviour: 'the row begins anew when the circuit has closed',
    ...around(() => new ConsecutiveBreaker(3)),
    scene: plays('fff.sfff', 1_000),
    both: '--O.---O',
  },
]);

compare<Circuit>('CountBreaker', [
  {
    behaviour: 'does not open below its minimum of calls',
    ...count(8),
    scene: plays('fffffff'),
    both: '-------',
  },
  {
    behaviour: 'does not open at its threshold',
    ...count(8),
    scene: plays('ssssffff'),
    both: '--------',
  },
  {
    behaviour: 'opens above its threshold',
    ...count(8),
    scene: plays('sssfffff'),
    both: '-------O',
  },
  {
    behaviour: 'its minimum is its size where none is given',
    ...count(),
    scene: plays('ffffffffff'),
    both: '---------O',
  },
  {
    behaviour: 'the oldest calls fall out of its window',
    ...count(undefined, 5),
    scene: plays('fssfssfsff'),
    both: '---------O',
  },
  {
    behaviour: 'counts anew when the circuit has closed',
    ...count(4),
    scene: plays('ffff.sfff', 1_000),
    both: '---O.---O',
  },
]);

compare<Circuit>('SamplingBreaker', [
  {
    behaviour: 'does not open below its calls in a second',
    ...sampling(),
    scene: plays('f.f.f.f.f.f.f.f.f.f.', 500),
    both: '-.-.-.-.-.-.-.-.-.-.',
  },
  {
    behaviour: 'opens once above them',
    ...sampling(),
    scene: plays('.f'.repeat(15), 334),
    both: `${'.-'.repeat(14)}.O`,
  },
  {
    behaviour: 'forgets what is older than its window while calls go on',
    ...sampling(),
    scene: plays(`fffffffssssssss${'.s'.repeat(5)}ffffffff`, 1_000),
    both: `---------------${'.-'.repeat(5)}--------`,
  },
  ...[10, 15, 19].map((rounds) => ({
    behaviour: `judges the share right after ${rounds} rounds`,
    ...sampling(),
    scene: plays(`${'sf.'.repeat(rounds)}f`, 250),
    both: `${'--.'.repeat(rounds)}O`,
  })),
  {
    behaviour: 'counts anew when the circuit has closed, in its window too',
    ...sampling(),
    scene: plays(`${'f'.repeat(15)}.sffff`, 1_000),
    both: `${'-'.repeat(14)}O.-----`,
  },
]);

/** A breaker that writes down what it hears and opens when told; closed is 0 and half-open 2 in cockatiel. */
const noting = (heard: string[], opens: () => boolean): cockatiel.IBreaker => ({
  state: undefined,
  success: (state) => void heard.push(`success ${CircuitState[state]}`),
  failure: (state) => heard.push(`failure ${CircuitState[state]}`) > 0 && opens(),
});

/** What a breaker of one's own hears of these calls; it opens at every failure. */
const heardOf = (calls: string, opens = () => true) => {
  let heard: string[] = [];
  const fresh = (make: (breaker: cockatiel.IBreaker) => Circuit) => () => {
    heard = [];
    return make(noting(heard, opens));
  };
  return {
    theirs: fresh(theirs),
    ours: fresh(ours),
    scene: async (side: Circuit, pass: Pass) => [await plays(calls, 1_000)(side, pass), heard],
  };
};

compare<Circuit>('a breaker of one’s own', [
  {
    behaviour: 'hears of the calls while closed',
    ...heardOf('sfs', () => false),
    both: ['---', ['success Closed', 'failure Closed', 'success Closed']],
  },
  {
    behaviour: 'hears of nothing that was rejected',
    ...heardOf('fsf'),
    both: ['OOO', ['failure Closed']],
  },
  {
    behaviour: 'hears of the probes by which the circuit closes',
    ...heardOf('f.s'),
    both: ['O.-', ['failure Closed', 'success HalfOpen']],
  },
  {
    behaviour: 'hears of the probes by which the circuit opens again, whatever it says to that',
    ...heardOf('f.f.s'),
    both: ['O.O.-', ['failure Closed', 'failure HalfOpen', 'success HalfOpen']],
  },
]);

/** The same circuit, with another breaker that takes over what the first has counted. */
const takingOver = (make: () => cockatiel.IBreaker) => {
  const both = (side: (breaker: cockatiel.IBreaker) => Circuit) => () => {
    const first = make();
    const one = side(first);
    const next = (): Circuit => {
      const breaker = make();
      breaker.state = JSON.parse(JSON.stringify(first.state));
      return side(breaker);
    };
    return { ...one, next };
  };
  return { theirs: both(theirs), ours: both(ours) };
};

compare<Circuit & { next(): Circuit }>('a breaker whose state was kept', [
  {
    behaviour: 'ConsecutiveBreaker goes on where it was',
    ...takingOver(() => new ConsecutiveBreaker(3)),
    scene: async (side, pass) => [await plays('ff')(side, pass), await plays('f')(side.next(), pass)],
    both: ['--', 'O'],
  },
  {
    behaviour: 'CountBreaker goes on where it was',
    ...takingOver(() => new CountBreaker({ threshold: 0.5, size: 5 })),
    scene: async (side, pass) => [await plays('fssf')(side, pass), await plays('f')(side.next(), pass)],
    both: ['----', 'O'],
  },
  {
    behaviour: 'SamplingBreaker goes on where it was',
    ...takingOver(() => new SamplingBreaker({ threshold: 0.5, duration: 5_000, minimumRps: 3 })),
    scene: async (side, pass) => [
      await plays(`${'f'.repeat(7)}.${'f'.repeat(7)}`, 1_000)(side, pass),
      await plays('f')(side.next(), pass),
    ],
    both: ['-------.-------', 'O'],
  },
]);
