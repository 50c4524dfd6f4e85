import * as cockatiel from 'cockatiel';
import CircuitBreaker from 'opossum';
import { circuitBreaker, pipeline } from 'seaworthy';
import type { Curve, Load, Series } from './curve.ts';

const work = async () => 1;

/** As a service has them. Parsed, because V8 would build pasted ones when they are first looked up, and weigh that as ours. */
function names(count: number): readonly string[] {
  return JSON.parse(JSON.stringify(Array.from({ length: count }, (_, i) => `https://tenant-${i}.example.com`)));
}

/** Calls under keys drawn at random, after each was used once. `make` answers what has a circuit for each. */
function keyed(make: (keys: number) => (key: string) => Promise<unknown>, end?: () => void): Series {
  return async (keys) => {
    const all = names(keys);
    const used = async () => {
      const call = make(keys);
      for (const key of all) await call(key);
      return call;
    };
    let call: ((key: string) => Promise<unknown>) | undefined = await used();
    let drawn = 1;
    const calls = Math.min(10_000, 10 * keys);
    return {
      calls,
      async round() {
        for (let i = 0; i < calls; i++) {
          drawn = (Math.imul(drawn, 1_103_515_245) + 12_345) & 0x7fffffff;
          await call!(all[drawn % keys]!);
        }
      },
      async hold() {
        let held: unknown = await used();
        return () => {
          end?.();
          held = undefined;
          return held;
        };
      },
      end() {
        call = undefined;
        end?.();
      },
    } satisfies Load;
  };
}

/** What people write around a breaker that has no keys. */
function perKey<B>(make: () => B, run: (breaker: B) => Promise<unknown>) {
  return () => {
    const breakers = new Map<string, B>();
    return (key: string) => {
      let breaker = breakers.get(key);
      if (breaker === undefined) breakers.set(key, (breaker = make()));
      return run(breaker);
    };
  };
}

function ours(max: (keys: number) => number): Series {
  return keyed((keys) => {
    const hosts = pipeline('hosts', [circuitBreaker({ keys: { max: max(keys) } })]);
    return (key) => hosts.execute(work, { key });
  });
}

function opossum(): Series {
  const all: { shutdown(): void }[] = [];
  const make = () => {
    const breaker = new CircuitBreaker(work);
    all.push(breaker);
    return breaker;
  };
  return keyed(
    perKey(make, (breaker) => breaker.fire()),
    () => {
      for (const breaker of all.splice(0)) breaker.shutdown();
    },
  );
}

const cockatielBreaker = () =>
  cockatiel.circuitBreaker(cockatiel.handleAll, {
    halfOpenAfter: 5_000,
    breaker: new cockatiel.SamplingBreaker({ threshold: 0.5, duration: 30_000 }),
  });

export const keys: Curve = {
  x: 'keys',
  points: [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000],
  checked: 100,
  // A million keys are promised to be no matter.
  patienceMs: 40_000,
  series: {
    ours: () => ours((keys) => keys),
    'ours, at most 1,000 kept': () => ours(() => 1_000),
    'a Map alone': () => keyed(perKey(() => ({}), work)),
    cockatiel: () => keyed(perKey(cockatielBreaker, (breaker) => breaker.execute(work))),
    opossum,
  },
};
