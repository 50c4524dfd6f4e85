import * as otel from '@opentelemetry/api';
import { type Collector, collectorOf } from './collector.ts';
import { SCOPE } from './names.ts';
import { VERSION } from './version.ts';

/**
 * Providers are followed by identity: each call compares the one that is registered with the one bound last. The SDK may
 * come before us, after us, twice (tests, hot reload), or through the other module format's copy of the API, whose
 * proxies keep what they had first; and API 1.10 has no proxy for meters at all.
 */

let none: otel.TracerProvider | undefined;

/** What a provider without SDK delegates to. Found by identity: minifiers rename the class. */
function noTracers(): otel.TracerProvider {
  return (none ??= new otel.ProxyTracerProvider().getDelegate());
}

/** Where every 1.x API keeps what is registered, from the first registration on and then for good. */
const REGISTRY = Symbol.for('opentelemetry.js.api.1');

interface Registry {
  readonly trace?: Partial<otel.ProxyTracerProvider>;
  readonly metrics?: otel.MeterProvider;
}

let registry: Registry | undefined;
let trace: Registry['trace'];
let delegate: otel.TracerProvider | undefined;
let metrics: Registry['metrics'];
let looks = 0;

/**
 * A number that changes with the global providers: a look at where they are kept costs a fraction of asking for the two.
 * The place is the API's own affair, so every 64th time the API is asked properly.
 */
export function registrations(): number {
  return (registry === undefined ? found() === undefined : isAsBefore(registry)) && (++looks & 63) !== 0
    ? changes
    : ask();
}

function found(): Registry | undefined {
  return (globalThis as Record<symbol, unknown>)[REGISTRY] as Registry | undefined;
}

/**
 * Where nothing is registered yet, the place is made with nothing in it: the API sees no difference, and V8 watches over
 * a property that is there, while it looks for one that is not at every call.
 */
function prepare(): void {
  if (!(REGISTRY in globalThis)) Reflect.set(globalThis, REGISTRY, undefined);
}

function isAsBefore(now: Registry): boolean {
  return now.metrics === metrics && now.trace === trace && (trace === undefined || trace.getDelegate?.() === delegate);
}

let tracers: otel.TracerProvider | undefined;
let meters: otel.MeterProvider | undefined;
let changes = 0;

function ask(): number {
  prepare();
  registry = found();
  trace = registry?.trace;
  delegate = trace?.getDelegate?.();
  metrics = registry?.metrics;
  const before = [tracers, meters];
  tracers = behind(otel.trace.getTracerProvider());
  meters = otel.metrics.getMeterProvider();
  if (tracers !== before[0] || meters !== before[1]) changes++;
  return changes;
}

/** The global is always a proxy, the same one whatever it stands for. */
function behind(provider: otel.TracerProvider): otel.TracerProvider {
  return (provider as Partial<otel.ProxyTracerProvider>).getDelegate?.() ?? provider;
}

/** Answers the tracer to use now, `undefined` while nothing would record. */
export function followTracer(given: otel.TracerProvider | undefined): () => otel.Tracer | undefined {
  let bound: otel.TracerProvider | undefined;
  let tracer: otel.Tracer | undefined;
  return () => {
    const actual = behind(given ?? otel.trace.getTracerProvider());
    if (actual !== bound) {
      bound = actual;
      tracer = undefined;
      if (actual !== noTracers()) tracer = actual.getTracer(SCOPE, VERSION);
    }
    return tracer;
  };
}

/** Answers the instruments to use now, `undefined` while nothing would record. */
export function followMeter(given: otel.MeterProvider | undefined): () => Collector | undefined {
  let bound: otel.MeterProvider | undefined;
  let collector: Collector | undefined;
  return () => {
    const provider = given ?? otel.metrics.getMeterProvider();
    if (provider !== bound) {
      bound = provider;
      collector = undefined;
      collector = collectorOf(provider);
    }
    return collector;
  };
}

/** The part of a logs SDK we use. API 1.9 has no types for it, so ours must not need them. */
export interface LoggerProvider {
  getLogger(name: string, version?: string): Logger;
}

/** See {@link LoggerProvider}. */
export interface Logger {
  emit(record: object): void;
  enabled?(options: object): boolean;
}

/** Answers a logger; state changes are rare enough to ask each time. */
export function followLogger(given: LoggerProvider | undefined): () => Logger | undefined {
  // Through the namespace: a named import of `logs` is a link error with API 1.9.
  return () => (given ?? otel.logs?.getLoggerProvider())?.getLogger(SCOPE, VERSION);
}
