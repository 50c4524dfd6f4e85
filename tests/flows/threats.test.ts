import { bulkhead, circuitBreaker, fallback, pipeline, retry, timeout } from 'seaworthy';
import { resilientFetch } from 'seaworthy/fetch';
import { afterEach, describe, expect, it } from 'vitest';
import { serve } from '../adapters/http/server.ts';
import { logsSdk, metricsSdk, register, tracesSdk, unregister } from '../adapters/otel/sdk.ts';
import { deaf, deferred, stand, stateOf, thrownBy, turn, watch } from '../policies/stand.ts';

/** What nobody but the caller may see: in a key, in a message, in an address. */
const secret = 'hunter2';
const ok = async () => 'ok';
const bad = () => Promise.reject(new Error(`password ${secret} refused`));

/** A fetch that answers with one status after the other, the last one for ever. */
const answering = (...codes: number[]) => {
  let calls = 0;
  return Object.assign(async () => new Response(null, { status: codes[Math.min(calls++, codes.length - 1)]! }), {
    get calls() {
      return calls;
    },
  });
};

describe('T1: somebody wants the circuit of everybody open', () => {
  it('a thousand refused requests do not open it', async () => {
    const breaker = circuitBreaker({ consecutiveFailures: 1 });
    const send = resilientFetch(stand([breaker]).pipe, answering(400, 401, 403, 404, 409, 422, 429));
    for (let n = 0; n < 1_000; n++) await send('http://shop.test/');
    expect(breaker.forKey('http://shop.test').state).toBe('closed');
  });

  it('a thousand calls that their callers give up do not open it', async () => {
    const breaker = circuitBreaker({ consecutiveFailures: 1 });
    const { pipe } = stand([breaker]);
    for (let n = 0; n < 1_000; n++) {
      const caller = new AbortController();
      const call = watch(pipe.execute(deaf, caller.signal));
      caller.abort();
      await turn();
      expect(call.state).toBe('error');
    }
    expect(breaker.state).toBe('closed');
  });
});

describe('T2: a flood of keys', () => {
  it('does not make an open circuit forgotten', async () => {
    const { pipe } = stand([circuitBreaker({ consecutiveFailures: 1 })]);
    await pipe.tryExecute(bad, { key: 'down' });
    for (let n = 0; n < 10_000; n++) await pipe.execute(ok, { key: `key ${n}` });
    await expect(pipe.execute(ok, { key: 'down' })).rejects.toMatchObject({ code: 'circuit_open' });
    expect(stateOf(pipe).circuits).toBe(1_001);
  });

  it.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty', ''])(
    'the key "%s" is a key like others',
    async (key) => {
      const breaker = circuitBreaker({ consecutiveFailures: 1 });
      const { pipe } = stand([breaker]);
      await pipe.tryExecute(bad, { key });
      await pipe.execute(ok, { key: 'another' });
      await expect(pipe.execute(ok, { key })).rejects.toMatchObject({ code: 'circuit_open', key });
      expect(await pipe.execute(ok)).toBe('ok');
      const kept = JSON.parse(JSON.stringify(breaker.toJSON()));
      const later = stand([circuitBreaker({ consecutiveFailures: 1, initialState: kept })]).pipe;
      await expect(later.execute(ok, { key })).rejects.toMatchObject({ code: 'circuit_open', key });
      expect(await later.execute(ok, { key: 'another' })).toBe('ok');
      expect(Object.keys(Object.prototype)).toEqual([]);
    },
  );
});

describe('T3: a server that wants to be asked again and again', () => {
  it('by 503 and Retry-After: 0 gets less than two requests more per hundred', async () => {
    let requests = 0;
    const { pipe } = stand([retry({ maxRetries: Number.POSITIVE_INFINITY, backoff: 0 })]);
    const send = resilientFetch(pipe, async () => {
      requests++;
      return new Response(null, { status: 503, headers: { 'retry-after': '0' } });
    });
    for (let n = 0; n < 10_000; n++) expect((await send('http://shop.test/')).status).toBe(503);
    expect(requests).toBe(10_100);
  });
});

describe('T5: words in headers', () => {
  it('a request leaves with what it was given: no priority, deadline or attempt of ours', async () => {
    await using server = await serve((_, response, index) => void response.writeHead(index === 1 ? 503 : 200).end());
    const headers = { authorization: 'Bearer x', 'x-own': '1' };
    await fetch(server.url, { headers });
    const send = resilientFetch(pipeline('shop', [retry({ backoff: 0 }), timeout(60_000)]));
    await send(server.url, { headers });
    const [native, first, again] = server.requests;
    expect(first!.headers).toEqual(native!.headers);
    expect(again!.headers).toEqual(native!.headers);
  });

  it('an answer sets nothing but the pause: no deadline, no limit, no number of retries', async () => {
    const claims = {
      'x-deadline': '1',
      'grpc-timeout': '1m',
      'x-priority': 'critical',
      'x-attempt': '0',
      'x-no-retry': '1',
    };
    const { pipe } = stand([retry({ backoff: 0 })]);
    let requests = 0;
    const send = resilientFetch(pipe, async () => {
      requests++;
      return new Response(null, { status: 503, headers: claims });
    });
    await send('http://shop.test/');
    expect(requests).toBe(3);
  });
});

describe('T6: callers without time or patience', () => {
  it('a thousand with one millisecond each have no more work running than the bulkhead admits', async () => {
    const { clock, pipe } = stand([bulkhead({ limit: 5 }), timeout(60_000)]);
    let started = 0;
    for (let n = 0; n < 1_000; n++) {
      const call = watch(
        pipe.execute(
          () => {
            started++;
            return deaf();
          },
          { timeoutMs: 1 },
        ),
      );
      await clock.advance(2);
      expect(call.state).toBe('error');
    }
    expect(started).toBe(5);
  });
});

describe('T8: what is said of a failure', () => {
  afterEach(unregister);

  it('our errors serialise without message, stack and cause', async () => {
    const { pipe } = stand([circuitBreaker({ consecutiveFailures: 1 })]);
    await pipe.tryExecute(bad);
    const error = await pipe.execute(ok).catch((error) => error);
    expect(error.cause.message).toContain(secret);
    expect(JSON.parse(JSON.stringify(error))).toEqual({
      code: 'circuit_open',
      policy: 'shop/circuit_breaker',
      pipeline: 'shop',
      retryAfterMs: 5_000,
    });
    expect(Object.keys(error)).not.toContain('cause');
  });

  it('no stack is captured unless asked for', async () => {
    const chain = () => [circuitBreaker({ consecutiveFailures: 1 })] as const;
    const stackOf = async (options: { stackTraces?: boolean }) => {
      const { pipe } = stand(chain(), options);
      await pipe.tryExecute(bad);
      return (await pipe.execute(ok).catch((error) => error)).stack;
    };
    expect(await stackOf({})).toBe('CircuitOpenError: circuit open');
    expect(await stackOf({ stackTraces: true })).toMatch(/\n +at /);
  });

  it('a snapshot holds no key, message or value', async () => {
    const { pipe } = stand([
      circuitBreaker({ consecutiveFailures: 1 }),
      fallback({ to: { value: secret }, when: () => false }),
    ]);
    await pipe.tryExecute(bad, { key: secret });
    await pipe.tryExecute(ok, { key: secret });
    expect(JSON.stringify(pipe.snapshot())).not.toContain(secret);
  });

  it.each([
    ['of errors, with statusMessage: false', { statusMessage: false }, async () => Promise.reject(new Error(secret))],
    ['of statuses', {}, async () => new Response(secret, { status: 503, statusText: secret })],
  ])('spans, metrics and logs hold no key, address, header, body or message: %s', async (_, options, base) => {
    const [traces, metrics, logs] = [tracesSdk(), metricsSdk(), logsSdk()];
    register({ tracerProvider: traces.provider, meterProvider: metrics.provider, loggerProvider: logs.provider });
    const chain = [retry({ backoff: 0 }), circuitBreaker({ consecutiveFailures: 2 }), timeout(1_000)] as const;
    const { pipe } = stand(chain, { telemetry: options });
    const send = resilientFetch({ pipeline: pipe, key: () => secret }, base);
    for (let n = 0; n < 3; n++)
      await send(`http://${secret}.test/${secret}?token=${secret}`, {
        headers: { authorization: secret },
      }).catch(() => {});
    const spans = traces
      .spans()
      .map(({ name, attributes, status, events, links }) => ({ name, attributes, status, events, links }));
    const records = logs.records().map(({ body, attributes, eventName }) => ({ body, attributes, eventName }));
    const points = await metrics.collect();
    expect([spans.length, points.length, records.length].every((count) => count > 0)).toBe(true);
    expect(JSON.stringify([spans, points, records])).not.toContain(secret);
  });
});

describe('T9, T10: two callers with the same key', () => {
  it('each have a call and an answer of their own', async () => {
    const { pipe } = stand([
      fallback(() => 'none'),
      retry(),
      circuitBreaker(),
      bulkhead({ limit: 10 }),
      timeout(1_000),
    ]);
    const answers = ['a', 'b'].map((who) => pipe.execute(async () => ({ who }), { key: 'same' }));
    expect(await Promise.all(answers)).toEqual([{ who: 'a' }, { who: 'b' }]);
  });
});

describe('T12: calls that cost a thousand times what others do', () => {
  it('leave the others alone, in a bulkhead of their own', async () => {
    const dear = stand([bulkhead({ limit: 2 })]);
    const cheap = stand([bulkhead({ limit: 2 })]);
    for (let n = 0; n < 100; n++) watch(dear.pipe.execute(deaf));
    await expect(dear.pipe.execute(ok)).rejects.toMatchObject({ code: 'bulkhead_full' });
    expect(await cheap.pipe.execute(ok)).toBe('ok');
  });
});

describe('T13: a listener that calls the pipeline it listens to', () => {
  it('at every event, gets no more than the limit in, and every call ends', async () => {
    const { clock, pipe, events } = stand([
      retry({ backoff: 1 }),
      circuitBreaker({ consecutiveFailures: 3, breakMs: 1 }),
      bulkhead({ limit: 2, queue: 2 }),
      timeout(5),
    ]);
    const calls: ReturnType<typeof watch>[] = [];
    let running = 0;
    let most = 0;
    const work = async () => {
      most = Math.max(most, ++running);
      try {
        return await (calls.length % 3 === 0 ? bad() : ok());
      } finally {
        running--;
      }
    };
    let more = 200;
    const call = () => {
      if (more-- > 0) calls.push(watch(pipe.execute(work)));
    };
    pipe.subscribe(call);
    call();
    await clock.advance(10_000);
    expect(calls.length).toBe(200);
    expect(calls.filter(({ state }) => state === 'pending')).toEqual([]);
    expect(most).toBe(2);
    expect(stateOf(pipe, 2)).toMatchObject({ active: 0, queued: 0 });
    expect(new Set(events.map(({ type }) => type)).size).toBeGreaterThan(5);
    expect(clock.pending).toBe(0);
  });
});

describe('T14: options that come from elsewhere', () => {
  const hostile = '{"__proto__": {"maxRetries": -1}}';

  it('"__proto__" in JSON is an unknown option', () => {
    expect(thrownBy(() => retry(JSON.parse(hostile))).message).toBe('Cannot create retry: unknown option "__proto__"');
  });

  it.each<[string, () => unknown]>([
    ['retry', () => retry(Object.assign({}, JSON.parse(hostile)))],
    ['bulkhead', () => bulkhead(Object.create({ limit: -1 }))],
    ['timeout', () => timeout(Object.create({ ms: Number.NaN }))],
    ['fallback', () => fallback(Object.create({ to: 'no function' }))],
    ['pipeline', () => pipeline('p', [], Object.create({ stackTraces: 'yes' }))],
  ])('what the options of a %s inherit is checked like what they own', (_, make) => {
    expect(thrownBy(make).message).toMatch(/^Cannot create .*must be .*, received (?!undefined)/);
  });

  it('what one call brings is checked too', async () => {
    const { pipe } = stand([]);
    const call = pipe.execute(ok, Object.create({ timeoutMs: '5' }));
    await expect(call).rejects.toThrow('"timeoutMs" must be');
  });

  it('what they are after the factory has returned means nothing', async () => {
    const options = { maxRetries: 1, backoff: 0, budget: { capacity: 10 } };
    const { pipe } = stand([retry(options)]);
    options.maxRetries = 1_000;
    options.budget.capacity = 0;
    await expect(pipe.execute(bad)).rejects.toThrow();
    expect(pipe.snapshot().attempts).toBe(2);
  });
});

describe('T15: time that jumps', () => {
  it('a process that slept for an hour comes back to a full budget and no more', async () => {
    const { clock, pipe } = stand([retry({ backoff: 0, budget: { capacity: 3 } })]);
    const attempts = async () => {
      const before = pipe.snapshot().attempts;
      for (let n = 0; n < 100; n++) await pipe.tryExecute(bad);
      return pipe.snapshot().attempts - before - 100;
    };
    expect(await attempts()).toBe(3);
    await clock.advance(3_600_000);
    expect(await attempts()).toBe(3);
  });
});

describe('T18: what nobody waits for any more', () => {
  it('a hundred late rejections of timed-out calls are nobody’s unhandled ones', async () => {
    const unhandled: unknown[] = [];
    const hear = (reason: unknown) => unhandled.push(reason);
    process.on('unhandledRejection', hear);
    const { clock, pipe } = stand([timeout(10)]);
    const works = Array.from({ length: 100 }, () => deferred());
    const calls = works.map(({ promise }) => watch(pipe.execute(() => promise)));
    await clock.advance(20);
    for (const { reject } of works) reject(new Error('late'));
    await turn();
    await turn();
    process.off('unhandledRejection', hear);
    expect(calls.filter(({ state }) => state !== 'error')).toEqual([]);
    expect(pipe.snapshot()).toMatchObject({ active: 0 });
    expect(unhandled).toEqual([]);
  });
});
