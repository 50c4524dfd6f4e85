import { availableParallelism, cpus } from 'node:os';
import { budget, type Judged, printBudget } from './budget.ts';
import type { Figure, Part } from './part.ts';
import { figure, markdown } from './table.ts';

/** Everything a run has found; plain JSON. */
export interface Report {
  readonly date: string;
  readonly node: string;
  readonly cpu: string;
  readonly cores: number;
  readonly check: boolean;
  /** Seconds that each part took. */
  readonly took: Readonly<Record<string, number>>;
  readonly figures: readonly Figure[];
  readonly budget: readonly Judged[];
}

export function reportOf(figures: readonly Figure[], took: Report['took'], check: boolean): Report {
  return {
    date: new Date().toISOString(),
    node: process.versions.node,
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    check,
    took,
    figures,
    budget: budget(figures, Number(process.versions.node.split('.')[0]), check),
  };
}

/** The same to read, on a terminal or as Markdown. */
export function textOf(report: Report, parts: readonly Part[], asMarkdown: boolean): string {
  const heading = (text: string) => (asMarkdown ? `### ${text}` : `${text}\n${'='.repeat(text.length)}`);
  const { node, cpu, cores, date, check, took, figures } = report;
  const seconds = Object.values(took).reduce((sum, s) => sum + s, 0);
  const text = [
    `Node ${node}, ${cpu}, ${cores} cores, ${date.slice(0, 10)}`,
    ...(check ? ['A check: everything ran, shortly; the figures mean nothing.'] : []),
    ...parts.flatMap((part) => [heading(part.title), part.print(figures.filter((one) => one.part === part.name))]),
    heading('The budget'),
    printBudget(report.budget, check),
    `Measured in ${figure(seconds)} s: ${Object.entries(took)
      .map(([name, s]) => `${name} ${figure(s)}`)
      .join(', ')}.`,
  ].join('\n\n');
  return asMarkdown ? markdown(text) : text;
}
