import * as otel from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';
import { AlwaysOffSampler, AlwaysOnSampler, type SpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { metricProducer, type TelemetryOptions } from 'seaworthy/otel';
import { byHand, spanAlone } from './by-hand.ts';
import { type Bytes, bytesFlags, bytesPerCall, type Contender, interleaved, median, type Rounds } from './measure.ts';
import type { Bars, Figure, Part, Settings } from './part.ts';
import { five } from './peers/seaworthy.ts';
import { works } from './peers/peer.ts';
import { inProcess, oneByOne } from './process.ts';
import { figure, table } from './table.ts';

/** What is switched on. */
interface Signals {
  /** Recorded by the SDK, or kept by our own producer and only collected by it. */
  readonly metrics?: 'sdk' | 'producer';
  readonly traces?: 'sampled' | 'unsampled';
  readonly attemptSpans?: TelemetryOptions['attemptSpans'];
}

/** Every combination that is measured, by the name of its row. */
export const signals: Readonly<Record<string, Signals>> = {
  'no SDK': {},
  metrics: { metrics: 'sdk' },
  'metrics by our producer': { metrics: 'producer' },
  'traces unsampled': { traces: 'unsampled' },
  'traces sampled': { traces: 'sampled' },
  'traces sampled, one span': { traces: 'sampled', attemptSpans: 'never' },
  'metrics, traces unsampled': { metrics: 'sdk', traces: 'unsampled' },
  'metrics, traces sampled': { metrics: 'sdk', traces: 'sampled' },
  'producer, traces sampled': { metrics: 'producer', traces: 'sampled' },
};

const series = ['off', 'ours', 'by hand', 'span alone'] as const;
const { fn } = works.async as { fn: () => Promise<number> };

/** The same five policies without telemetry, with ours, and with what tells the same by hand; last, one span around the bare function. */
export function contenders(on: Signals, tracing: SpanProcessor = thrownAway): Contender[] {
  const live = on.metrics !== undefined || on.traces !== undefined;
  if (live) otel.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  const providers = providersOf(on, tracing);
  const { attemptSpans } = on;
  const options = { logs: false, metrics: on.metrics !== undefined, traces: on.traces !== undefined, attemptSpans };
  const off = five('off', false);
  const ours = five('ours', live ? { ...providers, ...options } : true);
  const instrumented = byHand(five('naive', false), providers);
  const alone = spanAlone(fn, providers.tracerProvider);
  const calls = [fn, () => off.execute(fn), () => ours.execute(fn), () => instrumented(fn), alone];
  return calls.map((call) => ({ call, way: 'in turn' }));
}

type Providers = Pick<TelemetryOptions, 'meterProvider' | 'tracerProvider'>;

/** Exporting is the reader's own cost and the same for all, and a queue that is full for want of a turn costs more than the spans. */
const thrownAway: SpanProcessor = {
  onStart() {},
  onEnd() {},
  async forceFlush() {},
  async shutdown() {},
};

function providersOf({ metrics, traces }: Signals, tracing: SpanProcessor): Providers {
  const sampler = traces === 'sampled' ? new AlwaysOnSampler() : new AlwaysOffSampler();
  return {
    ...(metrics !== undefined && { meterProvider: meterProviderOf(metrics) }),
    ...(traces !== undefined && { tracerProvider: new TracerProvider({ sampler, spanProcessors: [tracing] }) }),
  };
}

function meterProviderOf(metrics: 'sdk' | 'producer'): MeterProvider {
  const metricProducers =
    metrics === 'producer' ? [metricProducer({ meterProvider: (): MeterProvider => provider })] : [];
  const provider: MeterProvider = new MeterProvider({ readers: [new ManualReader({ metricProducers })] });
  return provider;
}

class ManualReader extends MetricReader {
  protected override async onShutdown(): Promise<void> {}
  protected override async onForceFlush(): Promise<void> {}
}

interface What {
  readonly rows: readonly string[];
  readonly bytes: boolean;
}

/** By row, nanoseconds of the bare function and of each series, round by round; or what each of them allocates. */
export async function measureOne(what: unknown, check: boolean): Promise<(number[][] | Bytes[])[]> {
  const { rows, bytes } = what as What;
  const answers: (number[][] | Bytes[])[] = [];
  for (const row of rows) {
    const all = contenders(signals[row]!);
    answers.push(bytes ? await weigh(all, check) : await interleaved(all, check ? short : full));
  }
  return answers;
}

const full: Rounds = { rounds: 11, roundMs: 6, warmMs: 150, warmCalls: 30_000 };
const short: Rounds = { rounds: 1, roundMs: 0.2, warmMs: 1, warmCalls: 0 };

async function weigh(all: readonly Contender[], check: boolean): Promise<Bytes[]> {
  const weights: Bytes[] = [];
  for (const one of all) weights.push(await bytesPerCall(one, check ? 1 : 5, check ? 100 : 3_000));
  return weights;
}

async function run({ check, progress }: Settings): Promise<Figure[]> {
  const names = Object.keys(signals);
  const rounds = new Map<string, number[][]>(names.map((name) => [name, []]));
  const weights = new Map<string, Bytes[]>();
  // A process for each row; a check is content with one for all.
  const shares = check ? [names] : names.map((name) => [name]);
  const jobs: What[] = Array.from({ length: check ? 1 : 5 }, () =>
    shares.map((rows) => ({ rows, bytes: false })),
  ).flat();
  jobs.push(...shares.map((rows) => ({ rows, bytes: true })));
  let done = 0;
  await oneByOne(jobs, check, async (job) => {
    progress(done, jobs.length, job.rows[0]!);
    const answers = await inProcess<(number[][] & Bytes[])[]>('telemetry', job, check, job.bytes ? bytesFlags : []);
    for (const [i, row] of job.rows.entries())
      if (job.bytes) weights.set(row, answers[i]!);
      else rounds.get(row)!.push(...answers[i]!);
    done++;
  });
  return names.flatMap((row) => figuresOf(row, rounds.get(row)!, weights.get(row)!));
}

function figuresOf(row: string, rounds: readonly number[][], bytes: readonly Bytes[]): Figure[] {
  const of = (number: (times: number[]) => number) => median(rounds.map(number));
  const { traces, metrics } = signals[row]!;
  return series.flatMap((name, i) => {
    if (name === 'span alone' && traces === undefined) return [];
    const values = {
      ns: of((times) => times[i + 1]!),
      ratio: of((times) => times[i + 1]! / times[0]!),
      ...bytes[i + 1],
      // What it adds to the same call without telemetry, as a multiple of what ours adds.
      ...(name === 'by hand' &&
        (traces ?? metrics) !== undefined && {
          adds: of(([, off, ours, naive]) => (naive! - off!) / (ours! - off!)),
        }),
    };
    return { part: 'telemetry', row, series: name, values };
  });
}

const units = {
  ratio: 'times the bare function',
  ns: 'nanoseconds per call',
  bytes: 'bytes allocated per call',
} as const;

function print(figures: readonly Figure[]): string {
  const names = Object.keys(signals);
  const value = (row: string, series: string, name: string) =>
    figures.find((one) => one.row === row && one.series === series)?.values[name];
  return Object.entries(units)
    .map(([unit, what]) => {
      const more = unit === 'ratio' ? ['adds'] : [];
      const lines = names.map((row) => [
        row,
        ...series.map((name) => figure(value(row, name, unit))),
        ...more.map((name) => figure(value(row, 'by hand', name))),
      ]);
      return `${what}\n\n${table([[unit, ...series, ...more], ...lines])}`;
    })
    .join('\n\n');
}

const bars = (figures: readonly Figure[]): Bars[] => [
  {
    name: 'telemetry',
    title: 'Five policies with telemetry',
    x: units.ratio,
    groups: Object.keys(signals).map((row) => ({
      label: row,
      bars: figures
        .filter((one) => one.row === row)
        .map(({ series, values }) => ({ label: series, value: values['ratio']! })),
    })),
  },
];

export const part: Part = {
  name: 'telemetry',
  title: 'What telemetry costs around the five policies',
  run,
  print,
  bars,
};
