import { bulkhead, circuitBreaker, fallback, pipeline, retry, timeout } from 'seaworthy';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { listenToDiag, prometheusSdk, unregister } from './sdk.ts';

let sdk: Awaited<ReturnType<typeof prometheusSdk>>;
let diag: string[];

beforeAll(async () => {
  diag = listenToDiag();
  sdk = await prometheusSdk();
});

afterAll(async () => {
  await sdk.close();
  unregister();
});

/** Lines with a value, by series. Prometheus keeps the first of two equal ones and drops the other without a word. */
function series(text: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [, name = '', labels = '', value] = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/i.exec(line) ?? [];
    if (value === undefined) continue;
    const key = `${name}{${labels
      .split(/,(?=\w+=")/)
      .filter((label) => !label.startsWith('otel_scope'))
      .sort()
      .join(',')}}`;
    expect(found.has(key), `two lines for ${key}`).toBe(false);
    found.set(key, Number(value));
  }
  return found;
}

test('a scrape has every series once, at 0 from the start, and moves with the calls', async () => {
  const telemetry = { meterProvider: sdk.provider };
  const shared = bulkhead({ limit: 3, name: 'shared' });
  const one = pipeline(
    'one',
    [fallback({ to: () => 'b' }), retry({ maxRetries: 1, backoff: 0 }), circuitBreaker(), shared, timeout(1000)],
    { telemetry },
  );
  const two = pipeline('two', [timeout(1000), shared], { telemetry });
  const twin = pipeline('two', [timeout(1000)], { telemetry });

  const before = series(await sdk.scrape());
  expect(before.get('seaworthy_execution_active{seaworthy_pipeline_name="one"}')).toBe(0);
  expect(
    before.get(
      'seaworthy_circuit_breaker_transitions_total{seaworthy_circuit_breaker_state="open",seaworthy_policy_name="one/circuit_breaker"}',
    ),
  ).toBe(0);
  expect(
    before.get(
      'seaworthy_circuit_breaker_status{seaworthy_circuit_breaker_state="closed",seaworthy_policy_name="one/circuit_breaker"}',
    ),
  ).toBe(1);
  expect(
    before.get('seaworthy_concurrency_limit{seaworthy_policy_name="shared",seaworthy_policy_type="bulkhead"}'),
  ).toBe(3);

  await one.execute(() => Promise.reject(new TypeError('no')));
  await Promise.all([one.execute(() => 1), two.execute(() => 2), twin.execute(() => 3)]);
  const after = series(await sdk.scrape());
  expect(after.get('seaworthy_retry_attempts_total{seaworthy_policy_name="one/retry"}')).toBe(1);
  expect(
    after.get(
      'seaworthy_fallback_executions_total{seaworthy_fallback_result="success",seaworthy_policy_name="one/fallback"}',
    ),
  ).toBe(1);
  expect(
    after.get('seaworthy_pipeline_duration_count{seaworthy_outcome="fallback",seaworthy_pipeline_name="one"}'),
  ).toBe(1);
  expect(
    after.get('seaworthy_pipeline_duration_count{seaworthy_outcome="success",seaworthy_pipeline_name="two"}'),
  ).toBe(2);
  expect(
    after.get(
      'seaworthy_attempt_duration_count{error_type="TypeError",seaworthy_attempt_kind="retry",seaworthy_outcome="failure",seaworthy_pipeline_name="one"}',
    ),
  ).toBe(1);
  expect(
    [...after.keys()].filter((key) => key.startsWith('seaworthy_') && !/seaworthy_(pipeline|policy)_name="/.test(key)),
  ).toEqual([]);
  expect(diag).toEqual([]);
});
