import { appendFileSync } from 'node:fs';
import { basename } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { expect } from 'vitest';

const { SEAWORTHY_SEED, SEAWORTHY_OPERATIONS, SEAWORTHY_REPORT } = process.env;
/** Where chance begins; every batch of runs has the next one. */
const firstSeed = Number(SEAWORTHY_SEED ?? 20_261_121);
/** How many operations each machine is put through. */
export const operations = Number(SEAWORTHY_OPERATIONS ?? 20_000);
/** How long a test may take, in milliseconds. */
export const patience = 30_000 + operations / 2;
/** Small enough to come to an end soon after the last operation that is wanted. */
const runsPerBatch = 50;

/** What is not as usual: a smaller part of the operations, for one that is a whole call; and no liking for small inputs. */
interface Ways {
  readonly part?: number;
  readonly unbiased?: boolean;
}

/** Puts a machine through random runs until it has had its operations: `play` says `did()` for each that was applied to it and to its model. */
export async function explore<T>(
  machine: string,
  input: fc.Arbitrary<T>,
  play: (input: T, did: () => void) => void | Promise<void>,
  { part = 1, unbiased = false }: Ways = {},
): Promise<void> {
  const wanted = Math.ceil(operations * part);
  const began = performance.now();
  let done = 0;
  let runs = 0;
  const did = () => void done++;
  for (let batch = 0; done < wanted; batch++) {
    const seed = firstSeed + batch;
    const before = done;
    try {
      await fc.assert(
        fc.asyncProperty(input, async (input) => {
          runs++;
          await play(input, did);
        }),
        { seed, unbiased, numRuns: runsPerBatch },
      );
    } catch (error) {
      (error as Error).message = `Again with SEAWORTHY_SEED=${seed}. ${(error as Error).message}`;
      throw error;
    }
    if (done === before) throw new Error(`A whole batch of runs of "${machine}" without an operation`);
  }
  const ms = Math.round(performance.now() - began);
  if (SEAWORTHY_REPORT !== undefined)
    appendFileSync(
      SEAWORTHY_REPORT,
      `${JSON.stringify({ file: basename(expect.getState().testPath ?? ''), machine, wanted, operations: done, runs, seed: firstSeed, ms })}\n`,
    );
}

/** Runs of up to `most` commands, most of them long: what goes wrong late is wanted too. */
export function commands<T>(command: fc.Arbitrary<T>, most: number): fc.Arbitrary<T[]> {
  return fc.array(command, { maxLength: most, size: 'max' });
}

/** Two answers that must be one; cheaper than `expect`, of which a million would take most of the time. */
export function same(what: string, subject: unknown, model: unknown): void {
  if (Object.is(subject, model) || isDeepStrictEqual(subject, model)) return;
  throw new Error(`${what}: ${show(subject)}, but the model says ${show(model)}`);
}

/** What must hold. */
export function holds(what: string, yes: boolean): void {
  if (!yes) throw new Error(`Broken: ${what}`);
}

function show(value: unknown): string {
  return JSON.stringify(value, (_key, own) => (typeof own === 'number' && !Number.isFinite(own) ? String(own) : own));
}
