// Loaded before everything else: collects what OpenTelemetry or Node itself would warn an operator about.
const { diag, DiagLogLevel } = require('@opentelemetry/api');

const heard = (globalThis.heard = []);
const note =
  (level) =>
  (...words) =>
    heard.push(`${level}: ${words.join(' ')}`);
const silent = () => {};
diag.setLogger(
  { error: note('error'), warn: note('warn'), info: silent, debug: silent, verbose: silent },
  { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
);
process.on('warning', (warning) => heard.push(`node: ${warning.message}`));
