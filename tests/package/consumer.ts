import { execFile, type ExecFileException } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inject } from 'vitest';

export const root = fileURLToPath(new URL('../..', import.meta.url));

/** Which workspace a consumer takes its packages from. */
export type Workspace = '.' | 'tests/sdk2';

/**
 * A project outside the repository made of `tests/consumers/<fixture>`, with the packed library copied into its
 * node_modules. What the library and the fixture depend on is linked from a workspace, so that no network is needed.
 */
export function consumer(fixture: string, packages: readonly string[] = [], workspace: Workspace = '.'): string {
  const directory = mkdtempSync(join(inject('scratch'), `${fixture}-`));
  cpSync(join(root, 'tests/consumers', fixture), directory, { recursive: true });
  cpSync(inject('unpacked'), join(directory, 'node_modules/seaworthy'), { recursive: true });
  for (const name of ['cockatiel', 'tslib', '@opentelemetry/api', ...packages]) {
    const link = join(directory, 'node_modules', name);
    mkdirSync(dirname(link), { recursive: true });
    const own = join(root, workspace, 'node_modules', name);
    symlinkSync(existsSync(own) ? own : join(root, 'node_modules', name), link);
  }
  return directory;
}

/** How a process ended, and everything it wrote. */
export interface Ended {
  readonly code: number | null;
  readonly output: string;
  readonly errors: string;
}

/** Runs an application on the Node under test: this one, or the one `SEAWORTHY_NODE` names, say the oldest supported. */
export function node(directory: string, args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  return run(process.env.SEAWORTHY_NODE ?? process.execPath, directory, args, env);
}

/** Runs one of the repository's own tools, given by its path, on this Node. */
export function tool(directory: string, path: string, ...args: readonly string[]): Promise<Ended> {
  return run(process.execPath, directory, [join(root, path), ...args], {});
}

/** Nothing of the test runner is in the environment of the process. */
function run(file: string, cwd: string, args: readonly string[], env: Record<string, string>): Promise<Ended> {
  return new Promise((resolve) => {
    const { PATH = '' } = process.env;
    const ended = (error: ExecFileException | null, output: string, errors: string) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : null;
      resolve({ code, output, errors });
    };
    execFile(file, args, { cwd, env: { PATH, ...env }, maxBuffer: 2 ** 26 }, ended);
  });
}
