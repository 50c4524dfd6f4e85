import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

/** Why no Prometheus can be started here, `undefined` when one can. */
export const absent: string | undefined = ['prometheus', 'promtool']
  .filter((program) => !runs(program))
  .map((program) => `${program} is not installed: scripts/install-tools.sh does it`)[0];

function runs(program: string): boolean {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** One series of an instant query's answer. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A rule as Prometheus has loaded it. */
export interface Rule {
  readonly type: 'alerting' | 'recording';
  readonly name: string;
  /** `ok`, `unknown` before the first evaluation, or `err`. */
  readonly health: string;
  readonly lastError?: string;
}

/** An alert that is pending or firing; its annotations are expanded. */
export interface Alert {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly state: 'pending' | 'firing';
}

/** A Prometheus of the test's own. */
export interface Prometheus {
  readonly url: string;
  /** An instant query, as of now. Rejects with Prometheus' own words when it refuses the expression. */
  query(expr: string): Promise<Sample[]>;
  rules(): Promise<Rule[]>;
  /** What is pending or firing now. */
  alerts(): Promise<Alert[]>;
  stop(): Promise<void>;
}

export interface PrometheusOptions {
  /** By job name: addresses of `/metrics`, such as `http://127.0.0.1:9464/metrics`. */
  readonly jobs: Readonly<Record<string, string>>;
  /** Texts of rule files. */
  readonly rules?: readonly string[];
  /** Of scrapes and evaluations, in milliseconds. */
  readonly intervalMs: number;
}

/** As JSON, which YAML is made of. */
function configuration({ jobs, rules = [], intervalMs }: PrometheusOptions): string {
  const interval = `${intervalMs}ms`;
  return JSON.stringify({
    global: { scrape_interval: interval, scrape_timeout: interval, evaluation_interval: interval },
    rule_files: rules.map((_, i) => `rules-${i}.yml`),
    scrape_configs: Object.entries(jobs).map(([job_name, address]) => {
      const { host, pathname } = new URL(address);
      return { job_name, metrics_path: pathname, static_configs: [{ targets: [host] }] };
    }),
  });
}

/**
 * A shell stands between: whatever ends this process, it sees its input end, ends Prometheus and removes the folder.
 * Nobody wants the data, so it need not end gracefully.
 */
const guard = `
  exec 3<&0
  prometheus --config.file="$1/prometheus.yml" --storage.tsdb.path="$1/data" --web.listen-address=127.0.0.1:0 3<&- &
  prometheus=$!
  exec 2>/dev/null
  { read -r _ <&3; kill -9 $prometheus; } &
  wait $prometheus
  kill $!
  rm -rf "$1"
`;

/** Starts Debian's Prometheus on a free port of loopback, and waits until it is ready. */
export async function startPrometheus(options: PrometheusOptions): Promise<Prometheus> {
  const directory = mkdtempSync(join(tmpdir(), 'seaworthy-prometheus-'));
  writeFileSync(join(directory, 'prometheus.yml'), configuration(options));
  for (const [i, text] of (options.rules ?? []).entries()) writeFileSync(join(directory, `rules-${i}.yml`), text);
  const child = spawn('sh', ['-c', guard, 'sh', directory], { stdio: ['pipe', 'ignore', 'pipe'] });
  const ended = new Promise<void>((resolve) => {
    child.once('close', resolve).once('error', () => resolve());
  });
  const stop = async () => {
    child.stdin?.destroy();
    await ended;
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    const url = await ready(child);
    return { ...client(url), url, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Its address, from its own log, once it answers there; rejects with the log when it ends before, say for a rule it cannot read. */
function ready(child: ChildProcess): Promise<string> {
  let log = '';
  return new Promise((resolve, reject) => {
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      log += text;
      const [, address] = /msg="Listening on" address=(\S+)/.exec(log) ?? [];
      if (address !== undefined && log.includes('Server is ready')) resolve(`http://${address}`);
    });
    child.once('error', reject);
    child.once('close', () => reject(new Error(`Prometheus ended early:\n${log}`)));
    setTimeout(() => reject(new Error(`Prometheus is not ready after 15 s:\n${log}`)), 15_000).unref();
  });
}

function client(url: string): Pick<Prometheus, 'query' | 'rules' | 'alerts'> {
  /** `data` of an answer of the HTTP API. */
  async function ask<T>(path: string, parameters?: Record<string, string>): Promise<T> {
    const response = await fetch(
      `${url}/api/v1/${path}`,
      parameters && { method: 'POST', body: new URLSearchParams(parameters) },
    );
    const answer = (await response.json()) as { status: string; data: T; error?: string };
    if (answer.status !== 'success') throw new Error(`${answer.error}: ${Object.values(parameters ?? {}).join(' ')}`);
    return answer.data;
  }
  return {
    async query(expr) {
      type Row = { metric: Record<string, string>; value: [number, string] };
      const { result, resultType } = await ask<{ resultType: string; result: Row[] }>('query', { query: expr });
      if (resultType !== 'vector') throw new Error(`${expr} is a ${resultType}, not a vector`);
      return result.map(({ metric, value }) => ({
        labels: metric,
        value: Number(value[1].replace('Inf', 'Infinity')),
      }));
    },
    async rules() {
      const { groups } = await ask<{ groups: { rules: Rule[] }[] }>('rules');
      return groups.flatMap((group) => group.rules);
    },
    async alerts() {
      return (await ask<{ alerts: Alert[] }>('alerts')).alerts;
    },
  };
}

/** What `promtool <args>` said of `input`, and whether it found nothing to complain about. */
export function promtool(
  args: readonly string[],
  input = '',
): Promise<{ readonly ok: boolean; readonly said: string }> {
  return new Promise((resolve) => {
    const child = execFile('promtool', args, (error, output, errors) =>
      resolve({ ok: error === null, said: `${output}${errors}`.trim() }),
    );
    // It may have ended before it read.
    child.stdin?.on('error', () => undefined).end(input);
  });
}

/** Asks every 100 ms until the answer is truthy, and gives that; `undefined` when `withinMs` have passed. */
export async function until<T>(answer: () => Promise<T | undefined | false>, withinMs: number): Promise<T | undefined> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const given = await answer();
    if (given) return given;
    if (performance.now() > deadline) return undefined;
    await pause(100);
  }
}
