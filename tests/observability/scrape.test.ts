import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import contract from '../adapters/otel/contract.json' with { type: 'json' };
import { type Service, startService } from './service.ts';
import { counted, idle, play, settings } from './story.ts';

/** One metric of a scrape. */
interface Family {
  readonly type: string;
  readonly unit: string | undefined;
  readonly help: string;
  /** By sample name and label values in the order of their keys, scope labels left out. */
  readonly samples: Map<string, number>;
}

const durations = /^seaworthy\.(pipeline|attempt|concurrency\.queue)\.duration$/;
const types: Readonly<Record<string, string>> = {
  counter: 'counter',
  up_down: 'gauge',
  gauge: 'gauge',
  histogram: 'histogram',
};

/** The exporter itself never spells units; a collector, and the views of the example, do. */
describe.each([
  { suffix: false, ending: '' },
  { suffix: true, ending: '_seconds' },
])('what an outage leaves at a Prometheus scrape, durations ending in "$ending"', ({ suffix, ending }) => {
  let service: Service;
  let whileOpen: Map<string, Family>;
  let after: Map<string, Family>;

  beforeAll(async () => {
    service = await startService({ prometheusPort: 0, suffix, env: settings });
    await play(service, async () => void (whileOpen = await scrape(service)));
    after = await scrape(service);
  }, 60_000);

  afterAll(() => service?.stop());

  const spelled = (name: string, kind: string) =>
    name.replaceAll('.', '_') + (durations.test(name) ? ending : '') + (kind === 'counter' ? '_total' : '');

  test('every metric of the contract is there under its name, with its type, its unit and a description', () => {
    for (const [name, { kind, unit }] of Object.entries(contract.metrics)) {
      const said = [...Object.keys(counted), ...idle].some((key) => `seaworthy.${key.split(' ')[0]}` === name);
      const family = after.get(spelled(name, kind));
      if (said || family !== undefined) {
        expect({ name, type: family?.type, unit: family?.unit }).toEqual({ name, type: types[kind], unit });
        expect(family!.help).toMatch(/^[A-Z].*\.$/);
      }
    }
    const known = Object.entries(contract.metrics).map(([name, { kind }]) => spelled(name, kind));
    const ours = [...after.keys()].filter((name) => name.startsWith('seaworthy_'));
    expect(ours.filter((name) => !known.includes(name))).toEqual([]);
  });

  test('every series stands at what was done, and those of what did not happen at 0', () => {
    const values = new Map<string, number>();
    for (const [name, { kind }] of Object.entries(contract.metrics))
      for (const [sample, value] of after.get(spelled(name, kind))?.samples ?? []) {
        const [, part, words] = /^\S*?(_bucket|_sum|_count)?( .*)$/.exec(sample)!;
        if (part === undefined || part === '_count') values.set(name.replace('seaworthy.', '') + words, value);
      }
    for (const key of idle) expect(values.get(key), key).toBe(0);
    const moved = [...values].filter(([key, value]) => value !== 0 && !/budget\.remaining|failure_ratio/.test(key));
    expect(Object.fromEntries(moved)).toEqual(counted);
  });

  test('an open circuit can be alerted on, and the timed-out attempt lies in the bucket up to 2.5 s', () => {
    const status = whileOpen.get('seaworthy_circuit_breaker_status')!.samples;
    expect(status.get('seaworthy_circuit_breaker_status open prices/circuit_breaker')).toBe(1);
    expect(status.get('seaworthy_circuit_breaker_status closed prices/circuit_breaker')).toBe(0);
    const name = `seaworthy_attempt_duration${ending}`;
    const { samples } = after.get(name)!;
    const timedOut = (le: string) => samples.get(`${name}_bucket timeout ${le} initial failure prices`);
    expect(['1', '2.5', '30', '+Inf'].map(timedOut)).toEqual([0, 1, 1, 1]);
  });

  test('the service says nothing but where it listens, and ends by itself when told to', async () => {
    expect(service.output().replace(/^(upstream|service) on .*\n/gm, '')).toBe('');
    expect(await service.stop()).toBe(0);
  });
});

async function scrape({ metricsUrl }: Service): Promise<Map<string, Family>> {
  const response = await fetch(metricsUrl);
  expect(response.headers.get('content-type')).toMatch(/^text\/plain/);
  return parse(await response.text());
}

/** Throws when two lines are the same series: Prometheus keeps the first and drops the other without a word. */
function parse(text: string): Map<string, Family> {
  const families = new Map<string, Family>();
  let meta: Record<string, string> = {};
  for (const line of text.split('\n')) {
    const [, what, name = '', rest = ''] = /^# (HELP|UNIT|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (what === 'HELP') meta = { HELP: rest };
    else if (what === 'UNIT') meta.UNIT = rest;
    else if (what === 'TYPE')
      families.set(name, { type: rest, unit: meta.UNIT, help: meta.HELP ?? '', samples: new Map() });
    const sample = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/i.exec(line);
    if (sample === null) continue;
    const labels = [...sample[2]!.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].filter(
      ([, key]) => !key!.startsWith('otel_'),
    );
    const words = labels.sort(([, a], [, b]) => (a! < b! ? -1 : 1)).map(([, , value]) => value);
    const key = [sample[1], ...words].join(' ');
    const family = [...families].findLast(([known]) => sample[1]!.startsWith(known));
    if (family === undefined || family[1].samples.has(key)) throw new Error(`twice, or before its type: ${line}`);
    family[1].samples.set(key, Number(sample[3]));
  }
  return families;
}
