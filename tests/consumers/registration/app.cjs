const { story } = require('./story.mjs');

story(
  () => require('seaworthy'),
  () => require('./register.cjs').register(),
);
