/**
 * Registers an SDK, of either generation and from either module format, and answers how to read what it was told and how
 * to be rid of it. `signals` says which of its halves exist.
 */
export function install({ api, trace, metrics, AsyncLocalStorageContextManager }, signals) {
  api.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  const exporter = new trace.InMemorySpanExporter();
  const providers = [];
  if (signals.includes('traces')) {
    const provider = trace.BasicTracerProvider
      ? new trace.BasicTracerProvider({ spanProcessors: [new trace.SimpleSpanProcessor(exporter)] })
      : new trace.TracerProvider({ spanProcessors: [new trace.SimpleSpanProcessor({ exporter })] });
    api.trace.setGlobalTracerProvider(provider);
    providers.push(provider);
  }
  class Reader extends metrics.MetricReader {
    async onForceFlush() {}
    async onShutdown() {}
  }
  const reader = new Reader();
  if (signals.includes('metrics')) {
    const provider = new metrics.MeterProvider({ readers: [reader] });
    api.metrics.setGlobalMeterProvider(provider);
    providers.push(provider);
  }

  const spans = () =>
    exporter.getFinishedSpans().map((span) => {
      const { name, kind, parentSpanContext, attributes } = span;
      return { id: span.spanContext().spanId, parent: parentSpanContext?.spanId, name, kind, attributes };
    });
  return {
    spans,
    async read() {
      const answer = { spans: spans(), metrics: [] };
      if (!signals.includes('metrics')) return answer;
      const { resourceMetrics, errors } = await reader.collect();
      for (const error of errors) globalThis.heard.push(`collect: ${error}`);
      for (const { scope, metrics: instruments } of resourceMetrics.scopeMetrics)
        for (const { descriptor, dataPoints } of instruments) {
          const points = dataPoints.map(({ attributes, value }) => ({ attributes, value: value.count ?? value }));
          answer.metrics.push({ scope: scope.name, name: descriptor.name, unit: descriptor.unit, points });
        }
      return answer;
    },
    forget() {
      api.trace.disable();
      api.metrics.disable();
      api.context.disable();
    },
    shutdown: () => Promise.all(providers.map((provider) => provider.shutdown())),
  };
}
