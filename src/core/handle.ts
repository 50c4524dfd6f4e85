/** A handle that undoes something; calling it twice does no harm. */
export interface Handle extends Disposable {
  dispose(): void;
}

/** A handle that runs `undo` once. */
export function handle(undo: () => void): Handle {
  let done = false;
  const dispose = () => {
    if (done) return;
    done = true;
    undo();
  };
  return { dispose, [Symbol.dispose]: dispose };
}
