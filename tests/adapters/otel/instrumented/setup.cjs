'use strict';
// What both module formats do with the SDK; the report goes to the process that asked.
module.exports = function setUp({ otel, sdk, contextManager, resendCountProcessor, instrument }) {
  const heard = [];
  const hear = (...words) => void heard.push(words.map(String).join(' '));
  process.on('warning', (warning) => hear(`${warning.name}: ${warning.message}`));
  otel.diag.setLogger(
    { error: hear, warn: hear, info() {}, debug() {}, verbose() {} },
    { logLevel: otel.DiagLogLevel.WARN },
  );

  const exporter = new sdk.InMemorySpanExporter();
  otel.context.setGlobalContextManager(contextManager.enable());
  otel.trace.setGlobalTracerProvider(
    new sdk.TracerProvider({ spanProcessors: [resendCountProcessor(), new sdk.SimpleSpanProcessor({ exporter })] }),
  );
  instrument();

  globalThis.report = (more) => {
    const spans = exporter.getFinishedSpans().map((span) => ({
      name: span.name,
      kind: otel.SpanKind[span.kind],
      status: otel.SpanStatusCode[span.status.code],
      scope: span.instrumentationScope.name,
      id: span.spanContext().spanId,
      trace: span.spanContext().traceId,
      parent: span.parentSpanContext?.spanId,
      attributes: span.attributes,
    }));
    process.send({ ...more, spans, heard });
    process.disconnect();
  };
};
