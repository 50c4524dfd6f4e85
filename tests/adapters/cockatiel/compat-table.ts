import { readFileSync } from 'node:fs';
import {
  isBrokenCircuitError,
  isBulkheadRejectedError,
  isIsolatedCircuitError,
  isTaskCancelledError,
  type IPolicy,
} from 'cockatiel';
import { type PipelineOptions, pipeline, type Stackable } from 'seaworthy';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { turn } from '../../policies/stand.ts';

/** Moves the time that both libraries see; what that sets off has settled when it resolves. */
export type Pass = (ms: number) => Promise<void>;

/** What a policy of cockatiel's and a pipeline have in common. */
export interface Runs {
  execute(fn: (context: any) => any, signal?: AbortSignal): Promise<any>;
}

/** What one side does where they differ: in words for the README, and as the scene gives it. */
type Does = readonly [words: string, gives: unknown];

/** One behaviour: a scene, and what it gives when either library plays it. */
export type Row<S> = {
  /** The name of the test, and the first column of the README. */
  readonly behaviour: string;
  readonly theirs: () => S;
  readonly ours: () => S;
  /** cockatiel's own policy as a stage of a pipeline of ours, where there is a whole policy. */
  readonly staged?: () => S;
  readonly scene: (side: S, pass: Pass) => Promise<unknown>;
} & (
  | { readonly both: unknown }
  | {
      readonly cockatiel: Does;
      readonly seaworthy: Does;
      /** Whom a stage follows. */
      readonly stage?: 'cockatiel' | 'seaworthy';
      readonly differs: string;
    }
);

/** Makes each row a test of either library, and holds the README's table of this heading to just these rows. */
export function compare<S>(heading: string, rows: readonly Row<S>[]): void {
  describe(heading, () => {
    afterEach(() => void vi.restoreAllMocks());

    it.each(rows.map((row) => [title(row), row] as const))('%s', async (_title, row) => {
      const sides = { cockatiel: row.theirs, seaworthy: row.ours, 'as a stage': row.staged };
      for (const [side, make] of Object.entries(sides)) {
        if (make === undefined) continue;
        const gives = await onFakeTime((pass) => row.scene(make(), pass));
        expect(gives, side).toEqual(expected(row, side));
        vi.restoreAllMocks();
      }
    });

    it('are the rows of README.md', () => {
      const staged = rows.some((row) => row.staged !== undefined);
      expect(table(heading)).toEqual(rows.map((row) => line(row, staged)));
    });
  });
}

function title<S>(row: Row<S>): string {
  return 'both' in row ? row.behaviour : `${row.behaviour} (differs: ${row.differs})`;
}

function expected<S>(row: Row<S>, side: string): unknown {
  if ('both' in row) return row.both;
  return row[side === 'as a stage' ? (row.stage ?? 'cockatiel') : (side as 'cockatiel' | 'seaworthy')][1];
}

/** A row of the README; a table with one stage has a column for it. */
function line<S>(row: Row<S>, staged: boolean): string {
  const same = 'both' in row;
  const stage = row.staged === undefined ? '' : same ? 'yes' : `as ${row.stage ?? 'cockatiel'}`;
  const cells = [
    row.behaviour,
    ...(same ? ['yes', 'yes'] : [row.cockatiel[0], row.seaworthy[0]]),
    ...(staged ? [stage] : []),
    same ? '' : row.differs,
  ];
  return cells.reduce((text, cell) => `${text} ${cell}${cell && ' '}|`, '|');
}

const readme = readFileSync(new URL('./README.md', import.meta.url), 'utf8');

/** The headings of the README's tables. */
export const headings = readme.split('\n').flatMap((line) => (line.startsWith('## ') ? [line.slice(3)] : []));

function table(heading: string): string[] {
  const [, section = ''] = readme.split(`## ${heading}\n`);
  const lines = section.split('\n## ')[0]!.split('\n');
  return lines.filter((line) => line.startsWith('| ')).slice(1);
}

/** Both libraries take the host's time here, which moves only when told; promises and `setImmediate` stay real. */
async function onFakeTime<T>(scene: (pass: Pass) => Promise<T>): Promise<T> {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] });
  try {
    return await scene(async (ms) => {
      await vi.advanceTimersByTimeAsync(ms);
      // A timer of ours lets the sockets speak first.
      for (let i = 0; i < 4; i++) await turn();
    });
  } finally {
    vi.useRealTimers();
  }
}

/** A pipeline of these policies, which says nothing to OpenTelemetry. */
export function pipe(policies: readonly Stackable[], options: PipelineOptions<any> = {}) {
  return pipeline('compat', policies, { telemetry: false, ...options });
}

/** The three sides of a row about a whole policy; `ours` is a policy of ours, or a pipeline of several. */
export function sides(theirs: () => IPolicy<any, any>, ours: () => Stackable | readonly Stackable[]) {
  return { theirs, staged: () => pipe([theirs()]), ours: () => pipe([ours()].flat() as Stackable[]) };
}

/** What a call comes to; errors of either library are named as cockatiel's guards know them. */
export async function end(call: Promise<unknown>): Promise<unknown> {
  try {
    return await call;
  } catch (error) {
    if (isIsolatedCircuitError(error)) return 'isolated';
    if (isBrokenCircuitError(error)) return 'broken';
    if (isBulkheadRejectedError(error)) return 'full';
    return isTaskCancelledError(error) ? 'cancelled' : error;
  }
}

/** What several calls come to, one after the other. */
export async function ends(side: Runs, fns: readonly ((context: any) => unknown)[]): Promise<unknown[]> {
  const all: unknown[] = [];
  for (const fn of fns) all.push(await end(side.execute(fn)));
  return all;
}

/** Whether the function's signal has aborted, before and after its caller aborts in the middle of it. */
export async function abortSeen(side: Runs, reason?: unknown): Promise<boolean[]> {
  const caller = new AbortController();
  const told: boolean[] = [];
  const fn = ({ signal }: { signal: AbortSignal }) => {
    told.push(signal.aborted);
    caller.abort(reason);
    told.push(signal.aborted);
  };
  await end(side.execute(fn, caller.signal));
  return told;
}

/** A function that goes through these answers, errors thrown and values returned, and stays at the last. */
export function playing(...answers: readonly unknown[]) {
  const fn = vi.fn((_context: any) => {
    const answer = answers[Math.min(fn.mock.calls.length, answers.length) - 1];
    if (answer instanceof Thrown) throw answer.error;
    return answer;
  });
  return fn;
}

class Thrown {
  readonly error: unknown;

  constructor(error: unknown) {
    this.error = error;
  }
}

/** Whether a call waits by a timer that holds the process; its function throws `error`, or never answers. */
export const keepsAlive = (error?: unknown) => async (side: Runs, pass: Pass) => {
  const timers = vi.spyOn(globalThis, 'setTimeout');
  try {
    const call = end(side.execute(() => (error === undefined ? new Promise(() => {}) : Promise.reject(error))));
    for (let i = 0; i < 4; i++) await turn();
    const held = timers.mock.results.some(({ value }) => value.hasRef());
    await pass(10);
    await call;
    return held;
  } finally {
    // Before the fake timers go, or it would bring them back.
    timers.mockRestore();
  }
};

/** In {@link playing}: throws `error`. */
export const throws = (error: unknown) => new Thrown(error);
