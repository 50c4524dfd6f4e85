/**
 * Adds one to the count of `name`. A property whose name is only known at run time is looked up by hash, which costs more
 * than the rest of a policy; those of nearly all calls are therefore written out.
 */
export function count<Name extends string>(
  counts: Record<Name | 'success', number> & { failure?: number; fallback?: number; not_retryable?: number },
  name: Name | 'success',
): void {
  if (name === 'success') counts.success++;
  else if (name === 'failure') counts.failure!++;
  else if (name === 'fallback') counts.fallback!++;
  else if (name === 'not_retryable') counts.not_retryable!++;
  else counts[name]++;
}
