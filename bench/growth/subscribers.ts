import * as cockatiel from 'cockatiel';
import CircuitBreaker from 'opossum';
import { pipeline, timeout } from 'seaworthy';
import type { Curve, Series } from './curve.ts';

const work = async () => 1;

/** Calls while `x` listeners hear of each. */
function heard(make: () => { subscribe(listener: () => void): unknown; call(): Promise<unknown> }): Series {
  return (listeners) => {
    const { subscribe, call } = make();
    let heard = 0;
    // As many functions as listeners, as a program would have.
    for (let i = 0; i < listeners; i++) subscribe(() => void heard++);
    return {
      calls: 5_000,
      async round() {
        for (let i = 0; i < 5_000; i++) await call();
        if (heard === 0) throw new Error('Nobody has heard anything');
      },
    };
  };
}

export const subscribers: Curve = {
  x: 'subscribers',
  points: [1, 2, 4, 8, 16, 32, 64],
  checked: 2,
  series: {
    ours: () =>
      heard(() => {
        const pipe = pipeline('heard', [timeout(10_000)]);
        return { subscribe: (listener) => pipe.subscribe(listener), call: () => pipe.execute(work) };
      }),
    cockatiel: () =>
      heard(() => {
        const policy = cockatiel.timeout(10_000, cockatiel.TimeoutStrategy.Aggressive);
        return { subscribe: (listener) => policy.onSuccess(listener), call: () => policy.execute(work) };
      }),
    opossum: () =>
      heard(() => {
        const breaker = new CircuitBreaker(work);
        return { subscribe: (listener) => breaker.on('success', listener), call: () => breaker.fire() };
      }),
  },
};
