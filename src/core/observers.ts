import { unawaited } from '../algorithms/unawaited.ts';
import { warn } from '../ports/report.ts';
import type { PolicyEvent } from '../telemetry/events.ts';
import type { CallInfo, Interest, Observer, SpanEnd, SpanName } from '../telemetry/observer.ts';
import { show } from './options.ts';

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
    if (list.length === 0) return 0;
    if (list.length === 1) return this.wishOf(list[0]!);
    return list.reduce<Interest>((most, observer) => {
      const wish = this.wishOf(observer);
      return wish > most ? wish : most;
    }, 0);
  }

  private wishOf(observer: Observer): Interest {
    try {
      if (observer.interest === undefined) return 2;
      const wish = observer.interest();
      if (wish === 0 || wish === 1 || wish === 2) return wish;
      unawaited(wish);
      throw new TypeError(`interest() must answer 0, 1 or 2, received ${show(wish)}`);
    } catch (error) {
      this.report(error);
      return 0;
    }
  }

  event(event: PolicyEvent, call: CallInfo, tokens: readonly unknown[] | undefined): void {
    const { list } = this;
    for (let i = 0; i < list.length; i++) {
      try {
        const answer: unknown = list[i]!.event?.(event, call, tokens?.[i]);
        if (answer !== undefined) unawaited(answer, this.report);
      } catch (error) {
        this.report(error);
      }
    }
  }

  /** What they made of it; nothing where none made anything. */
  start(name: SpanName, call: CallInfo, parents: readonly unknown[] | undefined): unknown[] | undefined {
    const { list } = this;
    let tokens: unknown[] | undefined;
    for (let i = 0; i < list.length; i++) {
      const token = this.startOf(list[i]!, name, call, parents?.[i]);
      if (token !== undefined) (tokens ??= list.map(() => undefined))[i] = token;
    }
    return tokens;
  }

  private startOf(observer: Observer, name: SpanName, call: CallInfo, parent: unknown): unknown {
    try {
      const token = observer.start?.(name, call, parent);
      if (token !== undefined) unawaited(token, this.report);
      return token;
    } catch (error) {
      this.report(error);
      return undefined;
    }
  }

  end(name: SpanName, tokens: readonly unknown[] | undefined, end: SpanEnd, call: CallInfo): void {
    const { list } = this;
    for (let i = 0; i < list.length; i++) {
      try {
        const answer: unknown = list[i]!.end?.(name, tokens?.[i], end, call);
        if (answer !== undefined) unawaited(answer, this.report);
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
    // However often it asks, and be it later.
    const once = () => {
      ended ??= attempt(run);
      if (ended.ok) return ended.result;
      throw ended.result;
    };
    try {
      const answer = observer.within!(token, once);
      if (answer !== ended?.result) unawaited(answer, ended === undefined ? this.report : undefined);
    } catch (error) {
      if (ended === undefined || ended.ok || ended.result !== error) this.report(error);
    }
    return once();
  }

  dispose(): void {
    for (const observer of this.list) {
      try {
        unawaited(observer.dispose?.(), this.report);
      } catch (error) {
        this.report(error);
      }
    }
  }

  private readonly report = (error: unknown): void => {
    warn(`An observer of pipeline "${this.pipeline}" threw; the call went on without it.`, error);
  };
}

function attempt(run: () => unknown): { readonly ok: boolean; readonly result: unknown } {
  try {
    return { ok: true, result: run() };
  } catch (error) {
    return { ok: false, result: error };
  }
}
