import { handleAll } from 'cockatiel';
import { pipeline } from 'seaworthy';
import { describe, expect, it } from 'vitest';

const pipe = pipeline('p', [], { telemetry: false });
const outcome = (options: unknown) => pipe.tryExecute(() => 'called', options as never);
const told = async (options: unknown) => String((await outcome(options)).error);

/** Without an own enumerable name that says so. */
const hidden = (name: PropertyKey, value: unknown) => Object.defineProperty({}, name, { value });

describe('what one call brings along is refused:', () => {
  const what = 'Cannot execute "p": ';
  it.each<[string, unknown, string]>([
    ['null', null, `TypeError: ${what}options must be an object, received null`],
    ['a number', 5, `TypeError: ${what}options must be an object, received 5`],
    ['a function', () => {}, `TypeError: ${what}options must be an object, received a function`],
    ['an array', [], `TypeError: ${what}options must be an object, received an array`],
    ['a map', new Map(), `TypeError: ${what}options must be an object, received a list`],
    [
      'a list by hand',
      { [Symbol.iterator]: undefined },
      `TypeError: ${what}options must be an object, received a list`,
    ],
    ['a promise', Promise.resolve({}), `TypeError: ${what}options must be an object, received a promise`],
    ['a promise by hand', hidden('then', 1), `TypeError: ${what}options must be an object, received a promise`],
    ['an unknown name', { kee: 'k' }, `TypeError: ${what}unknown option "kee", did you mean "key"?`],
    [
      'an unknown name without a value',
      { kee: undefined },
      `TypeError: ${what}unknown option "kee", did you mean "key"?`,
    ],
    ['a name that all objects know', { toString: 1 }, `TypeError: ${what}unknown option "toString"`],
    ['a signal that is none', { signal: {} }, `TypeError: ${what}"signal" must be an AbortSignal, received an object`],
    ['no number', { timeoutMs: '5' }, `TypeError: ${what}"timeoutMs" must be a number of milliseconds, received "5"`],
    ['NaN', { timeoutMs: NaN }, `RangeError: ${what}"timeoutMs" must be a number of milliseconds, received NaN`],
    ['a key that is no string', { key: 7 }, `TypeError: ${what}"key" must be a string, received 7`],
    ['no flag', { idempotent: 1 }, `TypeError: ${what}"idempotent" must be true or false, received 1`],
    ['no predicate', { retryable: true }, `TypeError: ${what}"retryable" must be a function, received true`],
    [
      'half a handler',
      { classify: { options: {} } },
      `TypeError: ${what}"classify" must be a function or a cockatiel handler, received an object`,
    ],
    ['no listener', { onDiscard: null }, `TypeError: ${what}"onDiscard" must be a function, received null`],
    ['a list of attributes', { attributes: [] }, `TypeError: ${what}"attributes" must be an object, received an array`],
    ['what is inherited', Object.create({ key: 7 }), `TypeError: ${what}"key" must be a string, received 7`],
    ['what does not show', hidden('key', 7), `TypeError: ${what}"key" must be a string, received 7`],
    [
      'all that is wrong at once',
      { key: 7, kee: 1, timeoutMs: NaN },
      `TypeError: ${what}unknown option "kee", did you mean "key"?; "timeoutMs" must be a number of milliseconds, received NaN; "key" must be a string, received 7`,
    ],
  ])('%s', async (_, options, message) => {
    expect(await told(options)).toBe(message);
  });
});

describe('what one call brings along is taken from', () => {
  const seen = (options: unknown) => pipe.execute(({ key }) => key, options as never);

  it.each<[string, unknown]>([
    ['an object', { key: 'k', timeoutMs: undefined }],
    [
      'one with everything',
      {
        key: 'k',
        signal: new AbortController().signal,
        timeoutMs: Infinity,
        idempotent: false,
        retryable: () => true,
        classify: handleAll,
        onDiscard() {},
        attributes: { a: 1 },
      },
    ],
    ['one without a prototype', Object.assign(Object.create(null), { key: 'k' })],
    ['its prototype, which may know more', Object.create({ key: 'k', kee: 1 })],
    [
      'a getter',
      {
        get key() {
          return 'k';
        },
      },
    ],
    ['what does not show', hidden('key', 'k')],
    ['one with a symbol', { key: 'k', [Symbol('own')]: 1 }],
  ])('%s', async (_, options) => {
    expect(await seen(options)).toBe('k');
  });

  it('an object although somebody has given all objects a name', async () => {
    const all = Object.prototype as { kee?: number };
    all.kee = 1;
    try {
      expect(await seen({ key: 'k' })).toBe('k');
      expect(await told({ key: 7 })).toContain('"key" must be a string');
    } finally {
      delete all.kee;
    }
  });
});
