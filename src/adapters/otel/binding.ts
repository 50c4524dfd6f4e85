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

/** Where every 1.x API keeps what is registered, from the first registration on. */
const REGISTRY = Symbol.for('opentelemetry.js.api.1');
let looks = 0;

/**
 * Whether nobody has registered anything yet, by one look where asking for two providers takes several. That place is
 * the API's own affair, so every 64th time the answer is no and the API is asked properly.
 */
export function nothingRegistered(): boolean {
  return (globalThis as Record<symbol, unknown>)[REGISTRY] === undefined && (++looks & 63) !== 0;
}

/** Answers the tracer to use now, `undefined` while nothing would record. */
export function followTracer(given: otel.TracerProvider | undefined): () => otel.Tracer | undefined {
  let bound: otel.TracerProvider | undefined;
  let tracer: otel.Tracer | undefined;
  return () => {
    const provider = given ?? otel.trace.getTracerProvider();
    // The global is always a proxy, the same one whatever it stands for.
    const actual = (provider as Partial<otel.ProxyTracerProvider>).getDelegate?.() ?? provider;
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
