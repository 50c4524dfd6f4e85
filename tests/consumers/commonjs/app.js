const { pipeline, retry, timeout } = require('seaworthy');

const users = pipeline('users', [retry({ backoff: 1 }), timeout(1_000)]);
users
  .execute(({ attempt }) => {
    if (attempt === 1) throw new Error('not yet');
    return attempt;
  })
  .then(console.log);
