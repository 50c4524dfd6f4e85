import { METRICS, OUTCOME, PIPELINE_NAME, POLICY_NAME } from '../src/adapters/otel/names.ts';
import type { CircuitStateName, OutcomeName, RetryResult } from '../src/telemetry/events.ts';
import { label, type Series } from './series.ts';

/** What `promtool test rules` is asked: whether an alert fires, given these samples. */
export interface Case {
  readonly alert: string;
  readonly when: string;
  /** Between two samples; a minute where absent. */
  readonly interval?: string;
  /** Selectors with samples in promtool's notation: `a+bxn` are n steps of b from a on. */
  readonly input: (series: Series) => Readonly<Record<string, string>>;
  readonly at: string;
  /** Absent where it must be silent. */
  readonly fires?: { readonly labels: Readonly<Record<string, string>>; readonly value: string };
}

const [P, Q] = [label(PIPELINE_NAME), label(POLICY_NAME)];
const inShop = { job: 'shop', [P]: 'checkout' };
const from = (policy: string) => ({ job: 'shop', [Q]: policy });

/** A selector as one series of a scrape. */
function scraped(selector: string, labels = 'instance="a"'): string {
  return selector.replace('{', `{job="shop", ${labels}, `);
}

/** Calls of one pipeline, by outcome. */
function calls(samples: Partial<Record<OutcomeName, string>>): Case['input'] {
  return (series) => ({
    [scraped(series.of('active', { [PIPELINE_NAME]: 'checkout' }))]: '1x2000',
    ...Object.fromEntries(
      Object.entries(samples).map(([outcome, values]) => [
        scraped(series.count('pipeline', { [PIPELINE_NAME]: 'checkout', [OUTCOME]: outcome as OutcomeName })),
        values,
      ]),
    ),
  });
}

/** Successful calls per minute, and how many of them ended within half a second, one, and two and a half. */
function latencies(perMinute: number, half: number, one: number): Case['input'] {
  return (series) => {
    const where = { [PIPELINE_NAME]: 'checkout', [OUTCOME]: 'success' } as const;
    const bucket = (le: string) => scraped(series.bucket('pipeline', where), `instance="a", le="${le}"`);
    return {
      ...calls({ success: `0+${perMinute}x40` })(series),
      [bucket('0.5')]: `0+${half}x40`,
      [bucket('1')]: `0+${one}x40`,
      [bucket('2.5')]: `0+${perMinute}x40`,
      [bucket('+Inf')]: `0+${perMinute}x40`,
    };
  };
}

function circuit(
  metric: 'circuitStatus' | 'circuitTransitions',
  state: CircuitStateName,
  values: string,
): Case['input'] {
  return (series) => ({
    [scraped(series.of(metric, { [POLICY_NAME]: 'checkout/circuit_breaker', [METRICS.circuitStatus.detail]: state }))]:
      values,
  });
}

function retries(samples: Partial<Record<RetryResult, string>>, attempts: string): Case['input'] {
  return (series) => ({
    [scraped(series.of('retryAttempts', { [POLICY_NAME]: 'checkout/retry' }))]: attempts,
    ...Object.fromEntries(
      Object.entries(samples).map(([result, values]) => [
        scraped(
          series.of('retryExecutions', {
            [POLICY_NAME]: 'checkout/retry',
            [METRICS.retryExecutions.detail]: result as RetryResult,
          }),
        ),
        values,
      ]),
    ),
  });
}

/** Slots in use of ten, in two processes. */
function slots(a: string, b: string): Case['input'] {
  const where = { [POLICY_NAME]: 'checkout/bulkhead', [METRICS.concurrencyUsage.detail]: 'bulkhead' };
  return (series) => ({
    [scraped(series.of('concurrencyUsage', where))]: a,
    [scraped(series.of('concurrencyUsage', where), 'instance="b"')]: b,
    [scraped(series.of('concurrencyLimit', where))]: '10x40',
    [scraped(series.of('concurrencyLimit', where), 'instance="b"')]: '10x40',
  });
}

function leaked(values: string): Case['input'] {
  return (series) => ({ [scraped(series.of('leaked', { [POLICY_NAME]: 'checkout/bulkhead' }))]: values });
}

export const CASES: readonly Case[] = [
  {
    alert: 'SeaworthyErrorBudgetBurnFast',
    when: 'one call in twenty fails, twelve in an hour',
    input: calls({ success: '0+3.8x70', failure: '0+0.2x70' }),
    at: '60m',
    fires: { labels: inShop, value: '5%' },
  },
  {
    alert: 'SeaworthyErrorBudgetBurnFast',
    when: 'one call in eleven has failed for eleven minutes: the faster of its two speeds',
    input: calls({ success: '0+1000x320', failure: '0x300 100+100x20' }),
    at: '311m',
    fires: { labels: inShop, value: '1.8%' },
  },
  {
    alert: 'SeaworthyErrorBudgetBurnFast',
    when: 'that has been so for a minute',
    input: calls({ success: '0+1000x320', failure: '0x300 100+100x20' }),
    at: '310m',
  },
  {
    alert: 'SeaworthyErrorBudgetBurnFast',
    when: 'three calls in a hundred failed for ten minutes of six hours',
    input: calls({ success: '0+1000x400', failure: '0x350 30+30x20' }),
    at: '360m',
  },
  {
    alert: 'SeaworthyErrorBudgetBurnFast',
    when: 'one call in a hundred fails for six hours: the slower of its two speeds',
    input: calls({ success: '0+99x400', failure: '0+1x400' }),
    at: '370m',
    fires: { labels: inShop, value: '1%' },
  },
  {
    alert: 'SeaworthyErrorBudgetBurnFast',
    when: 'one call in a thousand fails',
    input: calls({ success: '0+999x60', failure: '0+1x60' }),
    at: '40m',
  },
  {
    alert: 'SeaworthyErrorBudgetBurnFast',
    when: 'half of a handful of calls failed',
    input: calls({ success: '0+1x8 8x40', failure: '0+1x8 8x40' }),
    at: '9m',
  },
  {
    alert: 'SeaworthyErrorBudgetBurnFast',
    when: 'an outage has been over for half an hour',
    input: calls({ success: '0+500x60', failure: '0+250x10 2501+1x50' }),
    at: '45m',
  },
  {
    alert: 'SeaworthyErrorBudgetBurnFast',
    when: 'callers abort half of their calls',
    input: calls({ success: '0+50x60', cancelled: '0+50x60' }),
    at: '40m',
  },
  {
    alert: 'SeaworthyErrorBudgetBurnSlow',
    when: 'two calls in a thousand have failed for hours',
    interval: '5m',
    input: calls({ success: '0+84.83x400', failure: '0+0.17x400' }),
    at: '8h',
    fires: { labels: inShop, value: '0.2%' },
  },
  {
    alert: 'SeaworthyErrorBudgetBurnSlow',
    when: 'two calls in a thousand have failed for an hour',
    interval: '5m',
    input: calls({ success: '0+998x400', failure: '0+2x400' }),
    at: '65m',
  },
  {
    alert: 'SeaworthyErrorBudgetBurnSlow',
    when: 'the failures of one hour are too many for six hours and not for the whole time',
    interval: '5m',
    input: calls({ success: '0+1000x400', failure: '0x84 7+7x11 84x100' }),
    at: '10h',
  },
  {
    alert: 'SeaworthyErrorBudgetBurnSlow',
    when: 'six of sixty calls have failed',
    interval: '5m',
    input: calls({ success: '0+0.9x100', failure: '0+0.1x100' }),
    at: '8h',
  },
  {
    alert: 'SeaworthyErrorBudgetBurnSlow',
    when: 'one call in two thousand fails',
    interval: '5m',
    input: calls({ success: '0+1999x400', failure: '0+1x400' }),
    at: '8h',
  },
  {
    alert: 'SeaworthyErrorBudgetBurnSlow',
    when: 'failures ended six hours ago',
    interval: '5m',
    input: calls({ success: '0+2000x400', failure: '0+40x20 801+1x380' }),
    at: '8h',
  },
  {
    alert: 'SeaworthyLatencyHigh',
    when: 'one call in twenty takes longer than a second, at ten calls a minute',
    input: latencies(10, 8, 9.5),
    at: '20m',
    fires: { labels: inShop, value: '2.2s' },
  },
  {
    alert: 'SeaworthyLatencyHigh',
    when: 'all calls end within a second',
    input: latencies(60, 50, 60),
    at: '20m',
  },
  {
    alert: 'SeaworthyLatencyHigh',
    when: 'the only call of a minute is slow',
    input: latencies(1, 0, 0),
    at: '20m',
  },
  {
    alert: 'SeaworthyLatencyHigh',
    when: 'it has been slow for five minutes',
    input: latencies(60, 50, 57),
    at: '6m',
  },
  {
    alert: 'SeaworthyCircuitOpen',
    when: 'a circuit stays open',
    input: circuit('circuitStatus', 'open', '1x20'),
    at: '5m',
    fires: { labels: from('checkout/circuit_breaker'), value: '1' },
  },
  {
    alert: 'SeaworthyCircuitOpen',
    when: 'an open circuit is half-open at every other look',
    input: circuit('circuitStatus', 'open', '0 1 0 1 0 1 0 1 0 1 0'),
    at: '8m',
    fires: { labels: from('checkout/circuit_breaker'), value: '1' },
  },
  {
    alert: 'SeaworthyCircuitOpen',
    when: 'a circuit was open for one break',
    input: circuit('circuitStatus', 'open', '0 1 0x20'),
    at: '3m',
  },
  {
    alert: 'SeaworthyCircuitOpen',
    when: 'a circuit has closed again',
    input: circuit('circuitStatus', 'open', '1x10 0x20'),
    at: '14m',
  },
  {
    alert: 'SeaworthyCircuitFlapping',
    when: 'a circuit closes every other minute',
    input: circuit('circuitTransitions', 'closed', '0 0 1 1 2 2 3 3 4 4 5x20'),
    at: '15m',
    fires: { labels: from('checkout/circuit_breaker'), value: '5' },
  },
  {
    alert: 'SeaworthyCircuitFlapping',
    when: 'a circuit has closed three times',
    input: circuit('circuitTransitions', 'closed', '0 0 1 1 2 2 3x20'),
    at: '15m',
  },
  {
    alert: 'SeaworthyCircuitFlapping',
    when: 'a circuit opens over and over and never closes',
    input: circuit('circuitTransitions', 'open', '0+5x40'),
    at: '20m',
  },
  {
    alert: 'SeaworthyCircuitHeld',
    when: 'a circuit is isolated for more than an hour',
    input: circuit('circuitStatus', 'isolated', '1x80'),
    at: '61m',
    fires: {
      labels: { ...from('checkout/circuit_breaker'), [label(METRICS.circuitStatus.detail)]: 'isolated' },
      value: '1',
    },
  },
  {
    alert: 'SeaworthyCircuitHeld',
    when: 'nobody holds a circuit',
    input: circuit('circuitStatus', 'isolated', '0x80'),
    at: '61m',
  },
  {
    alert: 'SeaworthyCircuitHeld',
    when: 'a circuit has been disabled for half an hour',
    input: circuit('circuitStatus', 'disabled', '1x80'),
    at: '30m',
  },
  {
    alert: 'SeaworthyFallbackServed',
    when: 'a fallback answers six calls in a hundred, at ten calls a minute',
    input: calls({ success: '0+9.4x40', fallback: '0+0.6x40' }),
    at: '15m',
    fires: { labels: inShop, value: '6%' },
  },
  {
    alert: 'SeaworthyFallbackServed',
    when: 'a fallback has answered everything for three minutes',
    input: calls({ fallback: '0+100x40' }),
    at: '4m',
  },
  {
    alert: 'SeaworthyFallbackServed',
    when: 'a fallback answers three calls in a hundred',
    input: calls({ success: '0+97x40', fallback: '0+3x40' }),
    at: '15m',
  },
  {
    alert: 'SeaworthyFallbackServed',
    when: 'a fallback answers half of two calls a minute',
    input: calls({ success: '0+1x40', fallback: '0+1x40' }),
    at: '15m',
  },
  {
    alert: 'SeaworthyRetryStorm',
    when: 'six calls per second make three retries in two',
    input: retries({ success: '0+300x40', exhausted: '0+60x40' }, '0+90x40'),
    at: '15m',
    fires: { labels: from('checkout/retry'), value: '0.25' },
  },
  {
    alert: 'SeaworthyRetryStorm',
    when: 'each call has been retried twice for three minutes',
    input: retries({ exhausted: '0+600x40' }, '0+1200x40'),
    at: '4m',
  },
  {
    alert: 'SeaworthyRetryStorm',
    when: 'a hundred calls make ten retries',
    input: retries({ success_after_retry: '0+1200x40' }, '0+120x40'),
    at: '15m',
  },
  {
    alert: 'SeaworthyRetryStorm',
    when: 'each call is retried, and there is one in two seconds',
    input: retries({ success_after_retry: '0+30x40' }, '0+30x40'),
    at: '15m',
  },
  {
    alert: 'SeaworthyRetryBudgetExhausted',
    when: 'fifteen calls in a thousand cannot be retried any more',
    input: retries({ success: '0+985x40', budget_exhausted: '0+15x40' }, '0+1x40'),
    at: '15m',
    fires: { labels: from('checkout/retry'), value: '1.5%' },
  },
  {
    alert: 'SeaworthyRetryBudgetExhausted',
    when: 'five calls in a thousand cannot be retried any more',
    input: retries({ success: '0+995x40', budget_exhausted: '0+5x40' }, '0+1x40'),
    at: '15m',
  },
  {
    alert: 'SeaworthyRetryBudgetExhausted',
    when: 'no call could be retried for three minutes',
    input: retries({ budget_exhausted: '0+100x40' }, '0x40'),
    at: '4m',
  },
  {
    alert: 'SeaworthyRetryBudgetExhausted',
    when: 'calls fail after all the retries they may have',
    input: retries({ success: '0+50x40', exhausted: '0+50x40', budget_exhausted: '0x40' }, '0+100x40'),
    at: '15m',
  },
  {
    alert: 'SeaworthyBulkheadSaturated',
    when: 'all slots of one of two processes are taken',
    input: slots('10x40', '2x40'),
    at: '10m',
    fires: { labels: from('checkout/bulkhead'), value: '100%' },
  },
  {
    alert: 'SeaworthyBulkheadSaturated',
    when: 'all slots have been taken for four minutes',
    input: slots('10x40', '10x40'),
    at: '4m',
  },
  {
    alert: 'SeaworthyBulkheadSaturated',
    when: 'slots are all taken now and then',
    input: slots('10 2 10 2 10 2 10 2 10 2 10 2 10 2', '2x40'),
    at: '10m',
  },
  {
    alert: 'SeaworthyBulkheadSaturated',
    when: 'half of the slots are taken',
    input: slots('5x40', '5x40'),
    at: '10m',
  },
  {
    alert: 'SeaworthySlotsLeaked',
    when: 'a slot was given up five minutes ago',
    input: leaked('0x10 1x20'),
    at: '15m',
    fires: { labels: from('checkout/bulkhead'), value: '1' },
  },
  {
    alert: 'SeaworthySlotsLeaked',
    when: 'slots were given up long ago',
    input: leaked('3x40'),
    at: '20m',
  },
];
