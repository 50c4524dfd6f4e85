import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

/*
 * Runs an application once for each cell of CELLS, each in a thread: a module graph, globals and warnings of its
 * own, at a fraction of what a process costs. Arguments: how Node is started, then the application.
 */
const args = process.argv.slice(2);
const cells = JSON.parse(process.env.CELLS);

for (const cell of cells) {
  const execArgv = ['--require', './diagnostics.cjs', ...args.slice(0, -1)];
  const thread = new Worker(`./${args.at(-1)}`, { execArgv, env: { ...process.env, ...cell } });
  const [code] = await once(thread, 'exit');
  if (code !== 0) process.exitCode = code;
}
