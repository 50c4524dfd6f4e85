// Preloaded by the applications of this folder, as a user's telemetry file is: SDK, then instrumentation, then the rest.
import { createRequire, register } from 'node:module';
import * as otel from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http';
import { UndiciInstrumentation } from '@opentelemetry/instrumentation-undici';
import * as sdk from '@opentelemetry/sdk-trace';
import { resendCountProcessor } from 'seaworthy/otel';
import setUp from './setup.cjs';

// ES modules cannot be patched after they were loaded, so `node:http` is imported through a hook.
const ofHttp = createRequire(createRequire(import.meta.url).resolve('@opentelemetry/instrumentation-http'));
register(new URL(`file://${ofHttp.resolve('@opentelemetry/instrumentation/hook.mjs')}`));

setUp({
  otel,
  sdk,
  contextManager: new AsyncLocalStorageContextManager(),
  resendCountProcessor,
  instrument: () => [new HttpInstrumentation(), new UndiciInstrumentation()],
});
