import { type ChildProcess, fork } from 'node:child_process';

/** One of the demo's own processes, as the orchestrator holds it; `In` is what it is told, `Out` what it says. */
export interface Process<In, Out extends { readonly type: string }> {
  send(message: In): void;
  /** The next message of that type; rejects when the process ends first. */
  next<T extends Out['type']>(type: T): Promise<Extract<Out, { type: T }>>;
  on(listener: (message: Out) => void): void;
}

const running = new Set<ChildProcess>();
let stopping = false;

/** Starts a process of the demo. What ends unasked is told to `onLost`. */
export function start<In, Out extends { readonly type: string }>(
  module: URL,
  onLost: (why: string) => void,
): Process<In, Out> {
  const child = fork(module, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const name = module.pathname.split('/').at(-1);
  const listeners = new Set<(message: Out) => void>();
  running.add(child);
  child.on('message', (message) => {
    for (const listener of listeners) listener(message as Out);
  });
  child.on('error', (error) => onLost(`${name}: ${error.message}`));
  child.on('exit', (code, signal) => {
    running.delete(child);
    if (!stopping) onLost(`${name} ended early (${signal ?? `exit code ${code}`})`);
  });
  return {
    send(message) {
      if (child.connected) child.send(message as object, () => undefined);
    },
    next: (type) =>
      new Promise((resolve, reject) => {
        const ended = () => reject(new Error(`${name} ended before it said "${type}"`));
        const listener = (message: Out) => {
          if (message.type !== type) return;
          listeners.delete(listener);
          child.off('exit', ended);
          resolve(message as Extract<Out, { type: typeof type }>);
        };
        listeners.add(listener);
        child.once('exit', ended);
      }),
    on(listener) {
      listeners.add(listener);
    },
  };
}

/** Ends every process of the demo and waits until they are gone. */
export async function stopAll(): Promise<void> {
  stopping = true;
  await Promise.all(
    Array.from(running, (child) => {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      return gone;
    }),
  );
}

/** The other side: inside such a process. It ends with the orchestrator, however that ends. */
export function serve<In, Out>(listener: (message: In) => void): { send(message: Out): void } {
  // Ctrl-C reaches the whole group; the orchestrator says when it is over.
  process.on('SIGINT', () => undefined);
  process.on('disconnect', () => process.exit());
  process.on('message', (message) => listener(message as In));
  return {
    send(message) {
      if (process.connected) process.send?.(message as object, undefined, undefined, () => undefined);
    },
  };
}

/** Milliseconds since `at` (a time of day all processes were told), from then on on this process's monotonic clock. */
export function clockFrom(at: number): () => number {
  const origin = performance.now() - (Date.now() - at);
  return () => performance.now() - origin;
}
