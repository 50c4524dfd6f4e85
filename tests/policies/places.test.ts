import { bulkhead, circuitBreaker, fallback, pipeline, type Policy, retry, timeout } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { virtualClock } from '../../src/testing/virtual-clock.ts';
import { stand, thrownBy } from './stand.ts';

const bad = () => Promise.reject(new Error('down'));

describe('a place in a pipeline', () => {
  it('is named in the snapshot by the kind of its policy', () => {
    const { pipe } = stand([fallback(() => 1), timeout(1), retry(), circuitBreaker(), bulkhead({ limit: 1 })]);
    expect(pipe.snapshot().policies.map(({ kind }) => kind)).toEqual([
      'fallback',
      'timeout',
      'retry',
      'circuit_breaker',
      'bulkhead',
    ]);
  });

  const limiting: [string, () => Policy][] = [
    ['a bulkhead', () => bulkhead({ limit: 1, name: 'mine' })],
    ['a circuit breaker', () => circuitBreaker({ name: 'mine' })],
  ];

  it.each(limiting)('is one in a chain for %s: a call would take its place from itself', (_, make) => {
    const policy = make();
    expect(thrownBy(() => pipeline('p', [policy, policy], { telemetry: false }))).toBeInstanceOf(TypeError);
  });

  it.each(limiting)('of another clock is none for %s', (kind, make) => {
    const policy = make();
    const clock = virtualClock();
    pipeline('a', [policy], { telemetry: false, clock });
    pipeline('b', [policy], { telemetry: false, clock });
    const error = thrownBy(() => pipeline('c', [policy], { telemetry: false, clock: virtualClock() }));
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toMatch(`Cannot put ${kind} into pipeline "c": it keeps the clock of pipeline "a"`);
  });

  it.each(limiting)('in a pipeline that could not be made leaves no clock behind in %s', (_, make) => {
    const policy = make();
    expect(() => pipeline('broken', [policy, policy], { telemetry: false })).toThrow(TypeError);
    pipeline('good', [policy], { telemetry: false, clock: virtualClock() });
  });

  it('further on leaves a circuit as it has become, and does not begin again where its snapshot ended', async () => {
    const options = { telemetry: false, clock: virtualClock() } as const;
    const breaker = circuitBreaker({
      consecutiveFailures: 1,
      initialState: { version: 1, state: 'closed', openForMs: 0, remainingMs: 0, openings: 0 },
      name: 'mine',
    });
    await pipeline('a', [breaker], options).tryExecute(bad);
    pipeline('b', [breaker], options);
    expect(breaker.state).toBe('open');
  });

  it.each([
    [0, '"limit" must be a whole number from 1 up or Infinity, received 0'],
    ['2', '"limit" must be a whole number from 1 up or Infinity, received "2"'],
  ])('is not resized to %j, and it is said why', (limit, why) => {
    const slots = bulkhead({ limit: 1 });
    expect(thrownBy(() => slots.resize(limit as number)).message).toBe(`Cannot resize bulkhead: ${why}`);
  });
});
