import * as cockatiel from 'cockatiel';
import CircuitBreaker from 'opossum';
import { circuitBreaker, pipeline } from 'seaworthy';
import type { Curve, Series } from './curve.ts';

type Breaker = (work: () => Promise<unknown>) => Promise<unknown>;

/** Every tenth call fails, which no breaker here opens for. */
function failing() {
  const error = new Error('every tenth');
  let calls = 0;
  return async () => {
    if (++calls % 10 === 0) throw error;
    return 1;
  };
}

/** Calls of a breaker whose window has `before` calls in it. */
function filled(make: (x: number) => Breaker, before: (x: number) => number): Series {
  return async (x) => {
    const breaker = make(x);
    const work = failing();
    const some = async (calls: number) => {
      for (let i = 0; i < calls; i++) {
        try {
          await breaker(work);
        } catch {
          // Every tenth.
        }
      }
    };
    await some(before(x));
    return { calls: 1_000, round: () => some(1_000) };
  };
}

const asMany = (x: number) => x;
const thousand = () => 1_000;

const ours = (options: Parameters<typeof circuitBreaker>[0]): Breaker => {
  const window = pipeline('window', [circuitBreaker(options)]);
  return (work) => window.execute(work);
};

const theirs = (breaker: cockatiel.IBreaker): Breaker => {
  const policy = cockatiel.circuitBreaker(cockatiel.handleAll, { halfOpenAfter: 5_000, breaker });
  return (work) => policy.execute(work);
};

function opossum(): Breaker {
  // An hour, so that nothing that was counted leaves the window meanwhile.
  const breaker = new CircuitBreaker((work: () => Promise<unknown>) => work(), {
    rollingCountTimeout: 3_600_000,
    timeout: false,
  });
  return (work) => breaker.fire(work);
}

export const window: Curve = {
  x: 'calls in the window',
  points: [10, 100, 1_000, 10_000, 100_000, 1_000_000],
  checked: 100,
  series: {
    ours: () => filled((windowCalls) => ours({ windowCalls }), asMany),
    'ours, 30 s': () => filled(() => ours({ windowMs: 30_000 }), asMany),
    cockatiel: () => filled((size) => theirs(new cockatiel.CountBreaker({ threshold: 0.5, size })), asMany),
    opossum: () => filled(opossum, asMany),
  },
};

export const windowSeconds: Curve = {
  x: 'seconds',
  points: [1, 10, 60, 600, 3_600],
  checked: 1,
  series: {
    ours: () => filled((seconds) => ours({ windowMs: seconds * 1_000 }), thousand),
    cockatiel: () =>
      filled(
        (seconds) => theirs(new cockatiel.SamplingBreaker({ threshold: 0.5, duration: seconds * 1_000 })),
        thousand,
      ),
  },
};
