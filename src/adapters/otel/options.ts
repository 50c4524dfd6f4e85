import type * as otel from '@opentelemetry/api';
import { check, fields, flag, type Rule, shape } from '../../core/options.ts';
import type { LoggerProvider } from './binding.ts';

/** What a pipeline's `telemetry` option may say. */
export interface TelemetryOptions {
  /** @default the global one, followed when it changes */
  readonly tracerProvider?: otel.TracerProvider | undefined;
  /** @default the global one, followed when it changes */
  readonly meterProvider?: otel.MeterProvider | undefined;
  /** One of `@opentelemetry/api` 1.10, or of `@opentelemetry/api-logs`. @default the global one, from API 1.10 on */
  readonly loggerProvider?: LoggerProvider | undefined;
  /** @default true */
  readonly traces?: boolean | undefined;
  /** @default true */
  readonly metrics?: boolean | undefined;
  /** @default true */
  readonly logs?: boolean | undefined;
  /**
   * A span per attempt: in pipelines that run the function again, in all, or in none.
   * @default 'auto'
   */
  readonly attemptSpans?: 'auto' | 'always' | 'never' | undefined;
  /**
   * Bucket boundaries of `seaworthy.pipeline.duration` and `seaworthy.attempt.duration`, in seconds. All pipelines of a
   * meter share these histograms, so they get the boundaries of all of them, as known at the first call.
   * @default 1 ms to 30 s in 17 steps
   */
  readonly durationBuckets?: readonly number[] | undefined;
  /**
   * Whether spans carry the first line of foreign errors' messages; our own texts hold nothing personal.
   * @default true
   */
  readonly statusMessage?: boolean | undefined;
}

const provider = (method: string) =>
  shape(`a provider with ${method}()`, (value) => typeof value?.[method] === 'function');

const rules = {
  tracerProvider: /* @__PURE__ */ provider('getTracer'),
  meterProvider: /* @__PURE__ */ provider('getMeter'),
  loggerProvider: /* @__PURE__ */ provider('getLogger'),
  traces: flag,
  metrics: flag,
  logs: flag,
  attemptSpans: /* @__PURE__ */ shape('"auto", "always" or "never"', (value) =>
    ['auto', 'always', 'never'].includes(value),
  ),
  durationBuckets: /* @__PURE__ */ shape(
    'an array of seconds above 0',
    (value) =>
      Array.isArray(value) && value.length > 0 && value.every((boundary) => Number.isFinite(boundary) && boundary > 0),
  ),
  statusMessage: flag,
} satisfies Readonly<Record<keyof TelemetryOptions, Rule>>;

/** What a pipeline's `telemetry` may be beside `true` and `false`. */
export const telemetryOptions: Rule = /* @__PURE__ */ fields(rules, 'an object of its options');

/** Throws one `TypeError` with everything that is wrong: what is misspelt would be missed in a dashboard weeks later. */
export function checkOptions(options: TelemetryOptions): void {
  check('create telemetry', options, rules);
}
