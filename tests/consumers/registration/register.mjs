import * as api from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import * as metrics from '@opentelemetry/sdk-metrics';
import { install } from './install.mjs';

const trace = await import(process.env.TRACE_SDK);

export const register = () => install({ api, trace, metrics, AsyncLocalStorageContextManager }, process.env.SIGNALS);
