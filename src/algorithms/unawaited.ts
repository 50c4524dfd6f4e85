/**
 * For an answer that nobody waits for. Where an async function gave it, its failure goes to `failed` instead of ending the
 * process: a listener that rejects does no more than one that throws. Other thenables are left alone, because asking
 * some of them is what makes them work.
 */
export function unawaited(answer: unknown, failed: (error: unknown) => void = () => {}): void {
  if (answer instanceof Promise) answer.then(undefined, failed);
}
