import * as otel from '@opentelemetry/api';

let told: Set<string> | undefined;

/** Says once per `where` that telemetry itself went wrong. Calls never hear of it. */
export function reportFault(where: string, error: unknown): void {
  try {
    told ??= new Set();
    if (told.has(where)) return;
    told.add(where);
    otel.diag.error(`seaworthy: telemetry failed in ${where}; calls go on without it.`, error);
  } catch {
    // A diag logger that throws leaves nobody to tell.
  }
}
