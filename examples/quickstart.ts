// The whole of it: policies in a list, outermost first, and a function that runs behind them.

// #region readme
import { circuitBreaker, fallback, pipeline, retry, timeout } from 'seaworthy';
const prices = pipeline('prices', [
  fallback(() => 'on request'), // outermost first
  retry(),
  circuitBreaker(),
  timeout(800), // one attempt
]);
const price = await prices.execute(async ({ attempt }) => {
  if (attempt < 3) throw new Error('connection reset'); // twice, then it works
  return '42 EUR';
});
console.log(price); // 42 EUR
// #endregion

// #region wrap
const find = prices.wrap(async (item: string) => `the price of ${item}`);
console.log(await find('anchors')); // the price of anchors
// #endregion

// #region outcome
const { status, value, error } = await prices.tryExecute(() => 7);
console.log(status, value, error); // value 7 undefined
// #endregion

// #region snapshot
const { calls, attempts, outcomes } = prices.snapshot();
console.log(calls, attempts, outcomes.success); // 3 5 3
// #endregion
