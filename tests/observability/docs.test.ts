import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import { bulkhead, circuitBreaker, fallback, pipeline, retry, timeout } from 'seaworthy';
import { describe, expect, it } from 'vitest';
import { contract, fill, parts, spellings } from '../../scripts/observability-docs.ts';
import * as texts from '../../scripts/observability-texts.ts';
import { absent, promtool, startPrometheus } from './prometheus.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const path = 'docs/observability.md';
const document = readFileSync(join(root, path), 'utf8');
const said = contract();

describe('docs/observability.md', () => {
  it('holds the trees of a run and the tables of the contract: node scripts/observability-docs.ts', async () => {
    expect(fill(document, await parts())).toBe(document);
  });

  it('cannot be made without a line for each name of the contract', async () => {
    const wider = { ...said, statusDescriptions: [...said.statusDescriptions, 'out of luck'] };
    await expect(parts(wider)).rejects.toThrow('observability-texts.ts what "out of luck" is');
  });

  it('has no place for a part that nothing makes, and makes no part without a place', () => {
    expect(() => fill('<!-- generated: moon -->\n<!-- /generated -->', {})).toThrow('nothing makes the part "moon"');
    expect(() => fill('', { moon: 'full' })).toThrow('has no place for moon');
  });

  it('has no line for a name that the contract does not know', () => {
    const carried = [said.spans, said.metrics, said.logs, said.othersSpans].flatMap((group) =>
      Object.values<{ required?: object; optional?: object }>(group).flatMap(({ required, optional }) =>
        Object.keys({ ...required, ...optional }),
      ),
    );
    const known = [carried, said.spans, said.metrics, said.logs, said.statusDescriptions].flatMap((group) =>
      Array.isArray(group) ? group : Object.keys(group),
    );
    const lines = Object.values(texts).flatMap((group) => Object.keys(group));
    expect(lines.filter((name) => !known.includes(name))).toEqual([]);
  });

  it('links only to what is there, headings included', () => {
    const links = [...document.matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)]*))?\)/g)];
    const wrong = links.filter(([, target, heading]) => {
      const file = target === '' ? path : join(dirname(path), String(target));
      if (!existsSync(join(root, file))) return true;
      return heading !== undefined && !headings(readFileSync(join(root, file), 'utf8')).includes(heading);
    });
    expect(links.length).toBeGreaterThan(10);
    expect(wrong.map(([link]) => link)).toEqual([]);
  });

  it('shows no TypeScript but regions of files that are compiled and run', () => {
    const shown = blocks('ts');
    expect(shown.length).toBeGreaterThan(5);
    for (const { code, before } of shown) {
      const [, file, name = 'readme'] = /<!-- example: (\S+?)(?:#(\S+))? -->\n\n$/.exec(before) ?? [];
      if (file === undefined) throw new Error(`put an example's name above:\n${code}`);
      expect(code.trim(), `${file}#${name}`).toBe(region(readFileSync(join(root, file), 'utf8'), name));
    }
  });

  it('speaks only of names that are emitted', () => {
    const names = new Set([
      ...Object.keys(said.metrics),
      ...Object.keys(said.logs),
      ...Object.keys(texts.attributeTexts),
      ...Object.keys(texts.attributeTexts).map((key) => key.replaceAll('.', '_')),
      ...series(),
      ...spellings(said).flatMap(({ plain, suffixed }) => [plain, suffixed]),
    ]);
    // `seaworthy/otel` and the like are the package's, and `seaworthy_retry_…` stands for several.
    const spoken = [...document.matchAll(/seaworthy[._][a-z0-9_.*]*[a-z0-9*…_]/g)].map(([name]) => name);
    expect(spoken.length).toBeGreaterThan(200);
    expect([...new Set(spoken)].filter((name) => !names.has(name) && !/[*_…]$|\*/.test(name))).toEqual([]);
  });
});

describe('the PromQL of docs/observability.md', () => {
  const queries = blocks('promql').flatMap(({ code }) => code.trim().split(/\n\n+/));
  const skipped = absent !== undefined && process.env.CI === undefined;
  if (skipped) console.warn(`tests/observability/docs.test.ts does not parse PromQL: ${absent}`);

  it.skipIf(skipped)(`is understood by promtool${skipped ? ` (skipped: ${absent})` : ''}`, async () => {
    if (absent !== undefined) throw new Error(absent);
    const folder = mkdtempSync(join(tmpdir(), 'seaworthy-promql-'));
    try {
      const rules = queries.map((expr, i) => ({ record: `docs:query_${i}`, expr }));
      const file = join(folder, 'rules.yml');
      // YAML is made of JSON.
      writeFileSync(file, JSON.stringify({ groups: [{ name: 'docs', rules }] }));
      expect(await promtool(['check', 'rules', file])).toEqual({
        ok: true,
        said: expect.stringContaining(`${queries.length} rules found`),
      });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it.skipIf(skipped)(
    `finds data in a real Prometheus${skipped ? ` (skipped: ${absent})` : ''}`,
    { timeout: 60_000 },
    async () => {
      if (absent !== undefined) throw new Error(absent);
      const exporter = new PrometheusExporter({ host: '127.0.0.1', port: 0, preventServerStart: true });
      const telemetry = { meterProvider: new MeterProvider({ readers: [exporter] }) };
      const ours = queries.filter((query) => query.includes('seaworthy_'));
      await exporter.startServer();
      const { port } = (exporter as unknown as { _server: { address(): AddressInfo } })._server.address();
      const jobs = { docs: `http://127.0.0.1:${port}/metrics` };
      const prometheus = await startPrometheus({ jobs, intervalMs: 250 });
      try {
        const inner = [
          retry({ maxRetries: 1, backoff: 0 }),
          circuitBreaker({ consecutiveFailures: 3, breakMs: 60_000 }),
        ];
        const failing = pipeline('failing', [...inner, bulkhead({ limit: 1 }), timeout(1_000)], { telemetry });
        const served = pipeline('served', [fallback(() => 'b')], { telemetry });
        for (let i = 0; i < 4; i++)
          await failing.execute(() => (i === 0 ? 'ok' : Promise.reject(new TypeError()))).catch(() => {});
        await served.execute(() => Promise.reject(new TypeError()));
        for (const query of ours)
          await expect
            .poll(async () => (await prometheus.query(query)).length, {
              timeout: 15_000,
              interval: 100,
              message: query,
            })
            .toBeGreaterThan(0);
        // A query that finds nothing is told apart from one that does.
        expect(await prometheus.query('seaworthy_rejections_total{seaworthy_rejection_reason="none"}')).toEqual([]);
      } finally {
        await prometheus.stop();
        await telemetry.meterProvider.shutdown();
      }
    },
  );

  it('asks for series, labels and values that are there', () => {
    expect(queries.length).toBeGreaterThan(20);
    const metrics = new Map(Object.entries(said.metrics).map(([name, shape]) => [name.replaceAll('.', '_'), shape]));
    const wrong = queries.flatMap((query) =>
      [...query.matchAll(/(seaworthy_[a-z_]+)\{([^}]*)\}/g)].flatMap(([, name = '', matchers = '']) => {
        const shape = metrics.get(name.replace(/_(total|bucket|sum|count)$/, ''));
        if (shape === undefined) return [`${name} is no metric`];
        const carried = Object.entries({ ...shape.required, ...shape.optional });
        return [...matchers.matchAll(/([a-z_]+)(?:=~?|!=)"([^"]*)"/g)].flatMap(([, label, words = '']) => {
          const values = carried.find(([key]) => key.replaceAll('.', '_') === label)?.[1];
          if (values === undefined) return [`${name} has no label ${label}`];
          if (typeof values === 'string') return [];
          return words
            .split('|')
            .flatMap((word) => (values.includes(word) ? [] : [`${name}: ${label} is never ${word}`]));
        });
      }),
    );
    expect(wrong).toEqual([]);
    const asked = queries.flatMap((query) => query.match(/seaworthy_[a-z_]+(?=[[{\s]|$)/g) ?? []);
    expect(asked.filter((name) => !series().includes(name))).toEqual([]);
  });
});

describe('node scripts/observability-docs.ts --check', () => {
  it('agrees with the test, and refuses a document that is out of date', () => {
    expect(check(document)).toMatchObject({ status: 0, stdout: 'docs/observability.md is up to date.\n' });
    const { status, stderr } = check(document.replace('attempt payments', 'attempt something'));
    expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringContaining('is out of date') });
  });

  /** On a copy of the document, in a process of its own. */
  function check(text: string) {
    const flags = process.versions.node.startsWith('22.') ? ['--experimental-strip-types'] : [];
    const folder = mkdtempSync(join(tmpdir(), 'seaworthy-docs-'));
    try {
      const copy = join(folder, 'observability.md');
      writeFileSync(copy, text);
      return spawnSync(
        process.execPath,
        ['--no-warnings', ...flags, 'scripts/observability-docs.ts', '--check', copy],
        {
          cwd: root,
          encoding: 'utf8',
          env: { ...process.env, NODE_OPTIONS: '' },
        },
      );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
});

/** Every series of ours by the names of the JS exporter. */
function series(): string[] {
  return spellings(said).flatMap(({ kind, plain }) =>
    kind === 'histogram' ? ['_bucket', '_sum', '_count'].map((part) => plain + part) : [plain],
  );
}

function blocks(language: string): { code: string; before: string }[] {
  return [...document.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(
    ({ 1: code = '', index }) => ({ code, before: document.slice(0, index) }),
  );
}

/** As the links of a table of contents have them. */
function headings(text: string): string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
}

function region(text: string, name: string): string {
  const lines = text.split('\n');
  const start = lines.findIndex((line) => line.trim() === `// #region ${name}`);
  const end = lines.findIndex((line, index) => index > start && line.trim() === '// #endregion');
  const body = start < 0 ? [] : lines.slice(start + 1, end);
  const indent = Math.min(...body.filter((line) => line.trim() !== '').map((line) => line.search(/\S/)));
  return body
    .map((line) => line.slice(indent))
    .join('\n')
    .trim();
}
