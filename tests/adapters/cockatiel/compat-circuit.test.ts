import * as cockatiel from 'cockatiel';
import { circuitBreaker } from 'seaworthy';
import { deferred, turn, watch } from '../../policies/stand.ts';
import { abortSeen, compare, end, ends, type Pass, pipe, playing, type Runs, throws } from './compat-table.ts';

const { ConsecutiveBreaker, handleType, handleWhenResult } = cockatiel;

class ErrorA extends Error {}
const a = new ErrorA('A');
const other = new Error('not handled');
const gone = new Error('the caller has gone');
const ok = () => 'ok';
const fails = () => Promise.reject(a);

/** A circuit breaker, with what may be seen of it. */
interface Circuit extends Runs {
  state(): string;
  isolate(): { dispose(): void };
  /** The changes of state that were told. */
  readonly told: string[];
  /** The failure it is open for. */
  why(): Promise<unknown>;
  /** Another one that goes on where this is, as after a restart. */
  restarted(): Circuit;
}

interface Numbers {
  readonly when?: cockatiel.Policy;
  readonly probes?: number;
  readonly threshold?: number;
  readonly kept?: string;
}

const states = ['closed', 'open', 'half_open', 'isolated'];

/** cockatiel's: opens at the second failure in a row, for a second. Calls go to it, or through a pipeline it stands in. */
function theirs(numbers: Numbers = {}, staged = false): Circuit {
  const { when = handleType(ErrorA), probes: calls = 1, threshold = 0, kept } = numbers;
  const policy = cockatiel.circuitBreaker(when, {
    halfOpenAfter: 1_000,
    breaker: new ConsecutiveBreaker(2),
    halfOpenSampling: { calls, threshold },
    ...(kept !== undefined && { initialState: JSON.parse(kept) }),
  });
  const told: string[] = [];
  policy.onStateChange((state) => told.push(states[state]!));
  const door: Runs = staged ? pipe([policy]) : policy;
  return {
    execute: (fn, signal) => door.execute(fn, signal),
    state: () => states[policy.state]!,
    isolate: () => policy.isolate(),
    told,
    why: async () => (policy.lastFailure as { error: unknown } | undefined)?.error,
    restarted: () => theirs({ ...numbers, kept: JSON.stringify(policy) }, staged),
  };
}

/** Ours, with a breaker of cockatiel's in it and the same numbers. */
function ours(numbers: Numbers = {}): Circuit {
  const { when = handleType(ErrorA), probes = 1, kept } = numbers;
  const policy = circuitBreaker({
    breaker: new ConsecutiveBreaker(2),
    breakMs: 1_000,
    halfOpenCalls: probes,
    when,
    initialState: kept === undefined ? undefined : JSON.parse(kept),
  });
  const own = pipe([policy]);
  const told: string[] = [];
  own.subscribe((event) => event.type === 'circuit_state' && told.push(event.state));
  return {
    execute: (fn, signal) => own.execute(fn, signal),
    state: () => policy.state,
    isolate: () => policy.isolate(),
    told,
    why: async () => ((await own.tryExecute(ok)).error as Error | undefined)?.cause,
    restarted: () => ours({ ...numbers, kept: JSON.stringify(policy) }),
  };
}

const circuits = (numbers?: Numbers) => ({
  theirs: () => theirs(numbers),
  staged: () => theirs(numbers, true),
  ours: () => ours(numbers),
});

/** Opens it, and waits until its break is over. */
async function opened(side: Circuit, pass: Pass, ms = 1_000): Promise<void> {
  await ends(side, [fails, fails]);
  await pass(ms);
}

compare<Circuit>('circuit breaker', [
  { behaviour: 'it lets calls through while closed', ...circuits(), scene: (side) => side.execute(ok), both: 'ok' },
  {
    behaviour: 'it opens when its breaker says so, and rejects without calling from then on',
    ...circuits(),
    scene: async (side) => {
      const fn = playing(throws(a));
      const seen: unknown[] = [];
      for (let i = 0; i < 3; i++) seen.push(await end(side.execute(fn)), side.state());
      return [...seen, fn.mock.calls.length, side.told];
    },
    both: [a, 'closed', a, 'open', 'broken', 'open', 2, ['open']],
  },
  {
    behaviour: 'the failure that opened it can be had',
    ...circuits(),
    scene: async (side) => (await ends(side, [fails, fails])) && side.why(),
    both: a,
  },
  {
    behaviour: 'a value that is handled counts as a failure, and is the answer',
    ...circuits({ when: handleWhenResult((r) => r === 503) }),
    scene: (side) => ends(side, [() => 503, () => 503, () => 503]),
    both: [503, 503, 'broken'],
  },
  {
    behaviour: 'when the break is over a probe is let in, and it closes if that succeeds',
    ...circuits(),
    scene: async (side, pass) => {
      await opened(side, pass, 999);
      const early = await end(side.execute(ok));
      await pass(1);
      const probe = end(side.execute(async () => 42));
      const during = side.state();
      return [early, during, await probe, side.state(), side.told];
    },
    both: ['broken', 'half_open', 42, 'closed', ['open', 'half_open', 'closed']],
  },
  {
    behaviour: 'it opens again if the probe fails, for another break',
    ...circuits(),
    scene: async (side, pass) => {
      await opened(side, pass);
      const probe = await end(side.execute(fails));
      await pass(999);
      return [probe, side.state(), await end(side.execute(ok)), side.told];
    },
    both: [a, 'open', 'broken', ['open', 'half_open', 'open']],
  },
  {
    behaviour: 'its state when the break is over and nobody has called',
    ...circuits(),
    scene: async (side, pass) => (await opened(side, pass)) ?? side.state(),
    cockatiel: ['open', 'open'],
    seaworthy: ['half_open', 'half_open'],
    differs: 'the state is the one a call would meet',
  },
  {
    behaviour: 'calls beside a probe that succeeds',
    ...circuits(),
    scene: async (side, pass) => {
      await opened(side, pass);
      const answer = deferred();
      const probe = side.execute(() => answer.promise);
      const beside = watch(end(side.execute(ok)));
      await turn();
      const during = beside.value;
      answer.resolve('probed');
      await probe;
      await turn();
      return [during, beside.value];
    },
    cockatiel: ['wait for it, and are made then', [undefined, 'ok']],
    seaworthy: ['are rejected at once', ['broken', 'broken']],
    differs: 'nobody waits for a probe, and what recovers is not met by all who waited',
  },
  {
    behaviour: 'calls beside a probe that fails are rejected, and their function is not called',
    ...circuits(),
    scene: async (side, pass) => {
      await opened(side, pass);
      const answer = deferred();
      const fn = playing('ok');
      const all = [side.execute(() => answer.promise), side.execute(fn)].map(end);
      answer.reject(a);
      return [...(await Promise.all(all)), fn.mock.calls.length];
    },
    both: [a, 'broken', 0],
  },
  {
    behaviour: 'a caller who goes beside a probe',
    ...circuits(),
    scene: async (side, pass) => {
      await opened(side, pass);
      const probe = side.execute(async () => 42);
      const fn = playing('ok');
      const beside = await end(side.execute(fn, AbortSignal.abort(gone)));
      await probe;
      return [beside, fn.mock.calls.length, side.state()];
    },
    cockatiel: ['hears TaskCancelledError when the probe has ended', ['cancelled', 0, 'closed']],
    seaworthy: ['hears their own reason at once', [gone, 0, 'closed']],
    stage: 'seaworthy',
    differs: 'a caller who has gone gets their own reason, at once',
  },
  {
    behaviour: 'so many probes must all succeed',
    ...circuits({ probes: 3 }),
    scene: async (side, pass) => {
      await opened(side, pass);
      const seen: string[] = [];
      for (const fn of [ok, ok, ok]) seen.push((await side.execute(fn)) === 'ok' ? side.state() : 'rejected');
      return seen;
    },
    both: ['half_open', 'half_open', 'closed'],
  },
  {
    behaviour: 'one of many probes that fails opens it again',
    ...circuits({ probes: 3 }),
    scene: async (side, pass) => {
      await opened(side, pass);
      const seen: string[] = [];
      for (const fn of [ok, fails]) seen.push((await end(side.execute(fn))) === 'broken' ? 'rejected' : side.state());
      return seen;
    },
    both: ['half_open', 'open'],
  },
  {
    behaviour: 'a share of failed probes that may be (halfOpenSampling.threshold)',
    ...circuits({ probes: 3, threshold: 0.5 }),
    scene: async (side, pass) => {
      await opened(side, pass);
      return [...(await ends(side, [fails, ok, ok])), side.state()];
    },
    cockatiel: ['is an option', [a, 'ok', 'ok', 'closed']],
    seaworthy: ['is none beside a breaker of cockatiel', [a, 'broken', 'broken', 'open']],
    differs: 'it is failureRatio, which such a breaker replaces',
  },
  {
    behaviour: 'it is held open by hand, until the last hold is let go',
    ...circuits(),
    scene: async (side) => {
      const one = side.isolate();
      const two = side.isolate();
      const seen = [side.state(), await end(side.execute(ok))];
      one.dispose();
      one.dispose();
      seen.push(side.state(), await end(side.execute(ok)));
      two.dispose();
      return [...seen, side.state(), await side.execute(ok), side.told];
    },
    both: ['isolated', 'isolated', 'isolated', 'isolated', 'closed', 'ok', ['isolated', 'closed']],
  },
  {
    behaviour: 'a hold that is let go leaves an open circuit',
    ...circuits(),
    scene: async (side) => {
      await ends(side, [fails, fails]);
      side.isolate().dispose();
      return side.state();
    },
    cockatiel: ['closed', 'closed'],
    seaworthy: ['open', 'open'],
    differs: 'holding it by hand has mended nothing',
  },
  {
    behaviour: "the function's signal is aborted with the caller's, in a circuit",
    ...circuits(),
    scene: (side) => abortSeen(side),
    both: [false, true],
  },
  {
    behaviour: 'calls that fail because their callers went',
    ...circuits({ when: cockatiel.handleAll }),
    scene: async (side) => {
      for (let i = 0; i < 2; i++) {
        const caller = new AbortController();
        const fn = () => {
          caller.abort(gone);
          throw gone;
        };
        await end(side.execute(fn, caller.signal));
      }
      return side.state();
    },
    cockatiel: ['open it', 'open'],
    seaworthy: ['count as nothing', 'closed'],
    differs: 'they say nothing about the other side',
  },
  {
    behaviour: 'an error that is not handled, between two failures in a row',
    ...circuits(),
    scene: async (side) => [...(await ends(side, [fails, () => Promise.reject(other), fails])), side.state()],
    cockatiel: ['counts as nothing', [a, other, a, 'open']],
    seaworthy: ['counts as a success', [a, other, a, 'closed']],
    differs: 'it means the same closed and half-open',
  },
  {
    behaviour: 'a probe with an error that is not handled closes it',
    ...circuits(),
    scene: async (side, pass) => {
      await opened(side, pass);
      return [await end(side.execute(() => Promise.reject(other))), side.state()];
    },
    both: [other, 'closed'],
  },
]);

compare<Circuit>('circuit breaker, over a restart', [
  {
    behaviour: 'an open circuit goes on with the rest of its break',
    ...circuits(),
    scene: async (side, pass) => {
      await opened(side, pass, 400);
      const next = side.restarted();
      await pass(599);
      const early = await end(next.execute(ok));
      await pass(1);
      return [early, await next.execute(ok), next.state()];
    },
    both: ['broken', 'ok', 'closed'],
  },
  {
    behaviour: 'a half-open circuit lets a probe in at once',
    ...circuits(),
    scene: async (side, pass) => {
      await opened(side, pass);
      void side.execute(() => new Promise(() => {}));
      const next = side.restarted();
      return [await end(next.execute(fails)), next.state()];
    },
    both: [a, 'open'],
  },
  {
    behaviour: 'what its breaker has counted',
    ...circuits(),
    scene: async (side) => {
      await ends(side, [fails]);
      const next = side.restarted();
      return [...(await ends(next, [fails])), next.state()];
    },
    cockatiel: ['is kept', [a, 'open']],
    seaworthy: ['begins anew', [a, 'closed']],
    differs: 'it is about a time that has passed; `breaker.state` can be kept beside it',
  },
  {
    behaviour: 'the failure a restored circuit is open for',
    ...circuits(),
    scene: async (side) => {
      await ends(side, [fails, fails]);
      const why = await side.restarted().why();
      return cockatiel.isHydratingCircuitError(why) ? 'hydrating' : why;
    },
    cockatiel: ['is a HydratingCircuitError', 'hydrating'],
    seaworthy: ['is not known', undefined],
    differs: 'an error nobody threw explains nothing',
  },
  {
    behaviour: 'a hold by hand',
    ...circuits(),
    scene: async (side) => {
      side.isolate();
      return side.restarted().state();
    },
    cockatiel: ['is kept', 'isolated'],
    seaworthy: ['is let go', 'closed'],
    differs: 'nobody could let it go any more',
  },
]);
