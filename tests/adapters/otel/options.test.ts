import { expect, test } from 'vitest';
import { otelObserver } from '../../../src/adapters/otel/index.ts';

test('everything that is wrong with the options is told at once', () => {
  const options = {
    tracerProvider: {},
    traces: 1,
    attemptSpans: 'sometimes',
    durationBuckets: [1, Number.NaN],
    attemptSpan: 'never',
  };
  expect(() => otelObserver(options as never)).toThrow(
    new TypeError(
      'Cannot create telemetry: unknown option "attemptSpan", did you mean "attemptSpans"?; ' +
        '"tracerProvider" must be a provider with getTracer(), received an object; "traces" must be true or false, received 1; "attemptSpans" must be "auto", "always" or "never", received "sometimes"; ' +
        '"durationBuckets" must be an array of seconds above 0, received an array',
    ),
  );
  expect(() => otelObserver({ traces: undefined, durationBuckets: [0.1] })).not.toThrow();
  expect(() => otelObserver()).not.toThrow();
});
