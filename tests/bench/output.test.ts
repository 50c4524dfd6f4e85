import { describe, expect, it } from 'vitest';
import { barChart, curves } from '../../bench/plot.ts';
import type { Plot } from '../../bench/part.ts';
import { progressBar } from '../../bench/progress.ts';
import { figure, markdown, table } from '../../bench/table.ts';

const plot: Plot = {
  name: 'p',
  title: 'keys & <others>',
  x: 'keys',
  y: 'ns',
  logX: true,
  logY: true,
  lines: [
    {
      label: 'ours',
      points: [
        [1, 10],
        [10, 10],
        [100, 100],
        [1_000, 1_000],
      ],
    },
    {
      label: 'theirs',
      points: [
        [1, 100],
        [1_000, 0],
      ],
    },
  ],
};

const pointsOf = (svg: string) =>
  [...svg.matchAll(/<polyline [^>]*points="([^"]*)"/g)].map(([, points]) =>
    points!.split(' ').map((point) => point.split(',').map(Number) as [number, number]),
  );

describe('curves', () => {
  it('stand at equal distances for equal factors on logarithmic axes, and higher where more', () => {
    const [[a, b, c, d]] = pointsOf(curves(plot)) as [[number, number][]] as any;
    expect(b[0] - a[0]).toBeCloseTo(c[0] - b[0], 0);
    expect(d[0] - c[0]).toBeCloseTo(c[0] - b[0], 0);
    expect(a[1]).toBe(b[1]);
    expect(b[1] - c[1]).toBeCloseTo(c[1] - d[1], 0);
    expect(c[1]).toBeLessThan(b[1]);
  });

  it('stand at equal distances for equal steps on linear axes', () => {
    const lines = [
      {
        label: 'ours',
        points: [
          [0, 0],
          [5, 50],
          [10, 100],
        ] as const,
      },
    ];
    const [[a, b, c]] = pointsOf(curves({ ...plot, logX: false, logY: false, lines })) as any;
    expect(b[0] - a[0]).toBeCloseTo(c[0] - b[0], 0);
    expect(a[1] - b[1]).toBeCloseTo(b[1] - c[1], 0);
  });

  it('leave out what a logarithmic axis has no place for', () => {
    expect(pointsOf(curves(plot))[1]).toHaveLength(1);
  });

  it('follow the theme, name every line, and hold no number that is none and no text that is markup', () => {
    const svg = curves(plot);
    expect(svg).toContain('prefers-color-scheme: dark');
    for (const text of ['>ours<', '>theirs<', '>keys<', '>ns<', 'keys &amp; &lt;others&gt;'])
      expect(svg).toContain(text);
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  it('can be drawn of nothing and of one point', () => {
    for (const points of [[], [[1, 1]]] as const)
      expect(curves({ ...plot, lines: [{ label: 'ours', points }] })).not.toMatch(/NaN|Infinity|undefined/);
  });
});

describe('bars', () => {
  const bars = (...values: number[]) => ({
    name: 'b',
    title: 'calls',
    x: 'x bare',
    groups: [{ label: 'five', bars: values.map((value, i) => ({ label: `peer ${i}`, value })) }],
  });
  const widths = (svg: string) =>
    [...svg.matchAll(/<rect x="[\d.]+" y="[\d.]+" width="([\d.]+)" height="11"/g)].map(([, width]) => Number(width));

  it('are longer by the same length for the same factor, from 1 on', () => {
    const [one, ten, hundred] = widths(barChart(bars(1, 10, 100))) as [number, number, number];
    expect(one).toBe(1);
    expect(hundred).toBeCloseTo(2 * ten, 0);
  });

  it('say their values and names', () => {
    const svg = barChart(bars(4.321, 1234.5));
    for (const text of ['>4.32<', '>1,230<', '>peer 0<', '>peer 1<', '>five<']) expect(svg).toContain(text);
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  it('below 1 have their place too', () => {
    const [half, two] = widths(barChart(bars(0.5, 2))) as [number, number];
    expect(half).toBeGreaterThan(1);
    expect(two).toBeGreaterThan(half);
  });
});

describe('tables', () => {
  it('are flush right but for the names', () => {
    expect(
      table([
        ['what', 'ns'],
        ['a', '1,000'],
        ['longer', '2'],
      ]),
    ).toBe('what       ns\na       1,000\nlonger      2');
  });

  it('become tables of a document', () => {
    const text = `Title\n\n${table([
      ['what', 'x bare'],
      ['five', '4.30'],
      ['a row with spaces', '1.00'],
    ])}\n\nThe end.`;
    expect(markdown(text)).toBe(
      'Title\n\n| what | x bare |\n|---|---|\n| five | 4.30 |\n| a row with spaces | 1.00 |\n\nThe end.',
    );
  });

  it('may have no name above their names', () => {
    const text = table([
      ['', 'ns'],
      ['five', '4.30'],
    ]);
    expect(markdown(text)).toBe('|  | ns |\n|---|---|\n| five | 4.30 |');
  });

  it('that have no regular columns keep their layout', () => {
    expect(markdown('a  b  c\nd  e')).toBe('```text\na  b  c\nd  e\n```');
  });

  it('show three digits', () => {
    expect([1234.5, 99.96, 4.321, 0.05, undefined].map(figure)).toEqual(['1,235', '100.0', '4.32', '0.05', '-']);
  });
});

describe('the progress bar', () => {
  const written = (isTTY: boolean) => {
    const lines: string[] = [];
    const bar = progressBar({ isTTY, columns: 40, write: (text) => lines.push(text) });
    bar.show('calls', 1, 2, 'ours: a row whose name is too long for the line');
    bar.clear();
    return lines;
  };

  it('is written over on a terminal, and never wider than that', () => {
    const [line, clear] = written(true) as [string, string];
    expect(line).toContain('█'.repeat(12) + '░'.repeat(12));
    expect(line.replace('\r\u001b[2K', '')).toHaveLength(39);
    expect(clear).toBe('\r\u001b[2K');
  });

  it('is nowhere else', () => {
    expect(written(false)).toEqual([]);
  });
});
