import { readFileSync } from 'node:fs';
import { bulkhead, circuitBreaker, fallback, pipeline, retry, timeout } from 'seaworthy';
import { expect, it } from 'vitest';
import { metricsStream } from '../../src/console/index.ts';
import { virtualClock } from '../../src/testing/virtual-clock.ts';
import { Reader } from './reader.ts';

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const document = read('docs/console.md');
/** Everything in code spans, a field of a field also by its last name. */
const named = new Set(
  [...document.matchAll(/`([^`\n]+)`/g)].flatMap(([, code]) => [code!, code!.slice(code!.lastIndexOf('.') + 1)]),
);

it('the document names every field that is told', async () => {
  const clock = virtualClock();
  const chain = [
    fallback({ to: () => 1, timeoutMs: 5 }),
    retry(),
    circuitBreaker(),
    bulkhead({ limit: 1 }),
    timeout(10),
  ];
  const pipe = pipeline('documented', chain, { telemetry: false, clock });
  const reader = new Reader(metricsStream({ pipelines: ['documented'], clock }));
  await reader.next();
  await pipe.execute(() => 1);
  const next = reader.events();
  await clock.advance(1_000);
  const [event] = await next;
  const fields = new Set<string>();
  const walk = (value: unknown) => {
    if (typeof value !== 'object' || value === null) return;
    for (const [name, inner] of Object.entries(value)) {
      if (!Array.isArray(value)) fields.add(name);
      // By result or by state: words of their own, which the metrics' document has.
      if (name !== 'executions' && name !== 'transitions') walk(inner);
    }
  };
  walk(event);
  expect(fields.size).toBeGreaterThan(40);
  expect([...fields].filter((name) => !named.has(name))).toEqual([]);
});

it('the code in the document is that of the example', () => {
  const [, code] = /<!-- example: examples\/console\.ts -->\n\n```ts\n([^`]*)```/.exec(document)!;
  const [, region] = /\/\/ #region readme\n([\s\S]*?)\/\/ #endregion/.exec(read('examples/console.ts'))!;
  expect(code).toBe(region);
});
