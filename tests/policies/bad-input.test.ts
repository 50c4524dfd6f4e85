import { describe, expect, it } from 'vitest';
import { takers, values } from './bad-input-table.ts';

/** What `make` throws or rejects with. */
async function refusal(make: () => unknown): Promise<Error | undefined> {
  try {
    await make();
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

/** Taken as a whole, these are answered by another row: of the object's own fields, or of what it makes. */
const elsewhere = new Set(['holdUntilSettled an object', 'breaker a function', 'initialState an object']);

describe.each(Object.entries(takers))('%s', (_name, { action, make, needs, path = '', options, also = {} }) => {
  it.each(Object.keys(options))('%s is taken or refused, value by value', async (option) => {
    const { must, takes, numeric } = options[option]!;
    for (const [shown, value] of Object.entries(values)) {
      if (elsewhere.has(`${option} ${shown}`)) continue;
      const error = await refusal(() => make({ ...needs, [option]: value }));
      if ((takes as readonly string[]).includes(shown)) {
        // A signal-less call with nothing left is turned away, which is not about its options.
        expect((error as { code?: string } | undefined)?.code ?? error, `${option}: ${shown}`).toSatisfy(
          (got: unknown) => got === undefined || got === 'deadline_exceeded',
        );
        continue;
      }
      expect(error?.message, `${option}: ${shown}`).toBe(
        `Cannot ${action}: "${path}${option}" must be ${must}, received ${shown}`,
      );
      expect(error, `${option}: ${shown}`).toBeInstanceOf(
        numeric && typeof value === 'number' ? RangeError : TypeError,
      );
    }
    expect(await refusal(() => make({ ...needs, [option]: also[option] ?? needs?.[option as never] }))).toBeUndefined();
  });

  it('an option that is undefined is not given, and one that is needed is missed', async () => {
    for (const [option, { must }] of Object.entries(options)) {
      const error = await refusal(() => make({ ...needs, [option]: undefined }));
      expect(error?.message, option).toBe(
        needs !== undefined && option in needs
          ? `Cannot ${action}: "${path}${option}" must be ${must}, received undefined`
          : undefined,
      );
    }
  });

  it('takes them frozen, and without a prototype', async () => {
    expect(await refusal(() => make(Object.freeze({ ...needs })))).toBeUndefined();
    expect(await refusal(() => make(Object.assign(Object.create(null), needs)))).toBeUndefined();
  });

  it('checks what it inherits as well', async () => {
    for (const [option, { must, takes, numeric }] of Object.entries(options)) {
      const [shown, value] = (takes as readonly string[]).includes('-1') ? ['null', null] : ['-1', -1];
      const error = await refusal(() =>
        make(Object.assign(Object.create({ [option]: value }), without(needs, option))),
      );
      expect(error?.message, option).toBe(`Cannot ${action}: "${path}${option}" must be ${must}, received ${shown}`);
      expect(error).toBeInstanceOf(numeric && typeof value === 'number' ? RangeError : TypeError);
    }
  });
});

function without(needs: object | undefined, option: string): object {
  const { [option as never]: _, ...rest } = { ...needs };
  return rest;
}
