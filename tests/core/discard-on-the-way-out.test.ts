import {
  bulkhead,
  circuitBreaker,
  type ExecuteOptions,
  fallback,
  type Observer,
  type PipelineOptions,
  pipeline,
  retry,
  type Stackable,
  type TelemetryOptions,
  timeout,
} from 'seaworthy';
import { describe, expect, it } from 'vitest';

/** Ends the call: aborts its caller. */
type Cut = () => void;

interface Scene {
  readonly policies?: readonly Stackable[];
  readonly options?: PipelineOptions<TelemetryOptions>;
  readonly call?: ExecuteOptions;
  /** Whose listener it is. */
  readonly event?: string;
}

const down = new Error('down');
const functions = [
  ['a synchronous function', <T>(value: T) => value],
  ['an async function', async <T>(value: T) => value],
] as const;

/** Runs a call whose user code aborts the caller on its way out, and answers what came of it. */
async function outcomeOf({ policies = [], options, call, event }: Scene, caller: AbortController, fn: () => unknown) {
  const pipe = pipeline('shop', policies, { telemetry: false, ...options });
  if (event === 'onSuccess') pipe.onSuccess(() => caller.abort('enough'));
  else if (event !== undefined) pipe.subscribe(({ type }) => type === event && caller.abort('enough'));
  const discarded: unknown[] = [];
  const onDiscard = (value: unknown) => void discarded.push(value);
  const { error } = await pipe.tryExecute(fn, { signal: caller.signal, onDiscard, ...call });
  return { error, discarded };
}

const ending = (name: string, cut: Cut): Observer => ({
  end: (of) => {
    if (of === name) cut();
  },
});

describe('a value goes to onDiscard, once, when user code ends the call on its way out:', () => {
  const scenes: readonly (readonly [string, (cut: Cut) => Scene])[] = [
    ['classify of the pipeline', (cut) => ({ options: { classify: () => (cut(), 'success') } })],
    ['classify of the call', (cut) => ({ call: { classify: () => (cut(), 'success') } })],
    ...[false, true].flatMap((answer) => [
      [
        `when of a fallback that answers ${answer}`,
        (cut: Cut) => ({ policies: [fallback({ to: () => 0, when: { result: () => (cut(), answer) } })] }),
      ] as const,
      [
        `when of a breaker that answers ${answer}`,
        (cut: Cut) => ({ policies: [circuitBreaker({ when: { result: () => (cut(), answer) } })] }),
      ] as const,
      [
        `when of a retry that answers ${answer}`,
        (cut: Cut) => ({ policies: [retry({ when: { result: () => (cut(), answer) } })] }),
      ] as const,
    ]),
    ['a listener of retry_result', () => ({ policies: [retry()], event: 'retry_result' })],
    [
      'a listener of circuit_state',
      () => ({
        policies: [circuitBreaker({ consecutiveFailures: 1, when: { result: () => true } })],
        event: 'circuit_state',
      }),
    ],
    ['a listener of attempt_end', () => ({ policies: [retry()], event: 'attempt_end' })],
    ['a listener of execution_end', () => ({ event: 'execution_end' })],
    ['onSuccess', () => ({ event: 'onSuccess' })],
    [
      'the end of an attempt, told to an observer',
      (cut) => ({ policies: [retry()], options: { observers: [ending('attempt', cut)] } }),
    ],
    [
      'the end of the execution, told to an observer',
      (cut) => ({ options: { observers: [ending('execution', cut)] } }),
    ],
    [
      'with all five policies around it',
      (cut) => ({
        policies: [fallback(() => 0), retry(), circuitBreaker(), bulkhead({ limit: 1 }), timeout(1_000)],
        call: { classify: () => (cut(), 'success') },
      }),
    ],
  ];
  it.each(scenes.flatMap(([what, make]) => functions.map(([kind, fn]) => [what, kind, make, fn] as const)))(
    '%s, after %s',
    async (_what, _kind, make, fn) => {
      const caller = new AbortController();
      const value = {};
      const end = await outcomeOf(
        make(() => caller.abort('enough')),
        caller,
        () => fn(value),
      );
      expect(end.error).toBe('enough');
      expect(end.discarded).toEqual([value]);
      expect(end.discarded[0]).toBe(value);
    },
  );
});

describe('the answer of a fallback goes to onDiscard, once, when user code ends the call after it:', () => {
  const value = {};
  const spare = fallback({ to: () => value });
  const scenes: readonly (readonly [string, (cut: Cut) => Scene])[] = [
    ['a listener of fallback', () => ({ policies: [spare], event: 'fallback' })],
    [
      'the end of the fallback, told to an observer',
      (cut) => ({ policies: [spare], options: { observers: [ending('fallback', cut)] } }),
    ],
    [
      'when of a breaker around it',
      (cut) => ({ policies: [circuitBreaker({ when: { result: () => (cut(), false) } }), spare] }),
    ],
  ];
  it.each(scenes)('%s', async (_, make) => {
    const caller = new AbortController();
    const end = await outcomeOf(
      make(() => caller.abort('enough')),
      caller,
      () => Promise.reject(down),
    );
    expect(end.error).toBe('enough');
    expect(end.discarded).toEqual([value]);
  });
});
