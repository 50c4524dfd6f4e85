import * as otel from '@opentelemetry/api';
import type { SpanProcessor } from '@opentelemetry/sdk-trace';
import { afterAll, describe, expect, it } from 'vitest';
import { contenders, signals } from '../../bench/telemetry.ts';

afterAll(() => otel.context.disable());

/** Names of the spans that one call of each contender ends. */
async function spansOf(row: string): Promise<string[][]> {
  let ended: string[] = [];
  const processor: SpanProcessor = {
    onStart() {},
    onEnd: (span) => void ended.push(span.name),
    async forceFlush() {},
    async shutdown() {},
  };
  const all: string[][] = [];
  for (const { call } of contenders(signals[row]!, processor)) {
    ended = [];
    expect(await call()).toBe(1);
    all.push(ended);
  }
  return all;
}

describe('what is switched on', () => {
  const silent = Object.keys(signals).filter((row) => signals[row]!.traces !== 'sampled');
  it.each(silent)('%s: no span is sampled, and every call answers', async (row) => {
    expect(await spansOf(row)).toEqual([[], [], [], [], []]);
  });

  it.each([
    ['traces sampled', 2],
    ['traces sampled, one span', 1],
    ['metrics, traces sampled', 2],
    ['producer, traces sampled', 2],
  ])('%s: ours has %i spans, by hand there is one per policy and one around them', async (row, own) => {
    const [bare, off, ours, byHand, alone] = await spansOf(row);
    expect([bare, off, alone]).toEqual([[], [], ['call']]);
    expect(ours).toHaveLength(own);
    expect(byHand).toEqual(['timeout', 'bulkhead', 'circuit_breaker', 'retry', 'fallback', 'execute']);
  });
});
