import { pipeline, retry } from 'seaworthy';
import { resilientFetch } from 'seaworthy/fetch';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { warn } from '../../src/ports/report.ts';
import { virtualClock } from '../../src/testing/virtual-clock.ts';
import { boom } from './hostile-stand.ts';
import { unhandled } from './spy.ts';

afterAll(() => void vi.restoreAllMocks());

const nonsense: [string, () => unknown][] = [
  [
    'throws',
    () => {
      throw boom;
    },
  ],
  ['rejects', () => Promise.reject(boom)],
  ['hangs', () => new Promise(() => {})],
  ['answers null', () => null],
  ['answers a number', () => 5],
  ['answers an object', () => ({})],
];

describe.each(['key', 'idempotent'] as const)('%s of resilientFetch', (hook) => {
  it.each(nonsense)('that %s is told once, and the default holds', async (_deed, hostile) => {
    const told: string[] = [];
    const emit = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    for (let i = 0; i < 256; i++) warn(`stuffing of hooks ${hook} ${_deed} ${i}`);
    emit.mockImplementation(((warning: Error) => told.push(warning.message)) as never);
    const keys: unknown[] = [];
    let sent = 0;
    const pipe = pipeline('http', [retry({ backoff: 0 })], { telemetry: false, clock: virtualClock() });
    pipe.subscribe(({ key }) => keys.push(key));
    const send = resilientFetch({ pipeline: pipe as never, [hook]: hostile as never }, (async () => {
      sent++;
      return new Response(null, { status: 503 });
    }) as never);
    expect(
      await unhandled(async () => {
        expect((await send('http://a.example/x')).status).toBe(503);
        expect((await send('http://a.example/x', { method: 'POST' })).status).toBe(503);
      }),
    ).toEqual([]);
    expect(told).toEqual([`The "${hook}" option of resilientFetch for "http" threw.`]);
    expect(new Set(keys)).toEqual(new Set(['http://a.example']));
    // Three times the GET, once the POST.
    expect(sent).toBe(4);
  });
});

describe('what onFailure and subscribe say of a failure', () => {
  const down = new Error('down');
  it.each<[string, () => unknown, unknown]>([
    ['an error', () => Promise.reject(down), { error: down }],
    ['undefined as an error', () => Promise.reject(undefined), { error: undefined }],
    ['a value', () => 503, { value: 503 }],
    ['undefined as a value', () => undefined, { value: undefined }],
  ])('%s', async (_what, fn, reason) => {
    const pipe = pipeline('p', [retry({ maxRetries: 0 })], { telemetry: false, classify: () => 'failure' });
    const failures: unknown[] = [];
    const ends: object[] = [];
    pipe.onFailure((event) => failures.push(event));
    pipe.subscribe((event) => event.type.endsWith('_end') && ends.push(event));
    await pipe.tryExecute(fn);
    expect(failures).toEqual([{ duration: expect.any(Number), handled: true, reason }]);
    expect(Object.keys((failures[0] as { reason: object }).reason)).toEqual(Object.keys(reason as object));
    expect(ends).toHaveLength(2);
    for (const end of ends) expect('value' in end).toBe('value' in (reason as object));
  });

  it('a value that is none has no such member', async () => {
    const pipe = pipeline('p', [], { telemetry: false });
    const ends: object[] = [];
    pipe.subscribe((event) => ends.push(event));
    await pipe.execute(() => 1);
    expect(ends.map((end) => ['value' in end, 'error' in end])).toEqual([[false, false]]);
  });
});
