import { type CallContext, fallback, pipeline, retry } from 'seaworthy';
import { expectTypeOf } from 'vitest';

/** A wrapped function has the parameters, the `this` and the generics of its own, and answers with a promise. */

const p = pipeline('p', [retry()]);
const q = pipeline('q', [fallback(() => null)]);

declare function plain(id: number, name?: string, ...tags: boolean[]): Promise<Date>;
const wrapped = p.wrap(plain);
expectTypeOf(wrapped).parameters.toEqualTypeOf<[id: number, name?: string | undefined, ...tags: boolean[]]>();
expectTypeOf(wrapped(1)).toEqualTypeOf<Promise<Date>>();
expectTypeOf(wrapped(1, 'a', true, false)).toEqualTypeOf<Promise<Date>>();
expectTypeOf(q.wrap(plain)(1)).toEqualTypeOf<Promise<Date | null>>();
// @ts-expect-error the first parameter is needed
wrapped();
// @ts-expect-error and is a number
wrapped('1');

expectTypeOf(p.wrap(() => 1)()).toEqualTypeOf<Promise<number>>();

// Generics survive.
async function pick<T extends object, K extends keyof T>(from: T, key: K): Promise<T[K]> {
  return from[key];
}
const picked = p.wrap(pick)({ a: 1, b: 'text' }, 'b');
expectTypeOf(picked).toEqualTypeOf<Promise<string>>();
// @ts-expect-error no such key
p.wrap(pick)({ a: 1 }, 'c');

// `this` survives.
interface Shop {
  readonly prefix: string;
}
declare function item(this: Shop, id: number): Promise<string>;
const shop = { prefix: 'sku-', item: p.wrap(item) };
expectTypeOf(shop.item(1)).toEqualTypeOf<Promise<string>>();
// @ts-expect-error a lost this
p.wrap(item)(1);

// The call comes first, and is not the wrapped function's parameter.
const withCall = p.wrapWithCall((call, id: number, name: string = 'none') => {
  expectTypeOf(call).toEqualTypeOf<CallContext>();
  return `${id}${name}${call.attempt}`;
});
expectTypeOf(withCall).parameters.toEqualTypeOf<[id: number, name?: string | undefined]>();
expectTypeOf(withCall(1)).toEqualTypeOf<Promise<string>>();

// Options of the call, made of its arguments.
p.wrap(plain, { timeoutMs: 10 });
p.wrap(plain, (id, name) => {
  expectTypeOf(id).toEqualTypeOf<number>();
  expectTypeOf(name).toEqualTypeOf<string | undefined>();
  return { key: `${id}` };
});
// @ts-expect-error an option that does not exist
p.wrap(plain, { timeout: 10 });
