/** The parts of a Grafana dashboard that hold queries. */
export interface Dashboard {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly Variable[] };
  readonly annotations?: { readonly list: readonly Annotation[] };
}

interface Panel {
  readonly title?: string;
  readonly panels?: readonly Panel[];
  readonly targets?: readonly { readonly expr?: string; readonly refId?: string }[];
}

interface Variable {
  readonly name: string;
  readonly type: string;
  readonly query?: string | { readonly query?: string };
  readonly definition?: string;
  readonly allValue?: string | null;
  readonly options?: readonly { readonly value: string }[];
}

interface Annotation {
  readonly name: string;
  readonly expr?: string;
}

/** One query, and where on the dashboard it stands. */
export interface Query {
  readonly where: string;
  readonly expr: string;
}

/** Grafana's own: what a panel of a minute would get from it. */
const own = {
  __rate_interval: '5s',
  __interval: '1s',
  __interval_ms: '1000',
  __range: '60s',
  __range_s: '60',
  __range_ms: '60000',
};

/**
 * Everything a dashboard asks Prometheus, as Grafana sends it: panels (also those in rows), variables and annotations.
 * `chosen` is what the user has picked, by variable; what is not in it stands at "All".
 */
export function queriesOf(dashboard: Dashboard, chosen: Readonly<Record<string, string>>): Query[] {
  const values: Record<string, string> = { ...own };
  for (const { name, allValue } of asked(dashboard)) values[name] = allValue ?? '.*';
  Object.assign(values, chosen);
  const found: Query[] = [
    ...dashboard.panels.flatMap(targetsOf),
    ...asked(dashboard).map((variable) => ({ where: `$${variable.name}`, expr: listing(variable).expr })),
    ...(dashboard.annotations?.list ?? [])
      .filter(({ expr }) => expr !== undefined)
      .map(({ name, expr = '' }) => ({ where: `annotation ${name}`, expr })),
  ];
  return found.map(({ where, expr }) => ({ where, expr: substituted(expr, values, where) }));
}

/** The variables whose choices come from Prometheus: what asks for them, and the label they are in. */
export function choicesOf(
  dashboard: Dashboard,
): { readonly name: string; readonly expr: string; readonly label: string }[] {
  return asked(dashboard).map((variable) => ({ name: variable.name, ...listing(variable) }));
}

/** What a variable with a fixed list offers. */
export function optionsOf({ templating }: Dashboard, name: string): string[] {
  return templating.list.find((variable) => variable.name === name)?.options?.map(({ value }) => value) ?? [];
}

function asked({ templating }: Dashboard): Variable[] {
  return templating.list.filter(({ type }) => type === 'query');
}

function targetsOf({ title = 'untitled', panels = [], targets = [] }: Panel): Query[] {
  return [
    ...targets
      .filter(({ expr }) => expr !== undefined)
      .map(({ expr = '', refId = '' }) => ({ where: `${title} ${refId}`.trim(), expr })),
    ...panels.flatMap(targetsOf),
  ];
}

/** `label_values(selector, label)` is Grafana's, not Prometheus'. */
function listing({ name, query, definition }: Variable): { expr: string; label: string } {
  const text = (typeof query === 'string' ? query : query?.query) ?? definition ?? '';
  const [, selector, label] = /^label_values\((.*),\s*(\w+)\)$/.exec(text) ?? [];
  if (selector === undefined || label === undefined) throw new Error(`$${name} asks in a way of its own: ${text}`);
  return { expr: `group by (${label}) (${selector})`, label };
}

/** `$name`, `${name}`, `${name:format}` and `[[name]]`. */
function substituted(expr: string, values: Readonly<Record<string, string>>, where: string): string {
  return expr.replace(
    /\$(\w+)|\$\{(\w+)(?::\w+)?\}|\[\[(\w+)\]\]/g,
    (_, plain?: string, braced?: string, bracketed?: string) => {
      const name = plain ?? braced ?? bracketed ?? '';
      const value = values[name];
      if (value === undefined) throw new Error(`${where} uses $${name}, which the dashboard does not define`);
      return value;
    },
  );
}

const seconds = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 } as const;

/**
 * Rules for an outage of a minute: every duration in their text (`for: 5m`, `[1h]`) is replaced by a shorter one. Two
 * minutes become two seconds and longer ones `2 * (d / 2m) ** 0.35`: 5m 2.8 s, 1h 6.6 s, 6h 12.3 s, 3d 29.4 s. So what
 * is longer stays longer, and a rate still has four scrapes to go by.
 */
export function hurried(rules: string): string {
  return rules.replace(/\b(\d+)([smhdw])\b/g, (_, amount: string, unit: keyof typeof seconds) => {
    const share = (Number(amount) * seconds[unit]) / 120;
    return `${Math.round(2_000 * Math.max(1, share) ** 0.35)}ms`;
  });
}
