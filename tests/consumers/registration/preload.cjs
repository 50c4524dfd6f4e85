// The way of `node --require ./instrumentation.cjs app.mjs`: the SDK is CommonJS, whatever the application is.
const { register } = require('./register.cjs');

if (process.env.MOMENT === 'before the import') {
  let first = register();
  globalThis.register = () => {
    const sdk = first ?? register();
    first = undefined;
    return sdk;
  };
} else {
  globalThis.register = register;
}
