/** Plots as SVG, readable on white and on black: the colours are chosen for both, everything else follows the reader's theme. */
import type { Bars, Plot } from './part.ts';

const width = 860;
const colours = ['#1a85ff', '#e0442e', '#2e9e5b', '#a86bd8', '#c98a00', '#0fa3b1', '#d6498f', '#7d8590'];
const style = `text { font: 12px system-ui, sans-serif; fill: #1f2328 } .title { font-size: 15px; font-weight: 600 }
.grid { stroke: #1f2328; stroke-opacity: .15 } .line { fill: none; stroke-width: 2 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .grid { stroke: #e6edf3 } }`;

const plain = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
const round = (value: number) => Number(value.toFixed(1));
const text = (x: number, y: number, what: string, more = '') =>
  `<text x="${round(x)}" y="${round(y)}"${more}>${plain(what)}</text>`;
const grid = (x1: number, y1: number, x2: number, y2: number) =>
  `<line class="grid" x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}"/>`;
const middle = ' text-anchor="middle"';
const end = ' text-anchor="end"';

const svg = (height: number, title: string, parts: readonly string[]) =>
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${plain(title).replaceAll('"', '&quot;')}">
<style>${style}</style>
${text(16, 24, title, ' class="title"')}
${parts.join('\n')}
</svg>
`;

/** One axis: where a value is, and where lines are drawn. */
interface Axis {
  at(value: number): number;
  readonly ticks: readonly number[];
}

function axis(values: readonly number[], log: boolean, from: number, to: number): Axis {
  const shown = values.filter((value) => Number.isFinite(value) && (!log || value > 0));
  const least = log ? 10 ** Math.floor(Math.log10(Math.min(...shown, 1e9))) : 0;
  const most = Math.max(...shown, log ? least * 10 : 0) || 1;
  if (!log) {
    const step = niceStep(most / 5);
    const count = Math.ceil(most / step);
    return {
      at: (value) => from + (value / (count * step)) * (to - from),
      ticks: Array.from({ length: count + 1 }, (_, i) => i * step),
    };
  }
  const decades = Math.max(1, Math.ceil(Math.log10(most / least) - 1e-9));
  return {
    at: (value) => from + (Math.log10(Math.max(value, least) / least) / decades) * (to - from),
    ticks: Array.from({ length: decades + 1 }, (_, i) => least * 10 ** i),
  };
}

function niceStep(step: number): number {
  const decade = 10 ** Math.floor(Math.log10(step));
  return [1, 2, 5, 10].map((factor) => factor * decade).find((nice) => nice >= step)!;
}

const label = (value: number) => Number(value.toPrecision(3)).toLocaleString('en');

/** One line per series, with its name beside it. */
export function curves({ title, x, y, logX, logY, lines }: Plot): string {
  const height = 420;
  const [left, right, top, bottom] = [80, width - 220, 50, height - 50];
  const points = lines.flatMap((line) => line.points);
  const across = axis(
    points.map(([px]) => px),
    logX,
    left,
    right,
  );
  const up = axis(
    points.map(([, py]) => py),
    logY,
    bottom,
    top,
  );
  return svg(height, title, [
    ...across.ticks.flatMap((tick) => [
      grid(across.at(tick), top, across.at(tick), bottom),
      text(across.at(tick), bottom + 18, label(tick), middle),
    ]),
    ...up.ticks.flatMap((tick) => [
      grid(left, up.at(tick), right, up.at(tick)),
      text(left - 8, up.at(tick) + 4, label(tick), end),
    ]),
    text((left + right) / 2, height - 12, x, middle),
    text(16, top - 8, y),
    ...lines.map((line, i) => {
      const path = line.points
        .filter(([px, py]) => (!logX || px > 0) && (!logY || py > 0))
        .map(([px, py]) => `${round(across.at(px))},${round(up.at(py))}`);
      return `<polyline class="line" stroke="${colours[i % colours.length]}" points="${path.join(' ')}"/>`;
    }),
    ...legend(
      lines.map((line) => line.label),
      right + 24,
      top,
    ),
  ]);
}

/** A bar per series in each group, on a logarithmic axis from 1 up. */
export function barChart({ title, x, groups }: Bars): string {
  const [left, right, top] = [230, width - 220, 50];
  const names = [...new Set(groups.flatMap(({ bars }) => bars.map((bar) => bar.label)))];
  const values = groups.flatMap(({ bars }) => bars.map(({ value }) => value));
  const across = axis([1, ...values], true, left, right);
  const parts: string[] = [];
  let down = top;
  for (const group of groups) {
    parts.push(text(left - 8, down + 14, group.label, end));
    for (const bar of group.bars) {
      const from = across.at(across.ticks[0]!);
      const long = Math.max(1, across.at(bar.value) - from);
      const colour = colours[names.indexOf(bar.label) % colours.length];
      parts.push(`<rect x="${round(from)}" y="${down + 3}" width="${round(long)}" height="11" fill="${colour}"/>`);
      parts.push(text(from + long + 5, down + 13, label(bar.value)));
      down += 15;
    }
    down += 12;
  }
  const lines = across.ticks.flatMap((tick) => [
    grid(across.at(tick), top - 4, across.at(tick), down),
    text(across.at(tick), down + 16, label(tick), middle),
  ]);
  const height = Math.max(down + 46, top + names.length * 20 + 10);
  return svg(height, title, [
    ...lines,
    ...parts,
    text((left + right) / 2, down + 36, x, middle),
    ...legend(names, right + 56, top),
  ]);
}

function legend(names: readonly string[], x: number, y: number): string[] {
  return names.flatMap((name, i) => [
    `<rect x="${x}" y="${y + i * 20}" width="12" height="12" fill="${colours[i % colours.length]}"/>`,
    text(x + 18, y + i * 20 + 11, name),
  ]);
}
