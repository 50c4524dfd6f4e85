import { registerHooks } from 'node:module';

/** Preloaded into examples: `seaworthy` is the source, so that no build is needed and what is broken there is seen. */
const entries = {
  seaworthy: 'index.ts',
  'seaworthy/fetch': 'adapters/http/fetch.ts',
  'seaworthy/otel': 'adapters/otel/index.ts',
};

registerHooks({
  resolve(specifier, context, next) {
    const entry = Object.hasOwn(entries, specifier) ? entries[specifier] : undefined;
    if (entry === undefined) return next(specifier, context);
    return { url: new URL(`../../src/${entry}`, import.meta.url).href, shortCircuit: true };
  },
});

// The test's process may be killed: nothing that it started is to stay. What ends by itself does not wait for this.
process.once('disconnect', () => setTimeout(() => process.exit(1), 5_000).unref());
