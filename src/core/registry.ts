import type { PipelineSnapshot } from '../telemetry/snapshot.ts';

/** What is looked at of a pipeline. */
export interface Living {
  readonly name: string;
  snapshot(): PipelineSnapshot;
}

let living: Set<WeakRef<Living>> | undefined;
/** Where the next look goes on. */
let round: Iterator<WeakRef<Living>> | undefined;

/** Notes that a pipeline exists, without keeping it alive. */
export function remember(pipeline: Living): void {
  living ??= new Set();
  // As many as come are looked at again, so that the set stays as small as the number of living pipelines without a timer.
  for (let looked = 0; looked < 2; looked++) {
    round ??= living.values();
    const { value: ref } = round.next();
    if (ref === undefined) round = undefined;
    else if (ref.deref() === undefined) living.delete(ref);
  }
  living.add(new WeakRef(pipeline));
}

/** All living pipelines, oldest first. */
export function pipelines(): Living[] {
  const all: Living[] = [];
  for (const ref of living ?? []) {
    const pipeline = ref.deref();
    if (pipeline === undefined) living!.delete(ref);
    else all.push(pipeline);
  }
  return all;
}

/** The snapshots of all living pipelines, oldest first. */
export function snapshots(): PipelineSnapshot[] {
  return pipelines().map((pipeline) => pipeline.snapshot());
}
