import { type CallInfo, type Observer, pipeline, retry } from 'seaworthy';
import { virtualClock } from 'seaworthy/testing';
import { describe, expect, it } from 'vitest';
import { watch } from './spy.ts';

const boom = new Error('boom');

/** What can be read of a call, now. */
const read = (info: CallInfo) => ({
  executionId: info.executionId,
  pipeline: info.pipeline,
  attempt: info.attempt,
  attemptKind: info.attemptKind,
  retryDelayMs: info.retryDelayMs,
  key: info.key,
  attributes: info.attributes,
  deadline: info.deadline,
});

describe('what an observer reads of an execution and its attempts', () => {
  const given = { key: 'k', attributes: { tenant: 'a' } };

  it('is what the caller gave, and where it stands', async () => {
    const clock = virtualClock(500);
    const seen: unknown[] = [];
    const observer: Observer = { start: (name, info) => void seen.push([name, read(info)]) };
    const pipe = pipeline('p', [retry({ maxRetries: 1, backoff: 20 })], {
      clock,
      telemetry: false,
      observers: [observer],
    });
    const first = watch(pipe.execute(() => Promise.reject(boom), { ...given, timeoutMs: 1_000 }));
    await clock.advance(20);
    expect(first.result).toBe(boom);
    await pipe.execute(() => 1);
    const all = { executionId: 'p-1', pipeline: 'p', ...given, deadline: 1_500 };
    const bare = { executionId: 'p-2', pipeline: 'p', key: undefined, attributes: undefined, deadline: Infinity };
    const initial = { attemptKind: 'initial', retryDelayMs: 0 };
    expect(seen).toEqual([
      ['execution', { ...all, attempt: 0, ...initial }],
      ['attempt', { ...all, attempt: 1, ...initial }],
      ['attempt', { ...all, attempt: 2, attemptKind: 'retry', retryDelayMs: 20 }],
      ['execution', { ...bare, attempt: 0, ...initial }],
      ['attempt', { ...bare, attempt: 1, ...initial }],
    ]);
  });

  it('has the same id in everything that is told of it', async () => {
    const ids: string[] = [];
    const note = (info: CallInfo) => void ids.push(info.executionId);
    const observer: Observer = {
      start: (_name, info) => note(info),
      event: (_event, info) => note(info),
      end: (_name, _token, _end, info) => note(info),
    };
    const pipe = pipeline('p', [retry({ maxRetries: 1, backoff: 0 })], { telemetry: false, observers: [observer] });
    await pipe.tryExecute(() => Promise.reject(boom));
    expect(ids.length).toBeGreaterThan(4);
    expect(new Set(ids)).toEqual(new Set(['p-1']));
  });

  it('an attempt begins in its execution; that of a nested pipeline in nothing, whatever observers that has', async () => {
    const parents: unknown[] = [];
    const observer = (name: string): Observer => ({
      start: (span, info, parent) => {
        parents.push([name, info.pipeline, span, parent]);
        return `${name} ${info.pipeline} ${span}`;
      },
    });
    const observers = [observer('first'), observer('second')];
    const inner = pipeline('inner', [retry()], { telemetry: false, observers });
    const outer = pipeline('outer', [inner], { telemetry: false, observers });
    await outer.execute(() => 1);
    expect(parents).toEqual([
      ['first', 'outer', 'execution', undefined],
      ['second', 'outer', 'execution', undefined],
      ['first', 'inner', 'execution', undefined],
      ['second', 'inner', 'execution', undefined],
      ['first', 'inner', 'attempt', 'first inner execution'],
      ['second', 'inner', 'attempt', 'second inner execution'],
    ]);
  });

  it('of a nested pipeline is told also where nobody listens to the outer one', async () => {
    const names: string[] = [];
    const observer: Observer = { start: (name, info, parent) => void names.push(`${info.pipeline} ${name} ${parent}`) };
    const inner = pipeline('inner', [], { telemetry: false, observers: [observer] });
    await pipeline('outer', [inner], { telemetry: false }).execute(() => 1);
    expect(names).toEqual(['inner execution undefined']);
  });
});
