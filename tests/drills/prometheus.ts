import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promtool } from '../observability/prometheus.ts';
import type { Series } from './otlp.ts';
import type { Sample } from './promql.ts';

/** A Prometheus that holds what was exported some time ago, and scrapes nothing. */
export interface Archive {
  /** An instant query at a moment (milliseconds since 1970). Rejects with what Prometheus says of a query it refuses. */
  query(query: string, at: number): Promise<readonly Sample[]>;
  stop(): Promise<void>;
}

/** It ends with whoever started it, also when that is killed: its input is closed then. */
const guard = `
  exec 3<&0
  prometheus --config.file="$1/prometheus.yml" --storage.tsdb.path="$1/data" --storage.tsdb.retention.time=100y \\
    --web.listen-address=127.0.0.1:0 3<&- &
  { read -r _ <&3; kill -9 $!; } &
  wait
`;

/** Puts `series` into Debian's Prometheus, on a free port of loopback and in `folder`. */
export async function archive(folder: string, series: readonly Series[]): Promise<Archive> {
  const exposition = join(folder, 'series.txt');
  writeFileSync(exposition, openMetrics(series));
  const { ok, said } = await promtool(['tsdb', 'create-blocks-from', 'openmetrics', exposition, join(folder, 'data')]);
  if (!ok) throw new Error(`promtool refuses what was exported: ${said}`);
  writeFileSync(join(folder, 'prometheus.yml'), '{}');

  const child = spawn('sh', ['-c', guard, 'sh', folder], { stdio: ['pipe', 'ignore', 'pipe'] });
  const ended = once(child, 'close');
  let log = '';
  const url = await new Promise<string>((resolve, reject) => {
    let address: string | undefined;
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      log += text;
      address ??= /msg="Listening on" address=(\S+)/.exec(log)?.[1];
      if (address !== undefined && log.includes('ready to receive web requests')) resolve(`http://${address}`);
    });
    child.once('close', () => reject(new Error(`Prometheus ended early:\n${log}`)));
  });
  return {
    async query(query, at) {
      const body = new URLSearchParams({ query, time: String(at / 1000) });
      const response = await fetch(`${url}/api/v1/query`, { method: 'POST', body });
      const answer = (await response.json()) as {
        error?: string;
        data?: { result: { metric: Record<string, string>; value: [number, string] }[] };
      };
      if (answer.data === undefined) throw new Error(`${answer.error}: ${query}`);
      return answer.data.result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }));
    },
    async stop() {
      child.stdin.end();
      await ended;
    },
  };
}

function openMetrics(series: readonly Series[]): string {
  const lines = series.flatMap(({ labels: { __name__: name, ...labels }, samples }) => {
    const set = Object.entries(labels).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
    return samples.map(([at, value]) => `${name}{${set.join(',')}} ${value} ${at / 1000}`);
  });
  return `${lines.join('\n')}\n# EOF\n`;
}
