/** What a part of the bench is. `main.ts` runs the parts, prints them, and judges their figures by `budget.ts`. */

/** What was measured in one place of a table or curve; `values` are named with their unit (`ns`, `ratio`, `bytes`, ...). */
export interface Figure {
  readonly part: string;
  readonly row: string;
  readonly series: string;
  /** Place on the axis of a curve. */
  readonly x?: number;
  readonly values: Readonly<Record<string, number>>;
}

export interface Settings {
  /** Short runs that only show that everything runs; their figures mean nothing. */
  readonly check: boolean;
  readonly progress: (done: number, total: number, what: string) => void;
}

export interface Plot {
  readonly name: string;
  readonly title: string;
  readonly x: string;
  readonly y: string;
  readonly logX: boolean;
  readonly logY: boolean;
  readonly lines: readonly {
    readonly label: string;
    readonly points: readonly (readonly [x: number, y: number])[];
  }[];
}

/** Ratios side by side, on an axis of powers of ten. */
export interface Bars {
  readonly name: string;
  readonly title: string;
  readonly x: string;
  readonly groups: readonly {
    readonly label: string;
    readonly bars: readonly { readonly label: string; readonly value: number }[];
  }[];
}

export interface Part {
  readonly name: string;
  /** What the table says above it. */
  readonly title: string;
  run(settings: Settings): Promise<Figure[]>;
  /** The table, as text. */
  print(figures: readonly Figure[]): string;
  /** Curves, if it has any: x and y per series. */
  plots?(figures: readonly Figure[]): readonly Plot[];
  bars?(figures: readonly Figure[]): readonly Bars[];
}

/** What the module of a part exports. */
export interface PartModule {
  readonly part: Part;
  /** Runs in a process of its own, started by `inProcess`; what it answers must survive JSON. */
  measureOne?(what: unknown, check: boolean): unknown;
}
