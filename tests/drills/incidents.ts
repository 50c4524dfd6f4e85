import { bulkhead, circuitBreaker, fallback, type Policy, retry, timeout } from 'seaworthy';
import { type Behaviour, type Exported, Stand } from './stand.ts';

/** Something that happens to a service, and what its operator wants to know. */
export interface Incident {
  readonly name: string;
  readonly question: string;
  /** What the telemetry must answer. */
  readonly answer: string;
  /** Other incidents whose diagnosis fits as well, because it is true as well, and what it says. */
  readonly also?: Readonly<Record<string, string>>;
  readonly play: (stand: Stand) => void;
}

/** What stands around each dependency of the shop, but for what an incident is about. */
function usual({ attemptMs = 1_000 } = {}): Policy[] {
  return [
    timeout(3_000),
    retry({ budget: { ratio: 0.1, minPerSecond: 0.1, capacity: 10 } }),
    circuitBreaker({ windowMs: 10_000 }),
    bulkhead({ limit: 4, queue: 8, maxWaitMs: 500 }),
    timeout(attemptMs),
  ];
}

const paymentsHost = 'payments.internal';

/** A dependency on a good day: a tenth of a second, and one request in a hundred fails. */
function good(stand: Stand): ReturnType<Behaviour> {
  return stand.random() < 0.01 ? { ms: 20, status: 503 } : { ms: stand.between(60, 140) };
}

/** `payments` under load, its dependency behaving as told once there is trouble. */
function payments(stand: Stand, trouble: Behaviour, perSecond: number | (() => number) = 4): void {
  const ask = stand.dependency((host) => (stand.troubled ? trouble(host) : good(stand)));
  stand.calls(perSecond, stand.pipeline('payments', usual()), ask(paymentsHost));
}

/** What nothing happens to, in every run. */
function bystander(stand: Stand): void {
  const ask = stand.dependency(() => good(stand));
  stand.calls(3, stand.pipeline('catalog', usual()), ask('catalog.internal'));
}

export const incidents: readonly Incident[] = [
  {
    name: 'slow dependency',
    question: 'Pages with payments on them are slow. Is it us (queues, retries), or the other side?',
    answer: 'payments.internal answers 6 times as slowly as before, and calls of "payments" with it',
    play: (stand) => payments(stand, () => ({ ms: stand.between(400, 800) })),
  },
  {
    name: 'hard down',
    question: 'Calls of payments fail. What is wrong with it, and is any part of it alive?',
    answer: '"payments" gets no answer at all: ECONNREFUSED',
    play: (stand) => payments(stand, () => ({ ms: 1, code: 'ECONNREFUSED' })),
  },
  {
    name: 'flapping',
    question: 'Errors of payments come and go. Is it the network now and then, or does the dependency go up and down?',
    answer: '"payments/circuit_breaker" opens and closes again and again: ECONNRESET',
    play: (stand) => payments(stand, () => (stand.seconds % 30 < 15 ? { ms: 2, code: 'ECONNRESET' } : good(stand))),
  },
  {
    name: 'retry storm from a caller',
    question: 'The load on payments has doubled. Are these customers, or is somebody sending the same again?',
    answer: 'retries of "orders" in gateway are the load on "payments" in shop',
    play(stand) {
      const gateway = stand.service('gateway');
      const orders = stand.pipeline(
        'orders',
        [retry({ maxRetries: 4, backoff: 100, budget: false }), timeout(2_000)],
        gateway,
      );
      // The shop knows that a conflict is nobody's failure and is not worth a second attempt; the gateway does not.
      const conflict = (error: unknown) => (error as Error).name !== 'Conflict';
      const policies = [
        timeout(3_000),
        retry({ when: conflict }),
        circuitBreaker({ windowMs: 10_000, when: conflict }),
        bulkhead({ limit: 40 }),
        timeout(1_000),
      ];
      const fine = stand.dependency(() => good(stand));
      const conflicting = stand.dependency(() => ({ ms: stand.between(30, 60), status: 409 }));
      const shop = stand.pipeline('payments', policies);
      stand.load(8, () => {
        const ask = (stand.troubled && stand.random() < 0.35 ? conflicting : fine)(paymentsHost);
        const serve = () =>
          stand
            .arrives('/payments', () => shop.execute(ask))
            .then(
              () => 200,
              () => 500,
            );
        return stand.arrives(
          '/orders',
          () => orders.execute((call) => stand.get('shop.internal', serve, call, gateway)),
          gateway,
        );
      });
    },
  },
  {
    name: 'exhausted budget',
    question: 'Every error of payments is a passing one that a second attempt would mend. Why do callers see them?',
    answer: '"payments/retry" has spent its budget: ServerError',
    play: (stand) =>
      payments(stand, () => (stand.random() < 0.25 ? { ms: 20, status: 503 } : { ms: stand.between(60, 140) })),
  },
  {
    name: 'saturated bulkhead',
    question:
      'Calls of payments are turned away. Has the dependency become slow, or is there more than we let through?',
    answer: '"payments/bulkhead" has all its slots taken, and the other side is as fast as before',
    play: (stand) =>
      payments(
        stand,
        () => good(stand),
        () => (stand.troubled ? 50 : 4),
      ),
  },
  {
    name: 'one bad host of three',
    question: 'A third of the calls of payments fail. Which third?',
    answer: 'payments-2.internal is the one bad host of "payments"',
    play(stand) {
      const hosts = [1, 2, 3].map((n) => `payments-${n}.internal`);
      const ask = stand.dependency((host) =>
        stand.troubled && host === hosts[1] ? { ms: 20, status: 503 } : good(stand),
      );
      const through = stand.pipeline('payments', usual());
      let turn = 0;
      stand.load(4, () => {
        const host = hosts[turn++ % hosts.length]!;
        // A circuit per host, and the host on the spans: its name is in no metric.
        const options = { key: host, attributes: { 'server.address': host } };
        return stand.arrives('/payments', () => through.execute(ask(host), options));
      });
    },
  },
  {
    name: 'timeouts too tight',
    question:
      'Since the deployment some calls of payments time out. Is the dependency ill, or do we give up too early?',
    answer: '"payments" gives up after 0.25 s, which its calls took before as well',
    also: { 'exhausted budget': '"payments/retry" has spent its budget: timeout' },
    play(stand) {
      const ask = stand.dependency(() => ({ ms: stand.between(125, 290) }));
      const [before, after] = [1_000, 250].map((attemptMs) => usual({ attemptMs }));
      const old = stand.pipeline('payments', before!);
      let deployed: typeof old | undefined;
      stand.load(4, () => {
        if (stand.troubled && deployed === undefined) {
          old.dispose();
          deployed = stand.pipeline('payments', after!);
        }
        return stand.arrives('/payments', () => (deployed ?? old).execute(ask(paymentsHost)));
      });
    },
  },
  {
    name: 'fallback hiding an outage',
    question: 'No error anywhere, and customers say prices are from yesterday. Is something down?',
    answer: '"prices" is answered by its fallback alone: ECONNREFUSED',
    play(stand) {
      const ask = stand.dependency(() => (stand.troubled ? { ms: 1, code: 'ECONNREFUSED' } : good(stand)));
      const through = stand.pipeline('prices', [fallback(() => "yesterday's price"), ...usual()]);
      stand.calls(4, through, ask('prices.internal'));
    },
  },
  {
    name: 'wrong classification',
    question:
      'The circuit of payments opens again and again, and the team behind it says that all is well. Who is right?',
    answer: '"payments" counts answers 404 as failures: NotFound',
    play: (stand) =>
      payments(stand, () => (stand.random() < 0.7 ? { ms: 20, status: 404 } : { ms: stand.between(60, 140) })),
  },
];

/** A day on which nothing happens. */
export const healthy: Incident = {
  name: 'healthy',
  question: 'Is anything wrong?',
  answer: 'nothing',
  play: (stand) => payments(stand, () => good(stand)),
};

/** All runs: the incidents, and the good day. */
export const runs: readonly Incident[] = [...incidents, healthy];

/** An hour apart, so that all of them fit into one Prometheus. */
export function epochOf(run: Incident): number {
  return Date.UTC(2026, 0, 1) + runs.indexOf(run) * 3_600_000;
}

/** Plays a run and answers what it exported, the same each time; another `seed` gives other latencies, losses and ids. */
export function play(run: Incident, seed = 0): Promise<Exported> {
  const stand = new Stand(epochOf(run), 1000 * seed + runs.indexOf(run));
  bystander(stand);
  run.play(stand);
  return stand.run();
}
