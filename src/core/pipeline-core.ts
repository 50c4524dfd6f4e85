import { RollingLatency } from '../algorithms/latency.ts';
import { Recent } from '../algorithms/recent.ts';
import { type Clock, coarse } from '../ports/clock.ts';
import type { Random } from '../ports/random.ts';
import type { OutcomeName } from '../telemetry/events.ts';
import type { Interest, PipelineInfo, PolicyInfo } from '../telemetry/observer.ts';
import { warn } from '../ports/report.ts';
import { wallClock } from '../ports/wall-clock.ts';
import type { PipelineSnapshot, PolicySnapshot, PolicyState } from '../telemetry/snapshot.ts';
import { isBypassed } from './bypass.ts';
import { DrainingError, withoutStack } from './errors.ts';
import type { Observers } from './observers.ts';
import { show } from './options.ts';
import type { Classify } from './outcome.ts';
import type { Policy, Stage } from './policy.ts';
import { Running } from './running.ts';

/** For how long after the last look durations are measured, in milliseconds. */
const WATCHED_MS = 600_000;

/** Counts of one pipeline: integers that a call bumps and that `snapshot()` and the metrics read. */
class Cells {
  calls = 0;
  active = 0;
  attempts = 0;
  late = 0;
  deadlines = 0;
  deadlineExceeded = 0;
  draining = 0;
  ids = 0;
  readonly outcomes: Record<OutcomeName, number> = { success: 0, fallback: 0, failure: 0, cancelled: 0, ignored: 0 };
}

/** One of ours, or another pipeline. */
export type Part =
  | { readonly policy: Policy<any>; readonly label: string }
  | { readonly nested: PipelineCore /** What the user holds, kept for its counts. */; readonly handle: object };

/** What a pipeline was made of. It does not know the object that the user holds, so that object can be collected. */
export interface Definition {
  readonly name: string;
  readonly parts: readonly Part[];
  readonly classify: Classify | undefined;
  readonly attributes: PipelineInfo['attributes'];
  readonly clock: Clock;
  readonly random: Random;
  readonly stackTraces: boolean;
}

/** The state of one pipeline behind the user's object: its definition, its stages, its counts and who listens. */
export class PipelineCore implements PipelineInfo {
  readonly name: string;
  readonly parts: readonly Part[];
  readonly classify: Classify | undefined;
  readonly attributes: PipelineInfo['attributes'];
  readonly clock: Clock;
  readonly random: Random;
  readonly stackTraces: boolean;
  readonly cells = new Cells();
  readonly recent = new Recent();
  /** There while durations are wanted although no observer is there. */
  latency: RollingLatency | undefined = undefined;
  private lookedAt = 0;
  observers!: Observers;
  stages: readonly Stage[] = [];
  /** The memo of a call that has not begun. */
  blank: unknown[] = [];
  /** Whether no pipeline in the row classifies. */
  plain = false;
  repeats = false;
  /** Holds per policy that calls go past, and every row its stages stand in, those of outer pipelines included. */
  readonly bypassed = new Map<string, number>();
  readonly rows: WeakRef<readonly Stage[]>[] = [];
  /** Takes no new calls. */
  disposed = false;
  readonly running = new Running();
  /** Who waits for the last call to end, once no new ones are taken. */
  whenIdle: (() => void)[] = [];
  private released = false;

  constructor(definition: Definition) {
    this.name = definition.name;
    this.parts = definition.parts;
    this.classify = definition.classify;
    this.attributes = definition.attributes;
    this.clock = definition.clock;
    this.random = definition.random;
    this.stackTraces = definition.stackTraces;
  }

  get policies(): readonly PolicyInfo[] {
    return this.parts.map((part) =>
      'nested' in part
        ? { name: part.nested.name, kind: 'pipeline', identity: part.nested }
        : { name: part.label, kind: part.policy.kind, identity: part.policy },
    );
  }

  interest(): Interest {
    return this.observers.interest();
  }

  dateOf(at: number): Date {
    return new Date(wallClock() - (this.clock.now() - at));
  }

  /** The last call has ended, and no new ones are taken. */
  rest(): void {
    for (const tell of this.whenIdle.splice(0)) tell();
  }

  /** Lets go of the observers. */
  release(): void {
    if (this.released) return;
    this.released = true;
    this.observers.dispose();
  }

  /** Once a second while calls end: notes the totals for the counts of the last ten seconds, and moves the percentiles on. */
  note(now: number): void {
    const { outcomes } = this.cells;
    this.recent.note(now, this.ended, outcomes.failure);
    if (now - this.lookedAt > WATCHED_MS) this.latency = undefined;
    else this.latency?.turn(now);
  }

  private get ended(): number {
    return this.cells.calls - this.cells.active;
  }

  /** From now on durations are measured, because somebody has asked, and until nobody has for ten minutes. */
  time(): void {
    this.lookedAt = coarse(this.clock);
    this.latency ??= new RollingLatency(this.lookedAt);
  }

  snapshot(): PipelineSnapshot {
    const { cells, recent } = this;
    const now = this.clock.now();
    const latency = this.latency?.at(now);
    return {
      name: this.name,
      calls: cells.calls,
      outcomes: { ...cells.outcomes },
      attempts: cells.attempts,
      attemptsPerCall: cells.calls === 0 ? 0 : cells.attempts / cells.calls,
      active: cells.active,
      late: cells.late,
      timeouts: cells.deadlines,
      rejections: { deadline_exceeded: cells.deadlineExceeded, draining: cells.draining },
      last10s: recent.since(now, this.ended, cells.outcomes.failure),
      latency:
        latency === undefined || latency.count === 0
          ? null
          : { p50: latency.quantile(0.5), p90: latency.quantile(0.9), p99: latency.quantile(0.99) },
      policies: this.parts.map((part) => this.read(part)),
    };
  }

  private read(part: Part): PolicySnapshot {
    if ('nested' in part) return { name: part.nested.name, bypassed: false, kind: 'custom' };
    return { name: part.label, bypassed: isBypassed(this, part.label), ...this.stateOf(part.policy, part.label) };
  }

  /** What a policy says of itself; one of a user's own may throw. */
  private stateOf(policy: Policy<any>, label: string): PolicyState {
    try {
      // A copy, so that what its getters throw is thrown here.
      return { kind: 'custom', ...policy.snapshot?.() };
    } catch (error) {
      warn(`${label}: snapshot threw.`, error);
      return { kind: 'custom' };
    }
  }
}

/** Why a call with `fn` is not even begun: that is no function, or the pipeline takes no calls any more. */
export function refuse(core: PipelineCore, fn: unknown): Error {
  if (typeof fn !== 'function')
    return new TypeError(`Cannot execute "${core.name}": the first argument must be a function, received ${show(fn)}`);
  core.cells.draining++;
  return withoutStack(core.stackTraces, () => new DrainingError({ policy: core.name, pipeline: core.name }));
}
