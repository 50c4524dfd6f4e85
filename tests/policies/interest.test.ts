import { bulkhead, circuitBreaker, fallback, type Observer, pipeline, retry, type Stackable, timeout } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { virtualClock } from '../../src/testing/virtual-clock.ts';
import { deaf, watch } from './stand.ts';

const bad = () => Promise.reject(new Error('down'));

/** One or more calls through these policies. */
interface Scene {
  readonly policies: () => readonly Stackable[];
  /** One after the other, the next as soon as the one before is under way. */
  readonly calls: readonly (() => unknown)[];
  readonly told: readonly string[];
}

/** What an observer that wants so much hears of a scene, whose callers give up after a minute. */
async function heard({ policies, calls }: Scene, want: 0 | 1 | 2) {
  const events: string[] = [];
  const spans: string[] = [];
  const observer: Observer = {
    interest: () => want,
    event: ({ type }) => void events.push(type),
    start: (name) => (spans.push(`${name} begins`), name),
    end: (name, token) => void spans.push(`${name} ends as ${token}`),
  };
  const clock = virtualClock();
  const pipe = pipeline('shop', policies(), { telemetry: false, clock, random: () => 0.5, observers: [observer] });
  const callers = new AbortController();
  for (const call of calls) {
    watch(pipe.execute(call, callers.signal));
    await clock.advance(0);
  }
  await clock.advance(60_000);
  callers.abort();
  return { events, spans };
}

const slow = (ms: number) => timeout({ ms });

const scenes: [string, Scene][] = [
  ['a fallback that answers', { policies: () => [fallback(() => 1)], calls: [bad], told: ['fallback'] }],
  [
    'a fallback that is a value',
    { policies: () => [fallback({ to: { value: 1 } })], calls: [bad], told: ['fallback'] },
  ],
  ['a fallback that fails', { policies: () => [fallback(bad)], calls: [bad], told: ['fallback'] }],
  [
    'a fallback that takes too long',
    { policies: () => [fallback({ to: deaf, timeoutMs: 10 })], calls: [bad], told: ['timeout', 'fallback'] },
  ],
  ['a timeout', { policies: () => [slow(10)], calls: [deaf], told: ['timeout'] }],
  ['a call without any time', { policies: () => [timeout(() => 0)], calls: [() => 1], told: ['rejected'] }],
  ['a full bulkhead', { policies: () => [bulkhead({ limit: 1 })], calls: [deaf, deaf], told: ['rejected'] }],
  [
    'a wait for a slot that is too long',
    { policies: () => [bulkhead({ limit: 1, queue: 1, maxWaitMs: 10 })], calls: [deaf, deaf], told: ['rejected'] },
  ],
  [
    'a slot that is given up before its work has ended',
    {
      policies: () => [bulkhead({ limit: 1, holdUntilSettled: { maxMs: 10 } }), slow(10)],
      calls: [deaf],
      told: ['timeout', 'leaked'],
    },
  ],
  [
    'a retry',
    { policies: () => [retry({ maxRetries: 1, backoff: 1 })], calls: [bad], told: ['retry', 'retry_result'] },
  ],
  [
    'a circuit that is open',
    {
      policies: () => [
        circuitBreaker({ initialState: { version: 1, state: 'open', openForMs: 1, remainingMs: 1e9, openings: 1 } }),
      ],
      calls: [() => 1],
      told: ['rejected'],
    },
  ],
  ['a circuit that is closed', { policies: () => [circuitBreaker()], calls: [() => 1], told: ['circuit_admission'] }],
];

describe('an observer', () => {
  it.each(scenes)('that wants everything hears of %s', async (_, scene) => {
    expect((await heard(scene, 2)).events).toEqual(scene.told);
  });

  it.each(scenes)('that wants nothing of a call hears nothing of %s', async (_, scene) => {
    expect(await heard(scene, 0)).toEqual({ events: [], spans: [] });
  });

  it.each(scenes)('that wants no more than beginnings and ends hears nothing else of %s', async (_, scene) => {
    const { events, spans } = await heard(scene, 1);
    expect(events).toEqual([]);
    const of = (what: string) => spans.filter((span) => span.includes(what)).map((span) => span.split(' ')[0]);
    expect(of('begins')).toContain('execution');
    expect(of('ends').toSorted()).toEqual(of('begins').toSorted());
    for (const span of spans.filter((span) => span.includes('ends'))) expect(span).toMatch(/^(\w+) ends as \1$/);
  });

  it.each([
    [0, []],
    [1, ['dequeued']],
    [2, ['dequeued']],
  ] as const)('that wants %d of 2 hears of a wait for a slot: %j', async (want, told) => {
    const policies = () => [bulkhead({ limit: 1, queue: 1, holdUntilSettled: false }), slow(10)];
    const { events } = await heard({ policies, calls: [deaf, () => 1], told }, want);
    expect(events.filter((type) => type === 'dequeued')).toEqual(told);
  });

  it.each([0, 1, 2] as const)('that wants %d of 2 hears of a change of a circuit', async (want) => {
    const policies = () => [circuitBreaker({ consecutiveFailures: 1 })];
    const { events } = await heard({ policies, calls: [bad], told: [] }, want);
    expect(events.filter((type) => type === 'circuit_state')).toEqual(['circuit_state']);
  });
});
