'use strict';
// Preloaded by the applications of this folder, as a user's telemetry file is: SDK, then instrumentation, then the rest.
const { AsyncLocalStorageContextManager } = require('@opentelemetry/context-async-hooks');
const { HttpInstrumentation } = require('@opentelemetry/instrumentation-http');
const { UndiciInstrumentation } = require('@opentelemetry/instrumentation-undici');
const otel = require('@opentelemetry/api');
const sdk = require('@opentelemetry/sdk-trace');
const { resendCountProcessor } = require('seaworthy/otel');

require('./setup.cjs')({
  otel,
  sdk,
  contextManager: new AsyncLocalStorageContextManager(),
  resendCountProcessor,
  instrument: () => [new HttpInstrumentation(), new UndiciInstrumentation()],
});
