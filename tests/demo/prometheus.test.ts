import type { ServerResponse } from 'node:http';
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import { describe, expect, it } from 'vitest';
import { parse, sum } from '../../demo/prometheus.ts';

describe('reading the Prometheus text format', () => {
  it('reads names, labels and values, and leaves comments out', () => {
    const text =
      '# HELP a_total something\n# TYPE a_total counter\na_total{x="1",y="two"} 3\n\na_total{x="2"} 4 1700000000\nb 0.5\n';
    expect(parse(text)).toEqual([
      { name: 'a_total', labels: { x: '1', y: 'two' }, value: 3 },
      { name: 'a_total', labels: { x: '2' }, value: 4 },
      { name: 'b', labels: {}, value: 0.5 },
    ]);
  });

  it('reads the values that are no digits', () => {
    expect(parse('a +Inf\nb -Inf\nc NaN\nd 1e-3').map(({ value }) => value)).toEqual([Infinity, -Infinity, NaN, 0.001]);
  });

  it.each(['a{x="1" 2', 'a{x=1} 2', 'a', 'a{} two', '{x="1"} 2'])('refuses %s', (line) => {
    expect(() => parse(line)).toThrow(SyntaxError);
  });

  it('sums what is wanted', () => {
    const samples = parse('a{x="1"} 3\na{x="2"} 4\nb{x="1"} 5');
    expect(sum(samples, 'a', () => true)).toBe(7);
    expect(sum(samples, 'a', ({ x }) => x === '2')).toBe(4);
    expect(sum(samples, 'c', () => true)).toBe(0);
  });

  it('reads what the exporter writes, whatever the labels hold', async () => {
    const exporter = new PrometheusExporter({ preventServerStart: true });
    const provider = new MeterProvider({ readers: [exporter] });
    const odd = 'a "quote", a \\ and a\nnew line} 7';
    provider.getMeter('test').createCounter('odd.things').add(2, { what: odd });
    const text = await new Promise<string>((resolve) => {
      const response = { setHeader() {}, end: resolve } as unknown as ServerResponse;
      exporter.getMetricsRequestHandler({} as never, response);
    });
    expect(sum(parse(text), 'odd_things_total', ({ what }) => what === odd)).toBe(2);
    await provider.shutdown();
  });
});
