import type { MetricsStream, PipelineMetrics } from '../../src/console/index.ts';
import { type Clock, systemClock, type Timer } from '../../src/ports/clock.ts';

/** The events in a piece of `text/event-stream`, by the standard's rules; comments apart. */
export function parse(text: string): { events: PipelineMetrics[]; comments: string[] } {
  const events: PipelineMetrics[] = [];
  const comments: string[] = [];
  for (const block of text.split('\n\n').filter((each) => each !== '')) {
    const data: string[] = [];
    for (const line of block.split('\n')) {
      const [, field, value] = /^([^:]*): ?(.*)$/.exec(line) ?? [];
      if (field === '') comments.push(value!);
      else if (field === 'data') data.push(value!);
      else throw new Error(`no line of this stream: ${line}`);
    }
    if (data.length > 0) events.push(JSON.parse(data.join('\n')));
  }
  return { events, comments };
}

/** A reader that asks for one chunk at a time, and what has come so far. */
export class Reader {
  readonly chunks: string[] = [];
  private readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  private readonly decoder = new TextDecoder();
  done = false;

  constructor({ body }: MetricsStream) {
    this.reader = body.getReader();
  }

  /** Waits for the next chunk; what it is comes to `chunks`. */
  async next(): Promise<void> {
    const { value, done } = await this.reader.read();
    if (done) this.done = true;
    else this.chunks.push(this.decoder.decode(value));
  }

  /** The next chunk's events. */
  async events(): Promise<PipelineMetrics[]> {
    await this.next();
    return parse(this.chunks.at(-1)!).events;
  }

  cancel(): Promise<void> {
    return this.reader.cancel();
  }
}

/** The system's clock, and its timers that are pending, by whether they hold the process. */
export function watchedClock(): Clock & { readonly pending: number; readonly holding: number } {
  const timers = new Map<Timer, boolean>();
  return {
    get pending() {
      return timers.size;
    },
    get holding() {
      return [...timers.values()].filter((holds) => holds).length;
    },
    now: () => systemClock.now(),
    after(ms, fn) {
      const inner = systemClock.after(ms, () => {
        timers.delete(timer);
        fn();
      });
      const timer: Timer = {
        cancel() {
          timers.delete(timer);
          inner.cancel();
        },
        ref() {
          timers.set(timer, true);
          inner.ref();
        },
        unref() {
          timers.set(timer, false);
          inner.unref();
        },
      };
      timers.set(timer, true);
      return timer;
    },
  };
}
