/**
 * Adds one to the count of `name`. A property whose name is only known at run time is looked up by hash, which costs more
 * than the rest of a policy; the one of nearly all calls is therefore written out.
 */
export function count<Name extends string>(counts: Record<Name | 'success', number>, name: Name | 'success'): void {
  if (name === 'success') counts.success++;
  else counts[name]++;
}
