const api = require('@opentelemetry/api');
const { AsyncLocalStorageContextManager } = require('@opentelemetry/context-async-hooks');
const metrics = require('@opentelemetry/sdk-metrics');
const trace = require(process.env.TRACE_SDK);
const { install } = require('./install.mjs');

exports.register = () => install({ api, trace, metrics, AsyncLocalStorageContextManager }, process.env.SIGNALS);
