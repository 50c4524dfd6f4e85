/** Adds one to the count of `name`. It is small, so that V8 puts it into whoever counts. */
export function count<Name extends string>(counts: Record<Name | 'success', number>, name: Name | 'success'): void {
  if (name === 'success') counts.success++;
  else countOther(counts, name);
}

/**
 * A property whose name is only known at run time is looked up by hash, which costs more than the rest of a policy; those of
 * nearly all calls are therefore written out.
 */
function countOther<Name extends string>(counts: Record<Name, number> & Usual, name: Name): void {
  if (name === 'failure') counts.failure!++;
  else if (name === 'fallback') counts.fallback!++;
  else if (name === 'not_retryable') counts.not_retryable!++;
  else counts[name]++;
}

type Usual = Partial<Record<'failure' | 'fallback' | 'not_retryable', number>>;
