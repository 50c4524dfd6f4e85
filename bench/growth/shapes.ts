import * as cockatiel from 'cockatiel';
import { bulkhead, circuitBreaker, fallback, pipeline, retry, timeout } from 'seaworthy';
import type { Curve, Series } from './curve.ts';

const work = async () => 1;

/** Five kinds of policies, by the letters of their names. */
type Kit<P> = Readonly<Record<'f' | 'r' | 'c' | 'b' | 't', () => P>>;

/** The first is what is measured; the others only make V8 see more of the world. */
const orders = 'frcbt t rct crf tb rt cb bcr ftr tcr f rbct ctb rf tbc frct'.split(' ');

/** The five policies while `shapes` pipelines of different shapes are alive and used. */
function among<P>(kit: Kit<P>, join: (policies: P[], n: number) => () => Promise<unknown>): Series {
  return async (shapes) => {
    const all = orders.slice(0, shapes).map((order, n) =>
      join(
        Array.from(order as Iterable<keyof Kit<P>>, (kind) => kit[kind]()),
        n,
      ),
    );
    for (let i = 0; i < 5_000; i++) for (const call of all) await call();
    const five = all[0]!;
    return {
      calls: 10_000,
      async round() {
        for (let i = 0; i < 10_000; i++) await five();
      },
    };
  };
}

const ours: Kit<Parameters<typeof pipeline>[1][number]> = {
  f: () => fallback({ to: { value: 0 } }),
  r: () => retry(),
  c: () => circuitBreaker(),
  b: () => bulkhead({ limit: 10 }),
  t: () => timeout(10_000),
};

const theirs: Kit<cockatiel.IPolicy<any, any>> = {
  f: () => cockatiel.fallback(cockatiel.handleAll, 0),
  r: () => cockatiel.retry(cockatiel.handleAll, { maxAttempts: 2 }),
  c: () =>
    cockatiel.circuitBreaker(cockatiel.handleAll, {
      halfOpenAfter: 5_000,
      breaker: new cockatiel.SamplingBreaker({ threshold: 0.5, duration: 30_000 }),
    }),
  b: () => cockatiel.bulkhead(10),
  t: () => cockatiel.timeout(10_000, cockatiel.TimeoutStrategy.Aggressive),
};

export const shapes: Curve = {
  x: 'shapes alive',
  points: [1, 2, 4, 8, 16],
  checked: 2,
  series: {
    ours: () =>
      among(ours, (policies, n) => {
        const pipe = pipeline(`shape-${n}`, policies);
        return () => pipe.execute(work);
      }),
    cockatiel: () =>
      among(theirs, (policies) => {
        const wrapped = cockatiel.wrap(...policies);
        return () => wrapped.execute(work);
      }),
  },
};
