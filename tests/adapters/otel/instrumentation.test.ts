import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';

interface Seen {
  readonly name: string;
  readonly kind: string;
  readonly status: string;
  readonly scope: string;
  readonly id: string;
  readonly trace: string;
  readonly parent?: string;
  readonly attributes: Readonly<Record<string, unknown>>;
}

interface Report {
  readonly statuses: readonly number[];
  readonly spans: readonly Seen[];
  readonly heard: readonly string[];
}

const instrumentation = (of: string) => `@opentelemetry/instrumentation-${of}`;
const clients = [
  { client: 'fetch', by: instrumentation('undici') },
  { client: 'undici', by: instrumentation('undici') },
  { client: 'http', by: instrumentation('http') },
];

describe.each([
  { application: 'an ES module', extension: 'mjs', preload: '--import' },
  { application: 'CommonJS', extension: 'cjs', preload: '--require' },
])('with the instrumentation of undici and http in $application', ({ extension, preload }) => {
  let report: Report;

  beforeAll(async () => {
    report = await run(`app.${extension}`, [preload, file(`instrumented/sdk.${extension}`)]);
  }, 60_000);

  test('all calls are answered and nobody warns', () => {
    expect(report.statuses).toEqual(Array(9).fill(200));
    expect(report.heard).toEqual([]);
  });

  describe.each(clients)('$client', ({ client, by }) => {
    test.each(['a', 'b', 'hang'])('/%s: each request is a child of its attempt, the repeated one says so', (path) => {
      const served = report.spans.filter(({ attributes }) => pathOf(attributes) === `/${client}/${path}/${client}`);
      expect(served).toHaveLength(1);
      expect(tree(report.spans, served[0]!)).toEqual([
        `GET SERVER UNSET ${instrumentation('http')}`,
        `  execute ${client} INTERNAL UNSET seaworthy`,
        `    attempt ${client} INTERNAL ERROR seaworthy`,
        `      GET CLIENT ERROR ${by}`,
        `    attempt ${client} INTERNAL UNSET seaworthy`,
        `      GET CLIENT UNSET ${by} resend_count=1`,
      ]);
      const requests = report.spans.filter(({ kind, trace }) => kind === 'CLIENT' && trace === served[0]!.trace);
      expect(requests.map(({ attributes }) => pathOf(attributes))).toEqual(Array(2).fill(`/${path}/${client}`));
    });
  });

  test('the servers that are asked have spans of their own without a count of resends', () => {
    const servers = report.spans.filter(({ kind }) => kind === 'SERVER');
    expect(servers).toHaveLength(27);
    expect(servers.filter(({ parent, attributes }) => parent || 'http.request.resend_count' in attributes)).toEqual([]);
  });
});

function file(path: string): string {
  return fileURLToPath(new URL(path, import.meta.url));
}

/** On the source; rejects with what it wrote when it ends without a report. */
async function run(application: string, preloads: readonly string[]): Promise<Report> {
  // Node 22 strips types without being asked from 22.18 on.
  const flags = process.versions.node.startsWith('22.') ? ['--experimental-strip-types'] : [];
  const child = fork(file(`instrumented/${application}`), {
    execArgv: [...flags, '--disable-warning=ExperimentalWarning', '--import', source, ...preloads],
    env: { PATH: process.env.PATH },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (data) => (output += data));
  let report: Report | undefined;
  child.on('message', (message) => (report = message as Report));
  const [code] = await once(child, 'close');
  expect([code, output]).toEqual([0, '']);
  return report!;
}

const source = new URL('../../observability/source.mjs', import.meta.url).href;

/** Each instrumentation and each generation of the conventions has its own name for it. */
function pathOf(attributes: Seen['attributes']): string | undefined {
  const url = attributes['url.full'] ?? attributes['url.path'];
  return url === undefined ? undefined : new URL(String(url), 'http://127.0.0.1').pathname;
}

function tree(spans: readonly Seen[], span: Seen, indent = ''): string[] {
  const resent = span.attributes['http.request.resend_count'];
  const words = [span.name, span.kind, span.status, span.scope, ...(resent ? [`resend_count=${resent}`] : [])];
  // Spans come in the order they ended in; children of one span never overlap here.
  const below = spans.filter(({ parent }) => parent === span.id);
  return [indent + words.join(' '), ...below.flatMap((child) => tree(spans, child, `${indent}  `))];
}
