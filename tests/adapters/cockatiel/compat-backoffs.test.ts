import * as cockatiel from 'cockatiel';
import { circuitBreaker, retry } from 'seaworthy';
import { seededRandom } from 'seaworthy/testing';
import { vi } from 'vitest';
import { watch } from '../../policies/stand.ts';
import { compare, end, type Pass, pipe, type Runs } from './compat-table.ts';

const { ConstantBackoff, DelegateBackoff, ExponentialBackoff, handleAll, IterableBackoff, noJitterGenerator } =
  cockatiel;

const boom = new Error('boom');
const down = () => Promise.reject(boom);

/** A retry, with the pauses it told of. */
interface Retrying extends Runs {
  readonly pauses: number[];
}

/** So many retries of either library with this backoff; made anew for each, because a test may count in it. */
function retrying(make: () => cockatiel.IBackoffFactory<any>, maxAttempts: number) {
  return {
    theirs: (): Retrying => {
      const policy = cockatiel.retry(handleAll, { maxAttempts, backoff: make() });
      const pauses: number[] = [];
      policy.onRetry(({ delay }) => pauses.push(delay));
      return { execute: (fn, signal) => policy.execute(fn, signal), pauses };
    },
    ours: (): Retrying => {
      const own = pipe([retry({ maxRetries: maxAttempts, backoff: make(), budget: false })]);
      const pauses: number[] = [];
      own.subscribe((event) => event.type === 'retry' && pauses.push(event.delayMs));
      return { execute: (fn, signal) => own.execute(fn, signal), pauses };
    },
  };
}

/** The pauses of a call that fails until its retries are used up. */
async function pausesOf(side: Retrying, pass: Pass): Promise<number[]> {
  const seen = watch(end(side.execute(down)));
  while (seen.state === 'pending') await pass(3_600_000);
  return side.pauses;
}

/** cockatiel's generators draw from `Math.random`, which is the same for either here. */
async function drawn(side: Retrying, pass: Pass): Promise<number[]> {
  vi.spyOn(Math, 'random').mockImplementation(seededRandom(7));
  return pausesOf(side, pass);
}

const sane = (pauses: readonly number[]) =>
  pauses.every((ms, n) => ms >= 0 && ms <= Math.min(30_000, 128 * 2 ** (n + 1)));

const generators = {
  noJitterGenerator,
  fullJitterGenerator: cockatiel.fullJitterGenerator,
  halfJitterGenerator: cockatiel.halfJitterGenerator,
  decorrelatedJitterGenerator: cockatiel.decorrelatedJitterGenerator,
};

/** What a generator makes of the same chance, by itself. */
function byItself(generator: cockatiel.GeneratorFn<any>, options: object, n: number): number[] {
  const random = vi.spyOn(Math, 'random').mockImplementation(seededRandom(7));
  let backoff: cockatiel.IBackoffFactory<any> = new ExponentialBackoff({ generator, ...options });
  const pauses = Array.from({ length: n }, () => (backoff = backoff.next(undefined)) as cockatiel.IBackoff<any>);
  const all = pauses.map(({ duration }) => duration);
  random.mockRestore();
  return all;
}

compare<Retrying>('backoffs, given to a retry', [
  {
    behaviour: 'ConstantBackoff is the same every time',
    ...retrying(() => new ConstantBackoff(42), 3),
    scene: pausesOf,
    both: [42, 42, 42],
  },
  {
    behaviour: 'IterableBackoff goes through its list and stays at the last',
    ...retrying(() => new IterableBackoff([3, 6, 9]), 5),
    scene: pausesOf,
    both: [3, 6, 9, 9, 9],
  },
  {
    behaviour: 'ExponentialBackoff without jitter doubles up to 30 s',
    ...retrying(() => new ExponentialBackoff({ generator: noJitterGenerator }), 11),
    scene: pausesOf,
    both: [128, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384, 30_000, 30_000, 30_000],
  },
  ...Object.entries(generators).map(([name, generator]) => ({
    behaviour: `${name} gives what it gives by itself, within its limits`,
    ...retrying(() => new ExponentialBackoff({ generator: generator as cockatiel.GeneratorFn<any> }), 60),
    scene: async (side: Retrying, pass: Pass) => {
      const pauses = await drawn(side, pass);
      return [sane(pauses), pauses];
    },
    both: [true, byItself(generator, {}, 60)],
  })),
  {
    behaviour: 'decorrelatedJitterGenerator goes on where its powers are beyond all numbers',
    ...retrying(() => new ExponentialBackoff({ maxDelay: 15 * 60_000, initialDelay: 45_000 }), 1_100),
    scene: async (side, pass) => {
      const pauses = await drawn(side, pass);
      return [pauses.length, pauses.every((ms) => ms >= 0 && ms <= 15 * 60_000)];
    },
    both: [1_100, true],
  },
  {
    behaviour: 'DelegateBackoff keeps a state of its own',
    ...retrying(
      () => new DelegateBackoff<any, number>((_context, state = 3) => ({ delay: state * state, state: state * state })),
      4,
    ),
    scene: pausesOf,
    both: [9, 81, 6_561, 43_046_721],
  },
  {
    behaviour: 'DelegateBackoff is told which retry it is, what happened, and the signal',
    ...retrying(
      () =>
        new DelegateBackoff<any>(({ attempt, result, signal }) =>
          result.error === boom && signal instanceof AbortSignal && !signal.aborted ? attempt * 10 : 0,
        ),
      3,
    ),
    scene: pausesOf,
    both: [10, 20, 30],
  },
  {
    behaviour: 'each call goes through a backoff from its beginning',
    ...retrying(() => new IterableBackoff([1, 2]), 2),
    scene: async (side, pass) => {
      const calls = [side.execute(down), side.execute(down)].map((call) => watch(end(call)));
      while (calls.some(({ state }) => state === 'pending')) await pass(1);
      return side.pauses;
    },
    both: [1, 1, 2, 2],
  },
  {
    behaviour: 'a backoff that throws',
    ...retrying(
      () =>
        new DelegateBackoff<any>(() => {
          throw new TypeError('no pause');
        }),
      3,
    ),
    scene: async (side) => ((await end(side.execute(down))) as Error).message,
    cockatiel: ["its error hides the function's", 'no pause'],
    seaworthy: ["ends the retrying with the function's error, and is reported", 'boom'],
    differs: 'code beside the call must not take the place of its result',
  },
  {
    behaviour: 'a backoff that answers nothing, which ended the retrying in older versions of cockatiel',
    ...retrying(() => new DelegateBackoff<any>(() => undefined as never), 3),
    scene: async (side) => ((await end(side.execute(down))) as Error).name,
    cockatiel: ['is a TypeError', 'TypeError'],
    seaworthy: ["ends the retrying with the function's error", 'Error'],
    differs: 'an old backoff still says stop',
  },
  {
    behaviour: 'IterableBackoff of nothing',
    ...retrying(() => new IterableBackoff([]), 3),
    scene: async (side, pass) => {
      const seen = watch(end(side.execute(down)));
      while (seen.state === 'pending') await pass(1);
      return side.pauses.length;
    },
    cockatiel: ['retries without a pause', 3],
    seaworthy: ['does not retry', 0],
    differs: 'what is no length must not become a loop without a pause',
  },
]);

/** A circuit that opens at any failure and lets one probe in. */
interface Breaking extends Runs {
  /** What a backoff of {@link noting} was told. */
  readonly told: unknown[];
}

function breaking(make: (told: unknown[]) => number | cockatiel.IBackoffFactory<any>, when = handleAll) {
  return {
    theirs: (): Breaking => {
      const told: unknown[] = [];
      const breaker = new cockatiel.ConsecutiveBreaker(1);
      const policy = cockatiel.circuitBreaker(when, { halfOpenAfter: make(told), breaker });
      return { execute: (fn) => policy.execute(fn), told };
    },
    ours: (): Breaking => {
      const told: unknown[] = [];
      const own = pipe([circuitBreaker({ consecutiveFailures: 1, halfOpenCalls: 1, breakMs: make(told), when })]);
      return { execute: (fn) => own.execute(fn), told };
    },
  };
}

/** A backoff of one second more each time, which writes down what it is told. */
const noting = (told: unknown[]) =>
  new DelegateBackoff<any, number>(({ attempt, result, signal }, state = 1_000) => {
    told.push([attempt, result, signal instanceof AbortSignal && signal.aborted]);
    return { delay: state, state: state + 1_000 };
  });

/** How long each of the next `n` breaks is, of probes that fail. */
async function breaks(side: Breaking, pass: Pass, n: number, fn: () => unknown = down): Promise<number[]> {
  const lengths: number[] = [];
  await end(side.execute(fn));
  for (let i = 0; i < n; i++) {
    let ms = 0;
    do {
      ms += 500;
      await pass(500);
    } while ((await end(side.execute(fn))) === 'broken');
    lengths.push(ms);
  }
  return lengths;
}

compare<Breaking>('backoffs, given as the break of a circuit', [
  {
    behaviour: 'a number is every break',
    ...breaking(() => 1_000),
    scene: (side, pass) => breaks(side, pass, 3),
    both: [1_000, 1_000, 1_000],
  },
  {
    behaviour: 'ConstantBackoff is every break',
    ...breaking(() => new ConstantBackoff(1_500)),
    scene: (side, pass) => breaks(side, pass, 3),
    both: [1_500, 1_500, 1_500],
  },
  {
    behaviour: 'IterableBackoff makes breaks longer, probe after failed probe',
    ...breaking(() => new IterableBackoff([1_000, 2_000])),
    scene: (side, pass) => breaks(side, pass, 3),
    both: [1_000, 2_000, 2_000],
  },
  {
    behaviour: 'a circuit that has closed begins with the first break again',
    ...breaking(noting),
    scene: async (side, pass) => {
      const before = await breaks(side, pass, 2);
      await pass(3_000);
      const probe = await side.execute(() => 'ok');
      return [before, probe, await breaks(side, pass, 2)];
    },
    both: [[1_000, 2_000], 'ok', [1_000, 2_000]],
  },
  {
    behaviour: 'a backoff is told how often in a row it opened, and by which error',
    ...breaking(noting),
    scene: async (side, pass) => (await breaks(side, pass, 2)) && side.told,
    both: [
      [1, { error: boom }, false],
      [2, { error: boom }, false],
      [3, { error: boom }, false],
    ],
  },
  {
    behaviour: 'a backoff is told by which value',
    ...breaking(
      noting,
      cockatiel.handleWhenResult((r) => r === 503),
    ),
    scene: async (side, pass) => (await breaks(side, pass, 1, () => 503)) && side.told,
    both: [
      [1, { value: 503 }, false],
      [2, { value: 503 }, false],
    ],
  },
  {
    behaviour: 'a backoff that throws when the circuit opens',
    ...breaking(
      () =>
        new DelegateBackoff<any>(() => {
          throw new TypeError('no break');
        }),
    ),
    scene: async (side) => {
      const seen = [];
      for (let i = 0; i < 2; i++) seen.push(((await end(side.execute(down))) as Error).message ?? 'broken');
      return seen;
    },
    cockatiel: ["hides the function's error, and the circuit stays closed", ['no break', 'no break']],
    seaworthy: ['is reported, and the break is 5 s', ['boom', 'broken']],
    differs: 'code beside the call must not take the place of its result',
  },
]);
