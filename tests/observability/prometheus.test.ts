import { readFileSync } from 'node:fs';
import type { PipelineSnapshot } from 'seaworthy';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { choicesOf, type Dashboard, hurried, optionsOf, type Query, queriesOf } from './dashboard-queries.ts';
import { type Desk, startDesk, type Trouble } from './outage.ts';
import { type Alert, absent, type Prometheus, promtool, type Rule, startPrometheus, until } from './prometheus.ts';
import { type Mode, type Service, startService } from './service.ts';

const shipped = (file: string) => readFileSync(new URL(`../../observability/${file}`, import.meta.url), 'utf8');

/** How durations are called: as collectors and the specification spell them, and as OpenTelemetry's exporter for Node does. */
const spellings = [
  { spelling: 'with _seconds', suffix: '_seconds', rules: 'prometheus-rules.yml' },
  { spelling: 'without _seconds', suffix: '', rules: 'prometheus-rules-no-suffix.yml' },
] as const;

/** Scrapes and evaluations. */
const intervalMs = 500;

interface Phase {
  readonly name: string;
  /** Of what the example asks. */
  readonly upstream: Mode | 'failing in part' | 'flapping';
  readonly slowMs?: number;
  /** Of the second service. */
  readonly trouble?: Trouble;
  /** What fires before the next phase begins, and did not before this one: alerts, and the pipeline or policy each is about. */
  readonly fires: Readonly<Record<string, string>>;
}

/** Four of ten requests fail, in any order: too few to open a circuit, and more than a retry budget pays for. */
function someFail(): Mode[] {
  const tenth = (_: unknown, i: number) => ({ mode: i < 4 ? 'failing' : 'healthy', at: Math.random() }) as const;
  const ten = () => Array.from({ length: 10 }, tenth).sort((a, b) => a.at - b.at);
  return Array.from({ length: 50 }, ten).flatMap((shuffled) => shuffled.map(({ mode }) => mode));
}

/** The outage. Each phase lasts until its alerts fire, the last one until none does. */
const phases: readonly Phase[] = [
  { name: 'healthy', upstream: 'healthy', fires: {} },
  {
    name: 'slow',
    upstream: 'slow',
    slowMs: 100,
    trouble: 'slow',
    fires: { SeaworthyLatencyHigh: 'letters', SeaworthyBulkheadSaturated: 'letters/bulkhead' },
  },
  {
    name: 'failing in part',
    upstream: 'failing in part',
    fires: {
      SeaworthyErrorBudgetBurnFast: 'stock',
      SeaworthyErrorBudgetBurnSlow: 'stock',
      SeaworthyFallbackServed: 'prices',
      SeaworthyRetryStorm: 'stock/retry',
      SeaworthyRetryBudgetExhausted: 'stock/retry',
    },
  },
  {
    name: 'down',
    upstream: 'down',
    trouble: 'held and stuck',
    fires: {
      SeaworthyCircuitOpen: 'stock/circuit_breaker',
      SeaworthyCircuitHeld: 'letters/circuit_breaker',
      SeaworthySlotsLeaked: 'printer/bulkhead',
    },
  },
  { name: 'flapping', upstream: 'flapping', fires: { SeaworthyCircuitFlapping: 'stock/circuit_breaker' } },
  { name: 'recovering', upstream: 'healthy', fires: {} },
];

/** What was seen of one query. */
interface Seen extends Query {
  data: boolean;
  /** Some value other than 0. */
  moved: boolean;
  refused: string | undefined;
}

interface World {
  readonly service: Service;
  readonly desk: Desk;
  readonly prometheus: Prometheus;
  readonly queries: Seen[];
  /** By phase: what fired, as `alert about`. */
  readonly fired: Map<string, Set<string>>;
  /** What operators get to read, by `alert about`. */
  readonly texts: Map<string, Alert['annotations']>;
  /** What had fired when the upstream fell ill (that a stall of the machine makes one pending is what `for` is for), and what was pending or firing when all was over. */
  before: readonly string[];
  after: readonly string[];
  rules: readonly Rule[];
  metrics: string;
}

const skipped = absent !== undefined && process.env.CI === undefined;
if (skipped) console.warn(`tests/observability/prometheus.test.ts is skipped: ${absent}`);

describe.skipIf(skipped)(`a real Prometheus through an outage${skipped ? ` (skipped: ${absent})` : ''}`, () => {
  const running: { stop(): Promise<unknown> }[] = [];
  const worlds = new Map<string, World>();
  const world = (suffix: string) => {
    const found = worlds.get(suffix);
    if (found === undefined) throw new Error('it was not started');
    return found;
  };

  beforeAll(async () => {
    if (absent !== undefined) throw new Error(absent);
    const lived = await Promise.allSettled(
      spellings.map(async (spelling) => {
        const one = await open(spelling);
        worlds.set(spelling.suffix, one);
        for (const phase of phases) {
          await live(one, phase);
          if (phase.name === 'healthy') await ready(one, spelling.suffix);
        }
        await close(one);
      }),
    );
    for (const each of lived) if (each.status === 'rejected') throw each.reason;
  }, 240_000);

  afterAll(async () => {
    await Promise.all(running.map((one) => one.stop()));
  }, 60_000);

  async function open({ suffix, rules }: (typeof spellings)[number]): Promise<World> {
    const service = await startService({ prometheusPort: 0, suffix: suffix !== '', env: { BREAK_MS: '200' } });
    running.push(service);
    running.push(load(service.url));
    const desk = await startDesk(suffix);
    running.push(desk);
    const jobs = { quotes: service.metricsUrl, desk: desk.metricsUrl };
    const prometheus = await startPrometheus({ jobs, rules: [hurried(shipped(rules))], intervalMs });
    running.push(prometheus);
    const seen = { queries: [], fired: new Map(), texts: new Map(), before: [], after: [] };
    return { service, desk, prometheus, ...seen, rules: [], metrics: '' };
  }

  /** Lets the upstream be so until everything that is to fire does. What does not is told by the test of its name. */
  async function live(one: World, { name, upstream, slowMs, trouble = 'none', fires }: Phase): Promise<void> {
    const fired = new Set<string>();
    one.fired.set(name, fired);
    one.desk.set(trouble);
    await until(async () => {
      await drive(one.service, upstream, slowMs);
      await look(one, fired);
      if (name === 'healthy') return await settled(one);
      return Object.entries(fires).every(([alert, about]) => fired.has(`${alert} ${about}`));
    }, 25_000);
  }

  async function drive({ url, upstream }: Service, wanted: Phase['upstream'], slowMs?: number): Promise<void> {
    if (wanted === 'failing in part') return upstream.set(someFail());
    if (wanted !== 'flapping') return upstream.set(wanted, slowMs);
    // It gives way as soon as the circuit closes, and recovers as soon as that opens.
    const snapshots = (await (await fetch(`${url}/snapshot`)).json()) as PipelineSnapshot[];
    const stock = snapshots.find(({ name }) => name === 'stock');
    const circuit = stock?.policies.find((policy) => policy.kind === 'circuit_breaker');
    await upstream.set(circuit?.state === 'closed' ? 'failing' : 'healthy');
  }

  /** Scraped often enough for the rules to have something to go by. */
  async function settled({ prometheus }: World): Promise<boolean> {
    const [scrapes] = await prometheus.query('min(count_over_time(up[1m]))');
    return (scrapes?.value ?? 0) >= 10;
  }

  /** The dashboard as it opens, and with its suffix and each pipeline and policy picked by hand, which shows misspelt labels. */
  async function ready(one: World, suffix: string): Promise<void> {
    one.before = (await one.prometheus.query('max_over_time(ALERTS{alertstate="firing"}[1h])')).map(
      ({ labels }) => `${labels.alertname}`,
    );
    const dashboard: Dashboard = JSON.parse(shipped('grafana-dashboard.json'));
    const fitting = optionsOf(dashboard, 'suffix').filter((option) => new RegExp(`^${option}$`).test(suffix));
    const picked: Record<string, string> = {};
    for (const { name, expr, label } of choicesOf(dashboard)) {
      const choices = (await one.prometheus.query(expr)).map(({ labels }) => labels[label]);
      picked[name] = `(${choices.join('|')})`;
    }
    for (const [i, option] of fitting.entries())
      for (const { where, expr } of queriesOf(dashboard, { ...(i > 0 && picked), suffix: option }))
        one.queries.push({ where, expr, data: false, moved: false, refused: undefined });
  }

  /** Notes what fires, and asks every query that has not yet shown a value other than 0. */
  async function look({ prometheus, queries, texts }: World, fired: Set<string>): Promise<void> {
    for (const alert of await prometheus.alerts()) {
      if (alert.state !== 'firing') continue;
      fired.add(nameOf(alert));
      texts.set(nameOf(alert), alert.annotations);
    }
    const still = queries.filter(({ moved }) => !moved);
    await Promise.all(
      still.map(async (query) => {
        try {
          const values = (await prometheus.query(query.expr)).map(({ value }) => value).filter(Number.isFinite);
          query.data ||= values.length > 0;
          query.moved ||= values.some((value) => value !== 0);
        } catch (error) {
          query.refused = String(error);
        }
      }),
    );
  }

  async function close(one: World): Promise<void> {
    const { prometheus, service, fired } = one;
    const last = phases.at(-1)!.name;
    await until(async () => {
      await look(one, fired.get(last)!);
      return (await prometheus.alerts()).length === 0;
    }, 40_000);
    one.after = (await prometheus.alerts()).map(nameOf);
    one.rules = await prometheus.rules();
    one.metrics = await (await fetch(service.metricsUrl)).text();
  }

  describe.each(spellings)('durations $spelling', ({ suffix }) => {
    it('evaluates every rule without an error', () => {
      const { rules } = world(suffix);
      expect(rules.length).toBeGreaterThan(0);
      expect(rules.filter(({ health, lastError = '' }) => health !== 'ok' || lastError !== '')).toEqual([]);
    });

    it('has no alert while all is well', () => {
      expect(world(suffix).before).toEqual([]);
    });

    it('has a phase for every alert', () => {
      const alerts = world(suffix).rules.filter(({ type }) => type === 'alerting');
      const names = alerts.map(({ name }) => name);
      expect([...new Set(names)].sort()).toEqual(phases.flatMap(({ fires }) => Object.keys(fires)).sort());
    });

    it.each(
      phases.flatMap(({ name, fires }) => Object.entries(fires).map(([alert, about]) => ({ alert, about, name }))),
    )('$alert fires about $about, and not before the phase "$name"', ({ alert, about, name }) => {
      const { fired } = world(suffix);
      const first = [...fired].find(([, alerts]) => [...alerts].some((one) => one.startsWith(`${alert} `)));
      expect(first?.[0]).toBe(name);
      expect([...(fired.get(name) ?? [])]).toContain(`${alert} ${about}`);
    });

    it('says in every alert whom it is about', () => {
      const { texts } = world(suffix);
      const wrong = [...texts].filter(([name, { summary = '', description = '' }]) => {
        const [, about = ''] = name.split(' ');
        return !summary.includes(`${about} in `) || /error expanding|\{\{|NaN/.test(description) || description === '';
      });
      expect(texts.size).toBeGreaterThan(0);
      expect(wrong).toEqual([]);
    });

    it('every alert has cleared after the outage', () => {
      expect(world(suffix).after).toEqual([]);
    });

    it('answers every query of the dashboard', () => {
      const { queries } = world(suffix);
      const asOpened = queriesOf(JSON.parse(shipped('grafana-dashboard.json')), { suffix });
      expect(asOpened.length).toBeGreaterThan(0);
      expect(queries).toHaveLength(2 * asOpened.length);
      expect(queries.filter(({ refused }) => refused !== undefined)).toEqual([]);
      expect(queries.filter(({ data }) => !data).map(({ where, expr }) => `${where}: ${expr}`)).toEqual([]);
    });

    it('shows the outage in every panel', () => {
      const still = world(suffix).queries.filter(({ moved }) => !moved);
      expect(still.map(({ where, expr }) => `${where}: ${expr}`)).toEqual([]);
    });

    it('serves metrics that promtool has nothing to say about', async () => {
      const { metrics } = world(suffix);
      expect(metrics).toContain(`seaworthy_pipeline_duration${suffix}_bucket{`);
      expect(await promtool(['check', 'metrics'], metrics)).toEqual({ ok: true, said: '' });
    });
  });
});

function nameOf({ labels }: Alert): string {
  return `${labels.alertname} ${labels.seaworthy_pipeline_name ?? labels.seaworthy_policy_name}`;
}

/** Users who ask for a quote and for stock, steadily, whatever becomes of their last call. */
function load(url: string): { stop(): Promise<void> } {
  const gone = new AbortController();
  const open = new Set<Promise<unknown>>();
  const ask = (path: string) => {
    const asked = fetch(`${url}/${path}`, { signal: gone.signal })
      .then((response) => response.text())
      .catch(() => undefined)
      .finally(() => open.delete(asked));
    open.add(asked);
  };
  const timer = setInterval(() => {
    ask('quote/rope');
    ask('stock/rope');
  }, 33);
  return {
    async stop() {
      clearInterval(timer);
      gone.abort();
      await Promise.all(open);
    },
  };
}
