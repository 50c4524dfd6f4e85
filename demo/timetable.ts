/**
 * What happens to the upstream, and when. Everybody reads the same table: the upstream to misbehave by it, the load
 * generator to sort its calls into phases, the view to say what is going on.
 */

/** How the upstream is doing. */
export type Health = 'healthy' | 'slow' | 'failing' | 'down' | 'recovering';

/** One stretch of the timetable. */
export interface Phase {
  readonly health: Health;
  /** Milliseconds since the start of the timetable. */
  readonly from: number;
  /** Milliseconds since the start of the timetable, exclusive. */
  readonly to: number;
  /** What the upstream does. */
  readonly upstream: string;
  /** What the policies do about it. */
  readonly policies: string;
}

/** What the upstream does with one request. */
export interface Answer {
  readonly status: 200 | 503;
  readonly delayMs: number;
}

/** How long the whole timetable takes, in seconds, and how long with `--fast`. */
export const fullSeconds = 26;
export const fastSeconds = 6;

const acts: readonly (Omit<Phase, 'from' | 'to'> & { readonly share: number })[] = [
  {
    health: 'healthy',
    share: 4,
    upstream: 'answers in 20 ms; one answer in 40 is a 503',
    policies: 'retry asks again after the odd 503, and nobody notices',
  },
  {
    health: 'slow',
    share: 5,
    upstream: 'takes longer and longer, up to 2 s',
    policies: 'timeout and bulkhead keep the waiting short, the circuit opens',
  },
  {
    health: 'failing',
    share: 4,
    upstream: 'answers nine requests in ten with 503',
    policies: 'the circuit lets only probes through, fallback answers the rest',
  },
  {
    health: 'down',
    share: 5,
    upstream: 'is gone: connection refused',
    policies: 'the circuit stays open, calls cost nothing, fallback answers',
  },
  {
    health: 'recovering',
    share: 4,
    upstream: 'is back, slower at first, with a 503 now and then',
    policies: 'probes find it alive, and the circuit closes',
  },
  {
    health: 'healthy',
    share: 4,
    upstream: 'answers in 20 ms; one answer in 40 is a 503',
    policies: 'nothing to do but the odd retry',
  },
];

/** The phases of a timetable of so many seconds. */
export function timetable(seconds: number): readonly Phase[] {
  const unit = (seconds * 1000) / acts.reduce((sum, { share }) => sum + share, 0);
  let at = 0;
  return acts.map(({ share, ...act }) => {
    const from = at;
    at += share * unit;
    return { ...act, from, to: at };
  });
}

/** The index of the phase that runs at `ms`; the last one for ever after. */
export function phaseAt(phases: readonly Phase[], ms: number): number {
  const index = phases.findIndex(({ to }) => ms < to);
  return index === -1 ? phases.length - 1 : index;
}

/**
 * What the upstream does with the `nth` request of a route at `ms`. It depends on nothing else, so both routes get the
 * same treatment. Nobody is answered while it is down.
 */
export function answerAt(phases: readonly Phase[], ms: number, nth: number): Answer {
  const { health, from, to } = phases[phaseAt(phases, ms)]!;
  const progress = Math.min(1, Math.max(0, (ms - from) / (to - from)));
  switch (health) {
    case 'healthy':
      return { status: nth % 40 === 20 ? 503 : 200, delayMs: 15 + (nth % 10) };
    case 'slow':
      return { status: 200, delayMs: Math.round(30 + 1_970 * progress ** 2) };
    case 'failing':
      return { status: nth % 10 === 5 ? 200 : 503, delayMs: 10 };
    case 'down':
      return { status: 503, delayMs: 0 };
    case 'recovering':
      return { status: progress < 0.5 && nth % 5 === 2 ? 503 : 200, delayMs: Math.round(80 - 60 * progress) };
  }
}
