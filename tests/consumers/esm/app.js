import { pipeline, retry, timeout } from 'seaworthy';

const users = pipeline('users', [retry({ backoff: 1 }), timeout(1_000)]);
const value = await users.execute(({ attempt }) => {
  if (attempt === 1) throw new Error('not yet');
  return attempt;
});
console.log(value);
