import { describe, expect, it } from 'vitest';
import { peers, type Row, rows } from '../../bench/cases.ts';
import { error, forEverMs, type Peer, type Work } from '../../bench/peers/peer.ts';

const loaded = await Promise.all(Object.entries(peers).map(async ([name, load]) => [name, await load()] as const));
const each = rows.flatMap((row) =>
  loaded
    .filter(([, peer]) => peer[row.needs] !== undefined)
    .map(([name, peer]) => [row.name, name, row, peer] as const),
);

const ended = (answer: unknown) =>
  Promise.resolve(answer).then(
    (value) => ({ value }),
    (thrown: unknown) => ({ thrown }),
  );

describe('what is measured is what the row says', () => {
  it.each(each)('%s: %s', async (_, name, row, peer) => {
    const call = await row.of(peer);
    for (let i = 0; i < 3; i++) expected(row, name, await ended(call()));
  });
});

/** A call that answers with the fallback, or that opens a circuit, would be measured as something else. */
function expected(row: Row, series: string, end: { value?: unknown; thrown?: unknown }): void {
  if (row.name === 'circuit open, tryExecute')
    expect(end.value).toMatchObject({ status: 'failure', error: { code: expect.any(String) } });
  else if (row.name.endsWith('rejecting function')) {
    const answers = row.name.startsWith('five') || row.name.startsWith('fallback');
    expect(end).toEqual(answers && series !== 'mollitia' ? { value: 0 } : { thrown: failed(row, series) });
  } else if (row.group !== 'failing' || row.name.startsWith('retried')) expect(end.value).toBe(1);
  else {
    expect(end.thrown).toBeDefined();
    expect(end.thrown).not.toBe(error);
  }
}

/** mollitia's fallback changes the error. */
const failed = (row: Row, series: string) => (series === 'mollitia' && /^(five|fallback)/.test(row.name) ? 0 : error);

it('goes by time, and by processor time only where all calls wait for timers', () => {
  const clocks = rows.map(({ name, rounds }) => [name, rounds?.clock] as const);
  expect(clocks.filter(([, clock]) => clock !== undefined)).toEqual([['timed out', 'process']]);
});

describe('where the function always fails, nobody retries it and no circuit opens', () => {
  const failing = (policy: keyof Peer) =>
    loaded.filter(([, peer]) => peer[policy] !== undefined).map(([name, peer]) => [name, policy, peer] as const);
  it.each([...failing('five'), ...failing('circuit breaker'), ...failing('retry')])(
    '%s: %s',
    async (_, policy, peer) => {
      let calls = 0;
      const work: Work = {
        kind: 'rejecting',
        fn: async () => {
          calls++;
          throw error;
        },
      };
      const call = await (peer[policy] as (work: Work) => () => unknown)(work);
      for (let i = 0; i < 400; i++) await ended(call());
      expect(calls).toBe(400);
    },
  );
});

describe('64 calls at once all run', () => {
  it.each(loaded)('%s', async (_, peer) => {
    let running = 0;
    let most = 0;
    const fn = async () => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running--;
      return 1;
    };
    const call = await peer.five({ kind: 'immediate', fn });
    expect(await Promise.all(Array.from({ length: 64 }, call))).toEqual(new Array(64).fill(1));
    expect(most).toBe(64);
  });
});

describe('the signal of the caller reaches those who take one', () => {
  const able = loaded.filter(([, peer]) => peer.cancellable !== undefined);
  it.each(able)('%s', async (_, peer) => {
    const controller = new AbortController();
    const fn = () => new Promise((resolve) => setTimeout(resolve, forEverMs).unref());
    const call = await peer.cancellable!({ kind: 'async', fn }, () => controller.signal);
    const end = ended(call());
    controller.abort(new Error('enough'));
    expect(await end).not.toEqual({ value: 1 });
  });
});

it('every row has a name of its own', () => {
  expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length);
});
