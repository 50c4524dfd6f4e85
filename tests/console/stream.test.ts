import { pipeline } from 'seaworthy';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { metricsStream, type MetricsStreamOptions } from '../../src/console/index.ts';
import { Pipeline } from '../../src/core/pipeline.ts';
import { virtualClock } from '../../src/testing/virtual-clock.ts';
import { turn } from '../core/spy.ts';
import { parse, Reader } from './reader.ts';

afterEach(() => vi.restoreAllMocks());

const quiet = { telemetry: false } as const;

function stand(name: string, options: MetricsStreamOptions = {}) {
  const clock = virtualClock();
  const pipe = pipeline(name, [], { ...quiet, clock });
  const reader = new Reader(metricsStream({ pipelines: [name], clock, ...options }));
  return { clock, pipe, reader };
}

describe('while nobody reads', () => {
  it('a stream has no timer and no listener, and has not touched a pipeline', async () => {
    const clock = virtualClock();
    const pipe = pipeline('unread', [], { ...quiet, clock });
    const { signal } = new AbortController();
    const listens = vi.spyOn(signal, 'addEventListener');
    const look = vi.spyOn(pipe, 'snapshot');
    const stream = metricsStream({ clock, signal });
    stream.body.getReader();
    await clock.advance(60_000);
    await pipe.execute(() => 1);
    expect([clock.pending, look.mock.calls, listens.mock.calls]).toEqual([0, [], []]);
    const core = Pipeline.coreOf(pipe)!;
    expect(core.latency).toBeUndefined();
  });

  it('pipelines of other names are not touched by those who read', async () => {
    const { reader } = stand('named');
    const core = Pipeline.coreOf(pipeline('other', [], quiet))!;
    await reader.next();
    expect(core.latency).toBeUndefined();
  });

  it('any more, timer and listener are gone at once', async () => {
    const caller = new AbortController();
    const leaves = vi.spyOn(caller.signal, 'removeEventListener');
    const { clock, reader } = stand('left', { signal: caller.signal });
    await reader.next();
    expect(clock.pending).toBe(0); // Between two reads nothing is waited for.
    void reader.next();
    await turn();
    expect([clock.pending, leaves.mock.calls.length]).toEqual([1, 0]);
    await reader.cancel();
    expect([clock.pending, leaves.mock.calls.length]).toEqual([0, 1]);
  });
});

describe('a reader', () => {
  it('gets the first events at once and the next ones each interval, on a grid', async () => {
    const { clock, reader } = stand('paced', { intervalMs: 500 });
    const at: number[] = [];
    const read = (async () => {
      while (at.length < 4) {
        await reader.next();
        at.push(clock.now());
      }
    })();
    await clock.advance(5_000);
    await read;
    expect(at).toEqual([0, 500, 1_000, 1_500]);
  });

  it('that is slow skips events, gets the next one at once, and loses no counts', async () => {
    const { clock, pipe, reader } = stand('slow');
    await reader.next();
    for (let second = 0; second < 7; second++) {
      await pipe.execute(() => 1);
      await clock.advance(1_000);
    }
    expect(await reader.events()).toMatchObject([{ since: { ms: 7_000, calls: 7, callsPerSecond: 1 } }]);
    expect(reader.chunks.length).toBe(2);
    void reader.next();
    await clock.advance(999);
    expect(reader.chunks.length).toBe(2);
    await clock.advance(1);
    expect(reader.chunks.length).toBe(3);
  });

  it('keeps its grid when the timers are a little late', async () => {
    const { clock, reader } = stand('tardy');
    await reader.next();
    void reader.next();
    await turn();
    const { now } = clock;
    vi.spyOn(clock, 'now').mockImplementation(() => now.call(clock) + 30);
    await clock.advance(1_000); // Due at 1,000, told at 1,030.
    void reader.next();
    await clock.advance(969);
    expect(reader.chunks.length).toBe(2);
    await clock.advance(1);
    expect(reader.chunks.length).toBe(3);
  });

  it('gets no event right after one that was late because the process was busy', async () => {
    const { clock, reader } = stand('busy');
    await reader.next();
    void reader.next();
    await turn();
    const { now } = clock;
    vi.spyOn(clock, 'now').mockImplementation(() => now.call(clock) + 900);
    await clock.advance(1_000); // Due at 1,000, told at 1,900.
    void reader.next();
    await clock.advance(900);
    expect(reader.chunks.length).toBe(2);
    await clock.advance(100);
    expect(reader.chunks.length).toBe(3);
  });

  it('that asks twice before an event gets two', async () => {
    const { clock, reader } = stand('eager');
    await reader.next();
    void reader.next();
    void reader.next();
    await turn();
    expect(clock.pending).toBe(1);
    await clock.advance(2_000);
    expect(reader.chunks.length).toBe(3);
    expect(clock.pending).toBe(0);
  });

  it('has its own counts since its own last event', async () => {
    const { clock, pipe, reader } = stand('two');
    const other = new Reader(metricsStream({ pipelines: ['two'], intervalMs: 3_000, clock }));
    await Promise.all([reader.next(), other.next()]);
    const second = other.events();
    for (let i = 0; i < 3; i++) {
      await pipe.execute(() => 1);
      const next = reader.events();
      await clock.advance(1_000);
      expect(await next).toMatchObject([{ since: { ms: 1_000, calls: 1 } }]);
    }
    expect(await second).toMatchObject([{ since: { ms: 3_000, calls: 3 } }]);
  });

  it('gets a comment when there is no pipeline, and every fifteen seconds of a longer interval', async () => {
    const { clock, reader } = stand('present', { pipelines: ['absent'], intervalMs: 40_000 });
    const at: [number, string][] = [];
    const read = (async () => {
      while (at.length < 4) {
        await reader.next();
        at.push([clock.now(), reader.chunks.at(-1)!]);
      }
    })();
    await clock.advance(60_000);
    await read;
    expect(at).toEqual([
      [0, ': no pipelines\n\n'],
      [15_000, ':\n\n'],
      [30_000, ':\n\n'],
      [40_000, ': no pipelines\n\n'],
    ]);
    expect(parse(reader.chunks.join('')).events).toEqual([]);
  });
});

describe('pipelines are chosen', () => {
  it('by a predicate on their snapshots, asked each time', async () => {
    const clock = virtualClock();
    const made = ['chosen-a', 'chosen-b'].map((name) => pipeline(name, [], { ...quiet, clock }));
    const busy = new Reader(
      metricsStream({ clock, pipelines: ({ name, calls }) => name.startsWith('chosen') && calls > 0 }),
    );
    expect(await busy.events()).toEqual([]);
    await made[1]!.execute(() => 1);
    const next = busy.events();
    await clock.advance(1_000);
    expect((await next).map(({ name, since }) => [name, since])).toEqual([['chosen-b', null]]);
  });

  it('and one that comes back has its counts since its own last event', async () => {
    let wanted = true;
    const { clock, pipe, reader } = stand('returns', { pipelines: ({ name }) => name === 'returns' && wanted });
    await reader.next();
    wanted = false;
    for (let second = 0; second < 2; second++) {
      await pipe.execute(() => 1);
      const next = reader.events();
      await clock.advance(1_000);
      expect(await next).toEqual([]);
    }
    wanted = true;
    const next = reader.events();
    await clock.advance(1_000);
    expect(await next).toMatchObject([{ since: { ms: 3_000, calls: 2 } }]);
  });

  it('by a predicate that throws: it has not chosen, and a warning says so', async () => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const { reader } = stand('thrown', {
      pipelines: () => {
        throw new Error('no');
      },
    });
    expect(await reader.events()).toEqual([]);
    expect(warned).toHaveBeenCalledTimes(1);
  });

  it('by a predicate that sends the reader away: nothing more is told, and no timer is left', async () => {
    let away = () => {};
    const { clock, reader } = stand('sent-away', { pipelines: () => (away(), true) });
    await reader.next();
    const last = reader.next();
    away = () => void reader.cancel();
    await clock.advance(1_000); // Rejects with what the timer throws.
    await last;
    expect([reader.done, reader.chunks.length, clock.pending]).toEqual([true, 1, 0]);
  });

  it('as all there are, when nothing is said', async () => {
    const kept = ['all-a', 'all-b'].map((name) => pipeline(name, [], quiet));
    const names = (await new Reader(metricsStream()).events()).map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(kept.map(({ name }) => name)));
  });
});

describe('an abort of the signal', () => {
  it('ends the stream at once, while its reader waits', async () => {
    const caller = new AbortController();
    const { clock, reader } = stand('aborted', { signal: caller.signal });
    await reader.next();
    const last = reader.next();
    await turn();
    caller.abort();
    await last;
    expect([reader.done, clock.pending]).toEqual([true, 0]);
  });

  it('that has come before the first read, or between two, ends it at the next', async () => {
    const { reader: first } = stand('late-a', { signal: AbortSignal.abort() });
    await first.next();
    const caller = new AbortController();
    const { reader: second } = stand('late-b', { signal: caller.signal });
    await second.next();
    caller.abort();
    await second.next();
    expect([first.done, first.chunks.length, second.done, second.chunks.length]).toEqual([true, 0, true, 1]);
  });
});

describe('the options', () => {
  it.each<[string, object, unknown]>([
    ['an interval below the least', { intervalMs: 99 }, RangeError],
    ['an interval beyond an hour', { intervalMs: 3_600_001 }, RangeError],
    ['an interval that is no number', { intervalMs: '1000' }, TypeError],
    ['one name in place of a list', { pipelines: 'p' }, TypeError],
    ['a list of something else', { pipelines: [1] }, TypeError],
    ['no signal', { signal: {} }, TypeError],
    ['no clock', { clock: {} }, TypeError],
    ['an unknown option', { interval: 1_000 }, TypeError],
  ])('%s is refused', (_what, options, error) => {
    const make = () => metricsStream(options as MetricsStreamOptions);
    expect(make).toThrow(error as never);
    expect(make).toThrow('Cannot make a metrics stream: ');
  });
});
