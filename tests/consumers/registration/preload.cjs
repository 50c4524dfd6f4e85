// The way of `node --require ./instrumentation.cjs app.mjs`: the SDK is CommonJS, whatever the application is.
const { register } = require('./register.cjs');

if (process.env.MOMENT === 'before the import') {
  const telemetry = register();
  globalThis.register = () => telemetry;
} else {
  globalThis.register = register;
}
