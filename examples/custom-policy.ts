// Two policies of one's own: a middleware function, and a stage for those who count nanoseconds.
import { type Call, type Host, type Policy, pipeline, policy, retry, Stage } from 'seaworthy';
import { policyContract } from 'seaworthy/testing';

// #region readme
/** Calls at most once per key and lets others share the answer while it is being made. */
function coalesce(): Policy {
  const running = new Map<string, Promise<unknown>>();
  return policy({
    kind: 'coalesce',
    around: ({ key }, next) => {
      if (key === undefined) return next();
      const shared = running.get(key);
      if (shared !== undefined) return shared.catch(() => next()); // its own caller may have given it up
      const answer = next().finally(() => running.delete(key));
      running.set(key, answer);
      return answer;
    },
  });
}
// #endregion

// #region stage
/** Turns away every call while a switch is off, and counts them. */
function gate(isOpen: () => boolean): Policy {
  let turnedAway = 0;
  return {
    kind: 'gate',
    stage: (host) => new GateStage(isOpen, () => turnedAway++, host),
    snapshot: () => ({ kind: 'custom', turnedAway }),
  };
}

/** Its place in one pipeline. What it does not override passes through. */
class GateStage extends Stage {
  private readonly isOpen: () => boolean;
  private readonly count: () => void;
  private readonly host: Host;

  constructor(isOpen: () => boolean, count: () => void, host: Host) {
    super();
    this.isOpen = isOpen;
    this.count = count;
    this.host = host;
  }

  override enter(call: Call): void {
    if (this.isOpen()) return this.proceed(call);
    this.count();
    this.raise(call, new Error(`${this.host.policy} is closed`));
  }
}
// #endregion

let open = true;
let calls = 0;
const rates = pipeline('rates', [gate(() => open), coalesce(), retry({ backoff: 0 })]);
const load = async () => {
  calls++;
  await new Promise((resolve) => setTimeout(resolve, 10));
  return 1.08;
};
console.log(await Promise.all([1, 2, 3].map(() => rates.execute(load, { key: 'EUR/USD' })))); // [ 1.08, 1.08, 1.08 ]
console.log(calls); // 1
open = false;
console.log(String((await rates.tryExecute(load)).error)); // Error: rates/gate is closed
console.log(rates.snapshot().policies[0]); // what its snapshot() says, with its name

// What every policy promises, tried on both; in a test file each of these is a test.
for (const make of [coalesce, () => gate(() => true)]) {
  const cases = policyContract(make);
  for (const { run } of cases) await run();
  console.log(`${make().kind}: keeps ${cases.length} promises`);
}
