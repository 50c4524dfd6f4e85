import { peers } from '../cases.ts';
import { type Call, type Made, type Peer, sharedSignal, type Work } from '../peers/peer.ts';
import type { Curve, Load, Series } from './curve.ts';

/** What all calls wait behind, so that they end in one go. */
class Door {
  private waiting: ((value: number) => void)[] = [];
  private open = true;

  /** A promise of its own for each call, settled from outside, as the answer of a socket is. */
  readonly work = (): Promise<number> =>
    new Promise((resolve) => {
      if (this.open) resolve(1);
      else this.waiting.push(resolve);
    });

  /** Starts `calls` calls and leaves them waiting; the answer ends them all. */
  hold(calls: number, call: Call): () => Promise<void> {
    this.open = false;
    let held = new Array<unknown>(calls);
    for (let i = 0; i < calls; i++) held[i] = call();
    return async () => {
      this.open = true;
      for (const resolve of this.waiting.splice(0)) resolve(1);
      for (const answer of held)
        if ((await answer) !== 1) throw new Error('A call was turned away, so there were fewer in flight');
      held = [];
    };
  }
}

/** As many calls at a time, by what `make` makes for work that so many may do at once. */
export function crowd(make: (work: Work) => Made): Series {
  return async (calls) => {
    const door = new Door();
    const call = await make({ kind: 'async', fn: door.work, limit: calls });
    const hold = () => door.hold(calls, call);
    return { calls, round: () => hold()(), hold } satisfies Load;
  };
}

const points = [1, 10, 100, 1_000, 10_000, 100_000];
const bare = () => crowd(({ fn }) => fn);

/** What `make` makes of each of these libraries. */
function each(names: readonly string[], make: (peer: Peer) => (work: Work) => Made): Curve['series'] {
  return Object.fromEntries(names.map((name) => [name, async () => crowd(make(await peers[name]!()))]));
}

export const inFlight: Curve = {
  x: 'calls in flight',
  points,
  checked: 10,
  series: { ...each(['ours', 'cockatiel', 'opossum', 'effect', 'mollitia', 'p-*'], (peer) => peer.five), bare },
};

export const inFlightShared: Curve = {
  x: 'calls in flight, all with the same signal of the caller',
  points,
  checked: 10,
  series: {
    ours: async () => {
      const { five } = await import('../peers/seaworthy.ts');
      const { signal } = new AbortController();
      return crowd((work) => {
        const pipe = five('five', false, work);
        return () => pipe.execute(work.fn, signal);
      });
    },
    ...each(
      ['cockatiel', 'effect', 'p-*'],
      ({ cancellable }) =>
        (work) =>
          cancellable!(work, sharedSignal()),
    ),
    bare,
  },
};
