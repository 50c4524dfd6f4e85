import type * as otel from '@opentelemetry/api';
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

/** An option's rule: what it must be, in words, and whether it is. */
type Rule = readonly [must: string, holds: (value: unknown) => boolean];

const flag: Rule = ['true or false', (value) => typeof value === 'boolean'];
const provider = (method: string): Rule => [
  `a provider with ${method}()`,
  (value) => typeof (value as Record<string, unknown> | null)?.[method] === 'function',
];

const rules: Readonly<Record<keyof TelemetryOptions, Rule>> = {
  tracerProvider: provider('getTracer'),
  meterProvider: provider('getMeter'),
  loggerProvider: provider('getLogger'),
  traces: flag,
  metrics: flag,
  logs: flag,
  attemptSpans: ['"auto", "always" or "never"', (value) => value === 'auto' || value === 'always' || value === 'never'],
  durationBuckets: [
    'an array of seconds above 0',
    (value) =>
      Array.isArray(value) && value.length > 0 && value.every((boundary) => Number.isFinite(boundary) && boundary > 0),
  ],
  statusMessage: flag,
};

/** Throws one `TypeError` with everything that is wrong: what is misspelt would be missed in a dashboard weeks later. */
export function checkOptions(options: TelemetryOptions): void {
  const problems = Object.entries(options).flatMap(([name, value]) => {
    if (!Object.hasOwn(rules, name)) return `unknown option "${name}"`;
    const [must, holds] = rules[name as keyof TelemetryOptions];
    return value === undefined || holds(value) ? [] : `"${name}" must be ${must}, received ${show(value)}`;
  });
  if (problems.length > 0) throw new TypeError(`Cannot create telemetry: ${problems.join('; ')}`);
}

function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(show).join(', ')}]`;
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}
