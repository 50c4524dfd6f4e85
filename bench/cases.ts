/** What is called how: the rows of the tables, and who stands in them. */
import type { Contender, Rounds, Way } from './measure.ts';
import {
  error,
  type Kind,
  type Made,
  ownSignal,
  type Peer,
  sharedSignal,
  type Work,
  unsteady,
  works,
} from './peers/peer.ts';

/** The libraries, by the name of their column; each is loaded only where it is measured. */
export const peers: Readonly<Record<string, () => Promise<Peer>>> = {
  ours: async () => (await import('./peers/seaworthy.ts')).peer,
  cockatiel: async () => (await import('./peers/cockatiel.ts')).peer,
  'cockatiel, no abort': async () => (await import('./peers/cockatiel.ts')).withoutAbort,
  opossum: async () => (await import('./peers/opossum.ts')).peer,
  'opossum + loop': async () => (await import('./peers/opossum.ts')).withRetry,
  effect: async () => (await import('./peers/effect.ts')).peer,
  'p-*': async () => (await import('./peers/p.ts')).peer,
  mollitia: async () => (await import('./peers/mollitia.ts')).peer,
};

export interface Row {
  readonly name: string;
  readonly group: 'five' | 'alone' | 'failing';
  /** What it is a multiple of. */
  readonly base: Contender;
  readonly way: Way;
  /** What a library must have to stand in it. */
  readonly needs: keyof Peer;
  of(peer: Peer): Made;
  /** Whether bytes are counted too. */
  readonly bytes: boolean;
  /** Processes it is measured in. */
  readonly processes: number;
  /** How it is measured where that differs from the rest. */
  readonly rounds?: Partial<Rounds>;
}

const ways: Readonly<Record<Kind, Way>> = {
  async: 'in turn',
  sync: 'in turn',
  immediate: 'at once',
  rejecting: 'caught',
};

const bare = ({ kind, fn }: Work): Contender => ({ call: fn, way: ways[kind] });

const kinds: Readonly<Record<Kind, string>> = {
  async: 'async function',
  immediate: 'setImmediate, 64 at once',
  sync: 'synchronous function',
  rejecting: 'rejecting function',
};

const row = <K extends keyof Peer>(
  name: string,
  group: Row['group'],
  needs: K,
  of: (make: NonNullable<Peer[K]>) => Made,
  { work = works.async, base = bare(work), ...rest }: Partial<Row> & { readonly work?: Work } = {},
): Row => ({
  name,
  group,
  base,
  way: base.way,
  needs,
  of: (peer) => of(peer[needs]!),
  bytes: true,
  processes: 7,
  ...rest,
});

const { async: resolving } = works;
const policies = ['fallback', 'retry', 'circuit breaker', 'bulkhead', 'timeout'] as const;

/** What no library can do without where it rejects. */
const floor: Contender = { call: () => Promise.reject(error), way: 'caught' };

/** One call that fails and one that does not, as anybody would write it. */
function twice(): Contender {
  const { fn } = unsteady();
  return {
    way: 'in turn',
    call: async () => {
      try {
        return await fn();
      } catch {
        return await fn();
      }
    },
  };
}

/** All of them run out in one turn of the loop. */
const waitMs = 50;
const timer: Contender = {
  way: 'together',
  call: () => new Promise((_, reject) => setTimeout(reject, waitMs, error)),
};

export const rows: readonly Row[] = [
  row('five', 'five', 'five', (five) => five(resolving)),
  row('five, in the opposite order', 'five', 'turned', (turned) => turned(resolving)),
  row('five, among other shapes', 'five', 'amongOthers', (amongOthers) => amongOthers(resolving)),
  row('five, fn reads its signal', 'five', 'reading', (reading) => reading()),
  row('five, one signal for all callers', 'five', 'cancellable', (five) => five(resolving, sharedSignal())),
  row('five, a signal per call', 'five', 'cancellable', (five) => five(resolving, ownSignal)),
  ...(['sync', 'immediate', 'rejecting'] as const).map((kind) =>
    row(`five, ${kinds[kind]}`, 'five', 'five', (five) => five(works[kind]), {
      work: works[kind],
      bytes: kind !== 'immediate',
    }),
  ),
  ...policies.flatMap((policy) =>
    Object.values(works).map((work) =>
      row(`${policy}, ${kinds[work.kind]}`, 'alone', policy, (alone) => alone(work), {
        work,
        bytes: work.kind === 'async',
        processes: work.kind === 'async' ? 3 : 2,
      }),
    ),
  ),
  row('circuit open', 'failing', 'open', (open) => open(), { base: floor }),
  row('circuit open, tryExecute', 'failing', 'openTold', (open) => open(), { base: floor }),
  row('bulkhead and its queue full', 'failing', 'full', (full) => full(), { base: floor }),
  row('retried once, no pause', 'failing', 'retried', (retried) => retried(unsteady()), {
    base: twice(),
    bytes: false,
    processes: 3,
  }),
  row('timed out', 'failing', 'timedOut', (timedOut) => timedOut(waitMs), {
    base: timer,
    bytes: false,
    processes: 3,
    // All wait for their timers together, which is no cost.
    rounds: { calls: 2_000, rounds: 5, clock: 'process' },
  }),
];
