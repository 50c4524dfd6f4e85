/** How many different messages are remembered, so that a message with an id in it costs no memory for ever. */
const remembered = 256;

let told: Set<string> | undefined;

/**
 * Reports a fault of user code, each message once per process, and never throws: a `SeaworthyWarning` through
 * `process.emitWarning` where there is one, else a line of `console.warn`. `cause` is what the user's code threw.
 */
export function warn(message: string, cause?: unknown): void {
  // A listener that throws does so on every call; a thousand equal lines a second would bury the first.
  told ??= new Set();
  if (told.has(message)) return;
  if (told.size >= remembered) told.clear();
  told.add(message);
  try {
    const host = globalThis.process as { emitWarning?: (warning: Error) => void } | undefined;
    if (typeof host?.emitWarning === 'function') host.emitWarning(warning(message, cause));
    else console.warn(message, cause);
  } catch {
    // Nobody is left to tell.
  }
}

function warning(message: string, cause: unknown): Error {
  const error = new Error(message, { cause });
  error.name = 'SeaworthyWarning';
  // Node prints a warning's `detail` below its message, and never its cause.
  return cause === undefined ? error : Object.assign(error, { detail: describe(cause) });
}

function describe(cause: unknown): string {
  try {
    return cause instanceof Error ? (cause.stack ?? String(cause)) : String(cause);
  } catch {
    return 'a value that cannot be printed';
  }
}
