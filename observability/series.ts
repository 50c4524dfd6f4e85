import {
  ATTEMPT_KIND,
  ERROR_TYPE,
  HISTOGRAMS,
  METRICS,
  type MetricId,
  type ObservableMetric,
  OUTCOME,
  PIPELINE_NAME,
  POLICY_NAME,
} from '../src/adapters/otel/names.ts';
import type {
  CircuitStateName,
  FallbackResult,
  OutcomeName,
  RejectionReason,
  RetryResult,
} from '../src/telemetry/events.ts';

/**
 * Writes selectors of our metrics as Prometheus stores them. Metrics and labels are looked up in the adapter's names and
 * label values are typed by its events, so that a query about something we do not emit does not compile.
 */

export type HistogramId = keyof typeof HISTOGRAMS;

/** What is added to the name of a duration: by translations that write units, by those that do not, or as the dashboard's variable. */
export type Suffix = '_seconds' | '' | '${suffix}';

/** What each histogram is told apart by. */
const HISTOGRAM_LABELS = {
  pipeline: [PIPELINE_NAME, OUTCOME, ERROR_TYPE],
  attempt: [PIPELINE_NAME, ATTEMPT_KIND, OUTCOME, ERROR_TYPE],
  queue: [POLICY_NAME],
} as const satisfies Readonly<Record<HistogramId, readonly string[]>>;

/** Labels whose values are a closed set. */
interface Words {
  [OUTCOME]: OutcomeName;
  [ATTEMPT_KIND]: 'initial' | 'retry' | 'hedge';
  [METRICS.circuitStatus.detail]: CircuitStateName;
  [METRICS.circuitExecutions.detail]: 'success' | 'failure' | 'ignored' | 'rejected';
  [METRICS.rejections.detail]: RejectionReason;
  [METRICS.retryExecutions.detail]: RetryResult;
  [METRICS.fallbackExecutions.detail]: FallbackResult;
}

type Word<Key> = Key extends keyof Words ? Words[Key] : string;
type Wanted<Key> = Word<Key> | readonly Word<Key>[] | { readonly matches: string };

type DetailOf<Id extends MetricId> = (typeof METRICS)[Id] extends { readonly detail: infer Detail extends string }
  ? Detail
  : never;
type LabelOf<Id> = Id extends MetricId
  ? (typeof METRICS)[Id]['owner'] | DetailOf<Id>
  : Id extends HistogramId
    ? (typeof HISTOGRAM_LABELS)[Id][number]
    : never;

/** What a series is chosen by: one word, one of several, or whatever a regular expression matches. */
export type Where<Id> = { readonly [Key in LabelOf<Id>]?: Wanted<Key> };

/** One thing a query has asked for: a metric, an attribute of it (or of any), and a value that must be among those it takes. */
export interface Asked {
  readonly metric?: string;
  readonly key?: string;
  readonly word?: string;
}

/** Everything that has been asked for, to be held against the contract. */
export const asked: Asked[] = [];

/** An attribute of any of our metrics as a label, to sum by or to show. */
export function label(key: LabelOf<MetricId | HistogramId>): string {
  asked.push({ key });
  return underscored(key);
}

function underscored(name: string): string {
  return name.replaceAll('.', '_');
}

/** The name Prometheus has for a metric. Throws an `Error` for a unit nobody has decided the spelling of. */
export function prometheusName(id: MetricId | HistogramId, suffix: Suffix): string {
  const { name, unit, kind } = metricOf(id);
  const base = underscored(name);
  if (kind === 'counter') return `${base}_total`;
  if (unit === 's') return base + suffix;
  // Translations add `_ratio` to gauges of unit 1 that do not end in it, and the others do not.
  const ratio = unit === '1' && kind === 'gauge' && !base.endsWith('_ratio');
  if (ratio || !(unit === '1' || /^\{\w+\}$/.test(unit)))
    throw new Error(`${name}: how is the unit "${unit}" spelled?`);
  return base;
}

/** Selectors in one spelling. */
export class Series {
  private readonly suffix: Suffix;

  constructor(suffix: Suffix) {
    this.suffix = suffix;
  }

  of<Id extends MetricId>(id: Id, where: Where<Id> = {}): string {
    return this.select(id, '', where);
  }

  count<Id extends HistogramId>(id: Id, where: Where<Id> = {}): string {
    return this.select(id, '_count', where);
  }

  bucket<Id extends HistogramId>(id: Id, where: Where<Id> = {}): string {
    return this.select(id, '_bucket', where);
  }

  private select(
    id: MetricId | HistogramId,
    part: string,
    where: Readonly<Record<string, Wanted<string> | undefined>>,
  ): string {
    const metric = metricOf(id).name;
    const name = prometheusName(id, this.suffix) + part;
    asked.push({ metric });
    const matchers = Object.entries(where).map(([key, wanted]) => {
      if (wanted === undefined) throw new Error(`${metric}: what should ${key} be?`);
      const words = typeof wanted === 'string' ? [wanted] : 'matches' in wanted ? [] : wanted;
      asked.push({ metric, key }, ...words.map((word) => ({ metric, key, word })));
      if (typeof wanted === 'string') return `${underscored(key)}="${wanted}"`;
      return `${underscored(key)}=~"${'matches' in wanted ? wanted.matches : wanted.join('|')}"`;
    });
    // A variable may stand for a regular expression, which only a matcher takes in place of a name.
    if (name.includes('$')) return `{${[`__name__=~"${name}"`, ...matchers].join(', ')}}`;
    return matchers.length === 0 ? name : `${name}{${matchers.join(', ')}}`;
  }
}

function metricOf(id: MetricId | HistogramId): Partial<ObservableMetric> & { name: string; unit: string } {
  return id in METRICS ? METRICS[id as MetricId] : HISTOGRAMS[id as HistogramId];
}
