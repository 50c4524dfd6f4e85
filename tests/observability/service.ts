import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';

/** What the upstream does with requests: at once, late, 503, connection refused. */
export type Mode = 'healthy' | 'slow' | 'failing' | 'down';

/** How the service is started; without a port and an endpoint it has no SDK. */
export interface ServiceOptions {
  /** Where metrics are to be scraped; 0 takes a free one. */
  readonly prometheusPort?: number;
  /** Where the OTLP exporters send to, say `http://127.0.0.1:4318`. */
  readonly otlpEndpoint?: string;
  /** Durations end in `_seconds` in Prometheus. @default false */
  readonly suffix?: boolean;
  /** Further environment: `TIMEOUT_MS` (300), `BREAK_MS` (5,000), `OTEL_METRIC_EXPORT_INTERVAL`. */
  readonly env?: Readonly<Record<string, string>>;
}

/** `examples/observability` as child processes. */
export interface Service {
  /** `{url}/quote/{item}` has a fallback, `{url}/stock/{item}` has none. */
  readonly url: string;
  /** Empty without `prometheusPort`. */
  readonly metricsUrl: string;
  readonly upstream: {
    readonly url: string;
    /** Several modes serve one request each, and the last one stays; `slowMs` is how late slow is, 1,000 unless said. */
    set(mode: Mode | readonly Mode[], slowMs?: number): Promise<void>;
  };
  /** What both processes wrote so far, warnings included. */
  output(): string;
  /** SIGTERM: drains, flushes and ends; answers the service's exit code. */
  stop(): Promise<number | null>;
}

const folder = new URL('../../examples/observability/', import.meta.url);
const source = new URL('source.mjs', import.meta.url).href;

/** Starts the example on the source, with an upstream of its own; rejects with what it wrote when it does not start. */
export async function startService(options: ServiceOptions = {}): Promise<Service> {
  const { prometheusPort, otlpEndpoint, suffix = false, env = {} } = options;
  let output = '';
  const children: ChildProcess[] = [];

  async function start<T>(file: string, more: Readonly<Record<string, string>>): Promise<T> {
    // Node 22 strips types without being asked from 22.18 on.
    const flags = process.versions.node.startsWith('22.') ? ['--experimental-strip-types'] : [];
    const child = fork(fileURLToPath(new URL(file, folder)), {
      execArgv: [...flags, '--disable-warning=ExperimentalWarning', '--import', source],
      env: { PATH: process.env.PATH, ...more },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    children.push(child);
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (data) => (output += data));
    const dead = once(child, 'exit').then(([code]) => {
      throw new Error(`${file} ended with ${code}:\n${output}`);
    });
    const [ready] = await Promise.race([once(child, 'message'), dead]);
    dead.catch(() => {});
    return ready as T;
  }

  const killAll = () => children.forEach((child) => void child.kill('SIGKILL'));
  try {
    const upstream = await start<{ url: string; adminUrl: string }>('upstream.ts', {
      UPSTREAM_PORT: '0',
      UPSTREAM_ADMIN_PORT: '0',
    });
    const port = prometheusPort === 0 ? await freePort() : prometheusPort;
    const { url } = await start<{ url: string }>('service.ts', {
      PORT: '0',
      UPSTREAM_URL: upstream.url,
      ...(port !== undefined && { PROMETHEUS_PORT: `${port}` }),
      ...(otlpEndpoint !== undefined && { OTEL_EXPORTER_OTLP_ENDPOINT: otlpEndpoint }),
      PROMETHEUS_UNIT_SUFFIX: `${suffix}`,
      ...env,
    });
    const service = children[1]!;
    return {
      url,
      metricsUrl: port === undefined ? '' : `http://127.0.0.1:${port}/metrics`,
      upstream: {
        url: upstream.url,
        async set(mode, slowMs = 1_000) {
          const response = await fetch(`${upstream.adminUrl}/${mode}?ms=${slowMs}`, { method: 'PUT' });
          if (!response.ok) throw new Error(await response.text());
          await response.body?.cancel();
        },
      },
      output: () => output,
      async stop() {
        if (service.exitCode === null && service.signalCode === null) {
          const exit = once(service, 'exit');
          service.kill('SIGTERM');
          const slow = setTimeout(() => service.kill('SIGKILL'), 20_000);
          await exit;
          clearTimeout(slow);
        }
        killAll();
        return service.exitCode;
      },
    };
  } catch (error) {
    killAll();
    throw error;
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}
