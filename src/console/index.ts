import { callable, check, either, number, type Rules, shape } from '../core/options.ts';
import { type Living, pipelines } from '../core/registry.ts';
import { type Clock, systemClock, type Timer } from '../ports/clock.ts';
import { reliable } from '../ports/reliable-clock.ts';
import { warn } from '../ports/report.ts';
import { wallClock } from '../ports/wall-clock.ts';
import type { PipelineSnapshot } from '../telemetry/snapshot.ts';
import { countsOf, growth, type PipelineCounts, type PipelineMetrics, share } from './metrics.ts';

export type { PipelineCounts, PipelineGrowth, PipelineMetrics } from './metrics.ts';

/** What {@link metricsStream} tells, and how often. */
export interface MetricsStreamOptions {
  /**
   * Milliseconds between two events of a pipeline, from 100 to 3,600,000. A reader that is slower gets fewer events.
   * @default 1_000
   */
  readonly intervalMs?: number | undefined;
  /**
   * Which pipelines: their names, or a predicate on the snapshot. Of pipelines with other names nothing is read, and a
   * predicate has a snapshot taken of each.
   * @default all living pipelines
   */
  readonly pipelines?: readonly string[] | ((snapshot: PipelineSnapshot) => boolean) | undefined;
  /** Ends the stream, as a server that shuts down does. */
  readonly signal?: AbortSignal | undefined;
  /** For tests. @default the system's */
  readonly clock?: Clock | undefined;
}

/** Server-sent events for one reader: `new Response(stream.body, stream)`, or the headers and the body by themselves. */
export interface MetricsStream {
  readonly headers: Readonly<Record<string, string>>;
  /** Lines of `text/event-stream` as UTF-8; each chunk is whole events. */
  readonly body: ReadableStream<Uint8Array>;
}

const rules: Rules = {
  intervalMs: /* @__PURE__ */ number(100, 3_600_000),
  pipelines: /* @__PURE__ */ either(/* @__PURE__ */ shape('an array of names', isNames), callable),
  signal: /* @__PURE__ */ shape('an AbortSignal', (value) => typeof value?.addEventListener === 'function'),
  clock: /* @__PURE__ */ shape(
    'a clock',
    (value) => typeof value?.now === 'function' && typeof value?.after === 'function',
  ),
};

function isNames(value: unknown): boolean {
  return Array.isArray(value) && value.every((name) => typeof name === 'string');
}

const headers: MetricsStream['headers'] = /* @__PURE__ */ Object.freeze({
  'content-type': 'text/event-stream',
  'cache-control': 'no-store',
  // nginx would collect events before it sends them.
  'x-accel-buffering': 'no',
});

/**
 * The state of all living pipelines as server-sent events, one {@link PipelineMetrics} per pipeline and interval. Nothing
 * happens before the first read, and a timer is pending only while a read is: a reader that is slow or gone costs
 * nothing, and nothing is kept for it. The timer does not hold the process. Throws a `TypeError` or `RangeError` for bad
 * options.
 */
export function metricsStream(options: MetricsStreamOptions = {}): MetricsStream {
  check('make a metrics stream', options, rules);
  return { headers, body: new ReadableStream(new Feed(options), { highWaterMark: 0 }) };
}

/** Without an event for so many milliseconds a proxy may think that the connection is dead. */
const HEARTBEAT_MS = 15_000;

/** What one reader gets. With nothing queued, a stream pulls exactly when its reader waits. */
class Feed {
  private readonly intervalMs: number;
  private readonly wanted: MetricsStreamOptions['pipelines'];
  private readonly signal: AbortSignal | undefined;
  private readonly clock: Clock;
  /** When this reader's last events were due. */
  private due = Number.NEGATIVE_INFINITY;
  /** What it was told last of each pipeline. */
  private readonly told = new WeakMap<Living, { readonly at: number; readonly total: PipelineCounts }>();
  private timer: Timer | undefined;
  private end: (() => void) | undefined;
  private gone = false;

  constructor({ intervalMs = 1_000, pipelines, signal, clock = systemClock }: MetricsStreamOptions) {
    this.intervalMs = intervalMs;
    this.wanted = pipelines;
    this.signal = signal;
    this.clock = reliable(clock);
  }

  pull(controller: ReadableStreamDefaultController<Uint8Array>): void {
    if (this.signal?.aborted) return controller.close();
    if (this.timer !== undefined) return;
    const now = this.clock.now();
    const due = this.due + this.intervalMs;
    if (now >= due) return this.tell(controller, now, now);
    this.wait(controller, due, now);
  }

  cancel(): void {
    this.gone = true;
    this.rest();
  }

  private wait(controller: ReadableStreamDefaultController<Uint8Array>, due: number, now: number): void {
    const beat = due - now > HEARTBEAT_MS;
    this.timer = this.clock.after(beat ? HEARTBEAT_MS : due - now, () => {
      this.rest();
      if (beat) send(controller, ':\n\n');
      else this.tell(controller, due, this.clock.now());
    });
    this.timer.unref();
    if (this.signal === undefined) return;
    this.end = () => {
      this.rest();
      controller.close();
    };
    this.signal.addEventListener('abort', this.end);
  }

  /** Nothing is waited for any more. */
  private rest(): void {
    this.timer?.cancel();
    this.timer = undefined;
    if (this.end !== undefined) this.signal!.removeEventListener('abort', this.end);
    this.end = undefined;
  }

  private tell(controller: ReadableStreamDefaultController<Uint8Array>, due: number, now: number): void {
    // The grid is kept, unless this comes so late that the next event would follow at once.
    this.due = now - due < this.intervalMs / 2 ? due : now;
    const time = wallClock();
    let text = '';
    for (const pipeline of pipelines()) {
      try {
        text += this.eventOf(pipeline, now, time);
      } catch (error) {
        warn(`${pipeline.name} is missing in metrics streams: what a policy says of itself is no snapshot.`, error);
      }
    }
    // What was asked just now may have sent the reader away.
    if (!this.gone) send(controller, text === '' ? ': no pipelines\n\n' : text);
  }

  /** The event of one pipeline, or nothing where it is not wanted. */
  private eventOf(pipeline: Living, now: number, time: number): string {
    const { wanted } = this;
    if (typeof wanted === 'object' && !wanted.includes(pipeline.name)) return '';
    const snapshot = pipeline.snapshot();
    if (typeof wanted === 'function' && !this.asks(wanted, snapshot)) return '';
    const total = countsOf(snapshot);
    const before = this.told.get(pipeline);
    const { name, last10s, active, latency, policies } = snapshot;
    const text = write({
      type: 'pipeline',
      version: 1,
      name,
      id: idOf(pipeline),
      time,
      total,
      since: before === undefined ? null : growth(total, before.total, now - before.at),
      last10s,
      errorRatio: share(last10s.failures, last10s.calls),
      active,
      latency,
      policies,
    });
    this.told.set(pipeline, { at: now, total });
    return text;
  }

  private asks(wanted: (snapshot: PipelineSnapshot) => boolean, snapshot: PipelineSnapshot): boolean {
    try {
      return wanted(snapshot) === true;
    } catch (error) {
      warn('"pipelines" of a metrics stream threw.', error);
      return false;
    }
  }
}

function write(metrics: PipelineMetrics): string {
  try {
    return `data: ${JSON.stringify(metrics)}\n\n`;
  } catch (error) {
    warn(
      `${metrics.name}: "policies" is empty in metrics streams, because what one says of itself is not JSON.`,
      error,
    );
    return `data: ${JSON.stringify({ ...metrics, policies: [] })}\n\n`;
  }
}

function send(controller: ReadableStreamDefaultController<Uint8Array>, text: string): void {
  controller.enqueue(new TextEncoder().encode(text));
}

let ids: WeakMap<Living, number> | undefined;
let lastId = 0;

function idOf(pipeline: Living): number {
  ids ??= new WeakMap();
  let id = ids.get(pipeline);
  if (id === undefined) ids.set(pipeline, (id = ++lastId));
  return id;
}
