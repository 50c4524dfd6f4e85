import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { ALERTS, CASES, prometheusName, type Suffix } from '../../observability/source.ts';
import { SPELLINGS } from '../../scripts/observability.ts';
import { HISTOGRAMS, METRICS, type MetricId } from '../../src/adapters/otel/names.ts';
import { absent, promtool } from './prometheus.ts';

const folder = new URL('../../observability/', import.meta.url);
const path = (file: string) => fileURLToPath(new URL(file, folder));

/** CI installs the tools, so there their absence is a failure. */
const skipped = absent !== undefined && !process.env.CI;
const why = skipped ? ` (skipped: ${absent})` : '';

describe.each(SPELLINGS)('$file', ({ file, suffix }) => {
  it.skipIf(skipped)(`is accepted by promtool check rules${why}`, async () => {
    const { ok, said } = await promtool(['check', 'rules', path(file)]);
    expect(said).toMatch(/SUCCESS: \d+ rules found/);
    expect(ok, said).toBe(true);
  });

  it.skipIf(skipped)(
    `fires when it should and is silent when it should be, by promtool test rules${why}`,
    async () => {
      const { ok, said } = await promtool(['test', 'rules', path(`tests/${file}`)]);
      expect(ok, said).toBe(true);
    },
    180_000,
  );

  it.skipIf(skipped)(`metrics in its spelling are accepted by promtool check metrics${why}`, async () => {
    const { ok, said } = await promtool(['check', 'metrics'], exposition(suffix));
    expect(said).toBe('');
    expect(ok).toBe(true);
  });
});

describe('the cases', () => {
  it.each(ALERTS)('$alert is made to fire, and kept silent', ({ alert }) => {
    const own = CASES.filter((one) => one.alert === alert);
    expect(own.filter(({ fires }) => fires !== undefined).length).toBeGreaterThan(0);
    expect(own.filter(({ fires }) => fires === undefined).length).toBeGreaterThan(0);
  });

  it('are about alerts there are, once each', () => {
    const known = new Set(ALERTS.map(({ alert }) => alert));
    expect(CASES.filter(({ alert }) => !known.has(alert))).toEqual([]);
    expect(new Set(CASES.map(({ alert, when }) => `${alert} ${when}`)).size).toBe(CASES.length);
  });

  it.each(SPELLINGS)('$file has them all', ({ file }) => {
    const text = readFileSync(path(`tests/${file}`), 'utf8');
    expect([...text.matchAll(/alertname: (\S+)/g)].map(([, alert]) => alert)).toEqual(CASES.map(({ alert }) => alert));
  });
});

/** Every metric with one sample, as a scrape would have it. */
function exposition(suffix: Suffix): string {
  const types = { counter: 'counter', up_down: 'gauge', gauge: 'gauge' };
  const lines = Object.entries(METRICS).flatMap(([id, { kind, description }]) => {
    const name = prometheusName(id as MetricId, suffix);
    return [`# HELP ${name} ${description}`, `# TYPE ${name} ${types[kind]}`, `${name} 1`];
  });
  for (const [id, { description }] of Object.entries(HISTOGRAMS)) {
    const name = prometheusName(id as keyof typeof HISTOGRAMS, suffix);
    lines.push(`# HELP ${name} ${description}`, `# TYPE ${name} histogram`);
    lines.push(`${name}_bucket{le="+Inf"} 1`, `${name}_sum 1`, `${name}_count 1`);
  }
  return `${lines.join('\n')}\n`;
}
