import * as otel from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { type CallContext, pipeline, type Pipeline, type Policy } from 'seaworthy';
import { type ScriptStep, script, seededRandom, type VirtualClock, virtualClock } from 'seaworthy/testing';
import { type Service, service } from './sdk.ts';

/** Seconds of a run after which things go wrong. */
const incidentAt = 180;
/** Seconds of a run after which the operator looks. */
export const lookedAt = 361;
const scrapeEvery = 15;

/** What the shop throws for a status. */
const errorNames: Readonly<Record<number, string>> = { 404: 'NotFound', 409: 'Conflict' };

/** The compiler gives up on what the steps of a step can be. */
type Play = (clock: VirtualClock, step: ScriptStep<number>) => unknown;

/** What a dependency does with one request. */
export interface Answer {
  readonly ms: number;
  /** An HTTP status; 200 by default. */
  readonly status?: number;
  /** The connection breaks after `ms` instead, with this `code`. */
  readonly code?: string;
}

/** How a dependency behaves, asked once for each request. */
export type Behaviour = (host: string) => Answer;

/** What a run exported, one request of OTLP/JSON per line. */
export interface Exported {
  readonly traces: string;
  readonly metrics: string;
}

/** A service with pipelines, its dependencies and its callers, on a virtual clock. */
export class Stand {
  readonly clock: VirtualClock;
  readonly random: () => number;
  readonly shop: Service;
  private readonly epoch: number;
  private readonly services: Service[];
  private readonly held: unknown[];
  private readonly loads: { perSecond: () => number; call: () => Promise<unknown> }[];

  /** `epoch`: milliseconds since 1970 at which the run begins. */
  constructor(epoch: number, seed: number) {
    this.clock = virtualClock();
    this.random = seededRandom(seed);
    this.epoch = epoch;
    this.services = [];
    this.held = [];
    this.loads = [];
    this.shop = this.service('shop');
  }

  /** Seconds since the run began. */
  get seconds(): number {
    return this.clock.now() / 1000;
  }

  /** True once things go wrong. */
  get troubled(): boolean {
    return this.seconds >= incidentAt;
  }

  service(name: string): Service {
    const made = service(name, () => this.epoch + this.clock.now(), this.random);
    this.services.push(made);
    return made;
  }

  /** A pipeline of `owner`; kept, because metrics of what nobody holds end. */
  pipeline(name: string, policies: readonly Policy<any>[], owner = this.shop): Pipeline {
    const { clock, random } = this;
    const made = pipeline(name, [...policies], { clock, random, telemetry: owner.telemetry });
    this.held.push(made);
    return made as Pipeline;
  }

  /** Between `least` and `most` milliseconds, any as likely as another. */
  between(least: number, most: number): number {
    return Math.round(least + (most - least) * this.random());
  }

  /** A request that arrives at `owner`, with the span that its HTTP instrumentation would show. */
  async arrives(route: string, handle: () => Promise<unknown>, owner = this.shop): Promise<void> {
    const attributes = { 'http.request.method': 'GET', 'http.route': route };
    const span = owner.tracer.startSpan(
      `GET ${route}`,
      { kind: otel.SpanKind.SERVER, attributes },
      otel.context.active(),
    );
    try {
      await otel.context.with(otel.trace.setSpan(otel.context.active(), span), handle);
      span.setAttribute('http.response.status_code', 200);
    } catch (error) {
      span.setAttribute('http.response.status_code', 500).setStatus({ code: otel.SpanStatusCode.ERROR });
      throw error;
    } finally {
      span.end();
    }
  }

  /** A request to `host`, with the span that HTTP instrumentation would show; throws by status, as applications do. */
  async get(host: string, step: ScriptStep<number>, call: CallContext, owner = this.shop): Promise<number> {
    const attributes = { 'http.request.method': 'GET', 'server.address': host, 'server.port': 443 };
    const span = owner.tracer.startSpan('GET', { kind: otel.SpanKind.CLIENT, attributes }, otel.context.active());
    const end = (errorType?: string) => {
      if (errorType !== undefined)
        span.setAttribute('error.type', errorType).setStatus({ code: otel.SpanStatusCode.ERROR });
      span.end();
    };
    const send = (script.with as Play)(this.clock, step) as (call: CallContext) => Promise<number>;
    let status: number;
    try {
      status = await otel.context.with(otel.trace.setSpan(otel.context.active(), span), () => send(call));
    } catch (error) {
      const { code, name } = error as { code?: string; name: string };
      end(code ?? name);
      throw error;
    }
    span.setAttribute('http.response.status_code', status);
    end(status < 400 ? undefined : String(status));
    if (status >= 400) throw named(errorNames[status] ?? 'ServerError', `${host} said ${status}`);
    return status;
  }

  /** A dependency that is asked by `GET` through whatever calls the function. */
  dependency(behaviour: Behaviour): (host: string) => (call: CallContext) => Promise<number> {
    return (host) => (call) => {
      const { ms, status = 200, code } = behaviour(host);
      const then: ScriptStep<number> =
        code === undefined ? { value: status } : { error: Object.assign(named('Error', code), { code }) };
      return this.get(host, { delayMs: ms, then }, call);
    };
  }

  /** Calls `call` so many times a second, from the beginning of the run to its end. */
  load(perSecond: number | (() => number), call: () => Promise<unknown>): void {
    this.loads.push({ perSecond: typeof perSecond === 'number' ? () => perSecond : perSecond, call });
  }

  /** The same through a pipeline of the shop, behind a request of somebody. */
  calls(perSecond: number | (() => number), through: Pipeline, fn: (call: CallContext) => unknown): void {
    this.load(perSecond, () => this.arrives(`/${through.name}`, () => through.execute(fn)));
  }

  /** Plays the run to the moment at which the operator looks. */
  async run(): Promise<Exported> {
    otel.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    try {
      for (const { perSecond, call } of this.loads) {
        const next = () => {
          if (this.seconds > lookedAt) return;
          call().catch(() => {});
          this.clock.after(1000 / perSecond(), next);
        };
        this.clock.after(1000 * this.random(), next);
      }
      for (let at = 0; at < lookedAt; at += scrapeEvery) {
        for (const one of this.services) await one.scrape();
        await this.clock.advance(Math.min(scrapeEvery, lookedAt - at) * 1000);
      }
      // Spans are exported when they end.
      await this.clock.advance(10_000);
    } finally {
      otel.context.disable();
    }
    const lines = this.services.map((one) => one.lines());
    for (const one of this.services) await one.shutdown();
    const file = (texts: readonly string[]) => texts.map((text) => `${text}\n`).join('');
    return {
      traces: file(lines.flatMap(({ traces }) => traces)),
      metrics: file(lines.flatMap(({ metrics }) => metrics)),
    };
  }
}

function named(name: string, message: string): Error {
  return Object.assign(new Error(message), { name });
}
