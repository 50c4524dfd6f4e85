import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import { bulkhead, circuitBreaker, pipeline, timeout } from 'seaworthy';

/** `held`: an operator has isolated the circuit. `stuck`: what runs does not heed its signal. */
export type Trouble = 'none' | 'slow' | 'held and stuck';

/** A service of two pipelines, with users of its own, for what the example does not get into. */
export interface Desk {
  readonly metricsUrl: string;
  set(trouble: Trouble): void;
  stop(): Promise<void>;
}

/** Starts it in this process; `suffix` is what durations' names end in. */
export async function startDesk(suffix: string): Promise<Desk> {
  const exporter = new PrometheusExporter({ preventServerStart: true });
  const durations = ['pipeline', 'attempt', 'concurrency.queue'].map((what) => `seaworthy.${what}.duration`);
  const views = durations.map((name) => ({ instrumentName: name, name: name + suffix }));
  const meterProvider = new MeterProvider({ readers: [exporter], views: suffix === '' ? [] : views });
  const server = createServer((request, response) => exporter.getMetricsRequestHandler(request, response));
  await once(server.listen(0, '127.0.0.1'), 'listening');

  const breaker = circuitBreaker();
  const letters = pipeline('letters', [breaker, bulkhead({ limit: 4, queue: 4, maxWaitMs: 10_000 }), timeout(5_000)], {
    telemetry: { meterProvider },
  });
  const printer = pipeline('printer', [bulkhead({ limit: 4, holdUntilSettled: { maxMs: 20 } }), timeout(50)], {
    telemetry: { meterProvider },
  });

  let trouble: Trouble = 'none';
  let hold: ReturnType<typeof breaker.isolate> | undefined;
  const gone = new AbortController();
  const users = [
    // More than there are slots, so that some wait.
    ...Array.from({ length: 6 }, () => () => {
      const ms = trouble === 'slow' ? 1_500 : 1;
      return letters.execute(({ signal }) => pause(ms, undefined, { signal }), { signal: gone.signal });
    }),
    () => printer.execute(() => pause(trouble === 'held and stuck' ? 150 : 1)),
  ].map(async (call) => {
    while (!gone.signal.aborted) {
      await call().catch(() => undefined);
      if (trouble !== 'slow') await pause(100);
    }
  });

  return {
    metricsUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/metrics`,
    set(next) {
      trouble = next;
      hold?.dispose();
      hold = next === 'held and stuck' ? breaker.isolate() : undefined;
    },
    async stop() {
      gone.abort();
      await Promise.all(users);
      server.close();
      server.closeAllConnections();
      await meterProvider.shutdown();
    },
  };
}
