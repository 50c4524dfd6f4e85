/**
 * Registers an SDK, of either generation and from either module format, and answers how to read what it was told.
 * `signals` says which of its halves exist.
 */
export function install({ api, trace, metrics, AsyncLocalStorageContextManager }, signals) {
  api.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  const spans = new trace.InMemorySpanExporter();
  if (signals.includes('traces')) {
    const provider = trace.BasicTracerProvider
      ? new trace.BasicTracerProvider({ spanProcessors: [new trace.SimpleSpanProcessor(spans)] })
      : new trace.TracerProvider({ spanProcessors: [new trace.SimpleSpanProcessor({ exporter: spans })] });
    api.trace.setGlobalTracerProvider(provider);
  }
  class Reader extends metrics.MetricReader {
    async onForceFlush() {}
    async onShutdown() {}
  }
  const reader = new Reader();
  if (signals.includes('metrics')) api.metrics.setGlobalMeterProvider(new metrics.MeterProvider({ readers: [reader] }));

  return async () => {
    const answer = { spans: [], metrics: [] };
    for (const span of spans.getFinishedSpans()) {
      const { name, kind, parentSpanContext, attributes } = span;
      answer.spans.push({ id: span.spanContext().spanId, parent: parentSpanContext?.spanId, name, kind, attributes });
    }
    if (!signals.includes('metrics')) return answer;
    const { resourceMetrics, errors } = await reader.collect();
    for (const error of errors) globalThis.heard.push(`collect: ${error}`);
    for (const { scope, metrics: instruments } of resourceMetrics.scopeMetrics)
      for (const { descriptor, dataPoints } of instruments) {
        const points = dataPoints.map(({ attributes, value }) => ({ attributes, value: value.count ?? value }));
        answer.metrics.push({ scope: scope.name, name: descriptor.name, unit: descriptor.unit, points });
      }
    return answer;
  };
}
