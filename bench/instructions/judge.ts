import type { Cost } from './count.ts';

/** What calls cost, and on what that was measured. */
export interface Figures {
  /** `24.21.0` */
  readonly node: string;
  /** `x64` */
  readonly arch: string;
  /** `3.19.0`; null where there was none, and then no instructions. */
  readonly valgrind: string | null;
  readonly cases: Readonly<Record<string, Cost>>;
}

/** The verdict on new figures. */
export interface Judgement {
  /** What the reader should know about how they were compared, a sentence each. */
  readonly notes: readonly string[];
  /** What is wrong, a sentence each; empty when the kept figures hold. */
  readonly faults: readonly string[];
}

/** A figure may differ from the kept one by this share, on the same Node. */
const tolerance = 0.05;
/** And by this one, as a ratio to the floor, on a neighbouring one. */
const wide = 0.1;
/** The case that is the floor of all others. */
export const floor = 'bare await';

const accept = 'npm run instructions -- --accept';

/**
 * Compares `measured` with the `kept` figures: cases whose instructions or bytes have grown or shrunk by more than the
 * tolerance, and, unless only `some` cases were measured, cases that only one of the two knows.
 */
export function judge(kept: Figures, measured: Figures, some = false): Judgement {
  const notes: string[] = [];
  const faults: string[] = [];
  if (measured.valgrind === null)
    notes.push('There is no valgrind here: bytes only. scripts/install-tools.sh installs it.');
  else if (kept.valgrind !== null && kept.valgrind !== measured.valgrind)
    notes.push(`The kept figures were counted by valgrind ${kept.valgrind}, these by ${measured.valgrind}.`);

  const here = `Node ${measured.node} on ${measured.arch}`;
  const there = `Node ${kept.node} on ${kept.arch}`;
  if (measured.arch !== kept.arch || major(measured) !== major(kept)) {
    notes.push(`Nothing is compared: the kept figures are of ${there}, this is ${here}, whose code is another.`);
    return { notes, faults };
  }
  const same = measured.node === kept.node;
  if (!same)
    notes.push(
      `The kept figures are of ${there}, this is ${here}: only ratios to "${floor}" are compared, and may differ by ${percent(wide)}.`,
    );

  for (const [name, cost] of Object.entries(measured.cases)) {
    const before = kept.cases[name];
    if (before === undefined) {
      faults.push(`"${name}" has no kept figure. Keep it: ${accept}`);
      continue;
    }
    for (const what of ['instructions', 'bytes'] as const) {
      const [was, is] = [before[what], cost[what]];
      if (was === null || is === null) continue;
      const scale = same
        ? 1
        : (kept.cases[floor]?.[what] ?? Number.NaN) / (measured.cases[floor]?.[what] ?? Number.NaN);
      const change = (is * scale) / was - 1;
      const figures = `${Math.round(was)} kept, ${Math.round(is)} measured (${percent(change)})`;
      const allowed = same ? tolerance : wide;
      if (change > allowed)
        faults.push(`"${name}" takes more ${what} per call: ${figures}. Take it back, or accept it: ${accept}`);
      else if (change < -allowed)
        faults.push(`"${name}" takes fewer ${what} per call: ${figures}. Keep the gain: ${accept}`);
      // A ratio to a floor that is missing.
      else if (Number.isNaN(change)) faults.push(`"${name}" cannot be compared without "${floor}".`);
    }
  }
  if (!some)
    for (const name of Object.keys(kept.cases))
      if (measured.cases[name] === undefined) faults.push(`"${name}" is kept and no case any more. Drop it: ${accept}`);
  return { notes, faults };
}

/** The figures as a table, beside the kept ones. */
export function table(kept: Figures | undefined, measured: Figures): string {
  const { instructions: floorNow = null } = measured.cases[floor] ?? {};
  const rows = Object.entries(measured.cases).map(([name, { instructions, bytes }]) => {
    const before = kept?.cases[name];
    const ratio = instructions === null || floorNow === null ? '' : (instructions / floorNow).toFixed(1);
    return [
      name,
      shown(instructions),
      change(before?.instructions, instructions),
      ratio,
      shown(bytes),
      change(before?.bytes, bytes),
    ];
  });
  const head = ['case', 'instructions', 'to kept', 'x bare', 'bytes', 'to kept'];
  const widths = head.map((title, column) =>
    Math.max(...[head, ...rows].map((row) => row[column]!.length), title.length),
  );
  return [head, ...rows]
    .map((row) => row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  '))
    .join('\n');
}

function change(was: number | null | undefined, is: number | null): string {
  return was === undefined || was === null || is === null ? '' : percent(is / was - 1);
}

function shown(value: number | null): string {
  return value === null ? '-' : value.toFixed(0);
}

function percent(share: number): string {
  return `${share > 0 ? '+' : ''}${(share * 100).toFixed(1)} %`;
}

function major({ node }: Figures): string {
  return node.split('.')[0]!;
}
