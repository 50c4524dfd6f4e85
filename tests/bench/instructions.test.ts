import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import * as library from 'seaworthy';
import { describe, expect, inject, it } from 'vitest';
import { cases } from '../../bench/instructions/cases.ts';
import { Counter, valgrindVersion } from '../../bench/instructions/count.ts';
import { type Figures, floor, judge } from '../../bench/instructions/judge.ts';
import { consumer, root } from '../package/consumer.ts';

const kept: Figures = {
  node: '24.21.0',
  arch: 'x64',
  valgrind: '3.19.0',
  cases: { [floor]: { instructions: 500, bytes: 250 }, five: { instructions: 4_000, bytes: 1_600 } },
};
const measured = (five: { instructions?: number | null; bytes?: number }, where: Partial<Figures> = {}): Figures => ({
  ...kept,
  ...where,
  cases: { ...kept.cases, ...where.cases, five: { instructions: 4_000, bytes: 1_600, ...five } },
});

describe('kept figures', () => {
  it('hold within 5 %, either way', () => {
    for (const share of [0.951, 1, 1.049])
      expect(judge(kept, measured({ instructions: 4_000 * share, bytes: 1_600 * share }))).toEqual({
        notes: [],
        faults: [],
      });
  });

  it('fail for a case that takes more, saying which, by how much and how to accept it', () => {
    expect(judge(kept, measured({ instructions: 4_240 })).faults).toEqual([
      '"five" takes more instructions per call: 4000 kept, 4240 measured (+6.0 %). Take it back, or accept it: npm run instructions -- --accept',
    ]);
    expect(judge(kept, measured({ bytes: 1_700 })).faults).toEqual([
      '"five" takes more bytes per call: 1600 kept, 1700 measured (+6.3 %). Take it back, or accept it: npm run instructions -- --accept',
    ]);
  });

  it('fail for a gain that is not kept', () => {
    expect(judge(kept, measured({ instructions: 3_700 })).faults).toEqual([
      '"five" takes fewer instructions per call: 4000 kept, 3700 measured (-7.5 %). Keep the gain: npm run instructions -- --accept',
    ]);
  });

  it('fail for a case that only one side knows, unless only some were measured', () => {
    const other = { ...kept, cases: { [floor]: kept.cases[floor]!, six: { instructions: 1, bytes: 1 } } };
    expect(judge(kept, other).faults).toEqual([
      '"six" has no kept figure. Keep it: npm run instructions -- --accept',
      '"five" is kept and no case any more. Drop it: npm run instructions -- --accept',
    ]);
    expect(judge(kept, { ...kept, cases: { [floor]: kept.cases[floor]! } }, true).faults).toEqual([]);
  });

  it('are compared as ratios to the floor on a neighbouring Node, by a wider bar, and that is said', () => {
    const dearer = { node: '24.22.0', cases: { [floor]: { instructions: 600, bytes: 250 } } };
    const alike = judge(kept, measured({ instructions: 4_800 }, dearer));
    expect(alike).toEqual({ notes: [expect.stringContaining('only ratios to "bare await" are compared')], faults: [] });
    expect(judge(kept, measured({ instructions: 5_200 }, dearer)).faults).toEqual([]);
    expect(judge(kept, measured({ instructions: 5_300 }, dearer)).faults).toHaveLength(1);
    expect(judge(kept, measured({ instructions: 4_300 }, dearer)).faults).toHaveLength(1);
  });

  it.each([{ node: '26.1.0' }, { arch: 'arm64' }])('are not compared with those of %o, and that is said', (where) => {
    const { notes, faults } = judge(kept, measured({ instructions: 9_000 }, where));
    expect(notes).toEqual([expect.stringContaining('Nothing is compared')]);
    expect(faults).toEqual([]);
  });

  it('are compared by their bytes alone without valgrind, and that is said', () => {
    const without = { valgrind: null };
    const { notes, faults } = judge(kept, measured({ instructions: null, bytes: 1_700 }, without));
    expect(notes).toEqual(['There is no valgrind here: bytes only. scripts/install-tools.sh installs it.']);
    expect(faults).toEqual([expect.stringContaining('more bytes')]);
  });

  it('are there for every case', () => {
    const figures: Figures = JSON.parse(readFileSync(join(root, 'bench/instructions/figures.json'), 'utf8'));
    expect(Object.keys(figures.cases)).toEqual(Object.keys(cases));
    expect(figures).toEqual({
      node: expect.stringMatching(/^\d+\.\d+\.\d+$/),
      arch: expect.any(String),
      valgrind: expect.stringMatching(/^\d/),
      cases: Object.fromEntries(
        Object.keys(cases).map((name) => [name, { instructions: expect.any(Number), bytes: expect.any(Number) }]),
      ),
    });
  });
});

describe('a call that is counted', () => {
  const refused = 'circuit_open';
  const answers: Record<string, unknown> = {
    'circuit open': refused,
    'circuit open, tryExecute': { status: 'failure', error: expect.objectContaining({ code: refused }) },
    'five, beside other shapes': 1,
    'fn reads signal': 1,
  };

  it.each(Object.keys(cases))('%s: does what the name says', async (name) => {
    const call = await cases[name]!(library);
    for (let times = 0; times < 3; times++) expect(await call()).toEqual(answers[name] ?? 1);
  });
});

const valgrind = await valgrindVersion();
/** CI installs it, so there its absence is a failure. */
const skipped = valgrind === undefined && !process.env.CI;

describe('on the build', () => {
  it.skipIf(skipped)(
    `a call costs the same instructions and bytes each time, and a clock read or an object more is noticed${skipped ? ' (skipped: there is no valgrind, see scripts/install-tools.sh)' : ''}`,
    async () => {
      expect(valgrind).toBeDefined();
      const dist = join(consumer('esm'), 'node_modules/seaworthy/dist');
      const [once, twice, slower] = await Promise.all([figures(dist), figures(dist), figures(broken(dist))]);
      expect(judge(once!, twice!)).toEqual({ notes: [], faults: [] });
      const [one, two] = [once!, twice!].map((run) => run.cases['timeout alone']!);
      expect(Math.abs(two!.instructions! / one!.instructions! - 1)).toBeLessThan(0.01);
      expect(Math.abs(two!.bytes / one!.bytes - 1)).toBeLessThan(0.01);
      expect(judge(once!, slower!).faults).toEqual([
        expect.stringContaining('"timeout alone" takes more instructions per call'),
        expect.stringContaining('"timeout alone" takes more bytes per call'),
      ]);
    },
    600_000,
  );

  async function figures(dist: string): Promise<Figures> {
    using counter = new Counter(dist, true);
    return { ...kept, cases: { 'timeout alone': await counter.count('timeout alone') } };
  }

  /** The same library, but each call reads the clock and leaves an array behind. */
  function broken(dist: string): string {
    const folder = mkdtempSync(join(inject('scratch'), 'slower-'));
    const real = JSON.stringify(pathToFileURL(join(dist, 'index.js')).href);
    writeFileSync(
      join(folder, 'index.js'),
      `export * from ${real};
      import { pipeline as make } from ${real};
      export function pipeline(...how) {
        const pipe = make(...how);
        return {
          execute(fn, options) {
            globalThis.left = new Array(40).fill(performance.now());
            return pipe.execute(fn, options);
          },
        };
      }`,
    );
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
    return folder;
  }
});
