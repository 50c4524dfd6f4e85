import { availableParallelism } from 'node:os';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { bytesPerCall, compare, type Contender, interleaved, loopOf, median, type Way } from '../../bench/measure.ts';
import { inProcess, oneByOne } from '../../bench/process.ts';

const once = { rounds: 1, roundMs: 1, warmMs: 1, warmCalls: 0 };
const turn = () => new Promise((resolve) => setImmediate(resolve));

let now = 0;
beforeEach(() => {
  now = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => now);
});
afterEach(() => void vi.restoreAllMocks());

/** Keeps the processor busy for so many milliseconds. */
function work(ms: number): void {
  const used = () => process.cpuUsage().user + process.cpuUsage().system;
  const end = used() + ms * 1e3;
  while (used() < end);
}

/** A call that takes so many milliseconds. */
const taking = (ms: number) => () => {
  now += ms;
};

describe('a loop', () => {
  const ways: readonly [Way, most: number][] = [
    ['in turn', 1],
    ['caught', 1],
    ['at once', 64],
    ['together', 128],
  ];
  it.each(ways)('%s makes all its calls, %i at a time', async (way, most) => {
    let [running, peak, calls] = [0, 0, 0];
    const call = async () => {
      calls++;
      peak = Math.max(peak, ++running);
      await turn();
      running--;
    };
    await loopOf(way)(call, 128);
    expect({ calls, peak }).toEqual({ calls: 128, peak: most });
  });

  it.each(['caught', 'together'] as const)('%s goes on after a rejection', async (way) => {
    let calls = 0;
    await loopOf(way)(() => {
      calls++;
      return Promise.reject(new Error('no'));
    }, 8);
    expect(calls).toBe(8);
  });

  it('ends at a rejection that nobody expected', async () => {
    await expect(loopOf('in turn')(() => Promise.reject(new Error('unexpected')), 8)).rejects.toThrow('unexpected');
  });

  it('is of its own for each contender', () => {
    expect(loopOf('in turn')).not.toBe(loopOf('in turn'));
  });
});

describe('rounds', () => {
  it('take turns, and another contender is first each time', async () => {
    const order: string[] = [];
    const contender = (name: string) => ({ call: () => order.push(name), way: 'in turn' as const });
    const times = await interleaved(['a', 'b', 'c'].map(contender), { ...once, rounds: 3, calls: 1 });
    expect(times.map((row) => row.length)).toEqual([3, 3, 3]);
    expect(order.join('')).toBe('abc' + 'abc' + 'bca' + 'cab');
  });

  it.each([5, 20])('measure what a call takes, with %i calls', async (calls) => {
    const [[ns]] = (await interleaved([{ call: taking(0.2), way: 'in turn' }], { ...once, calls })) as [[number]];
    expect(ns).toBeCloseTo(200_000, 3);
  });

  it.each([
    ['slow', 0.1, 40],
    ['quick', 0.001, 4_000],
  ])('take as many calls as fit into the time given: %s', async (_, ms, expected) => {
    const take = taking(ms);
    let calls = 0;
    const call = () => {
      calls++;
      take();
    };
    const settings = { ...once, roundMs: 4, warmMs: 10 };
    await interleaved([{ call, way: 'in turn' }], { ...settings, rounds: 1 });
    const [before] = [calls, (calls = 0)];
    await interleaved([{ call, way: 'in turn' }], { ...settings, rounds: 2 });
    expect(calls - before).toBe(expected);
  });

  it.each([
    ['for long enough', { warmMs: 4, warmCalls: 0 }, 32],
    ['for as many calls as were asked for', { warmMs: 4, warmCalls: 64 }, 64],
    ['for four times as long at most', { warmMs: 4, warmCalls: 1_000 }, 128],
  ])('warm up %s', async (_, warm, expected) => {
    let calls = 0;
    const take = taking(0.125);
    const call = () => {
      calls++;
      take();
    };
    // Rounds of eight calls, of which one comes after warming up.
    await interleaved([{ call, way: 'in turn' }], { ...once, rounds: 0, roundMs: 1, ...warm });
    expect(calls - 8).toBe(expected);
  });

  it('of calls at once are a multiple of those', async () => {
    let calls = 0;
    const take = taking(0.1);
    const call = () => {
      calls++;
      take();
    };
    await interleaved([{ call, way: 'at once' }], { ...once, rounds: 0, roundMs: 10, warmMs: 0 });
    // 64 to see how long they take, and a round of the next multiple.
    expect(calls).toBe(64 + 128);
  });

  it('count the time that passes, whatever the processor does meanwhile', async () => {
    const call = () => {
      now += 1;
      work(3);
    };
    const [[ns]] = (await interleaved([{ call, way: 'in turn' }], { ...once, calls: 4 })) as [[number]];
    expect(ns).toBe(1e6);
  });

  it('count what the processor does, where that is asked for', async () => {
    const work5 = { call: () => work(5), way: 'in turn' as const };
    const [[ns]] = (await interleaved([work5], { ...once, calls: 4, clock: 'process' })) as [[number]];
    expect(ns).toBeGreaterThan(4e6);
  });

  it('do not count waiting as processor time', async () => {
    const waits = { call: () => new Promise((resolve) => setTimeout(resolve, 50)), way: 'in turn' as const };
    const [[ns]] = (await interleaved([waits], { ...once, calls: 2, clock: 'process' })) as [[number]];
    expect(ns).toBeLessThan(25e6);
  });
});

it('a ratio is that of the same round, by the median', async () => {
  // The machine is ten times as slow in every other round, and in a quick one something else happens to one of the two.
  let calls = 0;
  const call = (ms: number) => () => {
    const round = Math.floor(calls++ / 2) - 1;
    now += ms * (round % 2 === 0 ? 1 : 10) * (round === 4 && ms === 0.2 ? 50 : 1);
  };
  const contenders = [0.05, 0.2].map((ms) => ({ call: call(ms), way: 'in turn' as const })) as [Contender, Contender];
  const { ratio } = await compare(...contenders, { ...once, rounds: 9, calls: 1 });
  expect(ratio).toBeCloseTo(4);
});

it('the ratio of processor time stands beside that of time', async () => {
  const contender = (ms: number): Contender => {
    const call = () => {
      now += ms;
      work(3);
    };
    return { call, way: 'in turn' };
  };
  const { ratio, cpuRatio } = await compare(contender(1), contender(10), { ...once, rounds: 3, calls: 2 });
  expect(ratio).toBeCloseTo(10);
  expect(cpuRatio).toBeGreaterThan(0.5);
  expect(cpuRatio).toBeLessThan(2);
});

it('a median is between the two in the middle', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
});

describe('bytes', () => {
  it('are what a call allocates, and nothing is kept of it', async () => {
    const { bytes, kept } = await bytesPerCall({ call: () => new Array(100).fill(0), way: 'in turn' }, 3, 500);
    expect(bytes).toBeGreaterThan(800);
    expect(bytes).toBeLessThan(1_500);
    expect(Math.abs(kept)).toBeLessThan(40);
  });

  it('are kept when somebody holds on to them', async () => {
    const held: unknown[] = [];
    const { kept } = await bytesPerCall({ call: () => held.push(new Array(100).fill(0)), way: 'in turn' }, 3, 500);
    expect(kept).toBeGreaterThan(800);
    expect(kept).toBeLessThan(1_500);
  });
});

describe('a process of its own', () => {
  const what = (series: string) => ({ series, rows: ['five', 'circuit open'], bytes: false });

  it('answers with what it has measured, and nothing else', async () => {
    const readings = await inProcess<{ ns: number; ratio: number }[]>('calls', what('bare'), true);
    expect(readings).toHaveLength(2);
    for (const { ns, ratio } of readings) {
      expect(ns).toBeGreaterThan(0);
      expect(ratio).toBeGreaterThan(0);
    }
  });

  it('that fails is an error that names what it measured', async () => {
    await expect(inProcess('calls', what('nobody'), true)).rejects.toThrow(
      /Cannot measure calls .*nobody.*ended with 1/,
    );
  });
});

describe('jobs', () => {
  const most = async (check: boolean) => {
    let [running, peak] = [0, 0];
    const done: number[] = [];
    await oneByOne([1, 2, 3, 4], check, async (job) => {
      peak = Math.max(peak, ++running);
      await turn();
      done.push(job);
      running--;
    });
    expect(done).toEqual([1, 2, 3, 4]);
    return peak;
  };

  it('run one at a time, so that they do not disturb each other', async () => {
    expect(await most(false)).toBe(1);
  });

  it('run several at a time in a check', async () => {
    expect(await most(true)).toBe(Math.min(4, availableParallelism()));
  });
});
