import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('main.ts', import.meta.url));

/**
 * What `measureOne(what, check)` of `bench/<part>.ts` answers in a fresh process with `--expose-gc` and `flags`. Rejects when
 * that process fails, with what it wrote to stderr.
 */
export async function inProcess<T>(
  part: string,
  what: unknown,
  check: boolean,
  flags: readonly string[] = [],
): Promise<T> {
  const args = [`--only=${part}`, `--one=${JSON.stringify(what)}`, ...(check ? ['--check'] : [])];
  const child = spawn(process.execPath, ['--expose-gc', ...flags, main, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [out, said]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => said.push(chunk));
  const code = await new Promise<number | string | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status, signal) => resolve(status ?? signal));
  });
  const text = (chunks: Buffer[]) => Buffer.concat(chunks).toString();
  if (code !== 0)
    throw new Error(`Cannot measure ${part} ${JSON.stringify(what)}: its process ended with ${code}\n${text(said)}`);
  return JSON.parse(text(out)) as T;
}

/** Does the jobs in their order, one at a time: beside one that is measured nothing else runs. In a check nothing is, and several run at once. */
export async function oneByOne<J>(jobs: readonly J[], check: boolean, work: (job: J) => Promise<void>): Promise<void> {
  const left = [...jobs];
  const worker = async () => {
    for (let job = left.shift(); job !== undefined; job = left.shift()) await work(job);
  };
  await Promise.all(Array.from({ length: check ? availableParallelism() : 1 }, worker));
}
