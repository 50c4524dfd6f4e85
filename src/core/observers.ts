import { warn } from '../ports/report.ts';
import type { PolicyEvent } from '../telemetry/events.ts';
import type { CallInfo, Interest, Observer, SpanEnd, SpanName } from '../telemetry/observer.ts';

/** Everybody who listens to one pipeline. What an observer throws is reported once and changes nothing. */
export class Observers {
  private readonly pipeline: string;
  private list: readonly Observer[];

  constructor(pipeline: string, list: readonly Observer[]) {
    this.pipeline = pipeline;
    this.list = list;
  }

  /** Adds an observer; calls that run already tell it what happens from now on. */
  add(observer: Observer): () => void {
    this.list = [...this.list, observer];
    return () => {
      this.list = this.list.filter((other) => other !== observer);
    };
  }

  /** Whether somebody wants attempts also where nothing repeats. */
  get wantAttempts(): boolean {
    return this.list.some((observer) => observer.attempts === true);
  }

  /** The most that anybody wants to hear. */
  interest(): Interest {
    const { list } = this;
    // Asked for every call, and nearly always of OpenTelemetry's alone.
    if (list.length === 1) return this.wishOf(list[0]!);
    return list.reduce<Interest>((most, observer) => {
      const wish = this.wishOf(observer);
      return wish > most ? wish : most;
    }, 0);
  }

  private wishOf(observer: Observer): Interest {
    try {
      return observer.interest === undefined ? 2 : observer.interest();
    } catch (error) {
      this.report(error);
      return 0;
    }
  }

  event(event: PolicyEvent, call: CallInfo, tokens: readonly unknown[] | undefined): void {
    const { list } = this;
    for (let i = 0; i < list.length; i++) {
      try {
        list[i]!.event?.(event, call, tokens?.[i]);
      } catch (error) {
        this.report(error);
      }
    }
  }

  start(name: SpanName, call: CallInfo, parents: readonly unknown[] | undefined): unknown[] {
    return this.list.map((observer, i) => {
      try {
        return observer.start?.(name, call, parents?.[i]);
      } catch (error) {
        this.report(error);
        return undefined;
      }
    });
  }

  end(name: SpanName, tokens: readonly unknown[] | undefined, end: SpanEnd, call: CallInfo): void {
    const { list } = this;
    for (let i = 0; i < list.length; i++) {
      try {
        list[i]!.end?.(name, tokens?.[i], end, call);
      } catch (error) {
        this.report(error);
      }
    }
  }

  /** Runs user code inside the surroundings of every observer, exactly once whatever they do. */
  within(tokens: readonly unknown[], run: () => unknown): unknown {
    const { list } = this;
    let inner = run;
    for (let i = list.length - 1; i >= 0; i--) {
      const observer = list[i]!;
      if (observer.within === undefined || tokens[i] === undefined) continue;
      const further = inner;
      inner = () => this.surround(observer, tokens[i], further);
    }
    return inner();
  }

  private surround(observer: Observer, token: unknown, run: () => unknown): unknown {
    let ended: { readonly ok: boolean; readonly result: unknown } | undefined;
    try {
      observer.within!(token, () => {
        try {
          const result = run();
          ended = { ok: true, result };
          return result;
        } catch (error) {
          ended = { ok: false, result: error };
          throw error;
        }
      });
    } catch (error) {
      if (ended === undefined || ended.result !== error) this.report(error);
    }
    if (ended === undefined) return run();
    if (ended.ok) return ended.result;
    throw ended.result;
  }

  dispose(): void {
    for (const observer of this.list) {
      try {
        observer.dispose?.();
      } catch (error) {
        this.report(error);
      }
    }
  }

  private report(error: unknown): void {
    warn(`An observer of pipeline "${this.pipeline}" threw; the call went on without it.`, error);
  }
}
